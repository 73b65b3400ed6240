"""``start``, ``stop``, ``restart`` and ``status`` of a service in the background."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from toto_aio.server import program
from toto_aio.server.pidfile import RunningProcess, find_running
from toto_aio.server.remembered import FINDS, NOTHING, start_of, to_environment
from toto_aio.server.worker import START_LIMIT
from toto_aio.settings import Settings, SettingsError
from toto_aio.settings.sources import Sources

GRACE = 5.0
"""Seconds beyond its own time limit after which a service counts as not responding."""
POLL_INTERVAL = 0.05
"""Seconds between two checks of whether a restart is complete."""
NOT_RUNNING = 3
"""The exit status of ``status`` if the service is not running (Linux Standard Base, 20.2)."""


def start(settings: Settings, sources: Sources) -> int:
    """Start the service and wait until it serves; if it fails, show its output. Returns the exit status."""
    return _start(settings, sources, program.command())


def _start(settings: Settings, sources: Sources, command: Sequence[str]) -> int:
    with find_running(Path(settings.pidfile)) as running:
        if running is not None:
            print(f"Already running: process {running.pid}", file=sys.stderr)
            return 1
    try:
        log = open(settings.log_file, "ab", opener=_private)  # noqa: SIM115 # closed below
    except OSError as exc:
        raise SettingsError(f"log_file: {settings.log_file}: {exc.strerror}") from exc
    reading, writing = os.pipe()
    with log, open(reading, "rb") as started:
        log_start = log.tell()
        process = subprocess.Popen(  # noqa: S603 # it is this program
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=to_environment(writing, sources),
            pass_fds=(writing,),
            start_new_session=True,
        )
        os.close(writing)
        try:
            addresses = started.read().decode()
        except KeyboardInterrupt:
            process.terminate()
            raise
    if addresses:
        process.returncode = 0  # it is meant to outlive us: without a status Popen would warn of that
        print(f"Started process {process.pid}, serving on {addresses}", file=sys.stderr)
        return 0
    process.wait()
    with open(settings.log_file, "rb") as written:
        written.seek(log_start)
        sys.stderr.write(written.read().decode(errors="replace"))
    return 1


def stop(settings: Settings, sources: Sources) -> int:
    """Stop the service and wait until its process has exited. Returns the exit status."""
    with find_running(Path(settings.pidfile)) as running:
        if running is None:
            print("Not running", file=sys.stderr)
            return 0
        with suppress(SettingsError):  # whatever it was started with, it can be stopped
            settings = start_of(running).merged(sources).read()
        return _stop(running, settings)


def _stop(running: RunningProcess, settings: Settings) -> int:
    running.send_signal(signal.SIGTERM)
    if not running.exits_within(settings.shutdown_timeout + GRACE):
        print(f"Process {running.pid} does not end; see {settings.log_file}", file=sys.stderr)
        return 1
    print(f"Stopped process {running.pid}", file=sys.stderr)
    return 0


def restart(settings: Settings, sources: Sources) -> int:
    """Stop the service, and start it as it was started, except for what is given now.

    Returns the exit status. Raises ``SettingsError``, with the service still running, for a wrong option.
    """
    with find_running(Path(settings.pidfile)) as running:
        if running is None:
            print("Not running: it is started with what is given now", file=sys.stderr)
            return start(settings, sources)
        started = start_of(running)
        sources = started.merged(_enter(started.folder, sources))
        settings, command = sources.read(), program.command(sources.command_line)
        print(f"Restarting with what it was started with: {started.names}", file=sys.stderr)
        if status := _stop(running, settings):
            return status
    return _start(settings, sources, command)


def _enter(folder: str, sources: Sources) -> Sources:
    """Continue in the folder in which the service was started; what was given now still names the same files.

    Raises ``SettingsError``.
    """
    pidfile = sources.arguments.get(FINDS)
    try:
        if not os.path.samefile(folder, os.curdir):
            sources = replace(
                sources,
                file=os.path.abspath(sources.typed_file) if sources.typed_file else sources.file,
                arguments={**sources.arguments, **({FINDS: os.path.abspath(pidfile)} if pidfile else {})},
            )
        os.chdir(folder)
    except OSError as exc:
        raise SettingsError(f"its folder {folder}: {exc.strerror}: write stop, and then start") from exc
    os.environ["PWD"] = folder  # if it is a link, it is followed again
    return sources


def restart_rolling(settings: Settings, sources: Sources) -> int:
    """Have new processes take over, and wait until they serve. Returns the exit status.

    Raises ``SettingsError`` for what is given now and was not given at the start: the master keeps that.
    """
    with find_running(Path(settings.pidfile)) as running:
        if running is None:
            print("Not running: write start", file=sys.stderr)
            return NOT_RUNNING
        _require_nothing_new(running, sources)
        restarts = running.read_state().get("restarts", 0)
        running.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + START_LIMIT + settings.start_timeout + GRACE
        while time.monotonic() < deadline and not running.exits_within(POLL_INTERVAL):
            state = running.read_state()
            if state.get("restarts", 0) != restarts:
                failure = state.get("failure")
                print(_restart_report(failure), file=sys.stderr)
                return 1 if failure else 0
        print(f"Process {running.pid} has not restarted; see {settings.log_file}", file=sys.stderr)
        return 1


def _require_nothing_new(running: RunningProcess, sources: Sources) -> None:
    """Raise ``SettingsError`` for what is given now and was not given at the start."""
    if not NOTHING.differing(sources):
        return
    started = start_of(running)
    if differing := started.differing(sources):
        file = f", and reads {started.file} again" if started.file else ""
        raise SettingsError(
            f"{', '.join(differing)}: a rolling restart keeps what the service was started with{file}: "
            "write restart without --rolling"
        )


def status(settings: Settings, sources: Sources) -> int:
    """Report whether the service is running. Returns the exit status."""
    with find_running(Path(settings.pidfile)) as running:
        if running is None:
            print("Not running")
            return NOT_RUNNING
        print(_status_report(running))
        return 0


COMMANDS: dict[str, Callable[[Settings, Sources], int]] = {
    "start": start,
    "stop": stop,
    "restart": restart,
    "restart_rolling": restart_rolling,
    "status": status,
}


def _restart_report(failure: str | None) -> str:
    return "Restarted" if failure is None else f"Not restarted, the old processes keep serving: {failure}"


def _status_report(running: RunningProcess) -> str:
    state = running.read_state()
    if not state:
        return f"Starting: process {running.pid}"
    lines = [
        f"Running: process {running.pid}",
        f"serving on {', '.join(state['addresses'])}",
        f"processes: {state['processes']} ({_children(running.pid)})",
        f"restarts: {state['restarts']}",
    ]
    if state["failure"]:
        lines.append("the last restart failed: the log says why")
    return "\n".join(lines)


def _children(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().strip()
    return "unknown"


def _private(path: str, flags: int) -> int:
    """Open a file, which only its owner can read if it is new."""
    return os.open(path, flags, 0o600)
