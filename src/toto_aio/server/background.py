"""``start``, ``stop``, ``restart`` and ``status`` of a service in the background."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from toto_aio.server import program
from toto_aio.server.pidfile import RunningProcess, find_running
from toto_aio.server.worker import START_LIMIT
from toto_aio.settings import Settings, SettingsError

BACKGROUND_VARIABLE = "_TOTO_AIO_BACKGROUND"
"""The environment variable by which a process knows that it serves in the background. Its value is the file
descriptor to which the process writes its addresses once it serves."""
GRACE = 5.0
"""Seconds beyond its own time limit after which a service counts as not responding."""
POLL_INTERVAL = 0.05
"""Seconds between two checks of whether a restart is complete."""
NOT_RUNNING = 3
"""The exit status of ``status`` if the service is not running (Linux Standard Base, 20.2)."""


def inherited_descriptor() -> int | None:
    """The descriptor to write the addresses to if ``start`` started this process; only the first call
    returns it."""
    text = os.environ.pop(BACKGROUND_VARIABLE, None)
    return None if text is None else int(text)


def start(settings: Settings) -> int:
    """Start the service and wait until it serves; if it fails, show its output. Returns the exit status."""
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
            program.command(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, BACKGROUND_VARIABLE: str(writing)},
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


def stop(settings: Settings) -> int:
    """Stop the service and wait until its process has exited. Returns the exit status."""
    with find_running(Path(settings.pidfile)) as running:
        if running is None:
            print("Not running", file=sys.stderr)
            return 0
        running.send_signal(signal.SIGTERM)
        if not running.exits_within(settings.shutdown_timeout + GRACE):
            print(f"Process {running.pid} does not end; see {settings.log_file}", file=sys.stderr)
            return 1
        print(f"Stopped process {running.pid}", file=sys.stderr)
        return 0


def restart(settings: Settings) -> int:
    """``stop``, then ``start``. Returns the exit status."""
    return stop(settings) or start(settings)


def restart_rolling(settings: Settings) -> int:
    """Have new processes take over, and wait until they serve. Returns the exit status."""
    with find_running(Path(settings.pidfile)) as running:
        if running is None:
            print("Not running: write start", file=sys.stderr)
            return NOT_RUNNING
        restarts = running.read_state().get("restarts", 0)
        running.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + START_LIMIT + GRACE
        while time.monotonic() < deadline and not running.exits_within(POLL_INTERVAL):
            state = running.read_state()
            if state.get("restarts", 0) != restarts:
                failure = state.get("failure")
                print(_restart_report(failure), file=sys.stderr)
                return 1 if failure else 0
        print(f"Process {running.pid} has not restarted; see {settings.log_file}", file=sys.stderr)
        return 1


def status(settings: Settings) -> int:
    """Report whether the service is running. Returns the exit status."""
    with find_running(Path(settings.pidfile)) as running:
        if running is None:
            print("Not running")
            return NOT_RUNNING
        print(_status_report(running))
        return 0


COMMANDS: dict[str, Callable[[Settings], int]] = {
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
