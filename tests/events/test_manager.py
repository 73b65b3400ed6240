"""Events within a process: who receives them, in which order, and what a failing handler leaves intact."""

from __future__ import annotations

import asyncio
import datetime
import functools
import logging
import queue
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.support.service import Serve
from toto_aio.brokers import open_broker
from toto_aio.brokers.memory import MemoryBroker
from toto_aio.codecs.msgpack_codec import EXACT
from toto_aio.events.manager import EventManager
from toto_aio.exceptions import Unavailable


@asynccontextmanager
async def running() -> AsyncIterator[EventManager]:
    """A manager that receives until the end of the block."""
    broker = open_broker("memory://")
    assert broker is not None
    events = EventManager(broker)
    await events.start()
    try:
        yield events
    finally:
        await events.close()


DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]


class Inbox:
    """A handler that records what it is called with."""

    def __init__(self) -> None:
        self.all: list[Any] = []
        self._new: asyncio.Queue[Any] = asyncio.Queue()

    def __call__(self, args: Any) -> None:
        self.all.append(args)
        self._new.put_nowait(args)

    async def next(self) -> Any:
        """The next event."""
        async with asyncio.timeout(20):
            return await self._new.get()


async def settled(events: EventManager) -> None:
    """Wait until everything sent so far has arrived, also at plain handlers."""
    last = Inbox()
    events.register_handler("last", last)
    await events.send("last")
    await last.next()


async def test_a_handler_fires_once() -> None:
    """A handler is called for the first event of its name, and for no other."""
    async with running() as events:
        inbox = Inbox()
        events.register_handler("news", inbox)
        for number in range(3):
            await events.send("news", number)
        await settled(events)
        assert inbox.all == [0]
        events.register_handler("news", inbox)
        await events.send("news", 3)
        await settled(events)
        assert inbox.all == [0, 3]


async def test_a_persistent_handler_fires_each_time() -> None:
    """With ``persist`` it gets every event, in the order in which they were sent."""
    async with running() as events:
        inbox = Inbox()
        events.register_handler("news", inbox, persist=True)
        for number in range(100):
            await events.send("news", number)
        assert [await inbox.next() for _ in range(100)] == list(range(100))


async def test_a_handler_may_register_itself_again() -> None:
    """A long poll that registers again in its handler gets the next event."""
    async with running() as events:
        inbox = Inbox()

        def again(args: Any) -> None:
            inbox(args)
            events.register_handler("news", again)

        events.register_handler("news", again)
        for number in range(5):
            await events.send("news", number)
            assert await inbox.next() == number


async def test_a_handler_of_another_name_is_not_called() -> None:
    """Names have to match exactly."""
    async with running() as events:
        inbox = Inbox()
        for name in ("new", "news2", "News", "", "news "):
            events.register_handler(name, inbox)
            events.register_handler(name, inbox, persist=True)
        await events.send("news", 1)
        await settled(events)
        assert inbox.all == []


async def test_all_handlers_of_a_name_are_called_in_order() -> None:
    """All handlers of a name get the event, in the order of their registration."""
    async with running() as events:
        called: list[Any] = []

        def keep(number: int, args: Any) -> None:
            called.append([number, args])

        for number in range(10):
            events.register_handler("news", functools.partial(keep, number))
        await events.send("news", "x")
        await settled(events)
        assert called == [[number, "x"] for number in range(10)]


async def test_the_same_function_registered_twice() -> None:
    """Each registration counts separately, and so does its removal."""
    async with running() as events:
        inbox = Inbox()
        first = events.register_handler("news", inbox)
        events.register_handler("news", inbox)
        events.remove_handler(first)
        await events.send("news", 1)
        await settled(events)
        assert inbox.all == [1]


@pytest.mark.parametrize("persist", [False, True])
async def test_plain_and_coroutine_functions(persist: bool) -> None:
    """A handler may be plain, a coroutine function, or return an awaitable."""
    async with running() as events:
        plain, coroutine, awaitable = Inbox(), Inbox(), Inbox()

        async def wait_a_moment(args: Any) -> None:
            await asyncio.sleep(0)
            coroutine(args)

        async def and_tell(args: Any) -> None:
            awaitable(args)

        events.register_handler("news", plain, persist)
        events.register_handler("news", wait_a_moment, persist)
        events.register_handler("news", lambda args: and_tell(args), persist)
        await events.send("news", 1)
        assert [await inbox.next() for inbox in (plain, coroutine, awaitable)] == [1, 1, 1]


async def test_a_persistent_handler_takes_one_event_after_the_other() -> None:
    """A waiting coroutine is not called again before it is done, and no event is lost in the meantime."""
    async with running() as events:
        inbox, go_on = Inbox(), asyncio.Event()
        at_once = 0

        async def slow(args: Any) -> None:
            nonlocal at_once
            at_once += 1
            await go_on.wait()
            assert at_once == 1
            at_once -= 1
            inbox(args)

        events.register_handler("news", slow, persist=True)
        for number in range(20):
            await events.send("news", number)
        await settled(events)
        assert inbox.all == []
        go_on.set()
        assert [await inbox.next() for _ in range(20)] == list(range(20))


async def test_a_slow_handler_holds_nobody_up() -> None:
    """While one handler waits, others get the event and those after it."""
    async with running() as events:
        quick, never = Inbox(), asyncio.Event()

        async def slow(args: Any) -> None:
            await never.wait()

        events.register_handler("news", slow)
        events.register_handler("news", slow, persist=True)
        events.register_handler("news", quick, persist=True)
        for number in range(3):
            await events.send("news", number)
            assert await quick.next() == number


@pytest.mark.parametrize("persist", [False, True])
async def test_an_exception_stops_no_other_handler(persist: bool, caplog: pytest.LogCaptureFixture) -> None:
    """An exception in a handler is logged in full, under the event's name; the others are called."""
    async with running() as events:
        inbox = Inbox()

        def fails(args: Any) -> None:
            raise ValueError("plain failure")

        async def fails_later(args: Any) -> None:
            await asyncio.sleep(0)
            raise ValueError("later failure")

        for function in (fails, fails_later, inbox, fails):
            events.register_handler("news", function, persist)
        await events.send("news", 1)
        assert await inbox.next() == 1
        await settled(events)
        await asyncio.sleep(0)
        errors = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert len(errors) == 3
        assert all("'news'" in record.getMessage() for record in errors)
        assert caplog.text.count("ValueError: plain failure") == 2
        assert caplog.text.count("ValueError: later failure") == 1


async def test_a_persistent_handler_that_fails_is_called_again(caplog: pytest.LogCaptureFixture) -> None:
    """One bad event does not end a handler."""
    async with running() as events:
        inbox = Inbox()

        def picky(args: Any) -> None:
            if args == "bad":
                raise ValueError(args)
            inbox(args)

        events.register_handler("news", picky, persist=True)
        for args in ("one", "bad", "two"):
            await events.send("news", args)
        assert [await inbox.next(), await inbox.next()] == ["one", "two"]
        assert "ValueError: bad" in caplog.text


async def test_a_persistent_handler_that_awaits_what_is_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    """A handler that awaits a cancelled task is not silently ended for good."""
    async with running() as events:
        inbox = Inbox()

        async def picky(args: Any) -> None:
            if args == "bad":
                future = asyncio.get_running_loop().create_future()
                future.cancel()
                await future
            inbox(args)

        events.register_handler("news", picky, persist=True)
        for args in ("bad", "good"):
            await events.send("news", args)
        assert await inbox.next() == "good"
        assert "CancelledError" in caplog.text


@pytest.mark.parametrize("persist", [False, True])
async def test_a_handler_that_was_removed_is_not_called(persist: bool) -> None:
    """After ``remove_handler`` nothing arrives; removing it again does nothing."""
    async with running() as events:
        inbox = Inbox()
        registration = events.register_handler("news", inbox, persist)
        events.remove_handler(registration)
        events.remove_handler(registration)
        await events.send("news", 1)
        await settled(events)
        assert inbox.all == []


async def test_a_handler_that_was_called_can_be_removed() -> None:
    """Removing a handler that has fired does nothing."""
    async with running() as events:
        inbox = Inbox()
        registration = events.register_handler("news", inbox)
        await events.send("news", 1)
        await settled(events)
        events.remove_handler(registration)
        assert inbox.all == [1]


async def test_a_persistent_handler_may_remove_itself() -> None:
    """It is not called again, but still completes what it does after the removal."""
    async with running() as events:
        inbox = Inbox()

        async def only_once(args: Any) -> None:
            events.remove_handler(registration)
            await asyncio.sleep(0)
            inbox(args)

        registration = events.register_handler("news", only_once, persist=True)
        for number in range(3):
            await events.send("news", number)
        assert await inbox.next() == 0
        await settled(events)
        assert inbox.all == [0]


async def test_a_handler_is_not_called_within_send() -> None:
    """``send`` returns before any handler runs, so a handler that sends is never called recursively."""
    async with running() as events:
        inbox = Inbox()
        depth = 0

        async def chain(number: int) -> None:
            nonlocal depth
            depth += 1
            assert depth == 1
            if number:
                await events.send("news", number - 1)
            depth -= 1
            inbox(number)

        events.register_handler("news", chain, persist=True)
        await events.send("news", 3)
        assert inbox.all == []
        assert [await inbox.next() for _ in range(4)] == [3, 2, 1, 0]


async def test_what_is_sent_arrives() -> None:
    """Plain data of every kind arrives as it was sent, including bytes and dates."""
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5, 678901, datetime.UTC)
    async with running() as events:
        inbox = Inbox()
        events.register_handler("news", inbox, persist=True)
        values: tuple[Any, ...] = (
            *(None, True, 0, -(2**63), 1.5, "", "\u00e9\U0001f600", b"", bytes(range(256)), [], {}, moment),
            {"a": [{"b": None}], "\u00e9": b"\0"},
        )
        for args in values:
            await events.send("news", args)
            received = await inbox.next()
            assert received == args
            assert type(received) is type(args)
        await events.send("news")
        assert await inbox.next() is None


async def test_tuples_arrive_as_lists() -> None:
    """So do sets: only the types of MessagePack arrive."""
    async with running() as events:
        inbox = Inbox()
        events.register_handler("news", inbox)
        await events.send("news", (1, {"a": (2,)}, {3}))
        assert await inbox.next() == [1, {"a": [2]}, [3]]


async def test_each_receiver_gets_a_copy() -> None:
    """If a receiver changes its arguments, neither the sender nor another receiver sees it."""
    async with running() as events:
        received: list[Any] = []

        def change(args: Any) -> None:
            received.append(args)
            args["list"].append(2)

        for persist in (False, True, False, True):
            events.register_handler("news", change, persist)
        async with events.subscribe("news") as subscription:
            sent = {"list": [1]}
            await events.send("news", sent)
            sent["list"].append(3)
            assert await anext(subscription) == {"list": [1]}
        await settled(events)
        assert [args["list"] for args in received] == [[1, 2]] * 4
        assert sent == {"list": [1, 3]}


@pytest.mark.parametrize(
    "args",
    [object(), [object()], {"a": print}, 1j, lambda: None, 2**70, "\ud800", {1: 2}, [{(1, 2): 3}], DEEP],
    ids=type,
)
async def test_what_is_no_data_cannot_be_sent(args: Any) -> None:
    """``send`` itself raises ``TypeError``, where its author sees it, and nothing arrives."""
    async with running() as events:
        inbox = Inbox()
        events.register_handler("news", inbox, persist=True)
        with pytest.raises(TypeError):
            await events.send("news", args)
        await settled(events)
        assert inbox.all == []


@pytest.mark.parametrize("broadcast", [True, False])
async def test_one_process_alone(broadcast: bool) -> None:
    """In a single process an event arrives once, whether it is for all processes or for one."""
    async with running() as events:
        inbox = Inbox()
        events.register_handler("news", inbox, persist=True)
        await events.send("news", 1, broadcast=broadcast)
        await settled(events)
        assert inbox.all == [1]


async def test_managers_do_not_hear_each_other() -> None:
    """Two apps in one process with ``memory://`` have separate events."""
    async with running() as one, running() as other:
        inbox = Inbox()
        other.register_handler("news", inbox, persist=True)
        await one.send("news", 1)
        await settled(one)
        await settled(other)
        assert inbox.all == []


async def test_instance_without_a_manager() -> None:
    """If none is running, the error says what to use."""
    with pytest.raises(RuntimeError, match=r"(?s)No event managers.*handler\.events"):
        EventManager.instance()


async def test_instance_of_the_only_one() -> None:
    """Outside a call it is the only running manager; after that one has closed there is none."""
    async with running() as events:
        assert EventManager.instance() is events
    with pytest.raises(RuntimeError):
        EventManager.instance()


async def test_instance_among_several() -> None:
    """With two running, code outside a call must say which one it means."""
    async with running() as first:
        async with running():
            with pytest.raises(RuntimeError, match=r"2 event managers.*handler\.events"):
                EventManager.instance()
        assert EventManager.instance() is first


@pytest.mark.parametrize("persist", [False, True])
async def test_instance_in_a_handler(persist: bool) -> None:
    """In a handler it is the manager that called it, however many are running."""
    async with running() as first, running() as second:
        inbox = Inbox()

        async def tell(args: Any) -> None:
            await asyncio.sleep(0)
            inbox(EventManager.instance())

        for events in (first, second):
            events.register_handler("news", tell, persist)
            events.register_handler("news", lambda args: inbox(EventManager.instance()), persist)
            await events.send("news")
            assert [await inbox.next(), await inbox.next()] == [events, events]


async def test_instance_in_a_call(serve: Serve) -> None:
    """In a call it is the manager of the call's app, in a coroutine and in a thread."""

    async def coroutine(handler: Any, parameters: dict[str, Any]) -> bool:
        return EventManager.instance() is handler.events

    def plain(handler: Any, parameters: dict[str, Any]) -> bool:
        return EventManager.instance() is handler.events

    first = await serve({"coroutine": coroutine, "plain": plain})
    second = await serve({"coroutine": coroutine, "plain": plain})
    for service in (first, second, first):
        assert await service.result("coroutine") is True
        assert await service.result("plain") is True
    with pytest.raises(RuntimeError):
        EventManager.instance()


async def test_send_as_in_toto(serve: Serve) -> None:
    """``EventManager.instance().send`` in one call answers another call that waits."""
    waiting = asyncio.Event()

    async def receive(handler: Any, parameters: dict[str, Any]) -> Any:
        async with handler.events.subscribe("message") as messages:
            waiting.set()
            return await anext(messages)

    async def send(handler: Any, parameters: dict[str, Any]) -> None:
        await EventManager.instance().send("message", parameters)

    service = await serve({"receive": receive, "send": send})
    receiver = asyncio.create_task(service.result("receive"))
    await waiting.wait()
    await service.result("send", {"text": "hello"})
    assert await receiver == {"text": "hello"}


async def test_send_before_the_start_and_after_the_end() -> None:
    """If the manager is not running, ``send`` raises an error that says so."""
    broker = open_broker("memory://")
    assert broker is not None
    events = EventManager(broker)
    with pytest.raises(Unavailable):
        await events.send("news")
    await events.start()
    await events.send("news")
    await events.close()
    with pytest.raises(Unavailable):
        await events.send("news")
    await events.close()


async def test_handlers_registered_before_the_start() -> None:
    """A handler registered before the service starts gets the first event."""
    broker = open_broker("memory://")
    assert broker is not None
    events, inbox = EventManager(broker), Inbox()
    events.register_handler("news", inbox)
    await events.start()
    await events.send("news", 1)
    assert await inbox.next() == 1
    await events.close()


@pytest.mark.parametrize("persist", [False, True])
async def test_closing_ends_the_handlers_that_run(persist: bool) -> None:
    """A waiting handler is cancelled, and ``close`` waits for its clean-up."""
    ended: list[Any] = []

    async def wait_for_ever(args: Any) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(args)

    async with asyncio.timeout(20):
        async with running() as events:
            started = asyncio.Event()
            events.register_handler("news", wait_for_ever, persist)
            await events.send("news", 1)
            await started.wait()
    assert ended == [1]


async def test_nothing_is_delivered_after_closing() -> None:
    """An event in transit when the manager closes is dropped."""
    async with running() as events:
        inbox = Inbox()
        events.register_handler("news", inbox)
        events.register_handler("news", inbox, persist=True)
        await events.send("news", 1)
    for _ in range(5):
        await asyncio.sleep(0)
    assert inbox.all == []


# Numbers, and missed events


def event(number: int, args: Any = None, sender: bytes = b"elsewhere") -> bytes:
    """An event as a manager in another process would publish it."""
    return EXACT.encode([sender, number, "news", args])


async def test_a_gap_is_told_to_every_subscription() -> None:
    """Numbers that did not arrive count as missed, for any name, since theirs is unknown."""
    broker = MemoryBroker()
    events, told = EventManager(broker), list[int]()
    await events.start()
    async with events.subscribe("news", on_lagged=told.append) as news, events.subscribe("other") as other:
        for number in (7, 8, 12, 13):
            await broker.publish(event(number, number), broadcast=True)
        await settled(events)
        assert (news.missed, news.dropped, other.missed) == (3, 0, 3)
        assert [await anext(news) for _ in range(4)] == [7, 8, 12, 13]
        assert told == [3]
    await events.close()


async def test_senders_are_told_apart() -> None:
    """Each has its own numbers; the first number received from it may be any."""
    broker = MemoryBroker()
    events = EventManager(broker)
    await events.start()
    async with events.subscribe("news") as subscription:
        for number in (1, 2, 3):
            for sender in (b"one", b"other"):
                await broker.publish(event(number + ord(sender[1:2]), sender=sender), broadcast=True)
            await events.send("news")
            await events.send("news", broadcast=False)
        await settled(events)
        assert subscription.missed == 0
        await broker.publish(event(9 + ord("n"), sender=b"one"), broadcast=True)
        await settled(events)
        assert subscription.missed == 5
    await events.close()


async def test_numbers_out_of_order_are_delivered() -> None:
    """A number that arrives late is not a gap, and neither is the one after the highest."""
    broker = MemoryBroker()
    events = EventManager(broker)
    await events.start()
    async with events.subscribe("news") as subscription:
        for number in (5, 4, 5, 1, 6):
            await broker.publish(event(number, number), broadcast=True)
        assert [await anext(subscription) for _ in range(5)] == [5, 4, 5, 1, 6]
        assert subscription.missed == 0
    await events.close()


async def test_senders_that_are_gone_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that has been silent for longest goes first."""
    monkeypatch.setattr("toto_aio.events.senders.MAX_SENDERS", 2)
    broker = MemoryBroker()
    events = EventManager(broker)
    await events.start()
    async with events.subscribe("news") as subscription:
        for sender, number in ((b"a", 1), (b"b", 1), (b"a", 2), (b"c", 1), (b"a", 4), (b"b", 9), (b"c", 7)):
            await broker.publish(event(number, sender=sender), broadcast=True)
        for _ in range(7):
            await anext(subscription)
        assert subscription.missed == 1
    await events.close()


async def test_what_cannot_be_packed_takes_no_number() -> None:
    """An error in ``send`` does not cause a gap for receivers."""
    async with running() as events, events.subscribe("news") as subscription:
        await events.send("news", 1)
        with pytest.raises(TypeError):
            await events.send("news", object())
        await events.send("news", 2)
        assert [await anext(subscription), await anext(subscription)] == [1, 2]
        assert subscription.missed == 0


async def test_what_is_no_event_is_logged_and_dropped(caplog: pytest.LogCaptureFixture) -> None:
    """Others may write to the same channel; nothing stops because of it."""
    strange: list[Any] = [
        *([], 1, ["news", 1], [b"s", 1, 5, None], [b"s", -1.5, "news", None], ["s", 1, "news", None]),
        [b"s", 1, "news", {(1, 2): 3}],
        {"news": 1},
    ]
    broker = MemoryBroker()
    events, inbox = EventManager(broker), Inbox()
    await events.start()
    events.register_handler("news", inbox, persist=True)
    for payload in (b"", b"\xc1", event(1)[:-1], event(1) + b"\0", event(1)[:-1] + b"\xa1\xff"):
        await broker.publish(payload, broadcast=True)
    for value in strange:
        await broker.publish(EXACT.encode(value), broadcast=True)
    await events.send("news", "sound")
    assert await inbox.next() == "sound"
    assert inbox.all == ["sound"]
    assert [record.levelname for record in caplog.records] == ["ERROR"] * (5 + len(strange))
    await events.close()


# Threads


@pytest.mark.parametrize("persist", [False, True])
async def test_handlers_of_a_thread(persist: bool) -> None:
    """A handler of a thread receives what is sent after its registration, and nothing after its removal."""
    async with running() as events:
        inbox, loop = Inbox(), asyncio.get_running_loop()

        def work() -> None:
            registration = events.register_handler("news", inbox, persist)
            asyncio.run_coroutine_threadsafe(events.send("news", 1), loop).result(5)
            asyncio.run_coroutine_threadsafe(settled(events), loop).result(5)
            events.remove_handler(registration)
            asyncio.run_coroutine_threadsafe(events.send("news", 2), loop).result(5)

        await asyncio.to_thread(work)
        await settled(events)
        assert inbox.all == [1]


async def test_many_threads_register_while_events_come() -> None:
    """No registration is lost, whatever the loop is doing."""
    async with running() as events:
        called = Inbox()

        def work(number: int) -> None:
            for turn in range(50):
                kept = events.register_handler("news", functools.partial(keep, number, turn))
                # An event may arrive between the two, so nothing is asserted about this one.
                events.remove_handler(events.register_handler("news", lambda args: None))
                assert kept.function is not None

        def keep(number: int, turn: int, args: Any) -> None:
            called((number, turn))

        workers = [asyncio.create_task(asyncio.to_thread(work, number)) for number in range(4)]
        while not all(worker.done() for worker in workers):
            await events.send("news")
            await asyncio.sleep(0)
        await asyncio.gather(*workers)
        await events.send("news")
        await settled(events)
        assert sorted(called.all) == [(number, turn) for number in range(4) for turn in range(50)]


async def test_events_of_a_plain_method(serve: Serve) -> None:
    """A method in a thread registers, sends, and waits for the reply that another method sends."""

    def ask(handler: Any, parameters: dict[str, Any]) -> Any:
        answers: queue.Queue[Any] = queue.Queue()
        handler.register_event_handler("answer", answers.put)
        handler.wait(EventManager.instance().send("question", 20))
        return answers.get(timeout=5)

    async def answer(handler: Any, parameters: dict[str, Any]) -> None:
        async with handler.events.subscribe("question") as questions:
            listening.set()
            await handler.events.send("answer", await anext(questions) + 1)

    listening = asyncio.Event()
    service = await serve({"ask": ask, "answer": answer})
    answering = asyncio.create_task(service.result("answer"))
    await listening.wait()
    assert await service.result("ask") == 21
    await answering
