"""``TotoServer``: a service in a process of its own."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from aiohttp import web

from toto_aio.app import create_app
from toto_aio.arguments import read_arguments
from toto_aio.exceptions import Unavailable
from toto_aio.logs import AccessLog, configure_logs
from toto_aio.settings import Settings, SettingsError, read_settings

KEEP_ALIVE = 75.0
"""Seconds that an idle connection is kept, which also bounds how long a head may take to arrive."""
SHUTDOWN_TIMEOUT = 5.0
"""Seconds that calls in flight have to finish when the server is told to end."""


class TotoServer:
    """A server with options from keyword arguments, a file, the environment and the command line.

        TotoServer("toto.toml", port=9000).run()

    Each source overrides the one before. A wrong option ends the process with one line that says what to
    write.
    """

    def __init__(self, conf_file: str | os.PathLike[str] | None = None, **options: Any) -> None:
        try:
            self.settings = read_settings(options, conf_file, os.environ, read_arguments(sys.argv[1:]))
        except SettingsError as exc:
            sys.exit(f"{os.path.basename(sys.argv[0])}: {exc}")

    def run(self) -> None:
        """Serve until TERM or INT. A start that fails ends the process with one line, or a traceback of
        the module that could not be imported."""
        serve(self.settings)


def serve(settings: Settings) -> None:
    """Serve until TERM or INT."""
    configure_logs(settings.log_format)
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(settings))
    except (SettingsError, Unavailable) as exc:
        value = exc.value if isinstance(exc, Unavailable) else exc
        sys.exit(f"toto-aio: {value}")


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    app = create_app(settings)
    runner = web.AppRunner(
        app,
        access_log=logging.getLogger("toto_aio.access") if settings.access_log else None,
        access_log_class=AccessLog,
        keepalive_timeout=KEEP_ALIVE,
        shutdown_timeout=SHUTDOWN_TIMEOUT,
    )
    await runner.setup()
    try:
        address = await _listen(runner, settings)
        # What the start has made lives as long as the process: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        print(f"Serving on {address}", file=sys.stderr, flush=True)
        await stop.wait()
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, settings: Settings) -> str:
    """Listen, and say where."""
    try:
        if settings.unix_socket:
            await _require_unused(settings.unix_socket)
            await web.UnixSite(runner, settings.unix_socket).start()
            return f"{settings.unix_socket} (path {settings.root})"
        site = web.TCPSite(runner, settings.host, settings.port)
        await site.start()
    except OSError as exc:
        where = settings.unix_socket or f"{settings.host}:{settings.port}"
        raise SettingsError(f"Cannot listen on {where}: {exc.strerror or exc}") from exc
    host, port = runner.addresses[0][:2]
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/{settings.root.strip('/')}"


async def _require_unused(path: str) -> None:
    """Raise ``OSError`` if somebody listens there: asyncio would take the path over without a word."""
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except OSError:
        return
    writer.close()
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # uvloop does not run everywhere
        return None
    return uvloop.new_event_loop
