"""The shutdown of a process that serves: when it is requested, and by when the process has ended."""

from __future__ import annotations

import asyncio
import logging
import os
import select
import signal
import socket
import threading
from contextlib import suppress
from types import FrameType

from toto_aio.server.orphans import survive_master
from toto_aio.server.signals import ENDING, ignore_at_exit
from toto_aio.server.stacks import own_stacks

logger = logging.getLogger(__name__)


class Shutdown:
    """Waits for TERM, INT, QUIT or HUP, and cuts the process off ``limit`` seconds after if it still runs."""

    def __init__(self, limit: float) -> None:
        self.requested = asyncio.Event()
        self.is_fast = False
        """Whether open connections are not drained, because INT was received."""
        self.is_orphan = False
        """Whether the master has ended, and all its workers end."""
        self._loop = asyncio.get_running_loop()
        self._limit = limit
        self._watchdog: threading.Timer | None = None
        # The event loop's own signal handlers would not run while a method blocks the loop.
        handled = [*ENDING]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as it is under nohup
            handled.append(signal.SIGHUP)
        for number in handled:
            signal.signal(number, self._handle_signal)
        ignore_at_exit(handled)

    def follow(self, channel: socket.socket) -> None:
        """Shut down when the master at the other end of ``channel`` ends, even if the loop is stuck."""
        waiting = threading.Thread(
            target=self._wait_for_end, args=[channel], name="toto-aio master", daemon=True
        )
        waiting.start()

    def _wait_for_end(self, channel: socket.socket) -> None:
        poll = select.poll()
        poll.register(channel, select.POLLRDHUP)
        poll.poll()
        survive_master()
        self.is_orphan = True
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
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self.requested.set)


def _cut_off(limit: float) -> None:
    logger.error(
        "the process was still busy %g s after its shutdown began, and is cut off. Its threads:\n%s",
        limit,
        own_stacks(),
    )
    os._exit(1)
