"""The heads of consecutive requests on a connection: mostly the same, except for a few values.

The meaning of a head doesn't depend on the value of ``x-toto-hmac`` or ``User-Agent``. If aiohttp has read a
head that differs only in such values, the next one needn't be parsed again, which is half the cost of a short
call.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from aiohttp import hdrs
from multidict import CIMultiDictProxy, istr

LONGEST = 4096
"""The most bytes of a head that is compared; half of what aiohttp allows for a single header."""

Changes = Mapping[istr, bytes]
"""Headers with their new values."""


def changes(
    lines: Sequence[bytes], headers: CIMultiDictProxy[str], others: Sequence[bytes]
) -> Changes | None:
    """The values that differ in other lines, where aiohttp has read ``lines`` as these headers.

    None if the other lines may mean something else. The caller has to check the value of Content-Length.
    """
    if len(lines) != len(others):
        return None
    found = {}
    for before, after in zip(lines, others, strict=True):
        if before != after:
            name, colon, value = after.partition(b": ")
            header = _free(name)
            start = len(name) + len(colon)
            if header is None or before[:start] != after[:start] or not _PLAIN.fullmatch(value):
                return None
            if headers.getall(header, ()) != [before[start:].decode(errors="surrogateescape")]:
                return None  # it is repeated, or the line was read as something else
            found[header] = value
    return found


STRUCTURE = frozenset(
    name.lower()
    for name in (
        hdrs.CONNECTION,
        hdrs.CONTENT_ENCODING,
        hdrs.CONTENT_TYPE,
        hdrs.EXPECT,
        hdrs.HOST,
        hdrs.KEEP_ALIVE,
        hdrs.TE,
        hdrs.TRAILER,
        hdrs.TRANSFER_ENCODING,
        hdrs.UPGRADE,
        "HTTP2-Settings",
        "Proxy-Connection",
    )
)
"""Headers that determine how a request is to be read, or by whom."""

# As aiohttp spells them, however they arrived.
_SPELLED = {str(header).lower(): header for header in vars(hdrs).values() if isinstance(header, istr)}
_PLAIN = re.compile(rb"[!-~]+(?: [!-~]+)*")  # only these mean the same to every parser
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2


@lru_cache(maxsize=256)
def _free(name: bytes) -> istr | None:
    """The header of this name if its value doesn't matter for reading the request, else None."""
    if not _TOKEN.fullmatch(name) or name.decode().lower() in STRUCTURE:
        return None
    return _SPELLED.get(name.decode().lower(), istr(name.decode()))
