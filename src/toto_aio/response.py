"""A response that goes out in one write."""

from __future__ import annotations

import time
from email.utils import formatdate
from functools import lru_cache
from http.cookies import SimpleCookie
from typing import Any

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import SERVER_SOFTWARE
from aiohttp.web_request import BaseRequest

from toto_aio.sessions import UserSession

LARGE = 64 * 1024
"""Bytes of a body from which on joining it to its head costs more than a second write."""


class WholeResponse(web.Response):
    """aiohttp's ``Response``, written with its head at once where nothing asks for more.

    Preparing and writing a response is a third of the cost of a short call. This does it in one go for the
    common case: HTTP/1.1 kept alive, a small body, no cookies, no HEAD, no ``on_response_prepare`` of an app
    around it. Everything else is left to aiohttp, and it uses aiohttp's public names alone.
    """

    signed_by: UserSession | None = None
    """The session that signs the response."""

    _written = False
    _plain = True

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        """Send the response, or begin to as aiohttp does."""
        transport = request.transport
        whole = self._whole(request) if self._plain else None
        if whole is None or transport is None or transport.is_closing():
            self._plain = False
            return await super().prepare(request)
        self._plain = False
        self._written = True
        transport.write(whole)
        return request.writer

    async def write_eof(self, data: bytes = b"") -> None:
        """End the response."""
        if not self._written:
            await super().write_eof(data)

    def _whole(self, request: BaseRequest) -> bytes | None:
        """Head and body; None if this is not the common case."""
        body = self.body
        if (
            type(body) is not bytes
            or len(body) > LARGE
            or not request.keep_alive
            or self.status in EMPTY
            or hdrs.CONTENT_TYPE not in self.headers
            or request.version != HttpVersion11
            or request.method == hdrs.METH_HEAD
            or not isinstance(request, web.Request)
        ):
            return None
        for app in request.match_info.apps:
            if app.on_response_prepare:
                return None
        head = _head(self.status, self.reason, tuple(self.headers.items()))
        if head is None:
            return None
        return b"%bContent-Length: %d\r\n%b%b" % (head, len(body), _common_headers(), body)

    @property
    def prepared(self) -> bool:
        """Whether the head has gone out."""
        return self._written or super().prepared

    @property
    def keep_alive(self) -> bool | None:
        """Whether the connection stays open."""
        return self._written or super().keep_alive

    @property
    def body_length(self) -> int:
        """Bytes of the body that were sent."""
        return len(self.body) if self._written and isinstance(self.body, bytes) else super().body_length

    # What an app around this one may ask of a response, and aiohttp then does

    @property
    def cookies(self) -> SimpleCookie:
        """The cookies that are set."""
        self._plain = False
        return super().cookies

    def set_cookie(self, *args: Any, **attributes: Any) -> None:
        """Set a cookie."""
        self._plain = False
        super().set_cookie(*args, **attributes)

    def force_close(self) -> None:
        """Close the connection after the response."""
        self._plain = False
        super().force_close()

    def enable_compression(self, *args: Any, **options: Any) -> None:
        """Compress the body if the client can read that."""
        self._plain = False
        super().enable_compression(*args, **options)

    def enable_chunked_encoding(self, chunk_size: int | None = None) -> None:
        """Send the body in chunks."""
        self._plain = False
        super().enable_chunked_encoding(chunk_size)


EMPTY = frozenset({101, 204, 304})
"""Statuses that come without a body."""
UNUSUAL = frozenset({"connection", "content-length", "date", "server", "transfer-encoding"})
"""Headers that are ours to set, unless a method did."""


@lru_cache(maxsize=256)
def _head(status: int, reason: str, headers: tuple[tuple[str, str], ...]) -> bytes | None:
    """The first lines of a response; None if there is something unusual among them."""
    lines = [f"HTTP/1.1 {status} {reason}"]
    for name, value in headers:
        # A line break would begin a header of its own: aiohttp refuses control characters.
        if name.lower() in UNUSUAL or not name.isprintable() or not value.isprintable():
            return None
        lines.append(f"{name}: {value}")
    return "\r\n".join([*lines, ""]).encode()


def _common_headers() -> bytes:
    """The headers that are the same for a second, and the empty line."""
    global _second, _headers
    now = int(time.time())
    if now != _second:
        _headers = f"Date: {formatdate(now, usegmt=True)}\r\nServer: {SERVER_SOFTWARE}\r\n\r\n".encode()
        _second = now
    return _headers


_second = 0
_headers = b""
