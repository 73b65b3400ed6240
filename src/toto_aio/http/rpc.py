"""JSON-RPC over HTTP, at ``rpc`` below the root."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from toto_aio.auth.caller import Caller
from toto_aio.auth.user_session import UserSession
from toto_aio.codecs import Codec
from toto_aio.codecs.codec import LargeBodies
from toto_aio.codecs.limits import LARGE
from toto_aio.dispatch.call import Call
from toto_aio.dispatch.client_limit import bring_forward
from toto_aio.dispatch.dispatcher import Dispatch
from toto_aio.exceptions import InvalidParameters
from toto_aio.http.authentication import Authenticator
from toto_aio.http.reply import HTTPReply, ReplyContext
from toto_aio.http.request import HTTPRequest
from toto_aio.http.time_limit import TIMEOUT_HEADER, end_in
from toto_aio.jsonrpc.server import JSONRPC, PATH, made_session

PATHS = (PATH, f"{PATH}/")
OF_HTTP = (405, 408, 413, 415)
"""The statuses of requests that HTTP has refused, rather than JSON-RPC."""


class RPC:
    """Responds to the requests for that path. What isn't in an encoding of its own is in that of ``json``."""

    def __init__(
        self,
        rpc: JSONRPC,
        dispatch: Dispatch,
        authenticator: Authenticator,
        context: ReplyContext,
        large_bodies: LargeBodies,
        json: Codec,
    ) -> None:
        self._rpc = rpc
        self._dispatch = dispatch
        self._authenticator = authenticator
        self._context = context
        self._large_bodies = large_bodies
        self._json = json

    async def post(self, request: HTTPRequest, codec: Codec | None, body: bytes) -> web.StreamResponse:
        """The response to a message: 200, or 204 without a body if nothing in it is answered."""
        reply = HTTPReply(request, self._context)
        reply.body = body
        ends = None
        try:
            if TIMEOUT_HEADER in request.headers:
                ends = end_in(request.headers)
            caller = reply.caller = self._authenticator.caller(request, body)
            if caller.must_verify:
                await caller.verify()
            if codec is None:
                raise InvalidParameters("Cannot read JSON-RPC of this content type.", status=415)
            is_large = len(body) > LARGE
            message = await self._large_bodies.run(codec.steps(body)) if is_large else codec.decode(body)
            return await self._respond(codec, message, caller, reply, ends)
        except Exception as exc:
            return self.refuse(codec, exc, reply)

    def refuse(self, codec: Codec | None, exc: Exception, reply: HTTPReply) -> web.StreamResponse:
        """The response to what isn't a message; only what HTTP has a status for has another than 200."""
        codec = codec or self._json
        status = exc.status if isinstance(exc, InvalidParameters) and exc.status in OF_HTTP else 200
        return reply.response(self._rpc.refused(exc, codec, reply), codec.content_type, status)

    async def _respond(
        self, codec: Codec, message: Any, caller: Caller, reply: HTTPReply, ends: float | None
    ) -> web.StreamResponse:
        reply.alone, reply.shared = False, type(message) is list

        async def run(call: Call) -> tuple[Any, UserSession | None]:
            before = caller.session
            bring_forward(call, ends)
            result = await self._dispatch(call, caller, reply)
            return result, made_session(before, caller)

        try:
            body = await self._rpc.respond(message, codec, run, reply)
            reply.status = None  # a method shares the response with others
            return reply.response(body or b"", codec.content_type, 200 if body else 204)
        except asyncio.CancelledError:
            reply.disconnected()
            raise
        finally:
            if reply.lasts:
                reply.close()
