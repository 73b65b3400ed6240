"""Time limits of calls: one timer for all of them, instead of one for each.

``asyncio.timeout`` sets and cancels a timer of the event loop, which costs a short call a tenth of its time.
Here a call adds itself to a dict, and most calls are over by the next poll. A poll sorts the remaining ones
by their limit, and ends those that have taken too long.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

POLL_INTERVAL = 0.05
"""Seconds between two polls. A limit is exceeded by two intervals at most."""


class Deadlines:
    """The deadlines of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.new: dict[Deadline, None] = {}
        """The deadlines that no poll has seen yet."""
        self._by_limit: dict[float, dict[Deadline, None]] = {}
        self.timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to poll; polling stops when no deadline is left."""
        self.timer = self.loop.call_later(POLL_INTERVAL, self._poll)

    def close(self) -> None:
        """Stop polling."""
        if self.timer is not None:
            self.timer.cancel()

    def _poll(self) -> None:
        now = self.loop.time()
        for deadline in self.new:
            deadline.settle(now, self._by_limit.setdefault(deadline.seconds, {}))
        self.new.clear()
        busy = False
        for seconds, running in tuple(self._by_limit.items()):
            # Deadlines of the same limit are ordered by their ends.
            for deadline in tuple(running):
                if deadline.end > now:
                    break
                deadline.expire()
            if running:
                busy = True
            else:
                del self._by_limit[seconds]  # a client may ask for any number of them
        self.timer = self.loop.call_later(POLL_INTERVAL, self._poll) if busy else None


class Deadline:
    """``with Deadline(deadlines, seconds) as limit: await ...`` raises ``TimeoutError`` after the seconds.

    ``limit.expired`` is true once they have passed.
    """

    __slots__ = ("_among", "_deadlines", "_task", "end", "expired", "seconds")

    def __init__(self, deadlines: Deadlines, seconds: float) -> None:
        self.seconds = seconds
        self.expired = False
        self._deadlines = deadlines

    def __enter__(self) -> Deadline:
        deadlines = self._deadlines
        # Passing the loop saves current_task a system call before Python 3.12 (getpid).
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
            # As in asyncio.timeout: a cancellation from elsewhere must not be swallowed.
            if self._task.uncancel() == 0 and kind is asyncio.CancelledError:
                raise TimeoutError from exc

    def settle(self, now: float, among: dict[Deadline, None]) -> None:
        """Join the deadlines of the same limit."""
        self.end = now + self.seconds
        self._among = among
        among[self] = None

    def expire(self) -> None:
        """Cancel the task, once; a task that is being cancelled already is left alone."""
        self._among.pop(self, None)
        assert self._task is not None
        if not self._task.cancelling():
            self.expired = self._task.cancel()
