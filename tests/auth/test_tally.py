"""Attempts that are undecided, and what becomes of them."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import Any, cast

import pytest

from tests.support.limits import WATCHDOG
from toto_aio.auth.tally import Limit, Tally
from toto_aio.exceptions import TooManyAttempts, Unavailable
from toto_aio.stores import Store
from toto_aio.tasks import cancel

LIMITS = [Limit("a", 2), Limit("b", 5)]


async def counts(store: Store) -> list[int]:
    """The counts of the limits."""
    return [(await store.get_counter(limit.counter))[0] for limit in LIMITS]


@pytest.mark.parametrize(
    ("error", "is_free", "count"),
    [(None, True, 0), (None, False, 1), (ValueError, True, 1), (KeyError, False, 0), (Unavailable, True, 0)],
)
async def test_what_counts(store: Store, error: type[Exception] | None, is_free: bool, count: int) -> None:
    """What is wrong counts, and success unless it is free, but no other failure."""
    tally = Tally(store)
    await tally.reserve(LIMITS)
    with pytest.raises(error) if error else nullcontext():
        async with tally.decided(LIMITS, wrong=ValueError, is_free=is_free):
            if error is not None:
                raise error
    assert await counts(store) == [count, count]


async def test_undecided_attempts(store: Store) -> None:
    """An attempt waits while others might be right, and is refused once enough were wrong."""
    tallies = [Tally(store), Tally(store)]

    async def attempt(tally: Tally, wrong: bool) -> None:
        await tally.reserve(LIMITS)
        async with tally.decided(LIMITS, wrong=ValueError):
            await asyncio.sleep(0.01)
            if wrong:
                raise ValueError

    async with asyncio.timeout(WATCHDOG):
        await asyncio.gather(*(attempt(tallies[n % 2], False) for n in range(10)))
    outcomes = await asyncio.gather(
        *(attempt(tallies[n % 2], True) for n in range(10)), return_exceptions=True
    )
    assert (
        sorted(type(outcome).__name__ for outcome in outcomes) == ["TooManyAttempts"] * 8 + ["ValueError"] * 2
    )
    assert await counts(store) == [2, 2]
    with pytest.raises(TooManyAttempts) as refused:
        await tallies[0].reserve(LIMITS)
    assert 1 <= refused.value.retry_after <= 900


async def test_an_attempt_that_is_cancelled(store: Store) -> None:
    """It counts: nobody knows how it would have ended."""
    tally = Tally(store)
    entered = asyncio.Event()

    async def attempt() -> None:
        await tally.reserve(LIMITS)
        async with tally.decided(LIMITS, wrong=ValueError):
            entered.set()
            await asyncio.sleep(WATCHDOG)

    attempting = asyncio.create_task(attempt())
    await entered.wait()
    await cancel(attempting)
    await tally.close()
    assert await counts(store) == [1, 1]


@pytest.mark.parametrize("steps", range(8))
async def test_a_reservation_that_is_cancelled(store: Store, steps: int) -> None:
    """It is taken back, in whatever step it was."""
    tally = Tally(store)
    reserving = asyncio.create_task(tally.reserve(LIMITS))
    for _ in range(steps):
        await asyncio.sleep(0)
    if not reserving.done():
        await cancel(reserving)
        await tally.close()
        assert await counts(store) == [0, 0]


class Failing:
    """A store whose increment fails once, the ``n``th time."""

    def __init__(self, store: Store, n: int) -> None:
        self._store = store
        self._left = n

    async def increment(self, key: str, ttl: float, by: int = 1) -> int:
        """Count, or fail."""
        self._left -= 1
        if self._left == 0:
            raise Unavailable
        return await self._store.increment(key, ttl, by)


@pytest.mark.parametrize("n", [1, 2])
async def test_a_reservation_that_fails(store: Store, n: int) -> None:
    """It is taken back where it was made, so that later attempts don't wait for it."""
    failing: Any = Failing(store, n)
    with pytest.raises(Unavailable):
        await Tally(cast(Store, failing)).reserve(LIMITS)
    assert await counts(store) == [0, 0]
