"""The contract of a broker, run over every broker."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from tests.support.limits import WATCHDOG
from tests.support.service import shown
from toto_aio.brokers import BROKERS, Broker, Receiver, open_broker
from toto_aio.exceptions import Unavailable
from toto_aio.settings import SettingsError


class Inbox:
    """Collects what a broker delivers, and checks that it is called on the event loop."""

    def __init__(self) -> None:
        self.payloads: asyncio.Queue[bytes] = asyncio.Queue()
        self.loop = asyncio.get_running_loop()
        self.thread = threading.get_ident()

    def __call__(self, payload: bytes) -> None:
        assert asyncio.get_running_loop() is self.loop
        assert threading.get_ident() == self.thread
        self.payloads.put_nowait(payload)

    async def take(self, count: int) -> list[bytes]:
        """The next ``count`` payloads, in the order of arrival."""
        async with asyncio.timeout(WATCHDOG):
            return [await self.payloads.get() for _ in range(count)]

    async def stays_empty(self) -> bool:
        """Whether nothing arrives for 0.1 seconds, which is enough for events that are on their way."""
        try:
            async with asyncio.timeout(0.1):
                await self.payloads.get()
        except TimeoutError:
            return True
        return False


async def test_it_delivers_to_itself(broker: Broker) -> None:
    """The sender of an event receives it too."""
    inbox = Inbox()
    await broker.start(Receiver(inbox))
    await broker.publish(b"one", broadcast=True)
    assert await inbox.take(1) == [b"one"]
    assert await inbox.stays_empty()


async def test_it_keeps_the_order(broker: Broker) -> None:
    """Events arrive in the order in which they were sent, each of them once."""
    inbox = Inbox()
    await broker.start(Receiver(inbox))
    sent = [str(number).encode() for number in range(500)]
    for payload in sent:
        await broker.publish(payload, broadcast=True)
    assert await inbox.take(len(sent)) == sent
    assert await inbox.stays_empty()


async def test_many_senders_at_once(broker: Broker) -> None:
    """The events of several tasks all arrive, and those of each task in order."""
    inbox = Inbox()
    await broker.start(Receiver(inbox))

    async def send(name: bytes) -> None:
        for number in range(50):
            await broker.publish(b"%s %d" % (name, number), broadcast=True)
            await asyncio.sleep(0)

    await asyncio.gather(*(send(name) for name in (b"a", b"b", b"c")))
    arrived = await inbox.take(150)
    for name in (b"a", b"b", b"c"):
        assert [payload for payload in arrived if payload.startswith(name)] == [
            b"%s %d" % (name, number) for number in range(50)
        ]


@pytest.mark.parametrize(
    "payload",
    [b"", b"\0", b"\r\n$-1\r\n", bytes(range(256)), b"x" * 2**20],
    ids=lambda payload: repr(payload[:8]),
)
async def test_it_carries_any_bytes(broker: Broker, payload: bytes) -> None:
    """A payload arrives unchanged."""
    inbox = Inbox()
    await broker.start(Receiver(inbox))
    await broker.publish(payload, broadcast=True)
    assert await inbox.take(1) == [payload]


async def test_exactly_one_process(broker: Broker) -> None:
    """Without ``broadcast`` an event arrives once; here only one process can receive it."""
    inbox = Inbox()
    await broker.start(Receiver(inbox))
    for number in range(10):
        await broker.publish(b"%d" % number, broadcast=False)
    assert sorted(await inbox.take(10)) == [b"%d" % number for number in range(10)]
    assert await inbox.stays_empty()


async def test_publishing_within_a_delivery(broker: Broker) -> None:
    """``publish`` does not deliver directly: ``deliver`` is never called recursively."""
    inbox, tasks, inside = Inbox(), set[asyncio.Task[None]](), False

    def deliver(payload: bytes) -> None:
        nonlocal inside
        assert not inside
        inside = True
        if payload == b"first":
            tasks.add(asyncio.create_task(broker.publish(b"second", broadcast=True)))
        inbox(payload)
        inside = False

    await broker.start(Receiver(deliver))
    await broker.publish(b"first", broadcast=True)
    assert await inbox.take(2) == [b"first", b"second"]
    await asyncio.gather(*tasks)


async def test_publishing_before_the_start(broker: Broker) -> None:
    """The sender of an event that nobody could receive gets an error."""
    for broadcast in (True, False):
        with pytest.raises(Unavailable):
            await broker.publish(b"early", broadcast=broadcast)
    inbox = Inbox()
    await broker.start(Receiver(inbox))
    assert await inbox.stays_empty()


async def test_nothing_after_closing(broker: Broker) -> None:
    """Nothing is delivered after ``close`` returns, not even events that were on their way."""
    inbox = Inbox()
    await broker.start(Receiver(inbox))
    for _ in range(10):
        await broker.publish(b"late", broadcast=True)
    await broker.close()
    while not inbox.payloads.empty():
        inbox.payloads.get_nowait()
    assert await inbox.stays_empty()


async def test_publishing_after_closing(broker: Broker) -> None:
    """A closed broker sends nothing, and raises an error."""
    await broker.start(Receiver(Inbox()))
    await broker.close()
    for broadcast in (True, False):
        with pytest.raises(Unavailable):
            await broker.publish(b"late", broadcast=broadcast)


async def test_closing_without_a_start(broker: Broker) -> None:
    """Closing a broker that was never started does nothing, once or twice."""
    await broker.close()
    await broker.close()


async def test_closing_twice(broker: Broker) -> None:
    """Closing a second time does nothing."""
    await broker.start(Receiver(Inbox()))
    await broker.close()
    await broker.close()


async def test_events_between_two_tasks(broker: Broker) -> None:
    """A task that waits for an event in reply receives it: nothing sent after the start is missed."""
    answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    tasks = set[asyncio.Task[None]]()

    def deliver(payload: bytes) -> None:
        if payload == b"question":
            tasks.add(asyncio.create_task(broker.publish(b"answer", broadcast=True)))
        else:
            answered.set_result(payload)

    await broker.start(Receiver(deliver))
    await broker.publish(b"question", broadcast=True)
    async with asyncio.timeout(WATCHDOG):
        assert await answered == b"answer"
    await asyncio.gather(*tasks)


def test_off_opens_no_broker() -> None:
    """``off`` opens no broker."""
    assert open_broker("off") is None


@pytest.mark.parametrize("name", ["memory", "memory://"])
def test_a_broker_is_opened_by_its_url_or_its_bare_name(name: str) -> None:
    """Each call opens a new broker."""
    one, other = open_broker(name), open_broker(name)
    assert one is not None
    assert one is not other


def test_a_ready_broker_is_taken_as_it_is(broker: Broker) -> None:
    """An embedding app can pass its own broker."""
    assert open_broker(broker) is broker


@pytest.mark.parametrize(
    "events", ["nonsense", "nonsense://", "", "://", "memory:", "http://[", None, 5, object()], ids=shown
)
def test_what_cannot_be_opened(events: Any) -> None:
    """The error is one line that names the option and, for a string, all schemes."""
    with pytest.raises(SettingsError) as caught:
        open_broker(events)
    line = str(caught.value)
    assert line.startswith("events: ")
    assert "\n" not in line
    if isinstance(events, str):
        assert all(f"{name}://" in line for name in BROKERS)
        assert "off" in line
