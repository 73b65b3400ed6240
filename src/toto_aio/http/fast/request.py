"""A request on the fast path: what the service reads; aiohttp's request is created when asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from aiohttp import HttpVersion11, hdrs, web
from multidict import CIMultiDict, CIMultiDictProxy

from toto_aio.codecs import Codec
from toto_aio.http.fast.heads import LONGEST, Changes, changes
from toto_aio.http.fast.served import Served


class RequestConnection(Protocol):
    """The connection of a request."""

    transport: asyncio.Transport | None

    @property
    def peername(self) -> Any:
        """The address of the peer, as its socket has it; empty or None through a Unix socket."""

    def make_request(self, message: Any, served: Served, path: str | None) -> web.Request:
        """aiohttp's request for a message to ``path`` below the root of a service."""


class FastRequest:
    """An ``HTTPRequest``. One serves for all whose head is the same, one after the other."""

    __slots__ = (
        "_changes",
        "_connection",
        "_lines",
        "_parsed",
        "_request",
        "body",
        "body_at",
        "codec",
        "head",
        "headers",
        "length",
        "path",
        "served",
        "transport",
    )
    method = hdrs.METH_POST
    version = HttpVersion11
    keep_alive = True

    def __init__(
        self,
        connection: RequestConnection,
        served: Served,
        message: Any,
        headers: CIMultiDictProxy[str],
        path: str | None,
        codec: Codec | None,
    ) -> None:
        self.served = served
        self.headers = headers
        self.transport = connection.transport
        self.path = path
        self.codec = codec
        self.body = self.head = b""
        self.body_at = self.length = 0
        """Bytes of the head, and of the whole, if the next requests can be compared with it."""
        self._lines: list[bytes] | None = None
        self._changes: Changes = {}
        self._parsed = message
        self._connection = connection
        self._request: web.Request | None = None

    def like(self, data: bytes) -> FastRequest | None:
        """The request in these bytes, if comparing them with this one is enough to know."""
        at = data.find(b"\r\n\r\n") + 4
        size = len(data) - at
        if not 4 < at <= LONGEST or not 0 < size <= self.served.service.max_body_size:
            return None
        head = data[:at]
        lines = head.split(b"\r\n")
        if self._lines is None:
            self._lines = self.head.split(b"\r\n")
        found = changes(self._lines, self.headers, lines)
        if found is None:
            return None
        headers = CIMultiDict(self.headers)
        own_size = self.length - self.body_at
        for header, value in found.items():
            headers[header] = value.decode()
            if header == hdrs.CONTENT_LENGTH:
                own_size = size if value == b"%d" % size else 0
        if own_size != size:
            return None
        request = FastRequest(
            self._connection, self.served, self._parsed, CIMultiDictProxy(headers), self.path, self.codec
        )
        request.head, request.body, request.body_at, request.length = head, data[at:], at, len(data)
        request._lines, request._changes = lines, {**self._changes, **found}
        return request

    @property
    def raw_path(self) -> str:
        return str(self._parsed.path)

    @property
    def cookies(self) -> Mapping[str, str]:
        return self.web_request().cookies

    @property
    def scheme(self) -> str:
        return self.web_request().scheme

    @property
    def remote(self) -> str | None:
        # As aiohttp's request: each refused call is logged with it, and should not need one.
        peer = self._connection.peername
        return None if peer is None else str(peer[0] if isinstance(peer, (tuple, list)) else peer)

    def web_request(self) -> web.Request:
        """aiohttp's request, with its body read."""
        if self._request is None:
            self._request = self._connection.make_request(self._message, self.served, self.path)
        return self._request

    @property
    def _message(self) -> Any:
        if self._changes:
            new = {str(header).lower(): value for header, value in self._changes.items()}
            raw = ((name, new.get(name.decode().lower(), value)) for name, value in self._parsed.raw_headers)
            self._parsed, self._changes = (
                self._parsed._replace(headers=self.headers, raw_headers=tuple(raw)),
                {},
            )
        return self._parsed

    def _cancel(self, exc: BaseException) -> None:
        """aiohttp makes reading the body fail when the client leaves; this one has been read."""
