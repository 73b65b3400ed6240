"""Serves in one process, from its first connection to a graceful shutdown that drops no request."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiohttp import web

from toto_aio.http.cookies import joining
from toto_aio.http.embedded import drain_of
from toto_aio.http.fast import protocols
from toto_aio.http.paths import bounded
from toto_aio.server.acceptor import Acceptor
from toto_aio.server.access_log import AccessLog
from toto_aio.server.channel import WorkerChannel
from toto_aio.server.listeners import refuse
from toto_aio.server.shutdown import Shutdown
from toto_aio.server.watchdog import Watchdog
from toto_aio.settings import Settings

KEEP_ALIVE = 75.0
"""Seconds that an idle connection is kept open; this also limits how long a request's head may take."""
READ_BUFFER = 2**16
"""Bytes of a body that aiohttp reads ahead. A sixteenth as many chunks may wait: 16,384 would take 40 ms."""
DRAIN_LIMIT = 3.0
"""Seconds during shutdown in which clients can send one more request on a connection that they keep open."""


def serve_until_shutdown(
    settings: Settings,
    app: web.Application | Awaitable[web.Application],
    sockets: Sequence[socket.socket],
    on_ready: Callable[[], None],
    on_draining: Callable[[], None] = lambda: None,
    channel: WorkerChannel | None = None,
) -> None:
    """Serve until TERM, INT, or the end of the master at the other end of ``channel``.

    ``on_ready`` is called once connections are accepted, and ``on_draining`` once they no longer are.
    """
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings, app, sockets, on_ready, on_draining, channel))


async def _serve(
    settings: Settings,
    app: web.Application | Awaitable[web.Application],
    sockets: Sequence[socket.socket],
    on_ready: Callable[[], None],
    on_draining: Callable[[], None],
    channel: WorkerChannel | None,
) -> None:
    limit = settings.shutdown_timeout
    # During development nobody wants further responses from the code before a change.
    drain_limit = 0 if settings.autoreload else min(DRAIN_LIMIT, 0.3 * limit)
    shutdown = Shutdown(0.9 * limit)
    if channel is not None:
        shutdown.follow(channel.socket)
        channel.answer_pings()
    if not isinstance(app, web.Application):
        app = await app
    drain = drain_of(app)
    watchdog = Watchdog(settings.stuck_after if channel is None else 0)
    runner = web.AppRunner(
        app,
        access_log=logging.getLogger("toto_aio.access") if settings.access_log else None,
        access_log_class=AccessLog,
        keepalive_timeout=KEEP_ALIVE,
        read_bufsize=READ_BUFFER,
        shutdown_timeout=(0.8 * limit - drain_limit) / 2,  # aiohttp waits for this long twice
    )
    try:
        if not await _set_up(runner, shutdown.requested):
            return
        assert runner.server is not None
        fast = settings.fast_path and not settings.access_log
        runner.server.request_factory = joining(bounded(runner.server.request_factory))
        acceptor = Acceptor(sockets, protocols(app, runner.server, fast=fast))
        # Objects made at the start last as long as the process: the collector need not inspect them again.
        gc.collect()
        gc.freeze()
        on_ready()
        await shutdown.requested.wait()
        drain.begin()
        if channel is None or shutdown.is_orphan:
            await refuse(sockets)  # otherwise the master does, unless other processes go on
        await acceptor.close()
        on_draining()
        await drain.wait(runner.server, 0 if shutdown.is_fast else drain_limit)
    finally:
        await runner.cleanup()
        watchdog.close()


async def _set_up(runner: web.AppRunner, shutdown: asyncio.Event) -> bool:
    """Start the app; returns False if a shutdown was requested first, which ends the start where it waits."""
    # In this task, which also ends the app: task groups that it keeps open must not change their task.
    starting = asyncio.current_task()
    assert starting is not None
    watching = asyncio.create_task(_cancel_after(shutdown, starting), name="toto-aio start")
    try:
        await runner.setup()
    except asyncio.CancelledError:
        if not shutdown.is_set():
            raise
        starting.uncancel()
        return False
    finally:
        watching.cancel()
    return True


async def _cancel_after(event: asyncio.Event, task: asyncio.Task[Any]) -> None:
    await event.wait()
    task.cancel()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # uvloop does not run on every platform
        return None
    return uvloop.new_event_loop
