"""What waits to be sent over a WebSocket: frames that leave together, no faster than the client takes them.

aiohttp's ``send_frame`` writes each frame by itself, and most of what a short answer costs is that system
call. Here the frames of one round of the event loop are one write to the same connection.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from toto_aio.http.readers import SlowReaders

QUEUE_BYTES = 1024 * 1024
"""Bytes that may wait for a slow client. Events then wait in their subscriptions, which drop the oldest;
a method that sends more gets ``BufferError``."""
CHUNK = 64 * 1024
"""Bytes of one write, if they are of several frames."""


class Outbox:
    """The frames of one socket, in their order."""

    def __init__(
        self, request: web.Request, response: web.WebSocketResponse[Any], readers: SlowReaders
    ) -> None:
        self.waiting = 0
        """Bytes that the connection has not taken."""
        self.closed = False
        self._request = request
        self._protocol = request.protocol
        self._response = response
        self._readers = readers
        self._loop = asyncio.get_running_loop()
        self._frames: list[bytes] = []
        self._changed: asyncio.Event | None = None
        self._sending = False
        self._task: asyncio.Task[None] | None = None

    def put(self, frame: bytes) -> None:
        """Send a frame after the code that runs now; when the outbox is closed it is dropped."""
        if self.closed:
            return
        self._frames.append(frame)
        self.waiting += len(frame)
        if not self._sending:
            self._sending = True
            self._loop.call_soon(self._send)

    def add(self, frame: bytes) -> None:
        """Send a frame that nobody waits for. Raises ``BufferError`` if too much waits already."""
        if self.waiting and self.waiting + len(frame) > QUEUE_BYTES and not self.closed:
            raise BufferError("Too much waits for the client of this socket")
        self.put(frame)

    @property
    def has_room(self) -> bool:
        """Whether little enough waits for the client."""
        return self.waiting <= QUEUE_BYTES // 2

    async def room(self) -> None:
        """Wait until there is room, or the outbox is closed."""
        while not self.has_room and not self.closed:
            await self._change()

    def close(self) -> None:
        """Take no more; what waits is still sent."""
        self.closed = True
        self._tell()

    async def sent(self) -> None:
        """Wait until nothing waits."""
        while self.waiting:
            await self._change()

    async def end(self) -> None:
        """Stop sending, and drop what waits."""
        self.close()
        self._drop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _change(self) -> None:
        if self._changed is None:
            self._changed = asyncio.Event()
        await self._changed.wait()

    def _tell(self) -> None:
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
        """Send as the client takes it, until nothing waits."""
        try:
            while self._frames:
                await self._request.writer.drain()
                self._write()
        except ConnectionError:  # the reader notices too
            self._drop()
        finally:
            self._sending = False

    def _write(self) -> None:
        """Write what waits, until the connection is full."""
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
            self._readers.add(transport)
        self._tell()

    def _chunk(self) -> bytes:
        """What is written next of more than can be written at once: at least a frame."""
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
        self._tell()
