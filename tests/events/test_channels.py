"""Channels in a process: every publication once and in order, or a loss that is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

import tests.support.servers.redis
import tests.support.servers.redis_cluster
import tests.support.servers.redis_sentinel
from tests.support.limits import WATCHDOG, limits, publish_limit
from tests.support.servers import Server
from tests.support.service import eventually
from toto_aio.brokers.memory import MemoryBroker
from toto_aio.channels import Channel, Position
from toto_aio.events import EventManager, channels, followed
from toto_aio.events.followed import ChannelSubscription, Given, Publication, Subscribed
from toto_aio.exceptions import InvalidParameters, Unavailable
from toto_aio.settings import SettingsError

KIND = "redis"
CHANNELS = (Channel("room:{room}", history=10), Channel("plain:{room}"))


class Reader:
    """A subscriber, and what it has got: data in order, and losses as None."""

    def __init__(self, events: EventManager, name: str = "room:1") -> None:
        assert events.channels is not None
        self.channels = events.channels
        self.got: list[Any] = []
        self.position: Position | None = None
        self.subscription = ChannelSubscription(name, self.take, lambda: self.got.append(None))

    async def subscribe(self, since: Position | None = None) -> Subscribed:
        """Subscribe, and go on at once."""
        subscribed = await self.channels.subscribe(self.subscription, since)
        self.position = subscribed.position
        for publication in subscribed.publications:
            self.take(publication)
        self.subscription.begin()
        return subscribed

    def take(self, publication: Given) -> None:
        """Keep the data."""
        assert isinstance(publication, Publication)
        self.got.append(publication.data())
        self.position = publication.position

    async def has(self, *expected: Any) -> None:
        """Wait until it has got so much, and compare."""
        await eventually(lambda: len(self.got) >= len(expected))
        assert self.got == list(expected)


@asynccontextmanager
async def managers(url: Any, count: int = 1, before: Any = None) -> AsyncIterator[list[EventManager]]:
    """So many processes; ``before`` gets each before its start."""
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(count):
            events = EventManager(url, channels=CHANNELS)
            if before is not None:
                before(events)
            found.append(await stack.enter_async_context(events))
        yield found


async def reader(events: EventManager, name: str = "room:1", since: Position | None = None) -> Reader:
    """A reader that has subscribed."""
    found = Reader(events, name)
    await found.subscribe(since)
    return found


async def test_publications_and_recovery(url: str) -> None:
    """Subscribers get what is published, with positions; one that comes back gets what it has missed."""
    async with managers(url) as [events]:
        one, two = await reader(events), await reader(events)
        start = one.position
        assert start is not None
        assert await events.publish("room:1", {"n": 1}) == Position(start.epoch, 1)
        await one.has({"n": 1})
        one.channels.unsubscribe(one.subscription)
        for n in (2, 3):
            await events.publish("room:1", n)
        await two.has({"n": 1}, 2, 3)
        two.got[0]["n"] = "its own copy"
        again = Reader(events)
        assert (await again.subscribe(one.position))[:2] == (Position(start.epoch, 3), True)
        await again.has(2, 3)
        latest = Reader(events)
        assert await latest.subscribe() == Subscribed(Position(start.epoch, 3), False, ())
        same = Reader(events)
        assert await same.subscribe(again.position) == Subscribed(again.position, True, ())
        unknown = []
        for position in (Position("x", 2), Position(start.epoch, 9)):
            lost = Reader(events)
            assert await lost.subscribe(position) == Subscribed(again.position, False, ())
            unknown.append(lost)
        await events.publish("room:1", 4)
        await again.has(2, 3, 4)
        await latest.has(4)
        await lost.has(4)
        for each in (two, again, latest, same, *unknown):
            each.channels.unsubscribe(each.subscription)
        late = Reader(events)
        for n in range(20):
            await events.publish("room:1", n)
        assert (await late.subscribe(start)).recovered is False
        assert late.got == []
        assert events.channels is not None
        late.channels.unsubscribe(late.subscription)
        assert events.channels.counts() == (0, 0)


async def test_without_history(url: str) -> None:
    """A publication has no position, and a subscription recovers nothing."""
    async with managers(url) as [events]:
        one = Reader(events, "plain:1")
        assert await one.subscribe(Position("x", 1)) == Subscribed(None, False, ())
        assert await events.publish("plain:1", [1]) is None
        await one.has([1])


async def test_what_is_refused(redis_url: str) -> None:
    """Names without a pattern, data that are not plain, and keys that are no text."""
    async with managers("memory://") as [events]:
        assert events.channels is not None
        for name in (
            "other",
            "room:",
            "room:1:2",
            "room:a b",
            "room:{1}",
            "room:" + 251 * "x",
            5,
            None,
            "room:é",
        ):
            with pytest.raises(InvalidParameters, match="There is no channel"):
                await events.publish(name, 1)  # type: ignore[arg-type]
            with pytest.raises(InvalidParameters, match="There is no channel"):
                await reader(events, name)  # type: ignore[arg-type]
        for key in ("", 256 * "x", "\n", "\ud800", 5):
            with pytest.raises(InvalidParameters, match="idempotency_key"):
                await events.publish("room:1", 1, idempotency_key=key)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"This cannot be published to 'room:1': data\.a"):
            await events.publish("room:1", {"a": object()})
        assert await events.publish("room:1", None) == Position((await reader(events)).position.epoch, 1)  # type: ignore[union-attr]
    async with EventManager("memory://") as events:
        with pytest.raises(InvalidParameters, match="There is no channel 'room:1': declare it"):
            await events.publish("room:1", 1)
    with pytest.raises(SettingsError, match="share names"):
        EventManager("memory://", channels=[Channel("{a}:b"), Channel("a:{b}")])

    class Old:
        start = publish = check = close = MemoryBroker.publish

    with pytest.raises(SettingsError, match="a Old carries no channels"):
        EventManager(Old(), channels=CHANNELS)
    EventManager(Old())


async def test_several_processes(redis_url: str) -> None:
    """All subscribers of all processes get everything in the order of the numbers."""
    async with managers(redis_url, 3) as processes:
        readers = [await reader(events, name) for events in processes for name in ("room:1", "room:2")]

        async def publish(events: EventManager, letter: str) -> None:
            for n in range(30):
                await events.publish("room:1", f"{letter}{n}")

        await asyncio.gather(*map(publish, processes, "abc"))
        await eventually(lambda: all(len(each.got) == 90 for each in readers[::2]))
        assert readers[0].got == readers[2].got == readers[4].got
        for letter in "abc":
            assert [each for each in readers[0].got if each[0] == letter] == [
                f"{letter}{n}" for n in range(30)
            ]
        assert [each.got for each in readers[1::2]] == [[], [], []]


async def test_gaps_are_filled(redis_url: str) -> None:
    """What did not arrive is read, once for all subscribers; nothing comes twice or out of order."""
    heard: list[int] = []

    def forget_some(events: EventManager) -> None:
        assert events.channels is not None
        hear = events.channels.hear

        def some(name: str, position: Position | None, payload: bytes) -> None:
            assert position is not None
            heard.append(position.offset)
            if position.offset in (1, 3, 6, 7, 8):
                return
            hear(name, position, payload)
            hear(name, position, payload)

        events.channels.hear = some  # type: ignore[method-assign]

    async with managers(redis_url, before=forget_some) as [events]:
        one, two = await reader(events), await reader(events)
        for n in range(1, 11):
            await events.publish("room:1", n)
        await one.has(*range(1, 11))
        await two.has(*range(1, 11))
        await eventually(lambda: len(heard) >= 10)
        assert heard == list(range(1, 11))


async def test_the_last_message_is_lost(redis_url: str) -> None:
    """It leaves no gap, but a channel that is silent is read now and then."""

    def forget(events: EventManager) -> None:
        assert events.channels is not None
        events.channels.hear = lambda name, position, payload: None  # type: ignore[method-assign]

    with limits(followed, MIN_SILENCE=0.1, MAX_SILENCE=0.2), limits(channels, WATCH_INTERVAL=0.05):
        async with managers(redis_url, before=forget) as [events]:
            one = await reader(events)
            await events.publish("room:1", 1)
            await one.has(1)
            await events.publish("room:1", 2)
            await one.has(1, 2)


async def test_what_cannot_be_filled_is_lost(redis_url: str) -> None:
    """Everybody is told, nothing is delivered in part, and who comes back learns that it is not recovered."""
    deaf = True

    def forget(events: EventManager) -> None:
        assert events.channels is not None
        hear = events.channels.hear
        events.channels.hear = lambda *message: None if deaf else hear(*message)  # type: ignore[method-assign]

    async with managers(redis_url, before=forget) as [events]:
        one, two = await reader(events), await reader(events)
        for n in range(20):
            await events.publish("room:1", n)
        deaf = False
        await events.publish("room:1", 20)
        await one.has(None)
        await two.has(None)
        again = Reader(events)
        assert (await again.subscribe(one.position)).recovered is False
        await events.publish("room:1", 21)
        await again.has(21)
        assert one.got == [None]


async def test_while_it_subscribes(redis_url: str) -> None:
    """What is published while a client subscribes comes once, wherever it is found."""
    async with managers(redis_url, 2) as [events, other]:
        first = await reader(events)
        start = first.position

        async def publish() -> None:
            for n in range(60):
                await other.publish("room:1", n)

        publishing = asyncio.create_task(publish())
        readers = []
        while not publishing.done():
            each = Reader(events)
            found = await each.subscribe(start)
            if found.recovered:
                readers.append((0, each))
            each = Reader(events)
            found = await each.subscribe()
            assert found.position is not None
            readers.append((found.position.offset, each))
            await asyncio.sleep(0)
        await publishing
        await first.has(*range(60))
        await eventually(lambda: all(len(each.got) >= 60 - offset for offset, each in readers))
        for offset, each in readers:
            assert each.got == list(range(offset, 60)), offset


async def test_a_subscriber_that_is_cancelled(redis_url: str) -> None:
    """It leaves nothing, and another one that waits for the same channel goes on."""
    async with managers(redis_url) as [events]:
        assert events.channels is not None
        for steps in range(8):
            one, two = Reader(events), Reader(events)
            task = asyncio.create_task(one.subscribe())
            waiting = asyncio.create_task(two.subscribe())
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await waiting
            await events.publish("room:1", steps)
            await two.has(steps)
            await asyncio.gather(task, return_exceptions=True)
            one.channels.unsubscribe(one.subscription)
            two.channels.unsubscribe(two.subscription)
            assert events.channels.counts() == (0, 0)


async def test_an_idempotency_key(redis_url: str) -> None:
    """Whoever repeats a publication in any process has published it once."""
    async with managers(redis_url, 2) as [events, other]:
        one = await reader(events)
        first = await events.publish("room:1", "a", idempotency_key="1")
        assert await other.publish("room:1", "a", idempotency_key="1") == first
        await other.publish("room:1", "b")
        await one.has("a", "b")


# Redis fails


@pytest.mark.parametrize("appendonly", ["no", "yes"])
async def test_a_restart_begins_a_new_epoch(tmp_path: Any, appendonly: str) -> None:
    """What was saved and what was lost: no number is given twice in an epoch, and everybody is told."""
    with tests.support.servers.redis.server(appendonly=appendonly) as server:
        address = tests.support.servers.redis.fresh_url(server)
        async with managers(address, 2) as [events, other]:
            one = await reader(events)
            silent = await reader(events, "plain:1")
            for n in range(3):
                await events.publish("room:1", n)
            from redis.asyncio import Redis

            async with Redis(port=server.port) as admin:
                if appendonly == "no":
                    await admin.save()
            for n in (3, 4):  # without the AOF these are gone after the kill
                await events.publish("room:1", n)
            await one.has(0, 1, 2, 3, 4)
            server.kill()
            with publish_limit(1.0), pytest.raises(Unavailable):
                await events.publish("room:1", "nobody")
            server.start()
            await one.has(0, 1, 2, 3, 4, None)
            await silent.has(None)
            await eventually_published(other)
            again = Reader(events)
            found = await again.subscribe(one.position)
            assert (found.recovered, found.publications) == (False, ())
            assert found.position is not None and one.position is not None  # noqa: PT018  # for mypy
            assert found.position.epoch != one.position.epoch
            await other.publish("room:1", "new")
            await again.has("new")


async def test_a_failover_begins_a_new_epoch(servers: Callable[[str], Any]) -> None:
    """The server that takes over has everything, and still counts in an epoch of its own, which is told."""
    watched = servers("redis_sentinel")
    address = tests.support.servers.redis_sentinel.fresh_url(watched)
    async with managers(address, 2) as [events, other]:
        one = await reader(events)
        await other.publish("room:1", 1)
        await one.has(1)
        await watched.fail_over()
        await one.has(1, None)
        await eventually_published(other)
        again = Reader(events)
        found = await again.subscribe(one.position)
        assert found.recovered is False
        await other.publish("room:1", 2)
        await eventually(lambda: again.got[-1:] == [2])


async def eventually_published(events: EventManager) -> None:
    """Publish as soon as that is possible again."""
    async with asyncio.timeout(WATCHDOG):
        while True:
            try:
                await events.publish("room:1", "back")
                return
            except Unavailable:
                await asyncio.sleep(0.05)


async def test_a_cut_connection_is_made_up(redis_url: str) -> None:
    """Redis goes on while a process is not connected: it reads what it has missed, and tells nobody.

    What was published without a history is gone, which is told.
    """
    from redis.asyncio import Redis

    async with managers(redis_url, 2) as [events, other], Redis.from_url(redis_url) as admin:
        one, without = await reader(events), await reader(events, "plain:1")
        await other.publish("room:1", 0)
        await one.has(0)
        number = redis_url.rpartition("/")[2]
        for n in range(1, 6):
            for each in await admin.client_list():
                if each["db"] == number and each["sub"] != "0":
                    await admin.client_kill_filter(_id=each["id"])
            await other.publish("room:1", n)
        await one.has(0, 1, 2, 3, 4, 5)
        await without.has(None)


async def test_a_frozen_redis(own_server: Server) -> None:
    """Publishing and subscribing are 1011 within their limits, and work again when Redis does."""
    address = tests.support.servers.redis.fresh_url(own_server)
    async with managers(address) as [events]:
        one = await reader(events)
        with publish_limit(0.3):
            own_server.freeze()
            try:
                for work in (
                    events.publish("room:1", 1),
                    reader(events, "room:2"),
                    reader(events, "plain:1"),
                ):
                    with pytest.raises(Unavailable):
                        await work
            finally:
                own_server.thaw()
        await events.publish("room:1", 2)
        await eventually(lambda: 2 in one.got)
        assert one.got in ([2], [1, 2])  # the first may have happened
        two = await reader(events, "room:2")
        await events.publish("room:2", 1)
        await two.has(1)
