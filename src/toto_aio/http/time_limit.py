"""``x-toto-timeout``: the seconds that the client of a request waits, in a header."""

from __future__ import annotations

from multidict import CIMultiDictProxy, istr

from toto_aio.dispatch.client_limit import end_of_text
from toto_aio.exceptions import InvalidParameters

TIMEOUT_HEADER = istr("x-toto-timeout")


def end_in(headers: CIMultiDictProxy[str]) -> float:
    """When the calls of a request that has the header end. Raises ``InvalidParameters`` (400)."""
    values = headers.getall(TIMEOUT_HEADER)
    if len(values) > 1:
        raise InvalidParameters(f"The header {TIMEOUT_HEADER} is repeated.", status=400)
    return end_of_text(values[0])
