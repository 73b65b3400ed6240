"""Processes that have nothing to do with a service, and record every signal that they receive."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, Self

LAST_PID = Path("/proc/sys/kernel/ns_last_pid")
"""The id of the last process: the next one is one higher (pid_namespaces(7))."""
READY_LIMIT = 10.0
"""Seconds within which a process does what it is for."""
LOOK = signal.SIGRTMAX
"""The signal that asks a stranger for its count. Of the pending signals it is delivered last."""


class Forked:
    """A process that runs a function of this program: ``with Forked(function) as process``."""

    def __init__(self, function: Callable[[int], object]) -> None:
        self._reading, writing = os.pipe()
        os.set_blocking(self._reading, False)
        self.is_gone = False
        # A signal that arrives before the process waits for signals stays pending.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        self.pid = os.fork()
        if self.pid == 0:
            _run(function, writing)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(writing)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        os.close(self._reading)

    def output(self) -> bytes:
        """What the function has written since the last call."""
        with suppress(BlockingIOError):
            return os.read(self._reading, 65536)
        return b""

    def wait(self) -> None:
        """Wait until the function has written something."""
        deadline = time.monotonic() + READY_LIMIT
        while not self.output():
            if time.monotonic() > deadline:
                raise TimeoutError("a process of the drill's own did not start")
            time.sleep(0.001)

    def kill(self) -> None:
        """Kill it, unless it has ended."""
        if not self.has_ended():
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.is_gone = True

    def has_ended(self) -> bool:
        """Whether it has ended."""
        if not self.is_gone:
            self.is_gone = os.waitpid(self.pid, os.WNOHANG) != (0, 0)
        return self.is_gone


class Stranger(Forked):
    """A process that receives signals only by mistake."""

    def __init__(self) -> None:
        super().__init__(_record)

    def hits(self) -> int:
        """The number of signals received since the last call, including one that ended it."""
        if self.is_gone:
            return 0
        hits = 0
        os.kill(self.pid, LOOK)
        deadline = time.monotonic() + READY_LIMIT
        while not self.has_ended() and time.monotonic() < deadline:
            said = self.output()
            hits += len(said) - said.count(LOOK)
            if LOOK in said:
                return hits
            time.sleep(0.0005)
        return hits + 1


def stranger_with(pid: int) -> Stranger:
    """A stranger with this unused id; only in the drill's own pid namespace."""
    deadline = time.monotonic() + READY_LIMIT
    while time.monotonic() < deadline:
        LAST_PID.write_text(str(pid - 1))
        stranger = Stranger()
        if stranger.pid == pid:
            return stranger
        stranger.__exit__()
        time.sleep(0.005)  # the id of a service is in use while processes of its session are running
    raise TimeoutError(f"no process could have the id {pid}")


def _run(function: Callable[[int], object], writing: int) -> NoReturn:
    try:
        os.setpgid(0, 0)
        function(writing)
    finally:
        os._exit(0)


def _record(writing: int) -> None:
    while True:
        os.write(writing, bytes([signal.sigwait(signal.valid_signals())]))
