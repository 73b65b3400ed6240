"""The end of a server that drops no request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web

LOOK_INTERVAL = 0.02
"""Seconds between two looks for connections that are still open."""


class Drain:
    """Lets the clients of a server leave by themselves.

    To close a connection that is kept alive is to drop the request that is on its way on it. So each is
    left open for one answer more, which says ``Connection: close`` (RFC 9112, 9.6): the client takes
    its next request elsewhere.
    """

    def __init__(self, server: web.Server) -> None:
        self._server = server
        self._make_request: Callable[..., Any] = server.request_factory
        self._begun = False
        # A protocol takes the factory when its connection is made, and keeps it.
        server.request_factory = self._request

    async def run(self, limit: float, lasting: Callable[[], int]) -> None:
        """Wait, ``limit`` seconds at most, until all but the ``lasting()`` connections have left."""
        self._begun = True
        for connection in self._server.connections:
            # Whoever is answered after the drain meets a server that closes: they have to be told too.
            # aiohttp has no public name for the request that is under way.
            request = getattr(connection, "_current_request", None)
            if request is not None and hasattr(request, "_message"):
                request._message = request._message._replace(should_close=True)
        loop = asyncio.get_running_loop()
        end = loop.time() + limit
        while len(self._server.connections) > lasting() and loop.time() < end:  # noqa: ASYNC110 # no event tells
            await asyncio.sleep(LOOK_INTERVAL)

    def _request(self, message: Any, *rest: Any) -> Any:
        if self._begun:
            message = message._replace(should_close=True)
        return self._make_request(message, *rest)
