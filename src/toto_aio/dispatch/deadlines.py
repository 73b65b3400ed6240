"""Time limits of calls: one timer for all of them, in place of one for each.

``asyncio.timeout`` sets and removes a timer of the event loop, which costs a short call a tenth of its
time. Here a call leaves a mark in a dict, and most are gone at the next look; a look gives those that are
still there their place among the others of the same limit, and ends what has taken too long.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

PRECISION = 0.05
"""Seconds between two looks. A limit is overrun by two of them at most."""


class Deadlines:
    """The limits of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.new: dict[Deadline, None] = {}
        """Those that no look has seen yet."""
        self._by_limit: dict[float, dict[Deadline, None]] = {}
        self.timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to look, until there is nothing left to look at."""
        self.timer = self.loop.call_later(PRECISION, self._look)

    def close(self) -> None:
        """Look no more."""
        if self.timer is not None:
            self.timer.cancel()

    def _look(self) -> None:
        now = self.loop.time()
        for deadline in self.new:
            deadline.settle(now, self._by_limit.setdefault(deadline.seconds, {}))
        self.new.clear()
        busy = False
        for running in self._by_limit.values():
            # Those of one limit stand in the order of their ends.
            for deadline in tuple(running):
                if deadline.end > now:
                    break
                deadline.expire()
            busy = busy or bool(running)
        self.timer = self.loop.call_later(PRECISION, self._look) if busy else None


class Deadline:
    """``with Deadline(deadlines, seconds) as limit: await ...`` raises ``TimeoutError`` after the seconds.

    ``limit.expired`` says that they have passed.
    """

    __slots__ = ("_among", "_deadlines", "_task", "end", "expired", "seconds")

    def __init__(self, deadlines: Deadlines, seconds: float) -> None:
        self.seconds = seconds
        self.expired = False
        self._deadlines = deadlines

    def __enter__(self) -> Deadline:
        deadlines = self._deadlines
        # Handing over the loop saves current_task a system call, before Python 3.12 (getpid).
        self._task = asyncio.current_task(deadlines.loop)
        self._among = deadlines.new
        deadlines.new[self] = None
        if deadlines.timer is None:
            deadlines.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._among.pop(self, None)
        if self.expired:
            assert self._task is not None
            # As in asyncio.timeout: a cancellation from elsewhere is not ours to swallow.
            if self._task.uncancel() == 0 and kind is asyncio.CancelledError:
                raise TimeoutError from exc

    def settle(self, now: float, among: dict[Deadline, None]) -> None:
        """Take a place among the others of the same limit."""
        self.end = now + self.seconds
        self._among = among
        among[self] = None

    def expire(self) -> None:
        """Cancel the task, once; if it is being cancelled already there is nothing to do."""
        self._among.pop(self, None)
        assert self._task is not None
        if not self._task.cancelling():
            self.expired = self._task.cancel()
