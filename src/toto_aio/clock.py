"""The clock of this process, which notices when the machine's clock is set.

While a clock is ahead, what expires too early may be dropped: nonces, above all. When it is set right, a copy
of a request whose nonce was dropped would be accepted again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

STEP = 10.0
"""Seconds by which a clock differs from the time that has passed if it was set; less is a correction."""
WATCH_INTERVAL = 1.0
"""Seconds between two looks at the clock."""
PAUSED = 0.1
"""Seconds between two readings of clocks above which they cannot be compared: the process was paused."""


class Clock:
    """Unix time by ``wall``, compared with ``steady``, which nobody sets, at each look."""

    def __init__(
        self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic
    ) -> None:
        self.set_back = 0.0
        """The time to which it was last set back, in Unix seconds; 0 if it never was."""
        self._wall = wall
        self._steady = steady
        self._offset: float | None = None
        self._set_forward: float | None = None

    def now(self) -> float:
        """The time in Unix seconds."""
        before = self._steady()
        now = self._wall()
        after = self._steady()
        if after - before > PAUSED:
            return now
        offset = now - after
        if self._offset is not None and offset > self._offset + STEP:
            self._set_forward = after
        elif self._offset is not None and offset < self._offset - STEP:
            self.set_back = now
        self._offset = offset
        return now

    def was_set_forward(self, within: float) -> bool:
        """Whether it was set forward in the last ``within`` seconds."""
        self.now()
        return self._set_forward is not None and self._steady() - self._set_forward < within

    async def watch(self) -> None:
        """Keep looking, as a clock may be set right again while nobody asks for the time."""
        while True:
            self.now()
            await asyncio.sleep(WATCH_INTERVAL)
