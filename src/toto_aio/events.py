"""Events: sent from any call, received by any other, through the broker of the deployment.

    await handler.events.send("message", {"text": "hello"})

    async with handler.events.subscribe("message") as messages:
        async for message in messages: ...

What is sent is packed as MessagePack, so a receiver gets plain data of its own: tuples arrive as lists.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from types import TracebackType
from typing import Any

import msgspec

from toto_aio.brokers import Broker
from toto_aio.codecs import encode_msgpack

logger = logging.getLogger(__name__)

QUEUE_SIZE = 1000
"""Events that may wait for a subscriber; when one more comes, the oldest is dropped and counted."""

current_manager: ContextVar[EventManager] = ContextVar("toto_aio_event_manager")
"""The manager of the app in whose call or event handler the code runs, if there are several."""
running: set[EventManager] = set()
"""The managers between their ``start`` and ``close``."""


class EventManager:
    """The events of one app: who waits for which, and how they are sent."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._handlers: dict[str, dict[Registration, None]] = {}
        self._subscriptions: dict[str, dict[Subscription, None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

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
        await self._broker.start(self._deliver)
        running.add(self)

    async def close(self) -> None:
        """Receive no more; subscriptions come to their end, and handlers that still run are cancelled."""
        running.discard(self)
        await self._broker.close()
        for subscriptions in tuple(self._subscriptions.values()):
            for subscription in tuple(subscriptions):
                subscription.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def send(self, name: str, args: Any = None, broadcast: bool = True) -> None:
        """Send an event to every process of the deployment, or, without ``broadcast``, to exactly one.

        Raises ``TypeError`` for ``args`` that are not plain data, ``Unavailable`` if it cannot be sent.
        """
        await self._broker.publish(encode_msgpack([name, args]), broadcast=broadcast)

    def register_handler(
        self, name: str, function: Callable[[Any], Any], persist: bool = False
    ) -> Registration:
        """Call ``function(args)`` when the event comes: once, or each time with ``persist``.

        ``function`` may be plain or a coroutine function, and what it raises is logged. With ``persist``
        it takes one event after the other, in their order, from a bounded queue as ``subscribe`` has it.
        Returns what ``remove_handler`` takes.
        """
        registration = Registration(name, function)
        if persist:
            registration.subscription = self.subscribe(name)
            self._start(_consume(registration.subscription, function), name)
        else:
            self._handlers.setdefault(name, {})[registration] = None
        return registration

    def remove_handler(self, registration: Registration) -> None:
        """Call a handler no more; one that runs goes on. If it is not registered this is a no-op."""
        _remove(self._handlers, registration.name, registration)
        if registration.subscription is not None:
            registration.subscription.close()

    def subscribe(self, name: str, size: int = QUEUE_SIZE) -> Subscription:
        """The events of a name as an asynchronous iterator, from now until it is closed.

        At most ``size`` events wait; when one more comes, the oldest is dropped and counted.
        """
        subscription = Subscription(self, name, size)
        self._subscriptions.setdefault(name, {})[subscription] = None
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Part of ``Subscription.close``."""
        _remove(self._subscriptions, subscription.name, subscription)

    def _deliver(self, payload: bytes) -> None:
        try:
            name, _ = _decoder.decode(payload)
        except ValueError:
            logger.error("an event that cannot be read was dropped: %.100r", payload)
            return
        for subscription in tuple(self._subscriptions.get(name, ())):
            subscription.put(_args(payload))
        for registration in self._handlers.pop(name, ()):
            current_manager.set(self)
            self._start(_call(registration.function, _args(payload), name), name)

    def _start(self, coroutine: Coroutine[Any, Any, None], event: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine, name=f"toto-aio event {event}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class Registration:
    """A handler that waits for an event, as ``register_handler`` returns it."""

    __slots__ = ("function", "name", "subscription")

    def __init__(self, name: str, function: Callable[[Any], Any]) -> None:
        self.name = name
        self.function = function
        self.subscription: Subscription | None = None


class Subscription:
    """The events of one name, in order, for one reader. ``dropped`` counts those that it was too slow for."""

    def __init__(self, manager: EventManager, name: str, size: int) -> None:
        self.name = name
        self.dropped = 0
        self.manager = manager
        self._queue: deque[Any] = deque()
        self._size = size
        self._waiter: asyncio.Future[None] | None = None
        self._closed = False

    def put(self, args: Any) -> None:
        """Add an event; the oldest makes way when the queue is full."""
        if len(self._queue) >= self._size:
            self._queue.popleft()
            self.dropped += 1
            if self.dropped == 1:
                logger.warning("a subscriber of the event %r is too slow: events are dropped", self.name)
        self._queue.append(args)
        self._wake()

    def close(self) -> None:
        """Receive no more; a reader reaches the end of the iteration."""
        self._closed = True
        self._queue.clear()
        self.manager.unsubscribe(self)
        self._wake()

    async def __aenter__(self) -> Subscription:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Any:
        while not self._queue:
            if self._closed:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._queue.popleft()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


async def _consume(subscription: Subscription, function: Callable[[Any], Any]) -> None:
    current_manager.set(subscription.manager)
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


def _args(payload: bytes) -> Any:
    """What was sent, decoded for each receiver: what one does to it, another does not see."""
    return _decoder.decode(payload)[1]


def _remove(table: dict[str, dict[Any, None]], name: str, entry: Any) -> None:
    entries = table.get(name)
    if entries is not None:
        entries.pop(entry, None)
        if not entries:
            del table[name]


_decoder = msgspec.msgpack.Decoder()
