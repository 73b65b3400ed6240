"""One process that serves: from its first connection to an end that drops no request."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType

from aiohttp import web

from toto_aio.http.drain import DRAIN
from toto_aio.http.fast import protocols
from toto_aio.server.acceptor import Acceptor
from toto_aio.server.logs import AccessLog
from toto_aio.settings import Settings

logger = logging.getLogger(__name__)

KEEP_ALIVE = 75.0
"""Seconds that an idle connection is kept, which also bounds how long a head may take to arrive."""
DRAIN_LIMIT = 3.0
"""Seconds that clients have, at the end, to send one request more on a connection that they keep open."""


def serve_until_told(
    settings: Settings,
    app: web.Application,
    sockets: Sequence[socket.socket],
    ready: Callable[[], None],
    leaving: Callable[[], None] = lambda: None,
    line: socket.socket | None = None,
) -> None:
    """Serve until TERM, INT, or the end of ``line``.

    ``ready`` is called when connections are accepted, and ``leaving`` when they are no more.
    """
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings, app, sockets, ready, leaving, line))


async def _serve(
    settings: Settings,
    app: web.Application,
    sockets: Sequence[socket.socket],
    ready: Callable[[], None],
    leaving: Callable[[], None],
    line: socket.socket | None,
) -> None:
    limit = settings.shutdown_timeout
    # Who tries out a change wants no answer more from what was there before it.
    drain_limit = 0 if settings.autoreload else min(DRAIN_LIMIT, 0.3 * limit)
    end = End(0.9 * limit)
    if line is not None:
        asyncio.get_running_loop().add_reader(line, end.line_has_ended, line)
    runner = web.AppRunner(
        app,
        access_log=logging.getLogger("toto_aio.access") if settings.access_log else None,
        access_log_class=AccessLog,
        keepalive_timeout=KEEP_ALIVE,
        shutdown_timeout=(0.8 * limit - drain_limit) / 2,  # aiohttp waits so long, and then once more
    )
    await runner.setup()
    try:
        assert runner.server is not None
        fast = settings.fast_path and not settings.access_log
        acceptor = Acceptor(sockets, protocols(app, runner.server, fast=fast))
        # What the start has made lives as long as the process: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        ready()
        await end.told.wait()
        app[DRAIN].begun = True
        await acceptor.close()
        leaving()
        await app[DRAIN].wait(runner.server, 0 if end.is_hurried else drain_limit)
    finally:
        await runner.cleanup()


class End:
    """Knows when the process is to end, and sees to it that it does within ``limit`` seconds from then."""

    def __init__(self, limit: float) -> None:
        self.told = asyncio.Event()
        self.is_hurried = False
        self._loop = asyncio.get_running_loop()
        self._limit = limit
        self._guard: threading.Timer | None = None
        # Handlers of the loop would not be called while a method holds it up.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signalled)

    def line_has_ended(self, line: socket.socket) -> None:
        """The master is gone."""
        with suppress(ConnectionError):
            if line.recv(1):
                return
        self._loop.remove_reader(line)
        self._tell()

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.is_hurried:
            os._exit(128 + number)
        self.is_hurried = number == signal.SIGINT  # who types it does not want to wait, and less so again
        self._tell()

    def _tell(self) -> None:
        if self._guard is None:
            self._guard = threading.Timer(self._limit, _give_up, [self._limit])
            self._guard.daemon = True
            self._guard.start()
        self._loop.call_soon_threadsafe(self.told.set)


def _give_up(limit: float) -> None:
    logger.error("the process was still busy %g s after it was told to end, and is cut off", limit)
    os._exit(1)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # uvloop does not run everywhere
        return None
    return uvloop.new_event_loop
