"""Parts of a service that count what they do. They stand where the others stand when nothing is measured."""

from __future__ import annotations

import inspect
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from toto_aio.auth.caller import Caller
from toto_aio.auth.throttle import Throttle
from toto_aio.dispatch.call import Call, ClientLeftError
from toto_aio.dispatch.dispatcher import Dispatcher
from toto_aio.dispatch.handler import Reply, Resources
from toto_aio.events.manager import EventManager
from toto_aio.events.subscription import Subscription
from toto_aio.exceptions import InternalError, InvalidCredentials, TooManyAttempts, TotoException, Unavailable
from toto_aio.monitoring.measures import Measures
from toto_aio.registry import Method
from toto_aio.stores import SessionStore, Store

MAX_CODES = 100
"""Codes that have counts of their own, as a method might take its codes from its client."""
OK, LEFT, HTTP, OTHER = "ok", "left", "http", "other"
"""What stands for a code: it went well, the client left, an answer of aiohttp's, one code too many."""


class CountedDispatcher(Dispatcher):
    """Counts calls, and times those of methods that do not wait for something."""

    def __init__(
        self, measures: Measures, methods: Mapping[str, Method], resources: Resources, **options: Any
    ) -> None:
        super().__init__(methods, resources, **options)
        self._measures = measures
        self._codes: set[str] = set()
        self._count: dict[tuple[str, str], Callable[[], None]] = {}
        self._time: dict[str, Callable[[float], None]] = {}
        for name, method in methods.items():
            self._count[name, OK] = measures.calls.labels(name, OK).inc
            if not method.rules.asynchronous:
                self._time[name] = measures.call_seconds.labels(name).observe

    async def __call__(self, call: Call, caller: Caller, reply: Reply) -> Any:
        code = LEFT
        try:
            result = await super().__call__(call, caller, reply)
            code = OK
            return result
        except Exception as exc:
            code = _code(exc)
            raise
        finally:
            name = call.method  # "unknown" if there is no such method
            count = self._count.get((name, code))
            if count is None:
                count = self._counter(name, code)
            count()
            observe = self._time.get(name)
            if observe is not None:
                observe(time.perf_counter() - call.started)

    def _counter(self, name: str, code: str) -> Callable[[], None]:
        if code not in self._codes and len(self._codes) >= MAX_CODES:
            code = OTHER
        self._codes.add(code)
        count = self._count[name, code] = self._measures.calls.labels(name, code).inc
        return count


def _code(exc: Exception) -> str:
    if isinstance(exc, TotoException):
        return str(exc.code) if type(exc.code) is int else OTHER
    if isinstance(exc, ClientLeftError):
        return LEFT
    return HTTP if isinstance(exc, web.HTTPException) else str(InternalError.CODE)


class CountedStore:
    """A store whose operations are timed. Its attributes are the store's."""

    def __init__(self, measures: Measures, store: Store, name: str) -> None:
        self._store = store
        self._observe = measures.store_seconds.labels(name).observe
        self._fail = measures.store_failures.labels(name).inc
        self._counts: dict[str, Callable[[Any], None]] = {
            "add_session": lambda result: measures.sessions_created.inc(),
            "remove_session": measures.sessions_ended.inc,
            "remove_sessions": measures.sessions_ended.inc,
        }

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._store, name)
        if not inspect.iscoroutinefunction(value):
            return value
        operation = self._timed(value, self._counts.get(name))
        setattr(self, name, operation)  # the next time it is found there
        return operation

    def _timed(
        self, operation: Callable[..., Any], count: Callable[[Any], None] | None
    ) -> Callable[..., Any]:
        observe, fail = self._observe, self._fail

        async def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                result = await operation(*args, **kwargs)
            except Unavailable:
                fail()
                raise
            finally:
                observe(time.perf_counter() - began)
            if count is not None:
                count(result)
            return result

        return timed


class CountedThrottle(Throttle):
    """Counts the looks at a password, by what came of them."""

    def __init__(self, measures: Measures, counters: SessionStore, limit: int) -> None:
        super().__init__(counters, limit)
        self._right, self._wrong, self._refused = map(measures.logins.labels, ("right", "wrong", "refused"))

    @asynccontextmanager
    async def attempt(self, user_id: str, address: str) -> AsyncIterator[None]:
        try:
            async with super().attempt(user_id, address):
                yield
        except InvalidCredentials:
            self._wrong.inc()
            raise
        except TooManyAttempts:
            self._refused.inc()
            raise
        self._right.inc()


class CountedEvents(EventManager):
    """Counts events. What a subscription has dropped and missed is still known when it is closed."""

    _count_sent = _count_received = _dropped = _missed = 0

    async def send(self, name: str, args: Any = None, broadcast: bool = True) -> None:
        await super().send(name, args, broadcast)
        self._count_sent += 1

    def counts(self) -> tuple[int, int, int, int, int, int]:
        """Events sent, received, dropped and missed so far; events that wait, and subscriptions, now."""
        dropped, missed, waiting = self._dropped, self._missed, 0
        subscriptions = self._all_subscriptions()
        for subscription in subscriptions:
            dropped += subscription.dropped
            missed += subscription.missed
            waiting += subscription.waiting
        return self._count_sent, self._count_received, dropped, missed, waiting, len(subscriptions)

    def _deliver(self, payload: bytes) -> None:
        self._count_received += 1
        super()._deliver(payload)

    def _forget(self, subscription: Subscription) -> None:
        if subscription in self._subscriptions.get(subscription.name, ()):
            self._dropped += subscription.dropped
            self._missed += subscription.missed
        super()._forget(subscription)
