"""The time limit that a client asks for: it shortens the one of a method, and never lengthens it."""

from __future__ import annotations

import math
import re
import time
from typing import Any

from toto_aio.dispatch.call import Call
from toto_aio.exceptions import InvalidParameters, TimedOut

MEMBER = "timeout"
"""Where a batch entry, a frame and a request of JSON-RPC have it: seconds, as a number."""


def end_after(seconds: float) -> float:
    """When a call ends that its client gives so many seconds, on the clock of ``time.monotonic``."""
    return time.monotonic() + seconds


def end_of_text(text: str) -> float:
    """The same for the text of a header. Raises ``InvalidParameters`` (400) if it is not a limit."""
    seconds = float(text) if _SECONDS.fullmatch(text) else 0.0
    if not seconds:
        raise InvalidParameters("x-toto-timeout: write a number of seconds, such as 2.5.", status=400)
    return end_after(seconds)


def end_of_member(value: Any) -> float:
    """The same for the member of a message. Raises ``InvalidParameters``."""
    if not is_limit(value):
        raise InvalidParameters("timeout: write a number of seconds, such as 2.5.")
    return end_after(value)


def is_limit(value: Any) -> bool:
    """Whether the member of a message is a limit."""
    is_number = isinstance(value, int | float) and type(value) is not bool  # BSON's Int64 is one, too
    return is_number and 0 < value < math.inf


def bring_forward(call: Call, end: float | None) -> None:
    """Let a call end with what it is part of, such as a batch, if that is earlier."""
    if end is not None and (call.ends is None or end < call.ends):
        call.ends = end


def shortened_limit(seconds: float, ends: float) -> float:
    """The limit of a method that has ``seconds``, for a client that waits until ``ends``.

    Raises ``TimedOut`` if the client waits no longer, as in the rest of a batch.
    """
    left = ends - time.monotonic()
    if left <= 0:
        raise TimedOut
    return min(seconds, left)


_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
