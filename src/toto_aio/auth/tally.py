"""Counters of attempts, of which some are undecided, that all processes share."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple, TypeVar

from toto_aio.exceptions import TooManyAttempts, Unavailable
from toto_aio.stores import SessionStore
from toto_aio.tasks import Tasks

WINDOW = 900
"""Seconds that an attempt counts for. No lock is permanent."""
PATIENCE = 5.0
"""Seconds that an attempt beyond a limit waits for others that are undecided."""
UNDECIDED = 1 << 40
"""What an attempt adds to a counter until it is decided. The remainder is those that count for the window."""

T = TypeVar("T")


class Limit(NamedTuple):
    """The key of a counter, and how many attempts may count in it."""

    counter: str
    most: int


class Tally:
    """Counts attempts, each in several counters at the same time.

    One number has both kinds of attempts, so that one step of the store changes and shows both.
    """

    def __init__(self, store: SessionStore) -> None:
        self._store = store
        self._tasks = Tasks()

    async def close(self) -> None:
        """Wait until everything has been counted."""
        await self._tasks.finish()

    async def reserve(self, limits: Sequence[Limit]) -> None:
        """Count an undecided attempt. Raises ``TooManyAttempts`` if that would exceed one of the limits.

        If only others that are undecided are in the way, it waits for them: right passwords are never too
        many.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE
        while True:
            adding = self._tasks.start(self._add(limits, UNDECIDED), "attempt")
            try:
                counts = await asyncio.shield(adding)
            except asyncio.CancelledError:
                self._tasks.start(self._take_back(limits, adding), "attempt")
                raise
            counted = list(zip(limits, (divmod(count, UNDECIDED) for count in counts), strict=True))
            over = [limit for limit, (undecided, wrong) in counted if undecided + wrong > limit.most]
            if not over:
                return
            full = [limit for limit, (_, wrong) in counted if wrong >= limit.most]
            await self._surely(self._add(limits, -UNDECIDED))
            if full or loop.time() > deadline:
                raise TooManyAttempts(retry_after=await self._seconds_left(full or over))
            await asyncio.sleep(random.uniform(0.01, 0.05))  # noqa: S311  # jitter, not a secret

    @asynccontextmanager
    async def decided(
        self, limits: Sequence[Limit], *, wrong: type[Exception], is_free: bool = True
    ) -> AsyncIterator[None]:
        """Surrounds an attempt that was reserved: it counts if it raises ``wrong``.

        One that succeeds counts unless it ``is_free``; one that is cancelled counts, as nobody knows how it
        would have ended; what failed for any other reason doesn't.
        """
        try:
            yield
        except wrong:
            await self._surely(self._add(limits, 1 - UNDECIDED))
            raise
        except asyncio.CancelledError:
            self._tasks.start(_quietly(self._add(limits, 1 - UNDECIDED)), "attempt")
            raise
        except BaseException:
            await self._surely(self._add(limits, -UNDECIDED))
            raise
        await self._surely(self._add(limits, (0 if is_free else 1) - UNDECIDED))

    async def _add(self, limits: Sequence[Limit], by: int) -> list[int]:
        """Add to all counters, and return their counts. A reservation is made in all of them, or in none."""
        counts: dict[Limit, int] = {}

        async def add(limit: Limit) -> None:
            counts[limit] = await self._store.increment(limit.counter, WINDOW, by)

        outcomes = await asyncio.gather(*map(add, limits), return_exceptions=True)
        if failures := [outcome for outcome in outcomes if outcome is not None]:
            if by > 0:
                await self._add([limit for limit in limits if limit in counts], -by)
            raise failures[0]
        return [counts[limit] for limit in limits]

    async def _take_back(self, limits: Sequence[Limit], adding: asyncio.Task[list[int]]) -> None:
        with suppress(Unavailable):
            await adding
            await self._add(limits, -UNDECIDED)

    async def _seconds_left(self, limits: Sequence[Limit]) -> int:
        """The seconds until all of these counters have started again."""
        counters = await asyncio.gather(*(self._store.get_counter(limit.counter) for limit in limits))
        return math.ceil(max(1.0, *(left for _, left in counters)))

    async def _surely(self, work: Coroutine[Any, Any, T]) -> T:
        """Do work to its end, even if the caller is cancelled."""
        return await asyncio.shield(self._tasks.start(work, "attempt"))


async def _quietly(work: Coroutine[Any, Any, object]) -> None:
    """Do what nobody waits for. With the store away, an attempt is undecided until its window has passed."""
    with suppress(Unavailable):
        await work
