"""Events in programs that are no service: ``async with EventManager(...) as events``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.conftest import server_module
from tests.support.limits import PATIENCE, WATCHDOG, limits
from tests.support.servers import free_port
from tests.support.service import eventually
from toto_aio.brokers import redis as redis_broker
from toto_aio.brokers.memory import MemoryBroker
from toto_aio.events import EventManager, manager, taken
from toto_aio.exceptions import Unavailable
from toto_aio.settings import SettingsError


@pytest.fixture(autouse=True)
def long_limits() -> Iterator[None]:
    """No test reaches the limit of another one than its own."""
    with limits(taken, HAND_BACK_LIMIT=PATIENCE), limits(redis_broker, OFFER_LIMIT=PATIENCE):
        with limits(manager, EXIT_LIMIT=PATIENCE):
            yield


async def test_two_programs(redis_url: str) -> None:
    """One sends and the other listens, by a URL, a ready client or a broker; the client stays open."""
    async with Redis.from_url(redis_url, decode_responses=True) as client:
        async with EventManager(redis_url) as one, EventManager(client) as other:
            async with other.subscribe("note") as notes:
                await one.send("note", {"text": "grüße"})
                assert await asyncio.wait_for(anext(notes), WATCHDOG) == {"text": "grüße"}
            heard: list[Any] = []
            one.register_handler("reply", heard.append)
            await other.send("reply", 1, broadcast=False)
            await eventually(lambda: heard == [1])
        assert await client.ping()
    with pytest.raises(Unavailable):
        await one.send("note", 1)


async def test_within_one_program() -> None:
    """With memory:// events stay in the program, and there it is the only manager."""
    for given in ("memory://", "memory", MemoryBroker()):
        async with EventManager(given) as events, events.subscribe("note") as notes:
            assert EventManager.instance() is events
            await events.send("note", [1])
            assert await asyncio.wait_for(anext(notes), WATCHDOG) == [1]
    with pytest.raises(RuntimeError, match="No event managers are running"):
        EventManager.instance()


@pytest.mark.parametrize("kind", ["memory", "redis"])
async def test_what_a_program_has_taken(kind: str, redis_url: str) -> None:
    """When it ends, also by an error, it finishes the event for one process that it has begun."""
    done: list[Any] = []

    async def work(args: Any) -> None:
        await asyncio.sleep(0.05)
        done.append(args)

    with pytest.raises(KeyError):
        async with EventManager("memory://" if kind == "memory" else redis_url) as events:
            events.register_handler("job", work)
            await events.send("job", 1, broadcast=False)
            if kind == "redis":
                await eventually(lambda: bool(events._taken._events) or bool(done))
            raise KeyError
    assert done == [1]


async def test_what_a_program_leaves_to_others(redis_url: str) -> None:
    """Events for one process that it has not begun are handled by another one."""
    stuck = asyncio.Event()
    first: list[Any] = []
    second: list[Any] = []

    async def slow(args: Any) -> None:
        first.append(args)
        await stuck.wait()

    async def go_on() -> None:
        await eventually(lambda: len(second) == 4)
        stuck.set()

    async with EventManager(redis_url) as other:
        async with EventManager(redis_url) as events:
            events.register_handler("job", slow, persist=True)
            for n in range(5):
                await events.send("job", n, broadcast=False)
            await eventually(lambda: events.counts().received == 5)
            other.register_handler("job", second.append, persist=True)
            going_on = asyncio.create_task(go_on())
        await going_on
    assert (first, second) == ([0], [1, 2, 3, 4])


async def test_a_manager_is_started_once() -> None:
    """It is not for a second block; the error says what to do."""
    events = EventManager("memory://")
    async with events:
        with pytest.raises(RuntimeError, match="make another one"):
            async with events:
                pass
    with pytest.raises(RuntimeError, match="make another one"):
        async with events:
            pass


def test_handlers_before_the_start() -> None:
    """A module may register them, where there is no event loop yet; one that is removed is not called."""
    events = EventManager("memory://")
    always: list[Any] = []
    once: list[Any] = []
    removed: list[Any] = []
    events.register_handler("note", always.append, persist=True)
    events.register_handler("note", once.append)
    events.remove_handler(events.register_handler("note", removed.append, persist=True))

    async def main() -> None:
        async with events:
            await events.send("note", 1)
            await events.send("note", 2)
            await eventually(lambda: len(always) == 2)

    asyncio.run(main())
    assert (always, once, removed) == ([1, 2], [1], [])


async def test_what_cannot_be_opened() -> None:
    """A wrong URL, ``off``, and a server that is away."""
    wrong: dict[Any, str] = {
        "off": "write memory:// or redis://",
        "x://": "write one of",
        5: "expected a URL",
    }
    for given, expected in wrong.items():
        with pytest.raises(SettingsError, match=f"events: .*{expected}"):
            EventManager(given)
    with pytest.raises(Unavailable, match="Cannot open the events"):
        async with EventManager(f"redis://127.0.0.1:{free_port()}/0"):
            pass


async def test_a_server_that_is_gone_at_the_end() -> None:
    """The block ends, and no handler is waited for longer than its limit."""
    forever = asyncio.Event()
    begun = asyncio.Event()

    async def hang(args: Any) -> None:
        begun.set()
        await forever.wait()

    with server_module("redis").server() as server, limits(manager, EXIT_LIMIT=0.1):
        async with EventManager(server_module("redis").fresh_url(server)) as events:
            events.register_handler("job", hang)
            await events.send("job", 1, broadcast=False)
            await begun.wait()
            server.stop()
    assert not forever.is_set()
