"""Time limits of calls: one timer for all of them, in place of one for each.

``asyncio.timeout`` sets and removes a timer of the event loop, which costs a short call a tenth of its
time; here a call leaves a mark in a dict, and a look at the oldest marks ten times a second finds those
that took too long.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

PRECISION = 0.1
"""Seconds that a limit may be overrun before it is noticed."""


class Deadlines:
    """The limits of one event loop: ``with deadlines.limit(seconds): await ...`` raises ``TimeoutError``."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._running: dict[float, dict[Deadline, None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def limit(self, seconds: float) -> Deadline:
        """A limit for what the current task does within ``with``."""
        running = self._running.get(seconds)
        if running is None:
            running = self._running[seconds] = {}
        if self._timer is None:
            self._timer = self._loop.call_later(PRECISION, self._look)
        # Handing over the loop saves current_task a system call, before Python 3.12 (getpid).
        task = asyncio.current_task(self._loop)
        assert task is not None
        return Deadline(task, running, self._loop.time() + seconds)

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        now = self._loop.time()
        busy = False
        for running in self._running.values():
            # Those of one limit stand in the order of their ends.
            for deadline in tuple(running):
                if deadline.end > now:
                    break
                deadline.expire()
            busy = busy or bool(running)
        self._timer = self._loop.call_later(PRECISION, self._look) if busy else None


class Deadline:
    """The limit of one call; ``expired`` says that it was passed."""

    __slots__ = ("_cancelling", "_running", "_task", "end", "expired")

    def __init__(self, task: asyncio.Task[object], running: dict[Deadline, None], end: float) -> None:
        self.end = end
        self.expired = False
        self._running = running
        self._task = task

    def __enter__(self) -> Deadline:
        self._cancelling = self._task.cancelling()
        self._running[self] = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.pop(self, None)
        # As in asyncio.timeout: a cancellation from elsewhere is not ours to swallow.
        if self.expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from exc

    def expire(self) -> None:
        """Cancel the task, once."""
        del self._running[self]
        self.expired = True
        self._task.cancel()
