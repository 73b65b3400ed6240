"""The frames that wait to be sent over a WebSocket: written together, no faster than the client reads.

aiohttp's ``send_frame`` writes each frame separately, and that system call is most of the cost of a short
response. Here the frames of one iteration of the event loop are one write to the connection.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from toto_aio.http.clients import StalledConnections
from toto_aio.tasks import cancel

QUEUE_BYTES = 1024 * 1024
"""Bytes that may wait for a client that doesn't read. Further events wait in their subscriptions, which drop
the oldest; a method that sends more gets ``BufferError``."""
CHUNK = 64 * 1024
"""The most bytes of a write of several frames."""


class FrameSender:
    """The frames of one socket, in their order."""

    def __init__(
        self, request: web.Request, response: web.WebSocketResponse[Any], stalled: StalledConnections
    ) -> None:
        self.waiting = 0
        """Bytes that haven't been written to the connection."""
        self.closed = False
        self._request = request
        self._protocol = request.protocol
        self._response = response
        self._stalled = stalled
        self._loop = asyncio.get_running_loop()
        self._frames: list[bytes] = []
        self._changed: asyncio.Event | None = None
        self._sending = False
        self._task: asyncio.Task[None] | None = None

    def put(self, frame: bytes) -> None:
        """Send a frame in the next iteration of the loop; after ``close`` it is dropped."""
        if self.closed:
            return
        self._frames.append(frame)
        self.waiting += len(frame)
        if not self._sending:
            self._sending = True
            self._loop.call_soon(self._send)

    def add(self, frame: bytes) -> None:
        """Send a frame of a method's own. Raises ``BufferError`` if too much waits already."""
        if self.waiting and self.waiting + len(frame) > QUEUE_BYTES and not self.closed:
            raise BufferError("Too much waits for the client of this socket")
        self.put(frame)

    @property
    def has_room(self) -> bool:
        """Whether not too much waits for the client."""
        return self.waiting <= QUEUE_BYTES // 2

    async def room(self) -> None:
        """Wait until there is room, or the sender is closed."""
        while not self.has_room and not self.closed:
            await self._change()

    def close(self) -> None:
        """Accept no more frames; those that wait are still sent."""
        self.closed = True
        self._notify()

    async def sent(self) -> None:
        """Wait until nothing waits."""
        while self.waiting:
            await self._change()

    async def end(self) -> None:
        """Stop sending, and drop what waits."""
        self.close()
        self._drop()
        await cancel(self._task)

    async def _change(self) -> None:
        if self._changed is None:
            self._changed = asyncio.Event()
        await self._changed.wait()

    def _notify(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    def _send(self) -> None:
        self._write()
        if self._frames:
            self._task = self._loop.create_task(self._send_rest(), name="toto-aio socket sending")
        else:
            self._sending = False

    async def _send_rest(self) -> None:
        """Send as fast as the client reads, until nothing waits."""
        try:
            while self._frames:
                await self._request.writer.drain()
                self._write()
        except ConnectionError:  # the receiver notices too
            self._drop()
        finally:
            self._sending = False

    def _write(self) -> None:
        """Write what waits, until the connection accepts no more."""
        protocol, frames = self._protocol, self._frames
        transport = protocol.transport
        if transport is None or transport.is_closing() or self._response.closed:
            self._drop()
            return
        while frames and not protocol.writing_paused:
            if self.waiting <= CHUNK:
                transport.write(b"".join(frames))
                frames.clear()
                self.waiting = 0
            else:
                transport.write(self._chunk())
        if transport.get_write_buffer_size():
            self._stalled.add(transport)
        self._notify()

    def _chunk(self) -> bytes:
        """The frames of the next write, when not all fit into one: at least one frame."""
        count, size = 1, len(self._frames[0])
        for frame in self._frames[1:]:
            size += len(frame)
            if size > CHUNK:
                break
            count += 1
        chunk = b"".join(self._frames[:count])
        del self._frames[:count]
        self.waiting -= len(chunk)
        return chunk

    def _drop(self) -> None:
        self._frames.clear()
        self.waiting = 0
        self._notify()
