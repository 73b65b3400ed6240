"""Accepting connections so that processes which share a listening socket share its connections too."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Sequence

from toto_aio.server.listeners import BACKLOG

logger = logging.getLogger(__name__)

EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
"""What ``accept`` fails with when there are too many files open, or too little memory."""
PAUSE = 1.0
"""Seconds until it is tried again then; the connections wait in the kernel."""
ROW = 8
"""Connections that are accepted in a row."""
REST = 0.001
"""Seconds between two rows, in which other processes have theirs."""


class Acceptor:
    """Takes one connection at a time from listening sockets, and gives each a protocol.

    asyncio takes as many as wait, and so does uvloop: of processes that share a socket the first to look
    would have most of them for as long as they live. One at a time goes to whoever has time for it, and the
    rest after a few lets those who had to be woken come to it too: 120 clients at once are 53% on one of two
    processes then, 65% without it, and at times nearly all of them.
    """

    def __init__(
        self, sockets: Sequence[socket.socket], protocol: Callable[[], asyncio.BaseProtocol]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sockets = sockets
        self._protocol = protocol
        self._tasks: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._row = 0
        self._begin()

    async def close(self) -> None:
        """Close the sockets, for this process; who has connected before has a protocol then."""
        self._stop()
        for listening in self._sockets:
            for _ in range(BACKLOG):  # if nobody else listens, those that wait would be turned away
                if not self._take(listening):
                    break
        self._stop()
        for listening in self._sockets:
            listening.close()
        await asyncio.gather(*self._tasks)

    def _begin(self) -> None:
        self._pause = None
        for listening in self._sockets:
            self._loop.add_reader(listening, self._accept, listening)

    def _stop(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
        for listening in self._sockets:
            self._loop.remove_reader(listening)

    def _accept(self, listening: socket.socket) -> None:
        if self._take(listening):
            self._row += 1
            if self._row == ROW:
                self._row = 0
                self._rest(REST)

    def _take(self, listening: socket.socket) -> bool:
        """Accept a connection; False if there is none that could be."""
        try:
            connection, _ = listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False  # another process was first, or the client has left
        except OSError as exc:
            if exc.errno not in EXHAUSTED:
                raise
            logger.error("connections have to wait: %s", exc.strerror)
            self._rest(PAUSE)
            return False
        connection.setblocking(False)
        task = self._loop.create_task(self._connect(connection), name="toto-aio connection")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    def _rest(self, seconds: float) -> None:
        self._stop()
        self._pause = self._loop.call_later(seconds, self._begin)

    async def _connect(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection)
        except OSError:  # the client has left already
            connection.close()
