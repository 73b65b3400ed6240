"""Decides what this process does for a command: serve by itself, as a worker, or as a master of workers."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from toto_aio.exceptions import Unavailable
from toto_aio.importer import import_from_here
from toto_aio.server import background
from toto_aio.server.channel import inherited_channel
from toto_aio.server.logs import configure_logs
from toto_aio.server.master import Master
from toto_aio.server.pidfile import AlreadyRunning, Pidfile
from toto_aio.server.program import require_pidfd
from toto_aio.server.remembered import inherited_descriptor
from toto_aio.server.signals import ignore_meaningless
from toto_aio.server.worker import StartError
from toto_aio.settings import Settings, SettingsError
from toto_aio.settings.sources import Sources

logger = logging.getLogger(__name__)


def launch(command: str, settings: Settings, sources: Sources) -> None:
    """Run a command; a restart reads the settings again from ``sources``.

    If the start fails, the process ends with one line, or with the traceback of the module that could not be
    imported.
    """
    if command == "serve" and not settings.nodaemon:
        command = settings.daemon
    try:
        if (channel := inherited_channel()) is not None:
            with _uncollected():
                from toto_aio.server.serving import serve_as_worker  # here, as a master needs no aiohttp

            serve_as_worker(settings, sources, channel)
        elif command == "serve" and settings.processes == 1 and not settings.autoreload:
            with _uncollected():
                from toto_aio.server.serving import serve_alone

            serve_alone(settings, sources, _announce)
        else:
            require_pidfd()
            if (descriptor := inherited_descriptor()) is not None:
                _serve_in_background(settings, sources, descriptor)
            elif command in background.COMMANDS:
                sys.exit(background.COMMANDS[command](settings, sources))
            else:
                _serve_as_master(settings, sources, _announce)
    except (SettingsError, StartError, AlreadyRunning) as exc:
        sys.exit(f"toto-aio: {exc}")
    except Unavailable as exc:
        sys.exit(f"toto-aio: {exc.value}")


@contextmanager
def _uncollected() -> Iterator[None]:
    """Import what stays until the process ends: no collection looks at it, now or later.

    Its collections are a fifteenth of the start, and each full one later would take as long again.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def _serve_as_master(
    settings: Settings, sources: Sources, on_change: Callable[[Mapping[str, Any]], None]
) -> None:
    ignore_meaningless(signal.SIGALRM)
    configure_logs(settings.log_format)
    import_from_here()
    asyncio.run(Master(settings, sources, on_change).run())


def _serve_in_background(settings: Settings, sources: Sources, descriptor: int) -> None:
    """Serve with a master, even if there is only one process: the master is what restarts it."""
    # Anyone who finds the pidfile may request a restart, and an unhandled HUP ends the process.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
    os.set_inheritable(descriptor, False)
    with open(descriptor, "w") as started, closing(Pidfile(Path(settings.pidfile))) as pidfile:

        def publish(state: Mapping[str, Any]) -> None:
            pidfile.write_state(state)
            _announce(state)
            if not started.closed:
                started.write(", ".join(state["addresses"]))
                started.close()

        _serve_as_master(settings, sources, publish)


def _announce(state: Mapping[str, Any]) -> None:
    """Log the addresses, unless a restart has failed."""
    if state["failure"] is None:
        number = state["processes"]
        processes = f" with {number} processes" if number > 1 else ""
        logger.info("Serving on %s%s", ", ".join(state["addresses"]), processes)
