"""The trace that a request belongs to, by its header ``traceparent`` (W3C Trace Context)."""

from __future__ import annotations

import re
from collections.abc import Sequence


def trace_fields(traceparent: Sequence[str]) -> dict[str, str]:
    """What a log line has of the trace: its id, and that of the caller's span.

    ``traceparent`` are the values of the header. Nothing for none, for several, and for one that isn't valid:
    a client can't write anything but hexadecimal digits into the log.
    """
    found = _VALID.fullmatch(traceparent[0]) if len(traceparent) == 1 else None
    if found is None or (found["version"] == "00" and found["more"]):
        return {}
    return {"trace_id": found["trace_id"], "parent_id": found["parent_id"]}


# Later versions may add to the end. Version ff, and ids that are 0, are not valid.
_VALID = re.compile(
    "(?P<version>(?!ff)[0-9a-f]{2})-(?P<trace_id>(?!0{32})[0-9a-f]{32})-(?P<parent_id>(?!0{16})[0-9a-f]{16})"
    "-[0-9a-f]{2}(?P<more>-.*)?"
)
