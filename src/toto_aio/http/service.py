"""Calls over HTTP: from a request to a call, and from its result to the response."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import Any

from aiohttp import hdrs, web

from toto_aio.auth.caller import Caller
from toto_aio.codecs import Codec
from toto_aio.codecs.codec import LargeBodies
from toto_aio.codecs.json_codec import JSON
from toto_aio.codecs.limits import LARGE
from toto_aio.dispatch.answers import OWN_BYTES, RawAnswer, Redirect, ScriptAnswer
from toto_aio.dispatch.call import Call, ClientDisconnectedError, make_call
from toto_aio.dispatch.dispatcher import Dispatch, wire_error
from toto_aio.exceptions import (
    InvalidParameters,
    NotAuthorized,
    TooManyAttempts,
    TotoException,
    http_status,
)
from toto_aio.http.authentication import Authenticator
from toto_aio.http.batch import Batches
from toto_aio.http.body import BrokenBodyError, essence
from toto_aio.http.cors import ALLOWED_METHODS, POST_ONLY, READ_ONLY
from toto_aio.http.envelope import envelope
from toto_aio.http.forms import read_form
from toto_aio.http.reply import HTTPReply, ReplyContext
from toto_aio.http.request import HTTPRequest
from toto_aio.http.response import CLIENT_CLOSED_REQUEST, check_response
from toto_aio.http.rpc import PATHS, RPC
from toto_aio.http.time_limit import TIMEOUT_HEADER, end_in
from toto_aio.jsonrpc.server import JSONRPC
from toto_aio.names import without_surrogates
from toto_aio.settings import Settings

Post = Callable[[HTTPRequest, Codec | None, bytes], Coroutine[Any, Any, web.StreamResponse]]
"""Responds to a POST, with the codec and the bytes of its body."""
INSTEAD = "This is no method: read it by GET."


class Service:
    """The HTTP transport of one running app.

    ``routes`` passes it the requests of aiohttp, and the fast path those that it reads itself. The paths
    ``read_only`` below the root are not methods, but answer GET.
    """

    def __init__(
        self,
        settings: Settings,
        dispatch: Dispatch,
        authenticator: Authenticator,
        context: ReplyContext,
        large_bodies: LargeBodies,
        codecs: Mapping[str, Codec],
        rpc: JSONRPC | None = None,
        read_only: Collection[str] = (),
    ) -> None:
        enabled = {
            "application/json": True,
            "application/bson": settings.bson_enabled,
            "application/msgpack": settings.msgpack_enabled,
        }
        self.context = context
        self.authenticator = authenticator
        self.max_body_size = settings.max_body_size
        self.fast_path = settings.fast_path
        self.body_timeout = settings.body_timeout
        self._dispatch = dispatch
        self._large_bodies = large_bodies
        self._batches = Batches(settings, dispatch)
        self._codecs = {name: codec for name, codec in codecs.items() if enabled[name]}
        self._json = codecs[JSON.content_type]
        self._debug = settings.debug
        self._true_statuses = settings.error_status == "http"
        self._by_url = settings.method_select != "parameter"
        self._by_parameter = settings.method_select != "url"
        self._rpc: RPC | None = None
        self._no_methods: dict[str, Post] = {}
        if rpc is not None and rpc.has_path:
            self._rpc = RPC(rpc, dispatch, authenticator, context, large_bodies, self._json)
            self._no_methods = dict.fromkeys(PATHS, self._rpc.post)
        self._no_methods.update(dict.fromkeys(read_only, self._refuse_post))

    async def post(
        self, request: HTTPRequest, codec: Codec | None, body: bytes, path: str | None
    ) -> web.StreamResponse:
        """The response to a POST with this body to ``path`` below the root; a form has no codec."""
        if path and path in self._no_methods:
            return await self._no_methods[path](request, codec, body)
        reply = HTTPReply(request, self.context)
        by_form, ends = False, None
        reply.body = body
        try:
            if TIMEOUT_HEADER in request.headers:
                ends = end_in(request.headers)
            caller = reply.caller = self.authenticator.caller(request, body)
            if caller.must_verify:
                await caller.verify()
            if not body:
                message = {}
            elif codec is not None:
                if len(body) <= LARGE:
                    message = codec.decode(body)
                else:
                    message = await self._large_bodies.run(codec.steps(body))
                if type(message) is not dict:
                    raise InvalidParameters("The body must be an object.", status=400)
            else:
                by_form = True
                message = {"parameters": await self._large_bodies.run(read_form(request, body))}
            codec = codec or self._json
            reply.content_type = codec.content_type
            if self._by_parameter and not path and "batch" in message:
                return await self._batch(codec, message["batch"], caller, reply, ends)
        except Exception as exc:
            return self._failure(codec or self._json, exc, Call(), reply)
        call = make_call(message, path if self._by_url else None, named=self._by_parameter)
        if ends is not None:
            call.ends = ends
        if by_form:
            call.by_form = True
        elif codec.binary:
            call.binary = True
        return await self._respond(codec, call, caller, reply)

    async def get(self, request: web.Request, path: str | None) -> web.StreamResponse:
        """The response to a GET or HEAD of ``path`` below the root; its query has the parameters."""
        reply = HTTPReply(request, self.context)
        repeated: dict[str, list[str]] = {}
        for name, value in request.query.items():
            # aiohttp's own parser, without its extension in C, lets any bytes through.
            repeated.setdefault(without_surrogates(name), []).append(without_surrogates(value))
        parameters = {name: values[0] if len(values) == 1 else values for name, values in repeated.items()}
        call = make_call({"parameters": parameters}, path if self._by_url else None)
        call.by_get = True
        try:
            if TIMEOUT_HEADER in request.headers:
                call.ends = end_in(request.headers)
            caller = reply.caller = self.authenticator.caller(request, b"")
            if caller.must_verify:
                await caller.verify()
        except Exception as exc:
            return self._failure(self._json, exc, call, reply)
        return await self._respond(self._json, call, caller, reply)

    def refuse(
        self, request: web.Request, codec: Codec | None, exc: TotoException, allowed: str = ALLOWED_METHODS
    ) -> web.StreamResponse:
        """The response to a request that never became a call; ``allowed`` are the verbs that may."""
        reply = HTTPReply(request, self.context)
        if isinstance(exc, BrokenBodyError):
            reply.set_header("Connection", "close")  # aiohttp closes it: the next request can't be found
        if exc.status == 405:
            reply.set_header("Allow", allowed)
        elif self._rpc is not None and request.match_info.get("path") in PATHS:
            return self._rpc.refuse(codec, exc, reply)
        return self._failure(codec or self._json, exc, Call(), reply)

    async def _refuse_post(
        self, request: HTTPRequest, codec: Codec | None, body: bytes
    ) -> web.StreamResponse:
        reply = HTTPReply(request, self.context)
        reply.set_header(hdrs.ALLOW, READ_ONLY)
        return self._failure(codec or self._json, InvalidParameters(INSTEAD, status=405), Call(), reply)

    def failure(
        self, exc: Exception, reply: HTTPReply, call: Call | None = None, *, true_status: bool = False
    ) -> web.StreamResponse:
        """The response with an error of something that is not a call, in JSON.

        With ``true_status`` it never has 200, whatever ``error_status`` says.
        """
        return self._failure(self._json, exc, call or Call(), reply, true_status=true_status)

    def codec(self, request: HTTPRequest) -> Codec | None:
        """Reads the body of a request and writes its response; None for forms and unknown content types."""
        content_type = request.headers.get(hdrs.CONTENT_TYPE, JSON.content_type)
        return self._codecs.get(content_type) or self._codecs.get(essence(request))

    async def _batch(
        self, codec: Codec, entries: Any, caller: Caller, reply: HTTPReply, ends: float | None
    ) -> web.StreamResponse:
        try:
            body = await self._batches.run(codec, entries, caller, reply, ends)
            return reply.response(body, codec.content_type)
        finally:
            if reply.lasts:
                reply.close()

    async def _respond(
        self, codec: Codec, call: Call, caller: Caller, reply: HTTPReply
    ) -> web.StreamResponse:
        """The response of a call, whatever becomes of it."""
        try:
            result = await self._dispatch(call, caller, reply)
            if type(result) in OWN_BYTES:
                return await self._own_response(result, reply)
            content_type = reply.content_type
            chosen = codec  # unless the method has chosen another
            if content_type != codec.content_type:
                chosen = self._codecs.get(content_type, codec)
            enveloped = {"result": result}  # like ``envelope``, without the cost of a call
            if caller.session is not None:
                enveloped["session"] = caller.session.describe()
            return reply.response(chosen.encode(enveloped), content_type)
        except web.HTTPException as exc:  # of a method that uses aiohttp's exceptions
            try:
                check_response(exc)
            except (TypeError, ValueError) as wrong:
                return self._failure(codec, wrong, call, reply)
            raise
        except asyncio.CancelledError:
            reply.disconnected()  # the server, or a parent app, may be set to cancel handlers then
            raise
        except ClientDisconnectedError:
            return web.Response(status=CLIENT_CLOSED_REQUEST)
        except Exception as exc:
            if reply.streaming:
                wire_error(exc, call, reply)
                return reply.break_stream()
            return self._failure(codec, exc, call, reply)
        finally:
            if reply.lasts:
                reply.close()

    async def _own_response(self, answer: Any, reply: HTTPReply) -> web.StreamResponse:
        """The response of a method that answers with bytes of its own."""
        if isinstance(answer, ScriptAnswer):
            reply.set_header("X-Content-Type-Options", "nosniff")
        if isinstance(answer, RawAnswer):
            return reply.response(answer.body, answer.content_type, enveloped=False)
        if isinstance(answer, Redirect):
            return reply.redirect(answer.url, answer.status)
        return await reply.end_stream()

    def _failure(
        self, codec: Codec, exc: Exception, call: Call, reply: HTTPReply, *, true_status: bool = False
    ) -> web.StreamResponse:
        """The response with an error."""
        error = wire_error(exc, call, reply, codec=codec, debug=self._debug)
        status = self._status(error, reply, true_status or self._true_statuses)
        if isinstance(exc, TooManyAttempts):
            reply.set_header("Retry-After", str(exc.retry_after))
        if status == 401 and isinstance(exc, NotAuthorized) and exc.max_age is not None:
            reply.challenge_to_log_in_again(exc.max_age)
        if status == 405 and call.by_get:
            reply.set_header("Allow", POST_ONLY)
        body = codec.encode(envelope("error", error.as_dict(), reply.caller))
        return reply.response(body, codec.content_type, status)

    def _status(self, error: TotoException, reply: HTTPReply, true_statuses: bool) -> int:
        """The status of an error, by the option ``error_status``."""
        if not true_statuses:
            return error.status
        session = None if reply.caller is None else reply.caller.session
        has_user = session is not None and session.user_id != ""
        return http_status(error, has_user=has_user, chosen=reply.status)


SERVICE = web.AppKey("toto_aio_service", Service)
"""The key of a running app for its HTTP transport."""
