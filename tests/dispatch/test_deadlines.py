"""Time limits that share a timer."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.support.limits import PATIENCE
from tests.support.service import eventually
from toto_aio.dispatch.deadlines import POLL_INTERVAL, Deadline, Deadlines


@pytest.fixture
async def deadlines() -> Deadlines:
    """The deadlines of the test's loop."""
    return Deadlines(asyncio.get_running_loop())


async def test_what_takes_too_long(deadlines: Deadlines) -> None:
    """It is cancelled and raises TimeoutError, and not too early."""
    started = time.monotonic()
    limit = Deadline(deadlines, 0.05)
    with pytest.raises(TimeoutError), limit:
        await asyncio.sleep(PATIENCE)
    assert limit.expired
    assert time.monotonic() - started >= 0.05


async def test_what_is_done_in_time(deadlines: Deadlines) -> None:
    """Nothing happens, then or later."""
    with Deadline(deadlines, 0.05) as limit:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05 + 2 * POLL_INTERVAL)
    assert not limit.expired


async def test_many_at_once(deadlines: Deadlines) -> None:
    """Each has its own limit, whatever the limits of the others."""

    async def work(limit: float, takes: float) -> bool:
        try:
            with Deadline(deadlines, limit):
                await asyncio.sleep(takes)
        except TimeoutError:
            return False
        return True

    outcomes = await asyncio.gather(
        *(work(0.05, PATIENCE) for _ in range(50)),
        *(work(PATIENCE, 0.01) for _ in range(50)),
        *(work(0.05, 0) for _ in range(50)),
        *(work(PATIENCE, 0.4) for _ in range(50)),
    )
    assert outcomes == [False] * 50 + [True] * 150


async def test_a_cancellation_from_elsewhere(deadlines: Deadlines) -> None:
    """It stays a cancellation."""

    async def work() -> None:
        with Deadline(deadlines, 5):
            await asyncio.sleep(30)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_at_the_limit(deadlines: Deadlines) -> None:
    """If both happen together, the cancellation from elsewhere wins, as in asyncio.timeout."""

    async def work() -> None:
        with Deadline(deadlines, 5) as limit:
            task = asyncio.current_task()
            assert task is not None
            limit.expire()
            task.cancel()
            assert task.cancelling() == 2
            await asyncio.sleep(30)

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(work())


async def test_an_error_of_the_work(deadlines: Deadlines) -> None:
    """An exception of the work propagates, even one that it raises in response to a time-out."""
    with pytest.raises(KeyError), Deadline(deadlines, 5):
        raise KeyError
    with pytest.raises(KeyError), Deadline(deadlines, 0.01):
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            raise KeyError from None
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_nested_limits(deadlines: Deadlines) -> None:
    """The inner limit ends only the inner work."""
    with Deadline(deadlines, 5):
        with pytest.raises(TimeoutError), Deadline(deadlines, 0.01):
            await asyncio.sleep(30)
        await asyncio.sleep(0.01)


async def test_limits_that_clients_choose(deadlines: Deadlines) -> None:
    """A limit is forgotten with the last call that has it, as there may be any number of them."""

    async def work(limit: float) -> None:
        with Deadline(deadlines, limit):
            await asyncio.sleep(4 * POLL_INTERVAL)

    await asyncio.gather(*(work(PATIENCE + number / 1000) for number in range(100)))
    with Deadline(deadlines, PATIENCE):
        await eventually(lambda: len(deadlines._by_limit) == 1)


async def test_no_timer_is_left(deadlines: Deadlines) -> None:
    """When nothing runs, no timer is set, and closing cancels the last one."""
    with Deadline(deadlines, 5):
        pass
    await asyncio.sleep(2 * POLL_INTERVAL)
    assert deadlines.timer is None
    with Deadline(deadlines, 5):
        deadlines.close()
