"""From a call to its result: every transport enters here.

The dispatcher knows neither HTTP nor sockets. What a method raises reaches the transport, which turns it into
the error of its wire with ``wire_error``.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from copy import deepcopy
from types import CoroutineType
from typing import Any, cast

from toto_aio.auth.caller import Caller
from toto_aio.auth.key_caller import KeyCaller
from toto_aio.auth.rate_limits import RateLimits
from toto_aio.awaiting import dropped, log_dropped, require_awaited
from toto_aio.codecs import Codec
from toto_aio.codecs.json_codec import JSON
from toto_aio.dispatch.answers import (
    OWN_BYTES,
    Redirect,
    Streamed,
    check_callback,
    raw_answer,
    redirect_for,
    script,
)
from toto_aio.dispatch.call import Call, ClientDisconnectedError
from toto_aio.dispatch.call_log import Source, log_failure, log_slow
from toto_aio.dispatch.client_limit import shortened_limit
from toto_aio.dispatch.deadlines import Deadline
from toto_aio.dispatch.form import fields_by_name, read_fields, redirect_after, take
from toto_aio.dispatch.handler import Handler
from toto_aio.dispatch.head import checked_status
from toto_aio.dispatch.hooks import Hook, take_hooks
from toto_aio.dispatch.method import Method
from toto_aio.dispatch.policy import Policy
from toto_aio.dispatch.reply import Reply
from toto_aio.dispatch.runtime import Runtime
from toto_aio.events.manager import current_manager, running
from toto_aio.exceptions import (
    InternalError,
    InvalidParameters,
    MethodNotFound,
    MissingMethod,
    TimedOut,
    TotoException,
    Unavailable,
)
from toto_aio.method_rules import Rules
from toto_aio.tasks import Tasks

logger = logging.getLogger(__name__)

Dispatch = Callable[[Call, Caller, Reply], Awaitable[Any]]
"""What a transport calls: ``Dispatcher``, or what stands around it."""


class Dispatcher:
    """Runs the methods of one app. ``before`` and ``after`` are called around each call.

    ``channels`` are functions that only admit to channels, so that a call of one is told what it is.
    """

    before: Hook | None
    after: Hook | None

    def __init__(
        self,
        methods: Mapping[str, Method],
        runtime: Runtime,
        *,
        get_methods: str = "safe",
        slow_call: float = 1.0,
        json: Codec = JSON,
        check_results: bool = False,
        before: Callable[..., Any] | None = None,
        after: Callable[..., Any] | None = None,
        channels: Mapping[str, Method] | None = None,
    ) -> None:
        self._methods = methods
        self._channels = channels or {}
        self._runtime = runtime
        self._get_methods = get_methods
        self._slow_call = slow_call
        take_hooks(self, before, after)
        self._json = json
        self._checks = check_results
        self._plain = frozenset(
            name
            for name, method in methods.items()
            if _is_plain(method) and (method.check_result is None or not check_results)
        )
        self._policy = Policy(RateLimits(runtime.connection.sessions.store))
        self._waiting: set[Handler] = set()
        self._tasks = Tasks()

    async def __call__(self, call: Call, caller: Caller, reply: Reply) -> Any:
        """The result of a call: a value to be encoded, or one of ``OWN_BYTES``. Raises the call's error."""
        method = self._methods.get(call.name) if type(call.name) is str else None
        call.started = time.perf_counter()
        if method is None or call.by_get or call.by_form:
            method = self._reachable(method, call, caller)
        call.method = method.name
        if not isinstance(call.parameters, dict):
            raise InvalidParameters("Parameters must be an object.")
        runtime = self._runtime
        handler = Handler(call, caller, reply, runtime)
        if runtime.events is not None and len(running) > 1:
            current_manager.set(runtime.events)
        limit = Deadline(runtime.deadlines, method.timeout)
        if call.ends is not None:
            limit.seconds = shortened_limit(method.timeout, call.ends)
        try:
            with limit:
                if self.before is not None:
                    await finish(self.before(handler, call.transaction_id, method.name))
                result = await self._run(method, handler, call.parameters, limit)
                if dropped:
                    require_awaited(call.started)
            if time.perf_counter() - call.started > self._slow_call and not method.rules.asynchronous:
                log_slow(call, reply)
            return result
        except (Exception, asyncio.CancelledError) as exc:
            return _redirected(_error(exc, handler, limit), method, handler)
        finally:
            handler.end()
            if self.after is not None:
                await self._run_after(handler, method)
            if dropped:
                log_dropped()

    async def close(self) -> None:
        """End the calls that wait for ``respond`` with ``Unavailable``, as the service is stopping."""
        for handler in tuple(self._waiting):
            handler.settle(None, Unavailable("The service is stopping."))
        await self._tasks.cancel()

    def _reachable(self, method: Method | None, call: Call, caller: Caller) -> Method:
        """The method, or the error of a call that names none or may not come by GET."""
        if method is None:
            raise MissingMethod if call.name in (None, "") else self._not_found(call.name)
        if call.by_get and not method.reachable_by_get(self._get_methods):
            call.method = method.name
            raise MethodNotFound(f"Cannot call {method.name!r} by GET: {method.instead_of_get}.", status=405)
        if call.by_form and method.post_only:
            call.method = method.name
            read_fields(call)
        elif call.by_form and method.signature is not None:
            call.parameters = fields_by_name(call.parameters)
        if call.by_get and (not method.rules.safe or method.rules.jsonp):
            caller.ignore_cookie()  # any page can make a browser send a GET
        return method

    def _not_found(self, name: Any) -> MethodNotFound:
        admits = self._channels.get(name) if type(name) is str else None
        if admits is None or admits.rules.channel is None:
            return MethodNotFound.named(name)
        pattern = admits.rules.channel.pattern
        return MethodNotFound(f"Cannot call '{name}': it admits to channels: subscribe to '{pattern}'.")

    async def _run(
        self, method: Method, handler: Handler, parameters: dict[str, Any], limit: Deadline
    ) -> Any:
        """Admit the caller, call the method, and wait for its result."""
        callback = None
        if handler.caller.by_key:
            await cast(KeyCaller, handler.caller).admit(method.name, needs_session=method.post_only)
        if method.has_policy:
            await self._policy.admit(method, handler, parameters)
        is_plain = handler.call.name in self._plain
        if not is_plain:
            callback = self._prepare(method, handler, parameters, limit)
        try:
            if method.threaded and not method.rules.idempotent:
                result = await self._runtime.threads.run(method.invoke, handler, parameters)
            else:
                result = method.invoke(handler, parameters)
            if type(result) is CoroutineType or inspect.isawaitable(result):
                result = await result
        except Exception:
            if not handler.responded:
                raise
            logger.exception("%r failed after it had responded [%s]", method.name, handler.transaction_id)
            result = None
        if is_plain and not handler.responded and not handler.reply.streaming:
            return result
        return await self._own_answer(method, handler, result, callback)

    def _prepare(
        self, method: Method, handler: Handler, parameters: dict[str, Any], limit: Deadline
    ) -> str | None:
        """Do what the other decorators ask for; returns the name of a JSONP callback."""
        rules = method.rules
        callback = take(rules.jsonp, parameters, handler.call) if rules.jsonp else None
        if rules.deprecation is not None and handler.reply.alone:
            for name, value in rules.deprecation.headers().items():
                handler.reply.set_header(name, value)
        if rules.defaults or rules.required:
            _complete(parameters, rules)
        if callback is not None:
            check_callback(callback)
        if (rules.raw or callback is not None) and not handler.reply.alone:
            raise InvalidParameters(f"'{method.name}' answers with bytes of its own: call it alone.")
        if rules.raw:
            handler.response_type = "application/octet-stream"
        if rules.idempotent:
            handler.limit = limit
        if method.on_connection_close is not None or rules.asynchronous or rules.cancellable:
            handler.reply.watch(lambda: self._client_left(method, handler, limit))
        return callback

    async def _own_answer(self, method: Method, handler: Handler, result: Any, callback: str | None) -> Any:
        """The answer of a method that has responded itself, or that answers with bytes of its own."""
        rules = method.rules
        streaming = handler.reply.streaming
        if handler.responded or (rules.asynchronous and (result is None or streaming)):
            result = await self._wait(handler)
        elif streaming:
            result = Streamed()
        if type(result) in OWN_BYTES:
            return result
        if rules.raw:
            return raw_answer(result, handler.response_type)
        if self._checks and method.check_result is not None:
            method.check_result(result, self._json)
        return result if callback is None else script(callback, result, self._json)

    async def _wait(self, handler: Handler) -> Any:
        self._waiting.add(handler)
        try:
            return await handler.given()
        finally:
            self._waiting.discard(handler)

    def _client_left(self, method: Method, handler: Handler, limit: Deadline) -> None:
        handler.client_left = True
        if method.on_connection_close is not None:
            # As its method: in a thread, where it may save a session, or on the loop.
            function = self._runtime.threads.placed(method.on_connection_close, not method.threaded)
            closing = _finish_logged(function, handler)
            self._tasks.start(closing, f"on_connection_close {method.name}")
        if method.rules.asynchronous:
            handler.settle(None, ClientDisconnectedError())
        if method.rules.cancellable and not handler.finished:
            limit.expire()

    async def _run_after(self, handler: Handler, method: Method) -> None:
        assert self.after is not None
        try:
            await finish(self.after(handler, handler.transaction_id, method.name))
        except Exception:
            logger.exception("after_handler failed for %r [%s]", method.name, handler.transaction_id)


class AwaitedCancelledError(Exception):
    """A call awaited something that was cancelled; the call itself was not."""


def wire_error(
    exc: Exception, call: Call, source: Source, *, codec: Codec | None = None, debug: bool = False
) -> TotoException:
    """The error that a client receives for an exception, which is logged under the call's id.

    ``source`` is where the call came from. An error whose value the codec can't encode, or with a status that
    can't be sent, is an internal error, even where it would need none.
    """
    if codec is not None and isinstance(exc, TotoException):
        try:
            checked_status(exc.status)
            codec.encode(exc.as_dict())
        except Exception as unsendable:
            exc = unsendable
    log_failure(exc, call, source)
    if isinstance(exc, TotoException):
        if debug and exc.reason:
            exc.details = {**exc.details, "reason": exc.reason}
        return exc
    text = f"Internal error {call.transaction_id}"
    return InternalError(f"{text}: {type(exc).__name__}: {exc}" if debug else text)


async def finish(outcome: Any) -> None:
    """Await what a hook returned, if the hook is a coroutine function."""
    if inspect.isawaitable(outcome):
        await outcome


def _error(exc: BaseException, handler: Handler, limit: Deadline) -> Exception:
    """The error of a call that ended with ``exc``. Raises a cancellation of the call itself."""
    if isinstance(exc, asyncio.CancelledError):
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise exc
        return AwaitedCancelledError(exc)
    if isinstance(exc, TimeoutError) and limit.expired:
        return ClientDisconnectedError() if handler.client_left else TimedOut()
    assert isinstance(exc, Exception)
    return exc


def _redirected(exc: Exception, method: Method, handler: Handler) -> Redirect:
    """The redirection that ``@error_redirect`` has for an error, or the error, raised."""
    reply = handler.reply
    url = redirect_for(exc, method.rules)
    redirect = redirect_after(exc, handler.call) if url is None else Redirect(url)
    if redirect is None or not reply.alone or reply.streaming or isinstance(exc, ClientDisconnectedError):
        raise exc
    log_failure(exc, handler.call, reply)
    return redirect


def _is_plain(method: Method) -> bool:
    """Whether only the guard is to be passed before the method is called, as for most methods."""
    rules = method.rules
    asks = (rules.jsonp, rules.defaults, rules.required, rules.raw, rules.asynchronous, rules.deprecation)
    return not any(asks) and not rules.cancellable and method.on_connection_close is None


def _complete(parameters: dict[str, Any], rules: Rules) -> None:
    """Fill in the defaults. Raises ``InvalidParameters`` that names what is missing."""
    for name, value in rules.defaults.items():
        if name not in parameters:
            parameters[name] = deepcopy(value)
    missing = [name for name in rules.required if name not in parameters]
    if missing:
        raise InvalidParameters(f"Missing parameters: {', '.join(missing)}")


async def _finish_logged(function: Callable[[Handler], Awaitable[None] | None], handler: Handler) -> None:
    try:
        await finish(function(handler))
    except Exception:
        logger.exception("on_connection_close failed for %r [%s]", handler.call.name, handler.transaction_id)
