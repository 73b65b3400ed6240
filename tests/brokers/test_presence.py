"""The contract of a broker that knows who is present, run over every broker."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.limits import WATCHDOG
from toto_aio.brokers import Broker, Presence, Receiver, Streams
from toto_aio.channels import Channel
from toto_aio.exceptions import Unavailable

TOLD = Channel("room:{room}", presence=True, join_leave=True)
QUIET = Channel("quiet:{room}", presence=True)


class Heard:
    """Who has come and gone."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[tuple[str, str, bytes]] = asyncio.Queue()
        self.receiver = Receiver(
            lambda payload: None,
            published=lambda name, position, payload: self.queue.put_nowait(("published", name, payload)),
            joined=lambda name, member: self.queue.put_nowait(("joined", name, member)),
            left=lambda name, member: self.queue.put_nowait(("left", name, member)),
        )

    async def take(self, count: int) -> list[tuple[str, str, bytes]]:
        """The next ones."""
        async with asyncio.timeout(WATCHDOG):
            return [await self.queue.get() for _ in range(count)]


@pytest.fixture
async def heard(broker: Broker) -> Heard:
    """What the broker delivers, once it is started."""
    heard = Heard()
    await broker.start(heard.receiver)
    return heard


@pytest.fixture
def presence(broker: Broker, heard: Heard) -> Any:
    """A started broker."""
    assert isinstance(broker, Presence)
    assert isinstance(broker, Streams)
    return broker


async def test_who_is_present(presence: Any, heard: Heard) -> None:
    """Whoever has entered and not left, in each channel; the others are told once of each change."""
    await presence.follow("room:1")
    await presence.enter("room:1", "a", b"A:\x00", TOLD)
    await presence.enter("room:1", "b", b"B", TOLD)
    await presence.enter("room:2", "c", b"C", TOLD)
    await presence.enter("room:1", "a", b"A:\x00", TOLD)  # again
    await presence.enter("quiet:1", "d", b"D", QUIET)
    assert sorted(await presence.present("room:1")) == [b"A:\x00", b"B"]
    assert await presence.present("room:2") == [b"C"]
    assert await presence.present("quiet:1") == [b"D"]
    assert await presence.present("room:3") == []
    presence.leave("room:1", "a")
    presence.leave("room:1", "a")
    presence.leave("room:1", "nobody")
    presence.leave("room:3", "a")
    assert await presence.present("room:1") == [b"B"]
    presence.leave("room:1", "b")
    presence.leave("quiet:1", "d")
    assert await presence.present("room:1") == await presence.present("quiet:1") == []
    told = await heard.take(4)  # in no order with what is published
    await presence.publish_to("room:1", b"last", TOLD, "")
    expected = [
        ("joined", b"A:\x00"),
        ("joined", b"B"),
        ("left", b"A:\x00"),
        ("left", b"B"),
        ("published", b"last"),
    ]
    assert [(kind, member) for kind, _, member in told + await heard.take(1)] == expected


async def test_what_changes_quickly(presence: Any, heard: Heard) -> None:
    """The last word counts, and many at once are all written."""
    await presence.follow("room:1")
    for _ in range(3):
        entering = asyncio.create_task(presence.enter("room:1", "a", b"A", TOLD))
        await asyncio.sleep(0)
        presence.leave("room:1", "a")
        await entering
    assert await presence.present("room:1") == []
    presence.leave("room:1", "a")
    await presence.enter("room:1", "a", b"A", TOLD)
    await presence.enter("room:1", "a", b"new", TOLD)
    assert await presence.present("room:1") == [b"new"]
    await asyncio.gather(*(presence.enter("room:2", str(n), b"%d" % n, TOLD) for n in range(1200)))
    assert len(await presence.present("room:2")) == 1200
    for n in range(1200):
        presence.leave("room:2", str(n))
    assert await presence.present("room:2") == []
    await presence.publish_to("room:1", b"last", TOLD, "")
    told = []
    while "published" not in told:
        told += [kind for kind, _, _ in await heard.take(1)]
    assert told.count("joined") == told.count("left") + 1


async def test_a_broker_that_is_closed(broker: Broker, presence: Any) -> None:
    """It says so."""
    await presence.enter("room:1", "a", b"A", TOLD)
    await broker.close()
    for work in (presence.enter("room:1", "b", b"B", TOLD), presence.present("room:1")):
        with pytest.raises(Unavailable):
            await work
    presence.leave("room:1", "a")
