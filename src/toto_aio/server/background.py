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

from toto_aio.server.pidfile import Running, find
from toto_aio.server.worker import START_LIMIT, program
from toto_aio.settings import Settings, SettingsError

BACKGROUND = "_TOTO_AIO_BACKGROUND"
"""The variable in the environment by which a process knows that it serves in the background; its value
is the descriptor on which it says where it serves, once it does."""
PATIENCE = 5.0
"""Seconds beyond its own time limit after which a service is said not to obey."""
LOOK_INTERVAL = 0.05
NOT_RUNNING = 3
"""The status of ``status`` when nothing runs (Linux Standard Base, 20.2)."""


def find_background() -> int | None:
    """The descriptor on which this process is to say where it serves, if it was started by ``start``."""
    text = os.environ.pop(BACKGROUND, None)
    return None if text is None else int(text)


def start(settings: Settings) -> int:
    """Start the service, and wait until it serves. If it does not, show what it said; the exit status."""
    with find(Path(settings.pidfile)) as running:
        if running is not None:
            print(f"Already running: process {running.pid}", file=sys.stderr)
            return 1
    try:
        log = open(settings.log_file, "ab")
    except OSError as exc:
        raise SettingsError(f"log_file: {settings.log_file}: {exc.strerror}") from exc
    reading, writing = os.pipe()
    with log, open(reading, "rb") as said:
        begin = log.tell()
        process = subprocess.Popen(  # noqa: S603 # it is this program
            program(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, BACKGROUND: str(writing)},
            pass_fds=(writing,),
            start_new_session=True,
        )
        os.close(writing)
        try:
            address = said.read().decode()
        except KeyboardInterrupt:
            process.terminate()
            raise
    if address:
        process.returncode = 0  # it lives on: that is meant, and nothing to warn of
        print(f"Started process {process.pid}, serving on {address}", file=sys.stderr)
        return 0
    process.wait()
    with open(settings.log_file, "rb") as written:
        written.seek(begin)
        sys.stderr.write(written.read().decode(errors="replace"))
    return 1


def stop(settings: Settings) -> int:
    """End the service, and wait until it is gone; the exit status."""
    with find(Path(settings.pidfile)) as running:
        if running is None:
            print("Not running", file=sys.stderr)
            return 0
        running.send(signal.SIGTERM)
        if not running.ended(settings.shutdown_timeout + PATIENCE):
            print(f"Process {running.pid} does not end; see {settings.log_file}", file=sys.stderr)
            return 1
        print(f"Stopped process {running.pid}", file=sys.stderr)
        return 0


def restart(settings: Settings) -> int:
    """``stop`` and ``start``; the exit status."""
    return stop(settings) or start(settings)


def restart_rolling(settings: Settings) -> int:
    """Have new processes take over, and wait until they serve; the exit status."""
    with find(Path(settings.pidfile)) as running:
        if running is None:
            print("Not running: write start", file=sys.stderr)
            return NOT_RUNNING
        before = running.state().get("restarts", 0)
        running.send(signal.SIGHUP)
        end = time.monotonic() + START_LIMIT + PATIENCE
        while time.monotonic() < end and not running.ended(LOOK_INTERVAL):
            state = running.state()
            if state.get("restarts", 0) != before:
                failure = state.get("failure")
                print(_restarted(failure), file=sys.stderr)
                return 1 if failure else 0
        print(f"Process {running.pid} has not restarted; see {settings.log_file}", file=sys.stderr)
        return 1


def status(settings: Settings) -> int:
    """Say whether the service runs; the exit status."""
    with find(Path(settings.pidfile)) as running:
        if running is None:
            print("Not running")
            return NOT_RUNNING
        print(_described(running))
        return 0


COMMANDS: dict[str, Callable[[Settings], int]] = {
    "start": start,
    "stop": stop,
    "restart": restart,
    "restart_rolling": restart_rolling,
    "status": status,
}


def _restarted(failure: str | None) -> str:
    return "Restarted" if failure is None else f"Not restarted, the processes from before go on: {failure}"


def _described(running: Running) -> str:
    state = running.state()
    if not state:
        return f"Starting: process {running.pid}"
    lines = [
        f"Running: process {running.pid}",
        f"serving on {', '.join(state['addresses'])}",
        f"processes: {state['processes']} ({_children(running.pid)})",
        f"restarts: {state['restarts']}",
    ]
    if state["failure"]:
        lines.append("the last restart has failed: its log says why")
    return "\n".join(lines)


def _children(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().strip()
    return "unknown"
