"""Events: sent from any call, received by any other, through the broker of the deployment.

    await handler.events.send("message", {"text": "hello"})

    async with handler.events.subscribe("message") as messages:
        async for message in messages: ...

    async with EventManager("redis://localhost/0") as events:  # in any other program
        await events.send("message", {"text": "hello"})

Events are packed as MessagePack, so each receiver gets plain data of its own: tuples arrive as lists. Each
sender numbers its broadcasts, so that a receiver notices what it has missed.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
from collections.abc import Callable, Coroutine, Iterable
from contextvars import ContextVar, copy_context
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from toto_aio.brokers import Broker, Receiver, open_broker
from toto_aio.channels import Channel
from toto_aio.codecs.msgpack_codec import EXACT
from toto_aio.events.channel_calls import ChannelCalls
from toto_aio.events.counts import EventCounts
from toto_aio.events.packing import pack, unpack
from toto_aio.events.registration import Registration, call_once, consume
from toto_aio.events.senders import Senders
from toto_aio.events.subscription import QUEUE_SIZE, Arrival, Subscription, WhenFull
from toto_aio.events.taken import TakenEvents
from toto_aio.exceptions import InvalidParameters
from toto_aio.settings import SettingsError
from toto_aio.tasks import Tasks
from toto_aio.threads import Threads, waits_in_threads

if TYPE_CHECKING:
    from toto_aio.events.channels import Channels

logger = logging.getLogger(__name__)

EXIT_LIMIT = 5.0
"""Seconds that handlers of events for one process have to end when a program leaves ``async with``."""

RESERVED = "toto_aio."
"""The beginning of the names of the service's own events, which clients must neither send nor receive."""

current_manager: ContextVar[EventManager] = ContextVar("toto_aio_event_manager")
"""The manager of the app whose call or event handler is running, if the process has several apps."""
running: set[EventManager] = set()
"""The managers that have been started and not closed."""


class EventManager(ChannelCalls):
    """The events of one app: sends them, and delivers them to handlers and subscriptions.

    Any program can take part: ``async with EventManager("redis://localhost/0") as events``, with what the
    option ``events`` may be: a URL, a ready ``redis.asyncio.Redis``, which is left open, or a broker. Then
    the same guarantees hold as in a service, also at the end. ``channels`` are those that it publishes to, as
    the service declares them. Raises ``SettingsError``, and ``Unavailable`` when it starts if the broker is
    out of reach.

    ``register_handler`` and ``remove_handler`` may be called from any thread, everything else on the event
    loop; coroutine functions also in a thread of the service, where they return when that is done.
    """

    def __init__(
        self,
        events: Any,
        *,
        channels: Iterable[Channel] = (),
        encode: Callable[[Any], bytes] = EXACT.encode,
    ) -> None:
        broker = open_broker(events)
        if broker is None:
            raise SettingsError("events: write memory:// or redis://host/0, not off")
        self.threads: Threads | None = None
        """The threads of plain functions; without them all run on the event loop."""
        self.channels = _channels(channels, broker, encode)
        self._broker = broker
        self._encode = encode
        self._handlers: dict[str, dict[Registration, None]] = {}
        self._subscriptions: dict[str, dict[Subscription, None]] = {}
        self._tasks = Tasks()
        self._early: list[tuple[Subscription, Registration]] = []  # registered before the start
        self._taken = TakenEvents(broker, self._deliver_again)
        self._counts = EventCounts()
        self._thread = 0
        self._sender = secrets.token_bytes(8)
        self._sent = 0
        self._senders = Senders()

    async def __aenter__(self) -> Self:
        if self._loop is not None:
            raise RuntimeError("This EventManager was started before: make another one")
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        try:
            await asyncio.sleep(0)  # an event that was just sent within this process arrives
            await self.drain(EXIT_LIMIT)
            await self.finish(EXIT_LIMIT)
        finally:
            await self.close()

    @staticmethod
    def instance() -> EventManager:
        """The manager of the app whose call or event handler is running, else the only manager there is.

        Raises ``RuntimeError`` if there is none, or more than one.
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
        receiver = Receiver(self._deliver, self._interrupted, self._is_wanted, self._room)
        if self.channels is not None:
            receiver = replace(
                receiver,
                published=self.channels.hear,
                joined=self.channels.joined,
                left=self.channels.left,
            )
        await self._broker.start(receiver)
        if self.channels is not None:
            self.channels.start()
        running.add(self)
        for subscription, registration in self._early:
            self._start(consume(subscription, registration.function), registration.name)
        self._early.clear()

    def declare(self, channels: Iterable[Channel]) -> None:
        """Publish to these channels too. Raises ``SettingsError``.

        If the manager was made without channels, it does not hear what is published to them.
        """
        if self.channels is None:
            self.channels = _channels(channels, self._broker, self._encode)
        else:
            self.channels.declare(channels)

    async def drain(self, limit: float) -> None:
        """Leave events for one process to others: all further ones, and those that nobody has seen here.

        What no other process takes within ``limit`` seconds is handled here.
        """
        await self._taken.drain(limit)
        await self._leave_to_others()

    async def finish(self, limit: float) -> None:
        """Wait for the handlers of events for one process, and offer others what is left after that time."""
        await self._taken.finish(limit)
        await self._leave_to_others()

    async def _leave_to_others(self) -> None:
        for subscription in self._all_subscriptions():
            subscription.withdraw()
        await self._taken.handed_back()

    async def close(self) -> None:
        """Stop receiving; subscriptions end, and handlers in progress are cancelled."""
        running.discard(self)
        await self._taken.close()
        if self.channels is not None:
            await self.channels.close()
        await self._broker.close()
        for subscription in self._all_subscriptions():
            subscription.close()
        await self._tasks.cancel()

    @waits_in_threads
    async def send(self, name: str, args: Any = None, broadcast: bool = True) -> None:
        """Send an event to every process of the deployment, or, without ``broadcast``, to exactly one.

        If a process has a handler or subscription for the event, that one is such a process. Raises
        ``TypeError`` for ``args`` that aren't plain data, ``Unavailable`` if the event can't be sent.
        """
        require_free_name(name)
        await self.send_own(name, args, broadcast)

    async def send_own(self, name: str, args: Any, broadcast: bool = True) -> None:
        """Send an event of the service's own, whose name begins with ``RESERVED``."""
        self._require_own_loop("send")
        number = self._sent + 1 if broadcast else 0
        payload = pack([self._sender, number, name, args], self._encode)
        if broadcast:
            self._sent = number
        await self._broker.publish(payload, broadcast=broadcast)
        self._counts.sent += 1

    def register_handler(
        self,
        name: str,
        function: Callable[[Any], Any],
        persist: bool = False,
        run_on_main_loop: bool | None = None,
    ) -> Registration:
        """Call ``function(args)`` when the event arrives: once, or each time with ``persist``.

        ``function`` may be plain or a coroutine function; its exceptions are logged. With ``persist`` it
        handles one event after the other, in their order, from a bounded queue like that of ``subscribe``.
        A plain function runs in a thread if it is registered in one, else on the event loop, unless
        ``run_on_main_loop`` says otherwise. Returns what ``remove_handler`` takes.
        """
        require_free_name(name)
        registration = Registration(name, self.placed(function, run_on_main_loop))
        self.on_loop(self._register, registration, persist)
        return registration

    def placed(self, function: Callable[[Any], Any], on_loop: bool | None) -> Callable[[Any], Any]:
        """A function as it is called with an event; see ``Threads.placed``."""
        return function if self.threads is None else self.threads.placed(function, on_loop)

    def handle_own(self, name: str, function: Callable[[Any], Any]) -> None:
        """Call ``function(args)`` with each event of a name that begins with ``RESERVED``."""
        self._register(Registration(name, function), True)

    def remove_handler(self, registration: Registration) -> None:
        """Stop calling a handler; a call in progress continues. A no-op if it isn't registered."""
        self.on_loop(self._remove, registration)

    def subscribe(
        self,
        name: str,
        size: int = QUEUE_SIZE,
        when_full: WhenFull = "drop-oldest",
        on_lagged: Callable[[int], None] | None = None,
        take: Callable[[Arrival], bool] | None = None,
        on_slow: Callable[[str], None] | None = None,
    ) -> Subscription:
        """The events of a name as an asynchronous iterator, from now until it is closed.

        At most ``size`` events wait. When another arrives, the oldest is dropped, or with ``disconnect`` the
        iteration raises ``Lagged``. Before the next event is read, ``on_lagged`` is called with the number of
        events that were lost: of this name, or of any name if they didn't reach this process.

        While no event waits, ``take`` is offered each event as it arrives; it returns True if it handled it.
        ``on_slow`` is called with the name when events begin to be dropped, instead of a line in the log.
        """
        require_free_name(name)
        if self._loop is not None and threading.get_ident() != self._thread:
            raise RuntimeError("Subscribe in the event loop in which this EventManager was started")
        return self._add(Subscription(name, size, when_full, on_lagged, self._forget, take, on_slow))

    def on_loop(self, function: Callable[..., None], *args: Any) -> None:
        """Call a function between two events, so that what a thread registers gets all later events."""
        if self._loop is None or threading.get_ident() == self._thread:
            function(*args)
        else:
            self._loop.call_soon_threadsafe(function, *args)

    def _add(self, subscription: Subscription) -> Subscription:
        self._subscriptions.setdefault(subscription.name, {})[subscription] = None
        return subscription

    def _register(self, registration: Registration, persist: bool) -> None:
        if persist:
            subscription = Subscription(registration.name, QUEUE_SIZE, "drop-oldest", None, self._forget)
            registration.subscription = self._add(subscription)
            if self._loop is None:
                self._early.append((subscription, registration))
            else:
                self._start(consume(subscription, registration.function), registration.name)
        else:
            self._handlers.setdefault(registration.name, {})[registration] = None

    def _remove(self, registration: Registration) -> None:
        _drop(self._handlers, registration.name, registration)
        if registration.subscription is not None:
            registration.subscription.close()

    def counts(self) -> EventCounts:
        """How many events there have been so far, and how many wait now."""
        counts = replace(self._counts)
        for subscription in self._all_subscriptions():
            counts.dropped += subscription.dropped
            counts.missed += subscription.missed
            counts.waiting += subscription.waiting
            counts.subscriptions += 1
        return counts

    def _forget(self, subscription: Subscription) -> None:
        if _drop(self._subscriptions, subscription.name, subscription):
            self._counts.dropped += subscription.dropped
            self._counts.missed += subscription.missed

    def _is_wanted(self, payload: bytes) -> bool:
        event = unpack(payload)
        return event is not None and (event[2] in self._handlers or event[2] in self._subscriptions)

    def _room(self, payload: bytes) -> int:
        event = unpack(payload)
        subscriptions = () if event is None else self._subscriptions.get(event[2], ())
        return min((subscription.room for subscription in subscriptions), default=1)

    def _deliver_again(self, payload: bytes) -> bool:
        if not self._is_wanted(payload):
            return False
        self._deliver(payload)
        return True

    def _deliver(self, payload: bytes) -> None:
        self._counts.received += 1
        event = unpack(payload)
        if event is None:
            return
        sender, number, name, args = event
        if number and (missed := self._senders.missed(sender, number)):
            self._miss(missed)
        taken = None if number else self._taken.add(payload)
        if taken is not None:
            taken.hold()
        arrival = Arrival(args, taken)
        for subscription in tuple(self._subscriptions.get(name, ())):
            subscription.put(arrival)
        for registration in self._handlers.pop(name, ()):
            if taken is not None:
                taken.hold()
                taken.begun = True
            self._start(call_once(registration.function, arrival, name), name)
        if taken is not None:
            taken.release()

    def _interrupted(self) -> None:
        self._miss(1)
        if self.channels is not None:
            self.channels.interrupted()

    def _miss(self, count: int) -> None:
        for subscription in self._all_subscriptions():
            subscription.miss(count)

    def _all_subscriptions(self) -> list[Subscription]:
        return [each for subscriptions in self._subscriptions.values() for each in subscriptions]

    def _start(self, coroutine: Coroutine[Any, Any, None], event: str) -> None:
        context = copy_context()
        context.run(current_manager.set, self)
        self._tasks.start(coroutine, f"event {event}", context=context)


def require_free_name(name: str) -> None:
    """Raise ``InvalidParameters`` for the name of an event that is the service's own."""
    if isinstance(name, str) and name.startswith(RESERVED):
        raise InvalidParameters(f"Event names that begin with {RESERVED!r} are reserved.")


def _channels(channels: Iterable[Channel], broker: Broker, encode: Callable[[Any], bytes]) -> Channels | None:
    given = tuple(channels)
    if not given:
        return None
    from toto_aio.events.channels import Channels  # most services have none

    return Channels(given, broker, encode)


def _drop(table: dict[str, dict[Any, None]], name: str, entry: Any) -> bool:
    """Remove an entry from a table; whether it was there."""
    entries = table.get(name, {})
    if entry not in entries:
        return False
    del entries[entry]
    if not entries:
        del table[name]
    return True
