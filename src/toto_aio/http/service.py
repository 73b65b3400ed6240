"""Calls over HTTP: from a request to calls, and from their results to the answer."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from aiohttp import hdrs, web

from toto_aio.auth.caller import Caller
from toto_aio.codecs import CODECS, JSON, Codec
from toto_aio.dispatch.call import OWN_BYTES, Call, ClientLeftError, RawAnswer, Redirect
from toto_aio.dispatch.dispatcher import Dispatcher, wire_error
from toto_aio.exceptions import InvalidParameters, TooManyAttempts, TotoException
from toto_aio.http.authentication import Callers
from toto_aio.http.body import BrokenBodyError, body_at_hand, essence, read_body, read_form
from toto_aio.http.clients import ConnectionWatch
from toto_aio.http.cookies import SessionCookie
from toto_aio.http.cors import ALLOWED_METHODS, Cors
from toto_aio.http.drain import Drain
from toto_aio.http.fast import FAST_PATH, FastPath
from toto_aio.http.proxies import TrustedProxies
from toto_aio.http.readers import SlowReaders
from toto_aio.http.reply import HTTPReply, Surroundings
from toto_aio.http.request import View
from toto_aio.http.response import UNREAD
from toto_aio.settings import Settings, SettingsError
from toto_aio.signing import Scheme
from toto_aio.websocket.endpoint import Sockets


class Service:
    """The HTTP transport of one app. ``dispatch`` is there while the app runs."""

    dispatch: Dispatcher

    def __init__(
        self,
        settings: Settings,
        callers: Callers,
        proxies: TrustedProxies,
        scheme: Scheme | None,
        cookie: SessionCookie | None,
        cors: Cors | None,
        drain: Drain,
    ) -> None:
        enabled = {
            "application/json": True,
            "application/bson": settings.bson_enabled,
            "application/msgpack": settings.msgpack_enabled,
        }
        self.watch = ConnectionWatch()
        self.readers = SlowReaders()
        self._callers = callers
        self._surroundings = Surroundings(self.watch, self.readers, proxies, scheme, cookie, cors, drain)
        self._codecs = {name: codec for name, codec in CODECS.items() if enabled[name]}
        self._settings = settings
        self._by_url = settings.method_select != "parameter"
        self._by_parameter = settings.method_select != "url"

    @property
    def signals(self) -> frozenset[Any]:
        """What the app has to send its responses to, ``on_response_prepare``."""
        return self._surroundings.signals

    def add_routes(self, app: web.Application, sockets: Sockets | None) -> None:
        """Serve the root and everything below it, with the sockets' path between the two."""
        root = self._settings.root.strip("/")
        if set(root) & set("{}?#"):
            raise SettingsError(f"root: write a path such as /service, not {self._settings.root!r}")
        root = f"/{root}" if root else ""
        routes = []
        for path in (root, f"{root}/{{path:[\\s\\S]*}}"):
            if path != root and sockets is not None:
                sockets.add_route(app)
            for method, handle in (
                (hdrs.METH_POST, self._post),
                (hdrs.METH_GET, self._get),
                (hdrs.METH_HEAD, self._get),
                (hdrs.METH_OPTIONS, self._options),
                (hdrs.METH_ANY, self._other),
            ):
                routes.append(app.router.add_route(method, path, handle))
        at_root, below = (route for route in routes if route.method == hdrs.METH_POST)
        plain = re.compile(
            f"{re.escape(root)}/([\\w./-]*)" if not root else f"{re.escape(root)}(?:/([\\w./-]*))?", re.ASCII
        )
        app[FAST_PATH] = FastPath(
            answer=self.post,
            codec=self.codec,
            root=at_root,
            below=below,
            path=plain,
            routes=frozenset(routes),
            signals=self.signals,
            max_body_size=self._settings.max_body_size,
        )

    async def _post(self, request: web.Request) -> web.StreamResponse:
        settings = self._settings
        codec = self.codec(request)
        try:
            if _is_behind(request):
                await request.writer.drain()
            # Most bodies came with their head, and are read without a coroutine.
            body = body_at_hand(request)
            if not body or len(body) > settings.max_body_size:
                body = await read_body(request, body, settings.max_body_size, settings.body_timeout)
        except TotoException as exc:
            reply = HTTPReply(request, self._surroundings)
            if isinstance(exc, BrokenBodyError):
                reply.set_header("Connection", "close")  # aiohttp closes it, the next head cannot be found
            return self._failure(codec or JSON, exc, Call(None, None), reply)
        except ConnectionError:
            return web.Response(status=CLIENT_LEFT)
        return await self.post(request, codec, body, request.match_info.get("path"))

    async def post(
        self, view: View, codec: Codec | None, body: bytes, path: str | None
    ) -> web.StreamResponse:
        """The answer to a POST with this body to ``path`` below the root; without a codec it is a form."""
        reply = HTTPReply(view, self._surroundings)
        try:
            caller = reply.caller = self._callers.of(view, body)
            if not body:
                message = {}
            elif codec is not None:
                message = codec.decode(body)
                if type(message) is not dict:
                    raise InvalidParameters("The body must be an object.", status=400)
            else:
                message = {"parameters": await read_form(reply.request, body)}
            codec = codec or JSON
            reply.content_type = codec.content_type
            if self._by_parameter and not path and "batch" in message:
                return await self._batch(codec, message["batch"], caller, reply)
        except TotoException as exc:
            return self._failure(codec or JSON, exc, Call(None, None), reply)
        return await self._answer(codec, self._call(path, message), caller, reply)

    async def _get(self, request: web.Request) -> web.StreamResponse:
        reply = HTTPReply(request, self._surroundings)
        query = request.query
        parameters = {name: values[0] if len(values := query.getall(name)) == 1 else values for name in query}
        call = self._call(request.match_info.get("path"), {"parameters": parameters})
        call.by_get = True
        try:
            if _is_behind(request):
                await request.writer.drain()
            caller = reply.caller = self._callers.of(request, b"")
        except InvalidParameters as exc:
            return self._failure(JSON, exc, call, reply)
        return await self._answer(JSON, call, caller, reply)

    async def _options(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=204, headers={"Allow": ALLOWED_METHODS})

    async def _other(self, request: web.Request) -> web.StreamResponse:
        reply = HTTPReply(request, self._surroundings)
        reply.set_header("Allow", ALLOWED_METHODS)
        error = InvalidParameters(f"Cannot answer {request.method}: call methods by POST.", status=405)
        return self._failure(JSON, error, Call(None, None), reply)

    async def _answer(self, codec: Codec, call: Call, caller: Caller, reply: HTTPReply) -> web.StreamResponse:
        try:
            result = await self.dispatch(call, caller, reply)
            if type(result) in OWN_BYTES:
                return await self._own_answer(result, reply)
            content_type = reply.content_type
            envelope = {"result": result}  # as by ``_envelope``, which is a call more
            if caller.session is not None:
                envelope["session"] = caller.session.describe()
            chosen = codec  # unless the method has chosen another
            if content_type != codec.content_type:
                chosen = self._codecs.get(content_type, codec)
            body = chosen.encode(envelope)
            return reply.response(body, content_type)
        except web.HTTPException:
            raise  # a method that knows aiohttp answers in its words
        except asyncio.CancelledError:
            reply.client_left()  # a server can be set to cancel a handler then, and a parent app's may be
            raise
        except ClientLeftError:
            return web.Response(status=CLIENT_LEFT)
        except Exception as exc:
            if reply.streaming:
                wire_error(exc, call, reply.address)
                return reply.break_stream()
            return self._failure(codec, exc, call, reply)
        finally:
            if reply.lasts:
                reply.close()

    async def _own_answer(self, answer: Any, reply: HTTPReply) -> web.StreamResponse:
        if isinstance(answer, RawAnswer):
            return reply.response(answer.body, answer.content_type)
        if isinstance(answer, Redirect):
            return reply.redirect(answer.url, answer.status)
        return await reply.end_stream()

    async def _batch(
        self, codec: Codec, entries: Any, caller: Caller, reply: HTTPReply
    ) -> web.StreamResponse:
        limit = self._settings.batch_limit
        if not isinstance(entries, dict):
            raise InvalidParameters("A batch must be an object of calls.", status=400)
        if len(entries) > limit:
            raise InvalidParameters(f"A batch has at most {limit} calls.", status=400)
        reply.alone = False
        ids = sorted(entries)
        answers: dict[str, Any] = dict.fromkeys(ids)
        waiting = iter(ids)

        async def work() -> None:
            for id in waiting:
                answers[id] = await self._entry(codec, entries[id], caller, reply)

        try:
            if self._settings.batch_concurrency == 1:
                await work()
            else:
                async with asyncio.TaskGroup() as group:
                    for _ in range(min(self._settings.batch_concurrency, len(ids))):
                        group.create_task(work(), name="toto-aio batch")
            try:
                body = codec.encode(_envelope("batch", answers, caller))
            except Exception:  # an answer that cannot be sent is an error of its own call alone
                for id, answer in answers.items():
                    answers[id] = self._sendable(codec, answer, entries[id], reply)
                body = codec.encode(_envelope("batch", answers, caller))
            return reply.response(body, codec.content_type)
        finally:
            if reply.lasts:
                reply.close()

    async def _entry(self, codec: Codec, entry: Any, caller: Caller, reply: HTTPReply) -> dict[str, Any]:
        call = Call(None, None)
        try:
            if not isinstance(entry, dict):
                raise InvalidParameters("A call must be an object.")
            call = self._call(None, entry)
            return {"result": await self.dispatch(call, caller, reply)}
        except web.HTTPException:
            exc = InvalidParameters(f"'{call.name}' answers with bytes of its own: call it alone.")
            return {"error": self._wire_error(codec, exc, call, reply)}
        except ClientLeftError:
            return {"result": None}  # nobody reads it
        except Exception as exc:
            return {"error": self._wire_error(codec, exc, call, reply)}

    def _sendable(
        self, codec: Codec, answer: dict[str, Any], entry: dict[str, Any], reply: HTTPReply
    ) -> dict[str, Any]:
        try:
            codec.encode(answer)
        except Exception as exc:
            return {"error": self._wire_error(codec, exc, self._call(None, entry), reply)}
        return answer

    def _call(self, path: str | None, message: dict[str, Any]) -> Call:
        """The call of a message: without the key ``parameters`` the whole of it is the parameters."""
        name = path.rstrip("/").replace("/", ".") if path and self._by_url else None
        if not name and self._by_parameter and "method" in message:
            name = message["method"]
        parameters = message["parameters"] if "parameters" in message else message
        return Call(name, {} if parameters is None else parameters)

    def codec(self, request: View) -> Codec | None:
        """Reads the body of a request and writes its answer; None for a form, and for what nobody reads."""
        content_type = request.headers.get(hdrs.CONTENT_TYPE, JSON.content_type)
        return self._codecs.get(content_type) or self._codecs.get(essence(request))

    def _failure(self, codec: Codec, exc: Exception, call: Call, reply: HTTPReply) -> web.StreamResponse:
        error = self._wire_error(codec, exc, call, reply)
        status = exc.status if isinstance(exc, TotoException) else 200
        if isinstance(exc, TooManyAttempts):
            reply.set_header("Retry-After", str(exc.retry_after))
        if status == 405 and call.by_get:
            reply.set_header("Allow", "POST, OPTIONS")
        body = codec.encode(_envelope("error", error, reply.caller))
        return reply.response(body, codec.content_type, status)

    def _wire_error(self, codec: Codec, exc: Exception, call: Call, reply: HTTPReply) -> dict[str, Any]:
        if isinstance(exc, TotoException):
            try:
                codec.encode(exc.as_dict())
            except Exception as unsendable:
                exc = unsendable
        return wire_error(exc, call, reply.address, debug=self._settings.debug).as_dict()


def _is_behind(request: web.Request) -> bool:
    """Whether the client has not read its earlier answers: it gets no more work done until it has."""
    transport = request.transport
    return transport is not None and transport.get_write_buffer_size() > UNREAD


CLIENT_LEFT = 499
"""nginx's "client closed request", for a response that nobody gets."""


def _envelope(key: str, value: Any, caller: Caller | None) -> dict[str, Any]:
    if caller is None or caller.session is None:
        return {key: value}
    return {key: value, "session": caller.session.describe()}
