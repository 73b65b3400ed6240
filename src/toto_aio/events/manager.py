"""Events: sent from any call, received by any other, through the broker of the deployment.

    await handler.events.send("message", {"text": "hello"})

    async with handler.events.subscribe("message") as messages:
        async for message in messages: ...

What is sent is packed as MessagePack, so a receiver gets plain data of its own: tuples arrive as lists.
Each sender numbers what it sends to all, so that a receiver learns of what it missed.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import secrets
import threading
from collections.abc import Callable, Coroutine
from contextvars import ContextVar, copy_context
from typing import Any

import msgspec

from toto_aio.brokers import Broker, Receiver
from toto_aio.codecs import encode_msgpack
from toto_aio.events.subscription import QUEUE_SIZE, Arrival, Subscription, WhenFull
from toto_aio.events.subscription import Lagged as Lagged

logger = logging.getLogger(__name__)

MAX_SENDERS = 1000
"""Senders whose last number is kept; that of one who is silent for the longest time is forgotten."""

current_manager: ContextVar[EventManager] = ContextVar("toto_aio_event_manager")
"""The manager of the app in whose call or event handler the code runs, if there are several."""
running: set[EventManager] = set()
"""The managers between their ``start`` and ``close``."""


class EventManager:
    """The events of one app: who waits for which, and how they are sent.

    ``register_handler`` and ``remove_handler`` may be called in any thread, the rest on the event loop; a
    thread sends with ``handler.wait(events.send(...))``.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._handlers: dict[str, dict[Registration, None]] = {}
        self._subscriptions: dict[str, dict[Subscription, None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._sender = secrets.token_bytes(8)
        self._sent = 0
        self._heard: dict[bytes, int] = {}

    @staticmethod
    def instance() -> EventManager:
        """The manager of the app in whose call or event this runs, else the only one that is running.

        Raises ``RuntimeError`` if that leaves none, or several.
        """
        manager = current_manager.get(None)
        if manager is not None:
            return manager
        if len(running) == 1:
            return next(iter(running))
        raise RuntimeError(
            f"{len(running) or 'No'} event managers are running here: use handler.events within a call, "
            "or keep what event_init_module or startup_function is given"
        )

    async def start(self) -> None:
        """Begin to receive. Raises ``Unavailable``."""
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        await self._broker.start(Receiver(self._deliver, self._interrupted, self._is_wanted))
        running.add(self)

    async def close(self) -> None:
        """Receive no more; subscriptions come to their end, and handlers that still run are cancelled."""
        running.discard(self)
        await self._broker.close()
        for subscription in self._all_subscriptions():
            subscription.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def send(self, name: str, args: Any = None, broadcast: bool = True) -> None:
        """Send an event to every process of the deployment, or, without ``broadcast``, to exactly one.

        That is one in which somebody waits for the event, if there is such a process. Raises ``TypeError``
        for ``args`` that are not plain data, ``Unavailable`` if it cannot be sent.
        """
        number = self._sent + 1 if broadcast else 0
        payload = _pack([self._sender, number, name, args])
        if broadcast:
            self._sent = number
        await self._broker.publish(payload, broadcast=broadcast)

    def register_handler(
        self, name: str, function: Callable[[Any], Any], persist: bool = False
    ) -> Registration:
        """Call ``function(args)`` when the event comes: once, or each time with ``persist``.

        ``function`` may be plain or a coroutine function, and what it raises is logged. With ``persist``
        it takes one event after the other, in their order, from a bounded queue as ``subscribe`` has it.
        Returns what ``remove_handler`` takes.
        """
        registration = Registration(name, function)
        self.on_loop(self._register, registration, persist)
        return registration

    def remove_handler(self, registration: Registration) -> None:
        """Call a handler no more; one that runs goes on. If it is not registered this is a no-op."""
        self.on_loop(self._remove, registration)

    def subscribe(
        self,
        name: str,
        size: int = QUEUE_SIZE,
        when_full: WhenFull = "drop-oldest",
        on_lagged: Callable[[int], None] | None = None,
        take: Callable[[Arrival], bool] | None = None,
    ) -> Subscription:
        """The events of a name as an asynchronous iterator, from now until it is closed.

        At most ``size`` events wait. When one more comes, the oldest is dropped, or with ``disconnect`` the
        iteration raises ``Lagged``. Before a reader gets the next event, ``on_lagged`` is called with how
        many it has not got, of this name and, if they did not come to this process, of any name.

        While nothing waits, ``take`` is offered each event as it comes; True says that it is dealt with.
        """
        subscription = Subscription(name, size, when_full, on_lagged, self._forget, take)
        self._subscriptions.setdefault(name, {})[subscription] = None
        return subscription

    def on_loop(self, function: Callable[..., None], *args: Any) -> None:
        """Call a function between two events, so that what a thread registers is there for all later ones."""
        if self._loop is None or threading.get_ident() == self._thread:
            function(*args)
        else:
            self._loop.call_soon_threadsafe(function, *args)

    def _register(self, registration: Registration, persist: bool) -> None:
        if persist:
            registration.subscription = self.subscribe(registration.name)
            self._start(_consume(registration.subscription, registration.function), registration.name)
        else:
            self._handlers.setdefault(registration.name, {})[registration] = None

    def _remove(self, registration: Registration) -> None:
        _drop(self._handlers, registration.name, registration)
        if registration.subscription is not None:
            registration.subscription.close()

    def _forget(self, subscription: Subscription) -> None:
        _drop(self._subscriptions, subscription.name, subscription)

    def _is_wanted(self, payload: bytes) -> bool:
        event = _unpack(payload)
        return event is not None and (event[2] in self._handlers or event[2] in self._subscriptions)

    def _deliver(self, payload: bytes) -> None:
        event = _unpack(payload)
        if event is None:
            return
        sender, number, name, args = event
        if number:
            self._look_for_gap(sender, number)
        arrival = Arrival(args)
        for subscription in tuple(self._subscriptions.get(name, ())):
            subscription.put(arrival)
        for registration in self._handlers.pop(name, ()):
            self._start(_call(registration.function, arrival.args(), name), name)

    def _look_for_gap(self, sender: bytes, number: int) -> None:
        last = self._heard.pop(sender, number)
        self._heard[sender] = max(last, number)
        if len(self._heard) > MAX_SENDERS:
            del self._heard[next(iter(self._heard))]
        if number > last + 1:
            self._miss(number - last - 1)

    def _interrupted(self) -> None:
        self._miss(1)

    def _miss(self, count: int) -> None:
        for subscription in self._all_subscriptions():
            subscription.miss(count)

    def _all_subscriptions(self) -> list[Subscription]:
        return [each for subscriptions in self._subscriptions.values() for each in subscriptions]

    def _start(self, coroutine: Coroutine[Any, Any, None], event: str) -> None:
        context = copy_context()
        context.run(current_manager.set, self)
        loop = asyncio.get_running_loop()
        task = loop.create_task(coroutine, name=f"toto-aio event {event}", context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Registration:
    """A handler that waits for an event, as ``register_handler`` returns it."""

    __slots__ = ("function", "name", "subscription")

    def __init__(self, name: str, function: Callable[[Any], Any]) -> None:
        self.name = name
        self.function = function
        self.subscription: Subscription | None = None


async def _consume(subscription: Subscription, function: Callable[[Any], Any]) -> None:
    async for args in subscription:
        await _call(function, args, subscription.name)


async def _call(function: Callable[[Any], Any], args: Any, name: str) -> None:
    try:
        outcome = function(args)
        if inspect.isawaitable(outcome):
            await outcome
    except Exception:
        logger.exception("the handler of the event %r failed", name)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        logger.exception("the handler of the event %r awaited what was cancelled", name)


def _pack(event: list[Any]) -> bytes:
    if type(event[2]) is not str:
        raise TypeError(f"The name of an event is a string, not {event[2]!r}.")
    try:
        return encode_msgpack(event)
    except (ValueError, OverflowError, RecursionError) as exc:
        raise TypeError(f"The event {event[2]!r} cannot be sent: {exc}") from exc


def _unpack(payload: bytes) -> Event | None:
    """The parts of an event. Its args are decoded for each receiver; here it shows that they can be."""
    try:
        event: Event = _envelope.decode(payload)
        _decoder.decode(event[3])
    except (ValueError, RecursionError):
        logger.error("an event that cannot be read was dropped: %.100r", payload)
        return None
    return event


def _drop(table: dict[str, dict[Any, None]], name: str, entry: Any) -> None:
    entries = table.get(name)
    if entries is not None:
        entries.pop(entry, None)
        if not entries:
            del table[name]


Event = tuple[bytes, int, str, msgspec.Raw]
"""Sender, number (0: none, as it is not for all), name and args."""
_envelope = msgspec.msgpack.Decoder(Event)
_decoder = msgspec.msgpack.Decoder()
