"""Accepts connections so that processes which share a listening socket also share its load."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Sequence

from toto_aio.server.listeners import BACKLOG
from toto_aio.tasks import Tasks

logger = logging.getLogger(__name__)

EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
"""The errors of ``accept`` when too many files are open or memory is short."""
RETRY_INTERVAL = 1.0
"""Seconds until the next attempt after such an error; meanwhile the connections wait in the kernel."""
BURST = 8
"""Connections that are accepted before a pause."""
PAUSE = 0.001
"""Seconds between two bursts, in which other processes get theirs."""


class Acceptor:
    """Accepts one connection at a time from listening sockets, and gives each a protocol.

    asyncio and uvloop accept every connection that is waiting. Of several processes that share a socket, the
    first to wake would get most of the connections, and keep them for as long as they are open. Accepting one
    at a time leaves the others to whichever process is free, and the pause after each burst gives processes
    that had to be woken a chance. When 120 clients connect at the same time, one of two processes gets 53% of
    them; without the pause it gets 65%, and sometimes nearly all of them.
    """

    def __init__(
        self, sockets: Sequence[socket.socket], protocol: Callable[[], asyncio.BaseProtocol]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sockets = sockets
        self._protocol = protocol
        self._connecting = Tasks()
        self._resume_timer: asyncio.TimerHandle | None = None
        self._in_burst = 0
        self._resume()

    async def close(self) -> None:
        """Close this process's sockets. Connections made before that still get a protocol."""
        self._suspend()
        for listening in self._sockets:
            for _ in range(BACKLOG):  # if no other process listens, those waiting would be reset
                if not self._accept_one(listening):
                    break
        self._suspend()
        for listening in self._sockets:
            listening.close()
        await self._connecting.finish()

    def _resume(self) -> None:
        self._resume_timer = None
        for listening in self._sockets:
            self._loop.add_reader(listening, self._accept, listening)

    def _suspend(self) -> None:
        if self._resume_timer is not None:
            self._resume_timer.cancel()
        for listening in self._sockets:
            self._loop.remove_reader(listening)

    def _accept(self, listening: socket.socket) -> None:
        if self._accept_one(listening):
            self._in_burst += 1
            if self._in_burst == BURST:
                self._in_burst = 0
                self._pause(PAUSE)

    def _accept_one(self, listening: socket.socket) -> bool:
        """Accept a connection; False if none is waiting, or none can be accepted."""
        try:
            connection, _ = listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False  # another process accepted it first, or the client has disconnected
        except OSError as exc:
            if exc.errno == errno.EINVAL:
                return False  # a path refuses connections now, and none waits
            if exc.errno not in EXHAUSTED:
                raise
            logger.error("connections have to wait: %s", exc.strerror)
            self._pause(RETRY_INTERVAL)
            return False
        connection.setblocking(False)
        self._connecting.start(self._connect(connection), "connection")
        return True

    def _pause(self, seconds: float) -> None:
        self._suspend()
        self._resume_timer = self._loop.call_later(seconds, self._resume)

    async def _connect(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection)
        except OSError:  # the client has already disconnected
            connection.close()
