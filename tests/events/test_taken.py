"""Events for one process when the process that has taken them ends: each is handled once, or reported."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import tests.support.servers.redis
from tests.support.limits import PATIENCE, WATCHDOG, limits
from tests.support.service import Serve, eventually
from toto_aio.brokers import open_broker
from toto_aio.brokers import redis as redis_broker
from toto_aio.events import manager, taken
from toto_aio.events.manager import EventManager

NUMBERS = list(range(30))


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    """Other processes take what they are offered, however busy the machine."""
    with limits(taken, HAND_BACK_LIMIT=PATIENCE), limits(redis_broker, OFFER_LIMIT=PATIENCE):
        yield


@pytest.fixture(params=["memory", "redis"])
def any_url(request: pytest.FixtureRequest) -> str:
    """The URL of each broker."""
    return "memory://" if request.param == "memory" else str(request.getfixturevalue("redis_url"))


@asynccontextmanager
async def running(url: str) -> AsyncIterator[EventManager]:
    """A manager that receives until the end of the block, like a process of its own."""
    broker = open_broker(url)
    assert broker is not None
    events = EventManager(broker)
    await events.start()
    try:
        yield events
    finally:
        await events.close()


async def drain(events: EventManager, *, offer: float = WATCHDOG, limit: float = WATCHDOG) -> None:
    """What an app does with its events before it closes them."""
    await events.drain(offer)
    await events.finish(limit)


class Worker:
    """A handler that handles nothing before it may."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.done: list[int] = []
        self.may = asyncio.Event()

    async def __call__(self, number: int) -> None:
        self.begun.append(number)
        await self.may.wait()
        self.done.append(number)


async def backlog(events: EventManager, sender: EventManager | None = None) -> Worker:
    """A worker that has begun the first event, while the others wait for it."""
    worker = Worker()
    events.register_handler("job", worker, persist=True)
    for number in NUMBERS:
        await (sender or events).send("job", number, broadcast=False)
    await eventually(lambda: events.counts().waiting == len(NUMBERS) - 1)
    return worker


async def test_what_waits_is_handed_to_others(redis_url: str) -> None:
    """In its order; what has begun ends where it began."""
    async with running(redis_url) as one, running(redis_url) as other:
        busy, free = await backlog(one), Worker()
        free.may.set()
        other.register_handler("job", free, persist=True)
        draining = asyncio.create_task(drain(one))
        await eventually(lambda: len(free.done) == len(NUMBERS) - 1)
        assert not draining.done()
        busy.may.set()
        await draining
        assert (busy.done, free.done) == (NUMBERS[:1], NUMBERS[1:])


async def test_nobody_to_hand_it_to(any_url: str) -> None:
    """The process handles everything itself before it ends."""
    async with running(any_url) as events:
        worker = await backlog(events)
        asyncio.get_running_loop().call_later(0.3, worker.may.set)
        await drain(events, offer=0.1)
        assert worker.done == NUMBERS


async def test_what_cannot_be_handled_is_logged(any_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """One line has the number of events that are lost."""
    async with running(any_url) as events:
        await backlog(events)
        await drain(events, offer=0.1, limit=0.1)
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert lines == [
        f"{len(NUMBERS)} events for one process were not handled before the shutdown, and are lost"
    ]


async def test_others_have_no_room(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They take no more than their queues hold, and the rest is handled where it was."""
    async with running(redis_url) as one, running(redis_url) as other:
        busy, full = await backlog(one), Worker()
        monkeypatch.setattr(manager, "QUEUE_SIZE", 5)
        other.register_handler("job", full, persist=True)
        await one.drain(5)
        busy.may.set()
        await one.finish(WATCHDOG)
        full.may.set()
        await eventually(lambda: len(busy.done + full.done) == len(NUMBERS))
        assert sorted(busy.done + full.done) == NUMBERS
        assert other.counts().dropped == 0
        assert 1 <= len(full.done) <= 6


async def test_what_is_sent_while_a_process_ends(redis_url: str) -> None:
    """Another process gets it, and only without one the process itself."""
    async with running(redis_url) as one, running(redis_url) as other:
        worker, elsewhere = Worker(), Worker()
        worker.may.set()
        elsewhere.may.set()
        one.register_handler("job", worker, persist=True)
        await one.drain(WATCHDOG)
        with limits(redis_broker, OFFER_LIMIT=0.1):
            await one.send("job", 1, broadcast=False)
        await eventually(lambda: worker.done == [1])
        other.register_handler("job", elsewhere, persist=True)
        for number in NUMBERS:
            await one.send("job", number, broadcast=False)
        await eventually(lambda: elsewhere.done == NUMBERS)
        assert worker.done == [1]


async def test_while_redis_is_down() -> None:
    """What was taken is handled here, as nobody can be asked."""
    with tests.support.servers.redis.server() as server:
        async with running(tests.support.servers.redis.fresh_url(server)) as events:
            worker = await backlog(events)
            server.kill()
            await events.drain(WATCHDOG)
            worker.may.set()
            await events.finish(WATCHDOG)
            assert worker.done == NUMBERS
            server.start()


async def test_a_subscription_that_ends(redis_url: str) -> None:
    """What it has not read goes to others, without any shutdown."""
    async with running(redis_url) as one, running(redis_url) as other:
        async with one.subscribe("job") as unread:
            for number in NUMBERS:
                await one.send("job", number, broadcast=False)
            await eventually(lambda: unread.waiting == len(NUMBERS))
            assert await anext(unread) == 0
            free = Worker()
            free.may.set()
            other.register_handler("job", free, persist=True)
        await eventually(lambda: free.done == NUMBERS[1:])


async def test_handlers_for_one_event(redis_url: str) -> None:
    """Of two processes that wait for one event each, none gets both."""
    async with running(redis_url) as one, running(redis_url) as other:
        for round_ in range(50):
            loop = asyncio.get_running_loop()
            heard = [loop.create_future(), loop.create_future()]
            for events, future in zip((one, other), heard, strict=True):
                events.register_handler("job", future.set_result)
            for number in (1, 2):
                await one.send("job", [round_, number], broadcast=False)
            async with asyncio.timeout(WATCHDOG):
                assert sorted(await asyncio.gather(*heard)) == [[round_, 1], [round_, 2]]


async def test_two_receivers_in_a_process(redis_url: str) -> None:
    """An event that one of them has seen stays in the process, and the other gets it there."""
    async with running(redis_url) as one, running(redis_url) as other:
        slow = await backlog(one)
        quick, elsewhere = Worker(), Worker()
        quick.may.set()
        elsewhere.may.set()
        one.register_handler("job", quick, persist=True)
        await one.send("job", 100, broadcast=False)
        await eventually(lambda: quick.done == [100])
        other.register_handler("job", elsewhere, persist=True)
        draining = asyncio.create_task(drain(one))
        await eventually(lambda: elsewhere.done == NUMBERS[1:])
        slow.may.set()
        await draining
        assert slow.done == [0, 100]


async def test_an_app_that_shuts_down(serve: Serve, redis_url: str) -> None:
    """It hands over what waits, and ends once its handlers have ended."""
    workers: list[Worker] = []

    async def send(handler: Any, parameters: Any) -> None:
        for number in NUMBERS:
            await handler.events.send("job", number, broadcast=False)

    def app() -> dict[str, Any]:
        worker = Worker()
        workers.append(worker)

        def init(events: EventManager) -> None:
            events.register_handler("job", worker, persist=True)

        options = {"events": redis_url, "event_init_module": init, "shutdown_timeout": 20 * PATIENCE}
        return {"methods": {"send": send}, **options}

    one = await serve(**app())
    await one.result("send")
    await eventually(lambda: workers[0].begun == [0])
    other = await serve(**app())
    workers[1].may.set()
    closing = asyncio.create_task(one.client.close())
    await eventually(lambda: workers[1].done == NUMBERS[1:])
    workers[0].may.set()
    await closing
    assert workers[0].done == [0]
    await other.client.close()
