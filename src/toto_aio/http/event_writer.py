"""What an event stream sends: written as it comes, no faster than the client reads, with signs of life."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from aiohttp import web

from toto_aio.http.clients import StalledConnections

HEARTBEAT = 15.0
"""Seconds of silence after which a comment is sent: proxies take a connection for dead after a minute."""
COMMENT = b":\n\n"
"""A line that clients skip."""
QUEUE_BYTES = 1024 * 1024
"""Bytes that may wait for a client that doesn't read."""


class EventWriter:
    """Writes one stream, in the task that calls ``run``."""

    def __init__(
        self, request: web.Request, response: web.StreamResponse, stalled: StalledConnections
    ) -> None:
        self.waiting = 0
        """Bytes that haven't been written to the connection."""
        self.ended = False
        self._request = request
        self._response = response
        self._stalled = stalled
        self._pieces: list[bytes] = []
        self._moved = asyncio.Event()
        self._written = asyncio.Event()

    @property
    def has_room(self) -> bool:
        """Whether not too much waits for the client."""
        return self.waiting <= QUEUE_BYTES // 2

    def put(self, piece: bytes) -> None:
        """Send a piece; after ``end`` it is dropped."""
        if not self.ended:
            self._pieces.append(piece)
            self.waiting += len(piece)
            self._moved.set()

    def end(self) -> None:
        """Send what waits, and nothing more."""
        self.ended = True
        self._moved.set()
        self._written.set()

    async def room(self) -> None:
        """Wait until there is room, or the stream ends."""
        while not self.has_room and not self.ended:
            self._written.clear()
            await self._written.wait()

    async def run(self) -> web.StreamResponse:
        """Write until ``end`` is called and nothing waits, or the client has left."""
        with suppress(ConnectionError):
            await self._response.prepare(self._request)
            while self._pieces or not self.ended:
                if not self._pieces and not await self._wait():
                    self.put(COMMENT)
                await self._write()
            await self._response.write_eof()
        self.end()
        return self._response

    async def _write(self) -> None:
        written = b"".join(self._pieces)
        self._pieces.clear()
        if written:
            if self._request.transport is not None:
                self._stalled.add(self._request.transport)
            await self._response.write(written)
            self.waiting -= len(written)
            self._written.set()

    async def _wait(self) -> bool:
        """Wait for something to do; False if that took too long."""
        self._moved.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(HEARTBEAT):
                return await self._moved.wait()
        return False
