"""The codings of bodies (``Content-Encoding``; RFC 9110, 8.4): gzip and deflate.

aiohttp decodes bodies too, but takes gzip that was cut for the whole, and answers other mistakes itself.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

from aiohttp import hdrs, web

from toto_aio.exceptions import InvalidParameters
from toto_aio.names import shortened

MAX_MEMBERS = 1000
"""The most gzip streams that one body may consist of (RFC 1952, 2.2); each costs some microseconds."""
SMALLEST = 20
"""The bytes of nothing in gzip."""


def coding_of(request: web.Request) -> str:
    """The coding of a body, or "". Raises ``InvalidParameters`` (415) for one that nobody here knows."""
    coding = ",".join(request.headers.getall(hdrs.CONTENT_ENCODING, ())).strip().lower()
    if coding in ("", "identity"):
        return ""
    if coding not in WINDOWS:
        raise InvalidParameters(
            f"Cannot read Content-Encoding {shortened(coding)!r}: write gzip or deflate.", status=415
        )
    return coding


def is_decoded(request: web.Request) -> bool:
    """Whether aiohttp decodes the body: its servers do, except ours for a service alone."""
    return _compressed(request) is not None


def require_some(request: web.Request, coding: str, body: bytes) -> None:
    """Raise ``InvalidParameters`` (400) for gzip of which aiohttp has found nothing, and seen too little."""
    if coding == "gzip" and not body and 0 < (_compressed(request) or 0) < SMALLEST:
        raise cut(coding)


class Decoder:
    """Decodes one body of at most ``limit`` bytes. Its errors are ``InvalidParameters`` (400, 413)."""

    def __init__(self, coding: str, limit: int) -> None:
        self._coding = coding
        self._limit = limit
        self._decoded = bytearray()
        self._window = WINDOWS[coding]
        self._stream: Any = None
        self._members = 0

    def feed(self, piece: bytes) -> bool:
        """Decode the next bytes; returns False if there are more than ``limit``."""
        while piece:
            if self._stream is None:
                self._begin(piece)
            room = self._limit + 1 - len(self._decoded)
            try:
                self._decoded += self._stream.decompress(piece, room)
            except zlib.error as exc:
                raise InvalidParameters(f"The body is not {self._coding}: {exc}", status=400) from None
            if len(self._decoded) > self._limit:
                return False
            piece = self._stream.unused_data or self._stream.unconsumed_tail
            if self._stream.eof:
                self._stream = None
        return True

    def end(self) -> bytes:
        """The body. Raises ``InvalidParameters`` if it was cut."""
        if self._stream is not None:
            raise cut(self._coding)
        return bytes(self._decoded)

    def _begin(self, piece: bytes) -> None:
        self._members += 1
        if self._members > (MAX_MEMBERS if self._coding == "gzip" else 1):
            raise InvalidParameters(f"The body goes on after the end of its {self._coding}.", status=400)
        # Some clients send deflate without the head of RFC 1950, whose first byte has 8 in its lower half.
        is_bare = self._coding == "deflate" and piece[0] & 15 != 8
        self._stream = zlib.decompressobj(-zlib.MAX_WBITS if is_bare else self._window)


def cut(coding: str) -> InvalidParameters:
    """The error for a body that was cut."""
    return InvalidParameters(f"The body is cut: its {coding} has no end.", status=400)


WINDOWS: Mapping[str, int] = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
"""For each coding what zlib has to read."""


def _compressed(request: web.Request) -> int | None:
    """The bytes that aiohttp has decoded; None if it decodes nothing."""
    return getattr(request.content, "total_compressed_bytes", None)
