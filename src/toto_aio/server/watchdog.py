"""Shows what a process without a master is doing when its event loop stands still.

Nothing can replace such a process, but faulthandler can show the stacks of its threads: in a thread of C that
needs no GIL, so also while a C function keeps it.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import sys

logger = logging.getLogger(__name__)

CHECKS = 10
"""How often in ``stuck_after`` seconds the loop shows that it turns."""


class Watchdog:
    """Writes all stacks to stderr when the loop has stood still for ``stuck_after`` seconds; 0: never."""

    def __init__(self, stuck_after: float) -> None:
        self._stuck_after = stuck_after
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._stderr = sys.__stderr__
        if stuck_after and self._stderr is not None:
            self._check()

    def close(self) -> None:
        """Stop watching."""
        if self._timer is not None:
            self._timer.cancel()
            faulthandler.cancel_dump_traceback_later()

    def _check(self) -> None:
        now = self._loop.time()
        if now - self._last > self._stuck_after:
            logger.error("the event loop stood still for %.1f s; see the stacks above", now - self._last)
        self._last = now
        assert self._stderr is not None
        faulthandler.dump_traceback_later(self._stuck_after, file=self._stderr)
        self._timer = self._loop.call_later(self._stuck_after / CHECKS, self._check)
