"""Who is present, through the ends of processes and of Redis: right again by itself, and told once."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

import tests.support.servers.redis
import tests.support.servers.redis_cluster
from tests.support.limits import PATIENCE, WATCHDOG, limits
from tests.support.servers import Server
from tests.support.service import eventually
from toto_aio.brokers import redis as redis_broker
from toto_aio.brokers import redis_presence, redis_processes
from toto_aio.brokers.memory import MemoryBroker
from toto_aio.channels import Channel, Member, PresenceStats
from toto_aio.events import EventManager
from toto_aio.events.deliveries import Change, Join
from toto_aio.events.followed import ChannelSubscription, Given, Publication
from toto_aio.exceptions import InvalidParameters, Unavailable
from toto_aio.settings import SettingsError

KIND = "redis"
ROOM = Channel("room:{room}", history=10, presence=True, join_leave=True)
CHANNELS = (ROOM, Channel("plain"))
LONG = 45.0
"""Seconds after which a test has failed that waits for what takes ten."""
PROGRAM = """
import asyncio, sys
from toto_aio.channels import Channel, Member
from toto_aio.events import EventManager
from toto_aio.events.followed import ChannelSubscription

async def main():
    channels = [Channel("room:{room}", history=10, presence=True, join_leave=True)]
    async with EventManager(sys.argv[1], channels=channels) as events:
        for client in sys.argv[2:]:
            member = Member(client, "user")
            subscription = ChannelSubscription("room:1", lambda given: None, lambda: None, member)
            await events.channels.subscribe(subscription, None)
            subscription.begin()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main())
"""


class Reader:
    """A subscriber, and what it was told."""

    def __init__(self, events: EventManager, client: str, name: str = "room:1") -> None:
        assert events.channels is not None
        self.channels = events.channels
        self.member = Member(client, f"user {client[0]}", {"n": 1})
        self.told: list[str] = []
        self.published = 0
        self.subscription = ChannelSubscription(
            name, self.take, lambda: self.told.append("lost"), self.member
        )

    def take(self, given: Given) -> None:
        """Keep who has come and gone, and count what is published."""
        self.published += isinstance(given, Publication)
        if isinstance(given, Change):
            self.told.append(f"{'+' if isinstance(given, Join) else '-'}{given.member.client}")

    async def subscribe(self) -> Reader:
        """Subscribe, and wait until it has been told of itself."""
        await self.channels.subscribe(self.subscription, None)
        self.subscription.begin()
        await eventually(lambda: f"+{self.member.client}" in self.told)
        return self

    def leave(self) -> None:
        """Unsubscribe."""
        self.channels.unsubscribe(self.subscription)


@asynccontextmanager
async def managers(url: str, count: int = 1) -> AsyncIterator[list[EventManager]]:
    """So many processes."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(EventManager(url, channels=CHANNELS)) for _ in range(count)]


@asynccontextmanager
async def program(url: str, *clients: str) -> AsyncIterator[Process]:
    """Another process in which these clients have subscribed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, url, *clients, stdin=PIPE, stdout=PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            assert await process.stdout.readline() == b"ready\n"
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        await process.wait()


async def present(events: EventManager, *clients: str, limit: float = WATCHDOG) -> None:
    """Wait until exactly these are present."""
    found: list[str] = []
    try:
        async with asyncio.timeout(limit):
            while True:
                try:
                    found = sorted(each.client for each in await events.presence("room:1"))
                except Unavailable:
                    found = ["unavailable"]
                if found == sorted(clients):
                    return
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"{found} are present, not {sorted(clients)}") from None


async def told(reader: Reader, *changes: str, limit: float = WATCHDOG) -> None:
    """Wait until a reader was told of so many changes, and compare them: each once, in any order."""
    try:
        async with asyncio.timeout(limit):
            while len(reader.told) < len(changes):
                await asyncio.sleep(0.02)
    except TimeoutError:
        pass
    assert Counter(reader.told) == Counter(changes)


async def test_who_comes_and_goes(url: str) -> None:
    """Subscribers are told, themselves too, and whoever asks gets the same; nothing is left at the end."""
    async with managers(url) as [events]:
        one = await Reader(events, "a1").subscribe()
        two = await Reader(events, "a2").subscribe()
        three = await Reader(events, "b").subscribe()
        found = await events.presence("room:1")
        assert sorted(found, key=lambda each: each.client) == [one.member, two.member, three.member]
        assert await events.presence_stats("room:1") == PresenceStats(3, 2)
        for member in found:
            member.info["n"] = "its own copy"
        assert {each.info["n"] for each in await events.presence("room:1")} == {1}
        two.leave()
        two.leave()
        assert await events.presence_stats("room:1") == PresenceStats(2, 2)
        await told(one, "+a1", "+a2", "+b", "-a2")
        assert two.told == ["+a2", "+b"]
        again = await Reader(events, "a2").subscribe()
        two.leave()  # an old subscription takes nothing from a new one
        await told(three, "+b", "-a2", "+a2")
        late = Reader(events, "b")
        late.leave()
        await late.channels.subscribe(late.subscription, None)  # it was left before it has begun
        late.leave()
        await present(events, "a1", "a2", "b")
        for reader in (one, three, again):
            reader.leave()
        assert await events.presence("room:1") == []
        many = await asyncio.gather(*(events.presence("room:1") for _ in range(50)))
        assert many == 50 * [[]]
        assert events.channels is not None
        assert (events.channels._present._asked, events.channels._present._asking) == ({}, {})


async def test_what_is_refused() -> None:
    """Channels without presence, and those that there are not; a broker that knows of nobody."""
    async with managers("memory://") as [events]:
        with pytest.raises(InvalidParameters, match="declare it with presence=True"):
            await events.presence("plain")
        with pytest.raises(InvalidParameters, match="There is no channel 'x'"):
            await events.presence_stats("x")
        assert events.channels is not None
        nobody = ChannelSubscription("room:1", lambda given: None, lambda: None)
        with pytest.raises(TypeError, match="is a Member"):
            await events.channels.subscribe(nobody, None)
        large = Reader(events, "a")
        large.subscription.member = Member("a", "", 2001 * "x")
        with pytest.raises(TypeError, match=r"about who subscribes to 'room:1': info: it has 200\d bytes"):
            await large.subscribe()
        assert events.channels.counts() == (0, 0)

    class Old:
        start = publish = check = close = MemoryBroker.publish
        follow = unfollow = publish_to = read = kept = MemoryBroker.publish

    with pytest.raises(SettingsError, match="a Old doesn't know who is present"):
        EventManager(Old(), channels=CHANNELS)
    EventManager(Old(), channels=CHANNELS[1:])


async def test_processes_that_die_and_freeze(own_server: Server) -> None:
    """What a killed or frozen process leaves is told once; one that goes on puts its clients back.

    After Redis was killed, and has lost all of it, everybody is put back.
    """
    address = tests.support.servers.redis.fresh_url(own_server)
    async with (
        program(address, "k1", "k2") as killed,
        program(address, "f1", "f2") as frozen,
        managers(address, 2) as [events, other],
    ):
        one, two = await Reader(events, "a").subscribe(), await Reader(other, "b").subscribe()
        await present(events, "a", "b", "f1", "f2", "k1", "k2")
        killed.kill()
        frozen.send_signal(signal.SIGSTOP)
        await present(events, "a", "b", limit=LONG)
        gone = ["-f1", "-f2", "-k1", "-k2"]
        await told(one, "+a", "+b", *gone, limit=LONG)
        await told(two, "+b", *gone, limit=LONG)
        frozen.send_signal(signal.SIGCONT)
        await present(other, "a", "b", "f1", "f2", limit=LONG)
        await told(one, "+a", "+b", *gone, "+f1", "+f2", limit=LONG)
        own_server.kill()
        with limits(redis_broker, PUBLISH_LIMIT=1.0), pytest.raises(Unavailable):
            await events.presence("room:1")
        shutil.rmtree(own_server.directory / "appendonlydir")
        own_server.start()
        await present(events, "a", "b", "f1", "f2", limit=LONG)
        frozen.kill()
        await present(other, "a", "b", limit=LONG)


async def test_a_frozen_redis(own_server: Server) -> None:
    """Nobody is taken for dead because Redis did not answer, and what has changed meanwhile is made up."""
    address = tests.support.servers.redis.fresh_url(own_server)
    short = {"BEAT": 0.1, "DEAD_AFTER": 1.0, "MISSED": 0.5, "FRESH": 0.2}
    with limits(redis_processes, **short), limits(redis_presence, ENTER_LIMIT=0.1):
        async with managers(address, 2) as [events, other]:
            readers = [await Reader(events, "a").subscribe(), await Reader(other, "b").subscribe()]
            leaving = await Reader(events, "c").subscribe()
            position = (await events.publish("room:1", 1)) if events.channels else None
            await eventually(lambda: readers[0].published == 1)
            own_server.freeze()
            try:
                leaving.leave()
                coming = Reader(events, "d")
                subscribed = await events.channels.subscribe(coming.subscription, position)  # type: ignore[union-attr]
                coming.subscription.begin()
                assert subscribed.recovered  # it goes on without Redis
                await asyncio.sleep(1.5)
            finally:
                own_server.thaw()
            await present(events, "a", "b", "d")
            await present(other, "a", "b", "d")
            await told(readers[0], "+a", "+b", "+c", "-c", "+d")
            await told(readers[1], "+b", "+c", "-c", "+d")


async def test_what_redis_has_lost_is_written_again(redis_url: str) -> None:
    """In time: what was evicted, or forgotten since the process lives longer."""
    from redis.asyncio import Redis

    often = {"BEAT": 0.1, "RENEWED": 0.3}
    with limits(redis_processes, BEAT=0.1), limits(redis_presence, **often, CLOSE_LIMIT=PATIENCE):
        async with Redis.from_url(redis_url) as admin:
            async with managers(redis_url) as [events]:
                await Reader(events, "a").subscribe()
                keys = await admin.keys("toto:present:*")
                assert len(keys) == 2
                assert all([await admin.pttl(key) > 0 for key in keys])
                await admin.delete(*keys)
                await present(events, "a")
            assert await admin.keys("toto:present:*") == []  # whoever ends says so
