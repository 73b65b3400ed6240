"""What counts calls, store operations and login attempts: each stands around what it counts."""

from __future__ import annotations

import inspect
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any

from aiohttp import web

from toto_aio.auth.caller import Caller
from toto_aio.auth.throttle import Attempts
from toto_aio.dispatch.call import Call, ClientDisconnectedError
from toto_aio.dispatch.dispatcher import Dispatch
from toto_aio.dispatch.method import Method
from toto_aio.dispatch.reply import Reply
from toto_aio.exceptions import InternalError, InvalidCredentials, TooManyAttempts, TotoException, Unavailable
from toto_aio.monitoring.measures import Measures
from toto_aio.stores import Store

MAX_CODES = 100
"""Error codes that are counted separately, as a method might take its codes from its client."""
OK, LEFT, HTTP, OTHER = "ok", "left", "http", "other"
"""Instead of a code: success, the client left, aiohttp's exception, a code beyond ``MAX_CODES``."""


class CountedCalls:
    """Counts the calls of a dispatcher, and times those of methods that don't wait for something."""

    def __init__(self, measures: Measures, dispatch: Dispatch, methods: Mapping[str, Method]) -> None:
        self._measures = measures
        self._dispatch = dispatch
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
            result = await self._dispatch(call, caller, reply)
            code = OK
            return result
        except Exception as exc:
            code = _code(exc)
            raise
        finally:
            name = call.method  # "unknown" if the method doesn't exist
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
    if isinstance(exc, ClientDisconnectedError):
        return LEFT
    return HTTP if isinstance(exc, web.HTTPException) else str(InternalError.CODE)


class CountedStore:
    """Times the operations of a store. Its other attributes are the store's."""

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
        setattr(self, name, operation)  # so that it is found directly the next time
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


class CountedAttempts:
    """Counts attempts to log in by their outcomes."""

    def __init__(self, measures: Measures, attempts: Attempts) -> None:
        self._attempts = attempts
        self._right, self._wrong, self._refused = map(measures.logins.labels, ("right", "wrong", "refused"))

    @asynccontextmanager
    async def attempt(self, user_id: str, address: str, session_key: str = "") -> AsyncIterator[None]:
        with self._counted():
            async with self._attempts.attempt(user_id, address, session_key):
                yield

    def creation(self, user_id: str, address: str) -> AbstractAsyncContextManager[None]:
        return self._attempts.creation(user_id, address)

    @asynccontextmanager
    async def second_step(self, user_id: str, address: str) -> AsyncIterator[None]:
        with self._counted():
            async with self._attempts.second_step(user_id, address):
                yield

    def guess(self, address: str) -> AbstractAsyncContextManager[None]:
        return self._attempts.guess(address)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        try:
            yield
        except InvalidCredentials:
            self._wrong.inc()
            raise
        except TooManyAttempts:
            self._refused.inc()
            raise
        self._right.inc()
