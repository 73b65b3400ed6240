"""The contract of a broker's channels, run over every broker."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.limits import WATCHDOG, limits
from toto_aio.brokers import Broker, Receiver, Streams, memory_streams, redis_streams
from toto_aio.brokers.streams import Kept, Stretch
from toto_aio.channels import Channel, Position
from toto_aio.exceptions import Unavailable

KEPT = Channel("room:{room}", history=5)
PLAIN = Channel("plain:{room}")


class Heard:
    """What a broker delivers of channels."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[tuple[str, Position | None, bytes]] = asyncio.Queue()

    def __call__(self, name: str, position: Position | None, payload: bytes) -> None:
        self.queue.put_nowait((name, position, payload))

    async def take(self, count: int) -> list[tuple[str, Position | None, bytes]]:
        """The next ones."""
        async with asyncio.timeout(WATCHDOG):
            return [await self.queue.get() for _ in range(count)]


@pytest.fixture
async def heard(broker: Broker) -> Heard:
    """What the broker delivers, once it is started."""
    heard = Heard()
    await broker.start(Receiver(lambda payload: None, published=heard))
    return heard


@pytest.fixture
def streams(broker: Broker, heard: Heard) -> Streams:
    """The channels of a started broker."""
    assert isinstance(broker, Streams)
    return broker


async def publish(streams: Streams, name: str, *payloads: bytes, rules: Channel = KEPT, key: str = "") -> Any:
    """Publish one after the other, and return the last position."""
    for payload in payloads:
        position = await streams.publish_to(name, payload, rules, key)
    return position


async def test_numbers(streams: Streams, heard: Heard) -> None:
    """Each channel counts from 1 in an epoch of its own; what is followed arrives in order."""
    await streams.follow("room:1")
    start = (await streams.read("room:1", KEPT, None)).position
    assert start.offset == 0
    last = await publish(streams, "room:1", b"a", b"b", b"c:\x00")
    other = await publish(streams, "room:2", b"x")
    assert last == Position(start.epoch, 3)
    assert other.offset == 1
    assert other.epoch != start.epoch
    expected = [
        ("room:1", Position(start.epoch, n + 1), data) for n, data in enumerate((b"a", b"b", b"c:\x00"))
    ]
    assert await heard.take(3) == expected
    streams.unfollow("room:1")
    await streams.follow("room:3")
    await publish(streams, "room:1", b"not heard")
    await publish(streams, "room:3", b"heard")
    assert [each[0] for each in await heard.take(1)] == ["room:3"]
    assert (await streams.read("room:1", KEPT, last)).payloads == [b"not heard"]


async def test_what_is_kept(streams: Streams) -> None:
    """It is read from either end, up to a limit; a position called as an end is none."""
    start = (await streams.read("room:1", KEPT, None)).position
    assert await streams.kept("room:1", KEPT, 5, newest=False) == Kept(start, [])
    last = await publish(streams, "room:1", *(b"%d" % n for n in range(1, 8)))
    for limit, newest, numbers in ((9, False, range(3, 8)), (2, False, (3, 4)), (2, True, (7, 6))):
        found = await streams.kept("room:1", KEPT, limit, newest=newest)
        assert found == Kept(last, [(n, b"%d" % n) for n in numbers]), (limit, newest)
    for epoch in ("oldest", "newest"):
        assert await streams.read("room:1", KEPT, Position(epoch, 3)) == Stretch(last, None)


async def test_many_at_once(streams: Streams, heard: Heard) -> None:
    """Publications of one task arrive in its order, and no number is given twice."""
    await streams.follow("room:1")
    found = await asyncio.gather(*(publish(streams, "room:1", b"%d" % n) for n in range(200)))
    assert [each.offset for each in found] == list(range(1, 201))
    assert [payload for _, _, payload in await heard.take(200)] == [b"%d" % n for n in range(200)]


async def test_what_was_missed(streams: Streams) -> None:
    """It is all that was published after the position, or nothing if a part of it is gone."""
    start = (await streams.read("room:1", KEPT, None)).position
    last = await publish(streams, "room:1", *(b"%d" % n for n in range(1, 8)))
    for offset, payloads in [
        (7, []),
        (5, [b"6", b"7"]),
        (2, [b"3", b"4", b"5", b"6", b"7"]),
        (1, None),  # 2 is gone
        (0, None),
        (8, None),  # nobody was there
    ]:
        assert await streams.read("room:1", KEPT, Position(start.epoch, offset)) == Stretch(last, payloads), (
            offset
        )
    assert await streams.read("room:1", KEPT, Position("another", 5)) == Stretch(last, None)
    assert await streams.read("room:1", KEPT, None) == Stretch(last, None)


async def test_without_history(streams: Streams, heard: Heard) -> None:
    """Nothing is numbered."""
    await streams.follow("plain:1")
    assert await publish(streams, "plain:1", b"a", b"b", rules=PLAIN) is None
    assert await heard.take(2) == [("plain:1", None, b"a"), ("plain:1", None, b"b")]


async def test_an_idempotency_key(streams: Streams, heard: Heard) -> None:
    """A repeat publishes nothing, and has the position of the first; another channel has keys of its own."""
    for name, rules in (("room:1", KEPT), ("plain:1", PLAIN)):
        await streams.follow(name)
        first = await publish(streams, name, b"a", rules=rules, key="k}{:1")
        assert await publish(streams, name, b"b", rules=rules, key="k}{:1") == first
        assert (first is None) == (rules is PLAIN)
        await publish(streams, name, b"c", rules=rules, key="2")
        assert [payload for _, _, payload in await heard.take(2)] == [b"a", b"c"]
    other = await publish(streams, "room:2", b"d", key="k}{:1")
    assert (await streams.read("room:2", KEPT, Position(other.epoch, 0))).payloads == [b"d"]


async def test_time_ends_a_history(streams: Streams) -> None:
    """After ``ttl`` seconds of silence nothing is kept, but the numbers go on."""
    rules = Channel("room:{room}", history=5, ttl=0.05)
    first = await publish(streams, "room:1", b"a", rules=rules)
    start = Position(first.epoch, 0)
    async with asyncio.timeout(WATCHDOG):
        while (await streams.read("room:1", rules, start)).payloads is not None:
            await asyncio.sleep(0.01)
    assert await streams.read("room:1", rules, first) == Stretch(first, [])
    assert await publish(streams, "room:1", b"b") == Position(first.epoch, 2)
    assert await streams.read("room:1", KEPT, start) == Stretch(Position(first.epoch, 2), None)
    assert (await streams.read("room:1", KEPT, first)).payloads == [b"b"]


async def test_time_ends_an_epoch(streams: Streams) -> None:
    """Numbers begin again only in another epoch."""
    rules = Channel("room:{room}", history=5, ttl=0.02)
    with limits(memory_streams, COUNT_TTL=0.01), limits(redis_streams, COUNT_TTL=0.01):
        first = await publish(streams, "room:1", b"a", rules=rules)
        async with asyncio.timeout(WATCHDOG):
            while (await streams.read("room:1", rules, first)).position.epoch == first.epoch:
                await asyncio.sleep(0.05)
        assert (await streams.read("room:1", rules, first)).payloads is None


async def test_names_that_clients_make_up(streams: Streams) -> None:
    """They are forgotten soon; one to which something was published lasts, from before the first number."""
    start = (await streams.read("room:1", KEPT, None)).position
    last = await publish(streams, "room:1", b"a")
    with limits(memory_streams, NEW_TTL=0.02), limits(redis_streams, NEW_TTL=0.02):
        made_up = (await streams.read("room:2", KEPT, None)).position
        async with asyncio.timeout(WATCHDOG):
            while (found := await streams.read("room:2", KEPT, made_up)).position == made_up:
                await asyncio.sleep(0.05)
        assert found.payloads is None
        first = await publish(streams, "room:3", b"b")
        assert first.offset == 1
        await asyncio.sleep(0.05)
        assert await streams.read("room:3", KEPT, Position(first.epoch, 0)) == Stretch(first, [b"b"])
    assert await streams.read("room:1", KEPT, start) == Stretch(last, [b"a"])


async def test_a_smaller_history(streams: Streams) -> None:
    """A publisher that keeps less leaves less."""
    first = await publish(streams, "room:1", b"a", b"b", b"c")
    await publish(streams, "room:1", b"d", rules=Channel("room:{room}", history=1))
    assert (await streams.read("room:1", KEPT, Position(first.epoch, 2))).payloads is None
    assert (await streams.read("room:1", KEPT, Position(first.epoch, 3))).payloads == [b"d"]


async def test_a_broker_that_is_closed(broker: Broker, streams: Streams) -> None:
    """It says so."""
    await broker.close()
    for work in (
        streams.follow("room:1"),
        streams.publish_to("room:1", b"", KEPT, ""),
        streams.publish_to("plain:1", b"", PLAIN, ""),
        streams.read("room:1", KEPT, None),
    ):
        with pytest.raises(Unavailable):
            await work
    streams.unfollow("room:1")
