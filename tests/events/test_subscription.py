"""Subscriptions: an iterator over the events of a name, and how it treats a subscriber that is too slow."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from msgspec import Raw

from tests.events.test_manager import Inbox, event, running, settled
from toto_aio.brokers.memory import MemoryBroker
from toto_aio.codecs import encode_msgpack
from toto_aio.events.manager import EventManager
from toto_aio.events.subscription import QUEUE_SIZE, Arrival, Lagged


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The messages that were logged as warnings."""
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


async def test_a_subscription() -> None:
    """``async with`` and ``async for`` give the events in order, from the subscription onwards."""
    async with running() as events:
        await events.send("news", "too early")
        await settled(events)
        async with asyncio.timeout(20), events.subscribe("news") as subscription:
            for number in range(5):
                await events.send("news", number)
                await events.send("other", number)
            received = []
            async for args in subscription:
                received.append(args)
                if args == 4:
                    break
            assert received == [0, 1, 2, 3, 4]
        await events.send("news", 5)
        await settled(events)
        assert [args async for args in subscription] == []


async def test_nothing_sent_after_subscribing_is_missed() -> None:
    """An event that arrives before the subscriber waits is kept for it."""
    async with running() as events, events.subscribe("news") as subscription:
        await events.send("news", 1)
        await settled(events)
        async with asyncio.timeout(20):
            assert await anext(subscription) == 1


async def test_several_subscriptions() -> None:
    """Each gets every event, at its own pace."""
    async with running() as events, events.subscribe("news") as first, events.subscribe("news") as second:
        await events.send("news", 1)
        await events.send("news", 2)
        async with asyncio.timeout(20):
            assert [await anext(first), await anext(first)] == [1, 2]
            assert [await anext(second), await anext(second)] == [1, 2]


async def test_a_reader_that_waits_reaches_the_end() -> None:
    """Closing a subscription ends an iteration that is waiting for it."""
    async with running() as events:
        subscription = events.subscribe("news")

        async def read() -> list[Any]:
            return [args async for args in subscription]

        reader = asyncio.create_task(read())
        await events.send("news", 1)
        await settled(events)
        subscription.close()
        async with asyncio.timeout(20):
            assert await reader == [1]
        subscription.close()


async def test_a_reader_that_gives_up_loses_nothing() -> None:
    """A wait with a time limit can be retried, and the event is still there."""
    async with running() as events, events.subscribe("news") as subscription:
        reader = asyncio.create_task(anext(subscription))
        await settled(events)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        await events.send("news", 1)
        async with asyncio.timeout(20):
            assert await anext(subscription) == 1


async def test_a_full_queue_drops_the_oldest(caplog: pytest.LogCaptureFixture) -> None:
    """A subscriber that is too slow loses the oldest events; they are counted, and it is logged once."""
    async with running() as events, events.subscribe("news", size=3) as subscription:
        for number in range(10):
            await events.send("news", number)
        await settled(events)
        assert subscription.dropped == 7
        async with asyncio.timeout(20):
            assert [await anext(subscription) for _ in range(3)] == [7, 8, 9]
        assert warnings(caplog) == ["a subscriber of the event 'news' is too slow: events are dropped"]


async def test_the_queue_has_an_end() -> None:
    """Without an explicit size, a subscription keeps the default number of events and no more."""
    async with running() as events, events.subscribe("news") as subscription:
        for number in range(QUEUE_SIZE + 5):
            await events.send("news", number)
        await settled(events)
        assert subscription.dropped == 5
        assert await anext(subscription) == 5


async def test_a_slow_subscriber_costs_the_others_nothing() -> None:
    """Only the slow subscriber loses events."""
    async with (
        running() as events,
        events.subscribe("news", size=1) as slow,
        events.subscribe("news") as quick,
    ):
        for number in range(5):
            await events.send("news", number)
        await settled(events)
        assert (slow.dropped, quick.dropped) == (4, 0)
        assert [await anext(quick) for _ in range(5)] == list(range(5))
        assert await anext(slow) == 4


async def test_closing_ends_the_subscriptions() -> None:
    """Every wait ends: iterations of a subscription end when the service stops."""
    async with running() as events:
        subscription = events.subscribe("news")

        async def read() -> list[Any]:
            return [args async for args in subscription]

        reader = asyncio.create_task(read())
        await events.send("news", 1)
        await settled(events)
    async with asyncio.timeout(20):
        assert await reader == [1]


# Nothing is dropped silently


async def test_a_slow_reader_is_told_before_the_next_event() -> None:
    """It receives the number of lost events, once for all that were dropped since its last read."""
    happened: list[Any] = []
    async with running() as events:
        async with events.subscribe("news", size=2, on_lagged=lambda n: happened.append(-n)) as subscription:
            for number in range(1, 6):
                await events.send("news", number)
            await settled(events)
            assert happened == []
            happened.append(await anext(subscription))
            assert happened == [-3, 4]
            for number in range(6, 9):
                await events.send("news", number)
            await settled(events)
            for _ in range(2):
                happened.append(await anext(subscription))
            assert happened == [-3, 4, -2, 7, 8]
            assert (subscription.dropped, subscription.missed) == (5, 0)


async def test_one_warning_for_each_time_that_it_falls_behind(caplog: pytest.LogCaptureFixture) -> None:
    """A subscriber that has caught up and lags again is logged again; one that stays behind is not."""
    async with running() as events, events.subscribe("news", size=2) as subscription:
        for number in range(20):
            await events.send("news", number)
            await settled(events)
            if number % 2:
                await anext(subscription)
        assert subscription.dropped == 9
        assert len(warnings(caplog)) == 1
        await anext(subscription)
        for number in range(4):
            await events.send("news", number)
        await settled(events)
        assert len(warnings(caplog)) == 2


async def test_a_reader_that_waits_is_told_at_once() -> None:
    """It receives the count of missed events although no event arrives."""
    broker = MemoryBroker()
    events, told = EventManager(broker), Inbox()
    await events.start()
    async with events.subscribe("other", on_lagged=told) as subscription:
        reader = asyncio.create_task(anext(subscription))
        await broker.publish(event(1), broadcast=True)
        await broker.publish(event(4), broadcast=True)
        assert await told.next() == 2
        await events.send("other", "x")
        assert await reader == "x"
        assert told.all == [2]
    await events.close()


async def test_a_full_queue_that_disconnects(caplog: pytest.LogCaptureFixture) -> None:
    """The subscriber gets an error with the number of lost events, then the end; others are unaffected."""
    async with running() as events, events.subscribe("news") as other:
        async with events.subscribe("news", size=3, when_full="disconnect") as subscription:
            for number in range(3):
                await events.send("news", number)
            await settled(events)
            assert await anext(subscription) == 0
            for number in range(3, 10):
                await events.send("news", number)
            await settled(events)
            with pytest.raises(Lagged, match="4 events were dropped") as lagged:
                await anext(subscription)
            assert lagged.value.count == subscription.dropped == 4
            assert [args async for args in subscription] == []
        assert [await anext(other) for _ in range(10)] == list(range(10))
        assert warnings(caplog) == [
            "a subscriber of the event 'news' is too slow: its subscription is closed"
        ]


async def test_a_reader_that_is_disconnected_while_it_is_busy() -> None:
    """The iteration raises; events already received are not lost."""
    async with running() as events:
        received = []
        with pytest.raises(Lagged):
            async with events.subscribe("news", size=1, when_full="disconnect") as subscription:
                await events.send("news", 0)
                async for args in subscription:
                    received.append(args)
                    for number in range(5):
                        await events.send("news", number)
                    await settled(events)
        assert received == [0]


async def test_a_persistent_handler_goes_on_after_a_gap() -> None:
    """Handlers are not notified, and none is called for a missed event."""
    broker = MemoryBroker()
    events, each, once = EventManager(broker), Inbox(), Inbox()
    await events.start()
    events.register_handler("news", each, persist=True)
    await broker.publish(event(1, 1), broadcast=True)
    events.register_handler("other", once)
    await broker.publish(event(5, 5), broadcast=True)
    assert [await each.next(), await each.next()] == [1, 5]
    assert once.all == []
    await events.close()


async def test_what_takes_events_as_they_come() -> None:
    """It is offered an event only while none waits and no loss has to be reported first."""
    broker, taken, told = MemoryBroker(), list[Any](), list[int]()
    events, willing = EventManager(broker), False

    def take(arrival: Arrival) -> bool:
        if willing:
            taken.append(arrival.args())
        return willing

    await events.start()
    async with events.subscribe("news", on_lagged=told.append, take=take) as news:
        await broker.publish(event(1, 1), broadcast=True)
        await settled(events)
        willing = True
        await broker.publish(event(2, 2), broadcast=True)
        await settled(events)
        assert taken == []
        assert [await anext(news), await anext(news)] == [1, 2]
        await broker.publish(event(3, 3), broadcast=True)
        await settled(events)
        assert taken == [3]
        await broker.publish(event(5, 5), broadcast=True)
        await settled(events)
        assert (taken, told) == ([3], [])
        assert (await anext(news), told) == (5, [1])
    await events.close()


def test_an_arrival() -> None:
    """It is encoded once for all subscribers with the same encoding, and decoded separately for each."""
    asked: list[Any] = []

    def encode(args: Any) -> bytes:
        asked.append(args)
        return repr(args).encode()

    arrival = Arrival(Raw(b"\x91\x01"))
    assert arrival.encoded(encode) == arrival.encoded(encode) == b"[1]"
    assert arrival.encoded(encode_msgpack) == b"\x91\x01"
    arrival.args().append(2)
    assert (arrival.args(), asked) == ([1], [[1]])


@pytest.mark.parametrize("options", [{"size": 0}, {"size": -1}, {"when_full": "drop"}], ids=str)
async def test_options_that_are_wrong(options: dict[str, Any]) -> None:
    """The error says what to write."""
    async with running() as events:
        with pytest.raises(ValueError, match=f"{next(iter(options))}: write"):
            events.subscribe("news", **options)
