"""Services in their own processes, which the drills start, disturb and stop."""

from __future__ import annotations

import asyncio
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.support.servers import children

from torture.drill import Failure

START_LIMIT = 60.0
"""Seconds that a service has to start on a busy machine."""
END_LIMIT = 30.0
"""Seconds that a service has to stop before it is killed, if the drill does not examine its shutdown."""
LISTENING = re.compile(r"(?:Serving on|Listening at:|Running on) http://127\.0\.0\.1:(\d+)")
"""How a service announces where it listens: toto_aio, gunicorn, and aiohttp."""
SERVE = (sys.executable, "-m", "toto_aio", "serve", "--port=0")
IMPORTS = (sys.executable, "-c", "import aiohttp.web, msgspec, uvloop")
"""What every process of a service has to do first, which is most of what a start costs."""
MOST_IMPORTS = 1.5
"""Times that, within which a service starts on an idle machine."""


@dataclass(frozen=True)
class Service:
    """A running service."""

    process: subprocess.Popen[bytes]
    log: Path
    port: int

    @property
    def pid(self) -> int:
        """The id of the process that was started: the master, if there is one."""
        return self.process.pid

    def workers(self) -> set[int]:
        """The ids of the master's current worker processes."""
        return set(children(self.pid))

    def send(self, number: signal.Signals) -> None:
        """Send the master a signal."""
        self.process.send_signal(number)

    def count_in_log(self, text: str) -> int:
        """How often the text occurs in its log."""
        return self.log.read_text(errors="replace").count(text)


@contextmanager
def serving(
    folder: Path, methods: Mapping[str, str], *options: str, command: Sequence[str] = SERVE
) -> Iterator[Service]:
    """Run a service of these methods, or of the built-in ones, for the duration of the block.

    Raises ``Failure`` if it does not start.
    """
    if methods:
        (folder / "methods").mkdir(parents=True, exist_ok=True)
        (folder / "methods" / "__init__.py").touch()
    for name, code in methods.items():
        (folder / "methods" / f"{name}.py").write_text(code)
    log = folder / "stderr"
    with log.open("wb") as stderr:
        process = subprocess.Popen(  # noqa: S603  # this package
            [*command, *options], cwd=folder, env=environment(), stdout=stderr, stderr=stderr
        )
    try:
        yield Service(process, log, wait_for_port(process, log))
    finally:
        with ExitStack() as stack:
            workers = [stack.enter_context(victim) for victim in running(children(process.pid))]
            process.terminate()
            try:
                process.wait(END_LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for worker in workers:
                worker.send(signal.SIGKILL)  # in case they were left behind


def environment() -> dict[str, str]:
    """The environment without the caller's options, which would change the service.

    Its modules are compiled once, not at each start, as where it is installed.
    """
    return {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("TOTO_AIO_") and key != "PYTHONDONTWRITEBYTECODE"
    }


def wait_for_port(process: subprocess.Popen[bytes], log: Path) -> int:
    """The port on which a service announces that it listens."""
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline and process.poll() is None:
        if found := LISTENING.search(log.read_text(errors="replace")):
            return int(found[1])
        time.sleep(0.02)
    raise Failure(f"the service did not start:\n{log.read_text(errors='replace')}")


async def until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Wait until a condition holds. Raises ``Failure``, which says what did not happen."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(f"within {seconds:g} s {what} did not happen")
        await asyncio.sleep(0.005)


class ProcessHandle:
    """Another program's process, by a descriptor that cannot come to mean another one (pidfd_open(2))."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._descriptor = os.pidfd_open(pid)

    def __enter__(self) -> ProcessHandle:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it is still running."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, number)

    def is_gone(self) -> bool:
        """Whether it has ended."""
        return bool(select.select([self._descriptor], [], [], 0)[0])


def running(pids: Iterable[int]) -> Iterator[ProcessHandle]:
    """Those of the processes that are still running."""
    for pid in pids:
        with suppress(ProcessLookupError):
            yield ProcessHandle(pid)


def is_free(port: int) -> bool:
    """Whether no process listens on a port."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
