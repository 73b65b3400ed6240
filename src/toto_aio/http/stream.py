"""A response in pieces, as ``respond_raw`` sends them: written while the method continues."""

from __future__ import annotations

import asyncio
from collections import deque

from aiohttp import web

from toto_aio.http.clients import StalledConnections

LIMIT = 8 * 1024 * 1024
"""Bytes that may wait for a client that doesn't read before ``respond_raw`` refuses more."""
LOW_WATER = 64 * 1024
"""Bytes below which ``drain`` returns."""


class Stream:
    """Pieces on their way to the client, written by a task while the method continues."""

    def __init__(
        self, request: web.Request, response: web.StreamResponse, stalled: StalledConnections
    ) -> None:
        self._request = request
        self._response = response
        self._stalled = stalled
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._moved = asyncio.Event()
        self._task = asyncio.create_task(self._pump(), name="toto-aio stream")

    def write(self, piece: bytes) -> None:
        """Add a piece. Raises ``BufferError`` if more than ``LIMIT`` bytes wait."""
        if self._task.done():
            return  # the client has left
        if self._size + len(piece) > LIMIT and self._size:
            raise BufferError("Too much waits for the client: await handler.drain() between the pieces")
        self._pieces.append(piece)
        self._size += len(piece)
        self._moved.set()

    async def drain(self) -> None:
        """Wait until little is left to be sent, or the client has left."""
        while self._size > LOW_WATER and not self._task.done():
            await self._wait()

    async def end(self) -> web.StreamResponse:
        """Wait until everything is written."""
        self._ended = True
        self._moved.set()
        await self._task
        return self._response

    def abort(self) -> web.StreamResponse:
        """Stop writing, and abort the connection."""
        self.close()
        if self._request.transport is not None:
            self._request.transport.abort()
        return self._response

    def close(self) -> None:
        """End the task, even if pieces are left."""
        self._task.cancel()

    async def _pump(self) -> None:
        try:
            await self._response.prepare(self._request)
            while self._pieces or not self._ended:
                if not self._pieces:
                    await self._wait()
                    continue
                piece = self._pieces.popleft()
                if self._request.transport is not None:
                    self._stalled.add(self._request.transport)
                await self._response.write(piece)
                self._size -= len(piece)
                self._moved.set()
            await self._response.write_eof()
        except ConnectionError:
            pass  # the client has left; on_connection_close notifies the method
        finally:
            self._pieces.clear()
            self._size = 0
            self._moved.set()

    async def _wait(self) -> None:
        self._moved.clear()
        await self._moved.wait()
