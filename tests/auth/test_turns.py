"""Turns, by the order in which they are taken."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from contextvars import Context

import pytest

from toto_aio.auth.turns import MAX_WAITING, Turns
from toto_aio.exceptions import TooManyAttempts


class Work:
    """Clients who wait for turns behind one that has begun; ``took`` are those who had one."""

    def __init__(self) -> None:
        self.turns = Turns(1)
        self.took: list[str] = []
        self.done = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    async def wait(self, *clients: str) -> list[asyncio.Task[None]]:
        """Let clients wait for a turn, in this order."""
        waiting = [asyncio.create_task(self._take(client)) for client in clients]
        self.tasks += waiting
        await asyncio.sleep(0)
        return waiting

    async def finish(self) -> list[str]:
        """End all turns; returns who had one, and after them who was refused."""
        self.done.set()
        await asyncio.wait(self.tasks)
        return self.took

    async def _take(self, client: str) -> None:
        async with self.turns.turn(client):
            await self.done.wait()
            self.took.append(client)


async def test_one_of_each_client_after_the_other() -> None:
    """Those of a client who sends many wait, those of the others have their turns between them."""
    work = Work()
    await work.wait(*["a"] * 5, "b", "c", "b")
    assert await work.finish() == ["a", "a", "b", "c", "a", "b", "a", "a"]


async def test_too_many() -> None:
    """Beyond the bound, the client of whom the most wait is refused; another one takes its place."""
    work = Work()
    tasks = await work.wait(*["a"] * (1 + MAX_WAITING))
    refused = (await work.wait("a"))[0]
    with pytest.raises(TooManyAttempts) as error:
        await refused
    assert error.value.retry_after >= 1
    await work.wait("b")
    with pytest.raises(TooManyAttempts):
        await tasks[-1]
    took = await work.finish()
    assert (took[:3], took.count("a"), took.count("b")) == (["a", "a", "b"], MAX_WAITING, 1)


async def test_many_clients_of_one_each() -> None:
    """When all that wait are of different clients, the next one is refused."""
    work = Work()
    await work.wait("first", *map(str, range(MAX_WAITING)))
    for client in ("new", "7"):
        with pytest.raises(TooManyAttempts):
            await (await work.wait(client))[0]
    assert len(await work.finish()) == 1 + MAX_WAITING


@pytest.mark.parametrize("late", [False, True])
async def test_clients_who_leave(late: bool) -> None:
    """The turn of a client who has left, or leaves as it comes, is the next one's."""
    work = Work()
    _, leaves, stays = await work.wait("a", "b", "c")
    if late:
        work.done.set()
        while not work.took:  # the turn of b comes when that of a ends
            await asyncio.sleep(0)
    leaves.cancel()
    with suppress(asyncio.CancelledError):
        await leaves
    assert "c" in await work.finish()
    assert stays.done()
    assert (await work.wait("d"))[0] is not None
    assert (await work.finish())[-1] == "d"


async def test_a_turn_within_a_turn() -> None:
    """It is the same one, and does not end it."""
    turns = Turns(1)
    async with turns.turn("a"), turns.turn("b"):
        pass
    async with turns.turn("a"):
        async with turns.turn("b"):
            pass
        waiting = asyncio.create_task(turns.turn("c").__aenter__(), context=Context())
        await asyncio.sleep(0)
        assert not waiting.done()
    await waiting


async def test_work_that_fails_ends_its_turn() -> None:
    """Whatever ends a turn, the next one begins."""
    turns = Turns(1)
    for _ in range(3):
        with pytest.raises(ValueError, match="broken"):
            async with turns.turn("a"):
                raise ValueError("broken")
