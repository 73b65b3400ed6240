"""Graceful shutdown: a server that ends without dropping a request."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import hdrs, web

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

    def __init__(self) -> None:
        self._lasting = 0
        self._begun_at = 0.0

    def begin(self) -> None:
        """Have each further response close its connection."""
        if not self.begun:
            self.begun = True
            self._begun_at = asyncio.get_running_loop().time()

    def left_of(self, limit: float) -> float:
        """The seconds that are left of ``limit`` seconds since the drain has begun."""
        return max(0.0, self._begun_at + limit - asyncio.get_running_loop().time())

    @contextmanager
    def lasting(self) -> Iterator[None]:
        """Surrounds a connection that a drain must not wait for, as it stays until it is closed."""
        self._lasting += 1
        try:
            yield
        finally:
            self._lasting -= 1

    async def send_away(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add ``Connection: close`` once the drain has begun: for ``Application.on_response_prepare``."""
        if self.begun and not isinstance(response, web.WebSocketResponse):
            response.force_close()
            response.headers[hdrs.CONNECTION] = "close"

    async def wait(self, server: web.Server, limit: float) -> None:
        """Wait, at most ``limit`` seconds, until all except the lasting connections are closed."""
        loop = asyncio.get_running_loop()
        end = loop.time() + limit
        while len(server.connections) > self._lasting and loop.time() < end:  # noqa: ASYNC110 # no event for it
            await asyncio.sleep(POLL_INTERVAL)


DRAIN = web.AppKey("toto_aio_drain", Drain)
"""The key of an app for its drain."""
