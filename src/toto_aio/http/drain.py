"""Graceful shutdown: a server that ends without dropping a request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from weakref import WeakSet

from aiohttp import hdrs, web

from toto_aio.http.parent import transparent

POLL_INTERVAL = 0.02
"""Seconds between two checks for connections that are still open."""


class Drain:
    """Lets the clients of a service leave by themselves when its process is about to end.

    Closing a kept-alive connection drops a request that is on its way on it. So each connection stays open
    for one more response, which says ``Connection: close`` (RFC 9112, 9.6): the client sends its next request
    on another connection.
    """

    begun = False
    """Whether the process is about to end."""

    def __init__(self, *below: Drain) -> None:
        """``below`` are the drains of services in the same process, which begin with this one."""
        self._below = below
        self._sockets: WeakSet[web.WebSocketResponse] = WeakSet()
        self._begun_at = 0.0
        self._leaving: list[Callable[[], None]] = []

    def begin(self) -> None:
        """Have each further response close its connection."""
        if not self.begun:
            self.begun = True
            self._begun_at = asyncio.get_running_loop().time()
            for drain in self._below:
                drain.begin()
            for leave in self._leaving:
                leave()

    def on_begin(self, function: Callable[[], None]) -> None:
        """Call ``function`` when the drain begins: it ends responses that would last longer."""
        self._leaving.append(function)

    def left_of(self, limit: float) -> float:
        """The seconds that are left of ``limit`` seconds since the drain has begun."""
        return max(0.0, self._begun_at + limit - asyncio.get_running_loop().time())

    @transparent
    async def send_away(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add ``Connection: close`` once the drain has begun: for ``Application.on_response_prepare``."""
        if isinstance(response, web.WebSocketResponse):
            self._sockets.add(response)  # it stays until it is closed in another way
        elif self.begun:
            response.force_close()
            response.headers[hdrs.CONNECTION] = "close"

    async def wait(self, server: web.Server, limit: float) -> None:
        """Wait, at most ``limit`` seconds, until all connections except WebSockets are closed."""
        loop = asyncio.get_running_loop()
        end = loop.time() + limit
        while len(server.connections) > self._open_sockets and loop.time() < end:  # noqa: ASYNC110 # no event for it
            await asyncio.sleep(POLL_INTERVAL)

    @property
    def _open_sockets(self) -> int:
        return sum(not socket.closed for socket in self._sockets)


DRAIN = web.AppKey("toto_aio_drain", Drain)
"""The key of an app for its drain."""
