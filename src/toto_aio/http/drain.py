"""The end of a server that drops no request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import hdrs, web

LOOK_INTERVAL = 0.02
"""Seconds between two looks for connections that are still open."""


class Drain:
    """Lets the clients of a service leave by themselves, when its process is about to end.

    To close a connection that is kept alive is to drop the request that is on its way on it. So each is
    left open for one answer more, which says ``Connection: close`` (RFC 9112, 9.6): the client takes
    its next request elsewhere.
    """

    begun = False
    """Whether the process is about to end."""

    def __init__(self) -> None:
        self.lasting: Callable[[], int] = lambda: 0
        """How many connections stay until they are told to end: WebSockets."""

    async def send_away(self, request: web.Request, response: web.StreamResponse) -> None:
        """Let an answer say so, once the drain has begun: for ``Application.on_response_prepare``."""
        if self.begun and not isinstance(response, web.WebSocketResponse):
            response.force_close()
            response.headers[hdrs.CONNECTION] = "close"

    async def wait(self, server: web.Server, limit: float) -> None:
        """Wait, ``limit`` seconds at most, until all but the lasting connections have left."""
        loop = asyncio.get_running_loop()
        end = loop.time() + limit
        while len(server.connections) > self.lasting() and loop.time() < end:  # noqa: ASYNC110 # no event tells
            await asyncio.sleep(LOOK_INTERVAL)


DRAIN: web.AppKey[Drain] = web.AppKey("toto_aio_drain", Drain)
"""Where an app has it."""
