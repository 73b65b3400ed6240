"""The shutdown of a process that serves: when it is requested, and by when the process has ended."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import threading
from contextlib import suppress
from types import FrameType

logger = logging.getLogger(__name__)


class Shutdown:
    """Waits for TERM or INT, and cuts the process off ``limit`` seconds later if it is still running."""

    def __init__(self, limit: float) -> None:
        self.requested = asyncio.Event()
        self.is_fast = False
        """Whether open connections are not drained, because INT was received."""
        self._loop = asyncio.get_running_loop()
        self._limit = limit
        self._watchdog: threading.Timer | None = None
        # The event loop's own signal handlers would not run while a method blocks the loop.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle_signal)

    def follow(self, channel: socket.socket) -> None:
        """Shut down as well when the master at the other end of ``channel`` ends."""
        self._loop.add_reader(channel, self._read_channel, channel)

    def _read_channel(self, channel: socket.socket) -> None:
        with suppress(ConnectionError):
            if channel.recv(1):
                return
        self._loop.remove_reader(channel)
        self._request()

    def _handle_signal(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.is_fast:
            os._exit(128 + number)
        self.is_fast = number == signal.SIGINT  # Ctrl-C should not take long, and a second one no time
        self._request()

    def _request(self) -> None:
        if self._watchdog is None:
            self._watchdog = threading.Timer(self._limit, _cut_off, [self._limit])
            self._watchdog.daemon = True
            self._watchdog.start()
        self._loop.call_soon_threadsafe(self.requested.set)


def _cut_off(limit: float) -> None:
    logger.error("the process was still busy %g s after its shutdown began, and is cut off", limit)
    os._exit(1)
