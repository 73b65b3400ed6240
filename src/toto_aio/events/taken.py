"""The events for one process that this process has taken: each is handled, or handed back to the others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from toto_aio.brokers import Broker, Handover
from toto_aio.tasks import Tasks

logger = logging.getLogger(__name__)

HAND_BACK_LIMIT = 1.0
"""Seconds that other processes have to take what is handed back."""
POLL_INTERVAL = 0.02
"""Seconds between two checks of whether everything is handled."""


class Taken:
    """An event for one process, until the last of its receivers here has handled it or has left."""

    __slots__ = ("_on_release", "_receivers", "begun", "payload")

    def __init__(self, payload: bytes, on_release: Callable[[Taken], None]) -> None:
        self.payload = payload
        self.begun = False
        """Whether a receiver has seen it, so that no other process may see it."""
        self._receivers = 0
        self._on_release = on_release

    def hold(self) -> None:
        """Count one more receiver."""
        self._receivers += 1

    def release(self) -> None:
        """Count one receiver less."""
        self._receivers -= 1
        if not self._receivers:
            self._on_release(self)


class TakenEvents:
    """What this process has taken and not yet handled.

    An event that all receivers have left before any has seen it is handed back. If no other process takes it,
    it goes to ``deliver`` again, which returns False if nobody waits for it here.
    """

    def __init__(self, broker: Broker, deliver: Callable[[bytes], bool]) -> None:
        self._broker = broker
        self._deliver = deliver
        self._events: dict[Taken, None] = {}
        self._returned: list[bytes] = []
        self._handing_back = Tasks()
        self._is_offering = False
        self._limit = HAND_BACK_LIMIT
        self._draining = False
        self._closed = False
        self._lost = 0
        self._offered = 0

    def add(self, payload: bytes) -> Taken:
        """An event that was taken."""
        taken = Taken(payload, self._release)
        self._events[taken] = None
        return taken

    async def drain(self, limit: float) -> None:
        """Take no more, if other processes can. From now on these have ``limit`` seconds for each offer."""
        self._draining = True
        self._limit = min(limit, HAND_BACK_LIMIT)
        if isinstance(self._broker, Handover):
            await self._broker.stop_taking()

    async def handed_back(self) -> None:
        """Wait until other processes have taken what was returned, or it is here again."""
        while self._handing_back:
            await self._handing_back.finish()

    async def finish(self, limit: float) -> None:
        """Wait until everything is handled, for at most that many seconds."""
        loop = asyncio.get_running_loop()
        end = loop.time() + limit
        while (self._events or self._handing_back) and loop.time() < end:  # noqa: ASYNC110 # no event for it
            await asyncio.sleep(POLL_INTERVAL)

    async def close(self) -> None:
        """Log how many are not handled: those that wait, those in progress, and those that nobody took."""
        self._closed = True
        lost = self._lost + len(self._events) + len(self._returned) + self._offered
        await self._handing_back.cancel()
        if lost:
            logger.error("%d events for one process were not handled before the shutdown, and are lost", lost)

    def _release(self, taken: Taken) -> None:
        if self._closed:
            return
        del self._events[taken]
        if not taken.begun:
            self._returned.append(taken.payload)
            if not self._is_offering:
                self._is_offering = True
                self._handing_back.start(self._hand_back(), "events handed back")

    async def _hand_back(self) -> None:
        while self._returned:
            left, self._returned = self._returned, []
            self._offered = len(left)
            try:
                if isinstance(self._broker, Handover):
                    left = list(await self._broker.hand_back(left, self._limit))
            except Exception:
                logger.exception("%d events for one process could not be handed back", len(left))
            self._offered = 0
            for payload in left:
                if not self._deliver(payload) and self._draining:
                    self._lost += 1
        self._is_offering = False
