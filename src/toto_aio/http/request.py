"""What the service reads of a request: aiohttp's own request has it, and so has that of the fast path."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol, cast

from aiohttp import HttpVersion, web
from multidict import CIMultiDictProxy


class HTTPRequest(Protocol):
    """A request, as far as a call and its response depend on it."""

    @property
    def method(self) -> str:
        """The HTTP method."""

    @property
    def version(self) -> HttpVersion:
        """The version of HTTP."""

    @property
    def raw_path(self) -> str:
        """The path and the query as they came."""

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """The headers."""

    @property
    def cookies(self) -> Mapping[str, str]:
        """The cookies."""

    @property
    def scheme(self) -> str:
        """``http`` or ``https``."""

    @property
    def remote(self) -> str | None:
        """The address of the peer; None through a Unix socket."""

    @property
    def keep_alive(self) -> bool:
        """Whether the connection stays open after the response."""

    @property
    def transport(self) -> asyncio.Transport | None:
        """The connection; None when it is closed."""


class WrappedRequest(HTTPRequest, Protocol):
    """A request that creates aiohttp's when asked for it."""

    def web_request(self) -> web.Request:
        """aiohttp's request."""


def web_request(request: HTTPRequest) -> web.Request:
    """aiohttp's request behind a request."""
    return request if isinstance(request, web.Request) else cast(WrappedRequest, request).web_request()
