"""``TotoServer``: a service in processes of its own."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import toto_aio
from toto_aio.app import create_app
from toto_aio.exceptions import Unavailable
from toto_aio.registry import import_from_here
from toto_aio.server import background
from toto_aio.server.listeners import listen, places
from toto_aio.server.logs import configure_logs
from toto_aio.server.master import Master
from toto_aio.server.pidfile import AlreadyRunning, Pidfile
from toto_aio.server.serve import serve_until_told
from toto_aio.server.worker import Post, StartError, find_post, require_pidfd
from toto_aio.settings import Settings, SettingsError
from toto_aio.settings.command_line import read_arguments
from toto_aio.settings.sources import Sources

State = Mapping[str, Any]
Tell = Callable[[State], None]


class TotoServer:
    """A server with options from keyword arguments, a file, the environment and the command line.

        TotoServer("toto.toml", port=9000).run()

    Each source overrides the one before. A wrong option ends the process with one line that says what to
    write. ``--start``, ``--stop``, ``--restart`` and ``--status`` on the command line are obeyed by ``run``.
    """

    def __init__(self, conf_file: str | os.PathLike[str] | None = None, **options: Any) -> None:
        try:
            self._command, arguments = read_arguments(sys.argv[1:])
            self._sources = Sources(options, conf_file, arguments)
            self.settings = self._sources.read()
        except SettingsError as exc:
            sys.exit(f"{os.path.basename(sys.argv[0])}: {exc}")

    def run(self) -> None:
        """Serve until TERM or INT. A start that fails ends the process with one line, or a traceback of
        the module that could not be imported."""
        run(self._command, self.settings, self._sources)


def run(command: str, settings: Settings, sources: Sources) -> None:
    """Do what a command line asks for; the settings are read again from ``sources`` for a restart."""
    try:
        if (post := find_post()) is not None:
            _serve_as_worker(settings, post)
        elif command == "serve" and settings.processes == 1 and not settings.autoreload:
            _serve_alone(settings)
        else:
            require_pidfd()
            if (descriptor := background.find_background()) is not None:
                _serve_in_background(settings, sources, descriptor)
            elif command in background.COMMANDS:
                sys.exit(background.COMMANDS[command](settings))
            else:
                _serve_with_master(settings, sources, _announce)
    except (SettingsError, StartError, AlreadyRunning) as exc:
        sys.exit(f"toto-aio: {exc}")
    except Unavailable as exc:
        sys.exit(f"toto-aio: {exc.value}")


def _serve_alone(settings: Settings) -> None:
    _prepare(settings)
    app = create_app(settings)  # nobody is to connect to a service whose methods cannot be imported
    (place,) = places(settings, 1)
    listener = listen(place)
    state = {"addresses": [listener.url(settings.root)], "processes": 1, "failure": None}
    try:
        serve_until_told(settings, app, listener.sockets, partial(_announce, state))
    finally:
        listener.close()


def _serve_as_worker(settings: Settings, post: Post) -> None:
    """Serve on the sockets of the master, which shows what is wrong if that cannot be."""
    _prepare(settings)
    try:
        app = create_app(settings)
        serve_until_told(settings, app, post.sockets, post.ready, post.leaving, post.line)
    except (SettingsError, Unavailable) as exc:
        post.failed(str(exc.value if isinstance(exc, Unavailable) else exc))
        sys.exit(1)
    except Exception as exc:
        if post.is_ready:
            raise
        post.failed(f"the service does not start\n{_explained(exc)}")
        sys.exit(1)


def _explained(exc: Exception) -> str:
    """The traceback, without the lines on how toto_aio came to import what has failed."""
    told = traceback.TracebackException.from_exception(exc)
    ours = (os.path.dirname(toto_aio.__file__), os.path.dirname(importlib.__file__), "<frozen importlib")
    theirs = [line for line in told.stack if not line.filename.startswith(ours)]
    told.stack = traceback.StackSummary.from_list(theirs)
    return "".join(told.format())


def _serve_with_master(settings: Settings, sources: Sources, tell: Tell) -> None:
    _prepare(settings)
    asyncio.run(Master(settings, sources, tell).run())


def _serve_in_background(settings: Settings, sources: Sources, descriptor: int) -> None:
    """Serve with a master, however few the processes are: it is who restarts them."""
    # Whoever finds the pidfile may ask for a restart, which ends a process that is not prepared for it.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
    os.set_inheritable(descriptor, False)
    with open(descriptor, "w") as said, closing(Pidfile(Path(settings.pidfile))) as pidfile:

        def tell(state: State) -> None:
            pidfile.tell(state)
            _announce(state)
            if not said.closed:
                said.write(", ".join(state["addresses"]))
                said.close()

        _serve_with_master(settings, sources, tell)


def _prepare(settings: Settings) -> None:
    configure_logs(settings.log_format)
    import_from_here()


def _announce(state: State) -> None:
    if state["failure"] is None:
        number = state["processes"]
        processes = f" with {number} processes" if number > 1 else ""
        with suppress(OSError):  # who has started us may not be there to read it any more
            print(f"Serving on {', '.join(state['addresses'])}{processes}", file=sys.stderr, flush=True)
