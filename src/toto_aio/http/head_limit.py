"""A limit for the whole head of a request: request line and headers.

aiohttp limits each header, to 8,190 bytes, and their number, to 128. So a head may have 1 MiB, and one that
never ends costs twice that, as each header is kept as bytes and as text: 150 connections took 300 MB.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError
from aiohttp.web_protocol import RequestHandler

from toto_aio.http.strictness import require_sound

MAX_HEAD = 32 * 1024
"""The most bytes of a head; nginx allows as much."""

Parsed = tuple[Any, bool, bytes]
"""Messages with their bodies, whether the connection is upgraded, and what follows then."""


class LimitedParser:
    """aiohttp's parser of the requests of one connection, which refuses a head of more than ``MAX_HEAD``."""

    __slots__ = ("_body", "_host", "_parser", "_size")

    def __init__(self, parser: Any) -> None:
        self._parser = parser
        self._body: Any = None  # of the last request
        self._host = ""  # of the last request
        self._size = 0  # of a head that has not ended

    def feed_data(self, data: bytes) -> Parsed:
        """Parse what has arrived. Raises ``BadHttpMessage``, for which aiohttp responds with 400."""
        if self._parser is None:
            return (), False, b""
        # Without data, aiohttp asks for the requests that it held back.
        in_body = data and self._body is not None and not self._body.is_eof()
        parsed: Parsed = self._parser.feed_data(data)
        messages = parsed[0]
        if messages:
            for message, _ in messages:
                self._host = require_sound(message, self._host)
            if self._size + len(data) > MAX_HEAD and max(_size(each[0]) for each in messages) > MAX_HEAD:
                self._refuse()
            self._body, self._size = messages[-1][1], 0
        elif not in_body:
            self._size += len(data)
            if self._size > MAX_HEAD:
                self._refuse()
        return parsed

    def message_consumed(self) -> None:
        """Note that a request was taken out of the queue."""
        if self._parser is not None:
            self._parser.message_consumed()

    def pause_reading(self) -> None:
        """Pause within a body."""
        if self._parser is not None:
            self._parser.pause_reading()

    def set_upgraded(self, upgraded: bool) -> None:
        """Parse requests again after an upgrade was declined."""
        if self._parser is not None:
            self._parser.set_upgraded(upgraded)

    def _refuse(self) -> None:
        self._parser = self._body = None  # with all that it has kept
        raise BadHttpMessage(f"The head of a request has at most {MAX_HEAD} bytes")


class LimitedConnection(RequestHandler):
    """aiohttp's connection with that limit."""

    __slots__ = ()

    def __init__(self, server: web.Server, **options: Any) -> None:
        super().__init__(server, **options)
        self._parser: Any = LimitedParser(self._parser)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The response to something that is not a request. aiohttp gives every such error the status 400."""
        if isinstance(exc, HttpProcessingError) and exc.code in (501, 505):
            status = exc.code
        return super().handle_error(request, status, exc, message)


def _size(message: Any) -> int:
    """The bytes of a head that was parsed, without the version, spaces and line breaks of its first line."""
    return len(message.method) + len(message.path) + sum(len(a) + len(b) + 4 for a, b in message.raw_headers)
