"""Clients that disconnect before they get their response, and clients that don't read it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from aiohttp import web

from toto_aio.http.request import HTTPRequest
from toto_aio.tasks import cancel

DISCONNECT_POLL_INTERVAL = 0.2
"""Seconds between two checks for clients that have disconnected."""
STALL_POLL_INTERVAL = 1.0
"""Seconds between two checks for clients that don't read."""
STALL_LIMIT = 30.0
"""Seconds that a client may read nothing of what waits for it."""
MAX_UNREAD = 64 * 1024
"""Bytes that may wait for a client when its next call begins: until it reads, no more work is done for it."""


class Waiting(Protocol):
    """What is being built for a client that waits: ``HTTPReply``."""

    http_request: HTTPRequest


class DisconnectWatcher:
    """Notices clients that disconnect while they wait for a response.

    aiohttp notifies a handler only by cancelling it, and only if the whole server is configured to do so.
    Polling the transports of those that are watched costs less than a task for each request, and uses only
    public names.
    """

    def __init__(self) -> None:
        self._callbacks: dict[Waiting, list[Callable[[], None]]] = {}
        self._task: asyncio.Task[None] | None = None

    def add(self, reply: Waiting, callback: Callable[[], None]) -> None:
        """Call back once if the client of ``reply`` disconnects before ``discard``."""
        self._callbacks.setdefault(reply, []).append(callback)
        if self._task is None:
            self._task = asyncio.create_task(self._poll(), name="toto-aio disconnects")

    def disconnected(self, reply: Waiting) -> None:
        """Call back for a client that has disconnected."""
        for callback in self._callbacks.pop(reply, ()):
            callback()

    def discard(self, reply: Waiting) -> None:
        """Stop watching a client."""
        self._callbacks.pop(reply, None)

    async def close(self) -> None:
        """Stop watching."""
        self._callbacks.clear()
        await cancel(self._task)

    async def _poll(self) -> None:
        while self._callbacks:
            await asyncio.sleep(DISCONNECT_POLL_INTERVAL)
            for reply in [reply for reply in self._callbacks if has_disconnected(reply.http_request)]:
                self.disconnected(reply)
        self._task = None


class StalledConnections:
    """Aborts the connections of clients that don't read: what waits for them costs memory.

    A connection is watched from a write to it until everything has been sent.
    """

    def __init__(self) -> None:
        self.written: set[asyncio.Transport] = set()
        """The connections that were written to since the last check."""
        self._unsent: dict[asyncio.Transport, tuple[int, float]] = {}
        self.timer: asyncio.TimerHandle | None = None

    def add(self, transport: asyncio.Transport) -> None:
        """Watch a connection that is being written to."""
        self.written.add(transport)
        if self.timer is None:
            self.start()

    def start(self) -> None:
        """Begin to poll; polling stops when everything has been sent."""
        self.timer = asyncio.get_running_loop().call_later(STALL_POLL_INTERVAL, self._poll)

    def close(self) -> None:
        """Stop watching."""
        if self.timer is not None:
            self.timer.cancel()

    def _poll(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for transport in self.written:
            self._unsent[transport] = transport.get_write_buffer_size(), now
        self.written.clear()
        for transport, (waiting, since) in tuple(self._unsent.items()):
            left = transport.get_write_buffer_size()
            if not left:
                del self._unsent[transport]
            elif left < waiting:
                self._unsent[transport] = left, now
            elif now - since > STALL_LIMIT:
                del self._unsent[transport]
                transport.abort()
        self.timer = loop.call_later(STALL_POLL_INTERVAL, self._poll) if self._unsent else None


def has_disconnected(request: HTTPRequest) -> bool:
    """Whether the client of a request has left."""
    return request.transport is None or request.transport.is_closing()


def is_behind(request: web.Request) -> bool:
    """Whether the client hasn't read its earlier responses."""
    transport = request.transport
    return transport is not None and transport.get_write_buffer_size() > MAX_UNREAD
