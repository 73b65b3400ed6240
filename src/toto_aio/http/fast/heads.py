"""Heads of requests that follow one another on a connection: mostly the same, but for a few values.

What a head means does not change with the value of ``x-toto-hmac`` or ``User-Agent``. So a head of which
aiohttp has read one that differs in nothing else need not be read again, which costs half of a short call.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from aiohttp import hdrs
from multidict import CIMultiDictProxy, istr

LONGEST = 4096
"""Bytes of a head that is compared; half of what aiohttp lets a single header have."""

Changes = Mapping[istr, bytes]
"""Headers, and their new values."""


def changes(
    lines: Sequence[bytes], headers: CIMultiDictProxy[str], others: Sequence[bytes]
) -> Changes | None:
    """What is new in other lines, where aiohttp has read ``lines`` as these headers.

    None if they may mean something else, but for the value of Content-Length, which is the caller's to check.
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
                return None  # it stands there twice, or the line was read as something else
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
"""Headers that say how a request is to be read, or who is to read it."""

# As aiohttp spells them, however they came.
_SPELLED = {str(header).lower(): header for header in vars(hdrs).values() if isinstance(header, istr)}
_PLAIN = re.compile(rb"[!-~]+(?: [!-~]+)*")  # no other than these means the same to every parser
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2


@lru_cache(maxsize=256)
def _free(name: bytes) -> istr | None:
    """The header of this name, whose value says nothing of how to read the request; else None."""
    if not _TOKEN.fullmatch(name) or name.decode().lower() in STRUCTURE:
        return None
    return _SPELLED.get(name.decode().lower(), istr(name.decode()))
