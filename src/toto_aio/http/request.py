"""What the service looks at of a request: aiohttp's own has it, and so has the fast path's."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol, cast

from aiohttp import HttpVersion, web
from multidict import CIMultiDictProxy


class View(Protocol):
    """A request, as far as a call and its answer depend on it."""

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
        """The address of who has connected."""

    @property
    def keep_alive(self) -> bool:
        """Whether the connection stays open after the answer."""

    @property
    def transport(self) -> asyncio.Transport | None:
        """The connection; None when it is closed."""


class Whole(View, Protocol):
    """A view that makes aiohttp's request when it is asked for."""

    def web_request(self) -> web.Request:
        """aiohttp's request."""


def web_request(view: View) -> web.Request:
    """aiohttp's request that a view is of."""
    return view if isinstance(view, web.Request) else cast(Whole, view).web_request()
