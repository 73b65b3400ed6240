"""From a call to its result: the one line where every transport enters.

It knows no HTTP and no socket. What a method raises goes through to the transport, which turns it into
its wire's error with ``wire_error``.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from copy import deepcopy
from types import CoroutineType
from typing import Any

from toto_aio.auth.caller import Caller
from toto_aio.codecs import JSON
from toto_aio.dispatch.call import OWN_BYTES, Call, ClientLeftError, RawAnswer, Redirect, Streamed
from toto_aio.dispatch.call_log import log_failure, log_slow
from toto_aio.dispatch.deadlines import Deadline
from toto_aio.dispatch.handler import Handler, Reply, Resources
from toto_aio.events.manager import current_manager, running
from toto_aio.exceptions import (
    InternalError,
    InvalidParameters,
    MethodNotFound,
    MissingMethod,
    NotAuthorized,
    TimedOut,
    TotoException,
    Unavailable,
)
from toto_aio.invocation import Guard, Rules
from toto_aio.registry import Method

logger = logging.getLogger(__name__)

Hook = Callable[[Handler, str, str], Any]


class Dispatcher:
    """Runs the methods of one app. ``before`` and ``after`` are called around each call."""

    def __init__(
        self,
        methods: Mapping[str, Method],
        resources: Resources,
        *,
        get_methods: str = "safe",
        slow_call: float = 1.0,
        before: Hook | None = None,
        after: Hook | None = None,
    ) -> None:
        self._slow_call = slow_call
        self._methods = methods
        self._resources = resources
        self._get_methods = get_methods
        self._before = before
        self._after = after
        self._plain = frozenset(name for name, method in methods.items() if _is_plain(method))
        self._waiting: set[Handler] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, call: Call, caller: Caller, reply: Reply) -> Any:
        """The result of a call: a value to be encoded, or an answer of the method's own. Raises its error."""
        method = self._methods.get(call.name) if type(call.name) is str else None
        call.started = time.perf_counter()
        if method is None or call.by_get:
            method = self._admitted(method, call, caller)
        call.method = method.name
        if not isinstance(call.parameters, dict):
            raise InvalidParameters("Parameters must be an object.")
        resources = self._resources
        handler = Handler(call, caller, reply, resources)
        if resources.events is not None and len(running) > 1:
            current_manager.set(resources.events)
        limit = Deadline(resources.deadlines, method.timeout)
        try:
            with limit:
                if self._before is not None:
                    await finish(self._before(handler, call.transaction_id, method.name))
                result = await self._answer(method, handler, call.parameters, limit)
            if time.perf_counter() - call.started > self._slow_call and not method.rules.asynchronous:
                log_slow(call, reply.address)
            return result
        except (Exception, asyncio.CancelledError) as exc:
            if isinstance(exc, asyncio.CancelledError):
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                exc = AwaitedCancelledError(exc)
            if isinstance(exc, TimeoutError) and limit.expired:
                exc = ClientLeftError() if handler.client_left else TimedOut()
            url = _redirect_for(exc, method.rules)
            if url is None or not reply.alone or reply.streaming or isinstance(exc, ClientLeftError):
                raise exc
            log_failure(exc, call, reply.address)
            return Redirect(url)
        finally:
            handler.finish()
            if self._after is not None:
                await self._run_after(handler, method)

    async def close(self) -> None:
        """Answer the calls that wait for an answer from elsewhere: the service is stopping."""
        for handler in tuple(self._waiting):
            handler.settle(None, Unavailable("The service is stopping."))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _admitted(self, method: Method | None, call: Call, caller: Caller) -> Method:
        """The method, or the error of a call that has none or may not come by GET."""
        if method is None:
            raise MissingMethod if call.name in (None, "") else MethodNotFound.named(call.name)
        if call.by_get and not method.reachable_by_get(self._get_methods):
            raise MethodNotFound.named(call.name, status=405)
        if call.by_get and (not method.rules.safe or method.rules.jsonp):
            caller.leave_out_cookie()  # any page can make a browser send a GET
        return method

    async def _answer(
        self, method: Method, handler: Handler, parameters: dict[str, Any], limit: Deadline
    ) -> Any:
        rules = method.rules
        callback = None
        if rules.guard:
            await _admit(rules.guard, handler, parameters)
        if handler.call.name not in self._plain:
            callback = self._prepare(method, handler, parameters, limit)
        try:
            if method.threaded:
                result = await self._in_thread(method, handler, parameters)
            else:
                result = method.invoke(handler, parameters)
            if type(result) is CoroutineType or inspect.isawaitable(result):
                result = await result
        except Exception:
            if not handler.answered:
                raise
            logger.exception("%r failed after its answer [%s]", method.name, handler.transaction_id)
            result = None
        streaming = handler.reply.streaming
        if handler.answered or (rules.asynchronous and (result is None or streaming)):
            result = await self._wait(handler)
        elif streaming:
            result = Streamed()
        if type(result) in OWN_BYTES:
            return result
        if rules.raw:
            return _raw_answer(result, handler)
        return result if callback is None else _script(callback, result, handler)

    def _prepare(
        self, method: Method, handler: Handler, parameters: dict[str, Any], limit: Deadline
    ) -> str | None:
        """Do what the other decorators ask for; returns the name of a JSONP callback."""
        rules = method.rules
        callback = parameters.pop(rules.jsonp, None) if rules.jsonp else None
        if rules.defaults or rules.required:
            _complete(parameters, rules)
        if callback is not None:
            _check_callback(callback)
        if (rules.raw or callback is not None) and not handler.reply.alone:
            raise InvalidParameters(f"'{method.name}' answers with bytes of its own: call it alone.")
        if rules.raw:
            handler.response_type = "application/octet-stream"
        if method.on_connection_close is not None or rules.asynchronous or rules.cancellable:
            handler.reply.watch(lambda: self._client_left(method, handler, limit))
        return callback

    async def _in_thread(self, method: Method, handler: Handler, parameters: dict[str, Any]) -> Any:
        context = contextvars.copy_context()  # run_in_executor would lose it
        return await self._resources.loop.run_in_executor(
            self._resources.threads, context.run, method.invoke, handler, parameters
        )

    async def _wait(self, handler: Handler) -> Any:
        self._waiting.add(handler)
        try:
            return await handler.answer()
        finally:
            self._waiting.discard(handler)

    def _client_left(self, method: Method, handler: Handler, limit: Deadline) -> None:
        handler.client_left = True
        if method.on_connection_close is not None:
            closing = _finish_logged(method.on_connection_close, handler)
            task = asyncio.create_task(closing, name=f"toto-aio on_connection_close {method.name}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if method.rules.asynchronous:
            handler.settle(None, ClientLeftError())
        if method.rules.cancellable and not handler.finished:
            limit.expire()

    async def _run_after(self, handler: Handler, method: Method) -> None:
        assert self._after is not None
        try:
            await finish(self._after(handler, handler.transaction_id, method.name))
        except Exception:
            logger.exception("after_handler failed for %r [%s]", method.name, handler.transaction_id)


class AwaitedCancelledError(Exception):
    """A call awaited what was cancelled; it was not cancelled itself."""


def wire_error(exc: Exception, call: Call, address: str, *, debug: bool = False) -> TotoException:
    """The error that a client is told for an exception, which is logged under the call's id."""
    log_failure(exc, call, address)
    if isinstance(exc, TotoException):
        return exc
    text = f"Internal error {call.transaction_id}"
    return InternalError(f"{text}: {type(exc).__name__}: {exc}" if debug else text)


def _is_plain(method: Method) -> bool:
    """Whether there is nothing to do before a method is called but to admit the caller, as for most."""
    rules = method.rules
    asks = (rules.jsonp, rules.defaults, rules.required, rules.raw, rules.asynchronous)
    return not any(asks) and not rules.cancellable and method.on_connection_close is None


async def _admit(guard: Guard, handler: Handler, parameters: dict[str, Any]) -> None:
    """Get the session that a method asks for, or raise ``NotAuthorized``."""
    if guard is Guard.PARAMETER:
        session_id = parameters.pop("session_id", None)
        handler.caller.signs = False
        session = await handler.caller.retrieve(session_id, signed=False) if session_id else None
    else:
        session = await handler.caller.retrieve()
    if guard is Guard.ANONYMOUS and session is None:
        await handler.create_session()
    elif guard >= Guard.AUTHENTICATED and (session is None or not session.user_id):
        raise NotAuthorized


def _complete(parameters: dict[str, Any], rules: Rules) -> None:
    for name, value in rules.defaults.items():
        if name not in parameters:
            parameters[name] = deepcopy(value)
    missing = [name for name in rules.required if name not in parameters]
    if missing:
        raise InvalidParameters(f"Missing parameters: {', '.join(missing)}")


_CALLBACK = re.compile(r"[A-Za-z_$][\w$.]{0,63}", re.ASCII)


def _check_callback(callback: Any) -> None:
    if not isinstance(callback, str) or not _CALLBACK.fullmatch(callback):
        raise InvalidParameters("The callback must be the name of a function.")


def _script(callback: str, result: Any, handler: Handler) -> RawAnswer:
    handler.set_header("X-Content-Type-Options", "nosniff")
    # The comment keeps the callback's name from being the first bytes of the answer (Rosetta Flash).
    body = b"/**/" + callback.encode() + b"(" + JSON.encode(result) + b")"
    return RawAnswer(body, "application/javascript")


def _raw_answer(result: Any, handler: Handler) -> RawAnswer:
    if isinstance(result, str):
        body = result.encode()
    elif isinstance(result, bytes | bytearray | memoryview):
        body = bytes(result)
    elif result is None:
        body = b""
    else:
        raise TypeError(f"a @raw_response method returned {type(result).__name__}: return bytes or str")
    return RawAnswer(body, handler.response_type)


def _redirect_for(exc: Exception, rules: Rules) -> str | None:
    for attribute in ("code", "status_code"):
        url = rules.redirects.get(str(getattr(exc, attribute, None)))
        if url is not None:
            return url
    return rules.default_redirect


async def finish(outcome: Any) -> None:
    """Wait for what a hook returned, if it is a coroutine function's."""
    if inspect.isawaitable(outcome):
        await outcome


async def _finish_logged(function: Callable[[Handler], Awaitable[None] | None], handler: Handler) -> None:
    try:
        await finish(function(handler))
    except Exception:
        logger.exception("on_connection_close failed for %r [%s]", handler.call.name, handler.transaction_id)
