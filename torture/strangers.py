"""Processes that have nothing to do with a service, and record every signal that they get."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, Self

LAST_PID = Path("/proc/sys/kernel/ns_last_pid")
"""The id of the last process: the next has the next one (pid_namespaces(7))."""
READY_LIMIT = 10.0
"""Seconds in which a process does what it is there for."""
LOOK = signal.SIGRTMAX
"""What tells a stranger that somebody looks. Of the signals that wait it is the last to be delivered."""


class Forked:
    """A process that runs a function of this program: ``with Forked(function) as process``."""

    def __init__(self, function: Callable[[int], object]) -> None:
        self._reading, writing = os.pipe()
        os.set_blocking(self._reading, False)
        self.is_gone = False
        # What comes before it looks for signals waits for it then.
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

    def said(self) -> bytes:
        """What the function has written since the last look."""
        with suppress(BlockingIOError):
            return os.read(self._reading, 65536)
        return b""

    def wait(self) -> None:
        """Wait until the function has written something."""
        deadline = time.monotonic() + READY_LIMIT
        while not self.said():
            if time.monotonic() > deadline:
                raise TimeoutError("a process of the drill's own did not start")
            time.sleep(0.001)

    def kill(self) -> None:
        """End it, if nobody has."""
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
    """A process that gets signals by mistake alone."""

    def __init__(self) -> None:
        super().__init__(_record)

    def hits(self) -> int:
        """How many signals it got since the last look; one that has ended it counts too."""
        if self.is_gone:
            return 0
        hits = 0
        os.kill(self.pid, LOOK)
        deadline = time.monotonic() + READY_LIMIT
        while not self.has_ended() and time.monotonic() < deadline:
            said = self.said()
            hits += len(said) - said.count(LOOK)
            if LOOK in said:
                return hits
            time.sleep(0.0005)
        return hits + 1


def stranger_with(pid: int) -> Stranger:
    """A stranger with this id, which no process has any more. Only in a pid namespace of the drill's own."""
    deadline = time.monotonic() + READY_LIMIT
    while time.monotonic() < deadline:
        LAST_PID.write_text(str(pid - 1))
        stranger = Stranger()
        if stranger.pid == pid:
            return stranger
        stranger.__exit__()
        time.sleep(0.005)  # the id of a service is in use as long as processes of its session are there
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
