"""A connection that answers plain calls itself, and leaves other requests to aiohttp."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any, cast

from aiohttp import HttpVersion11, StreamReader, hdrs, web
from aiohttp.http_writer import StreamWriter
from aiohttp.web_urldispatcher import UrlMappingMatchInfo

from toto_aio.http.clients import MAX_UNREAD
from toto_aio.http.fast.request import FastRequest
from toto_aio.http.fast.served import Served
from toto_aio.http.head_limit import LimitedConnection
from toto_aio.http.response import WholeResponse

EAGER: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}


class FastConnection(LimitedConnection):
    """A connection. While a call runs, it is busy for aiohttp too, which queues what arrives meanwhile."""

    __slots__ = ("_is_between", "_late", "_own_task", "_request", "_served")

    def __init__(self, served: Sequence[Served], server: web.Server, **options: Any) -> None:
        super().__init__(server, **options)
        self._served = served
        self._own_task: asyncio.Task[None] | None = None
        self._request: FastRequest | None = None  # the last one, if the next can be compared with it
        self._is_between = True  # the parser is between two requests, not within one
        self._late = b""  # what arrived while aiohttp was about to wait for it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the connection."""
        super().connection_made(transport)
        self._own_task = self._task_handler
        # A request that is created after the client has left still has these.
        _ = self.peername, self.sockname, self.ssl_context

    def connection_lost(self, exc: BaseException | None) -> None:
        """End the connection. References to it are dropped, so that it is freed immediately."""
        super().connection_lost(exc)
        self._request = self._own_task = None
        self._late = b""

    def data_received(self, data: bytes) -> None:
        """Answer a request that is known, or that aiohttp reads and is plain; leave others to aiohttp."""
        waiter, transport = self._waiter, self.transport
        if waiter is None or self._late or self._messages:
            self._wait_for_aiohttp(data)
            return
        if transport is None or self._close:
            self._leave(data)  # the connection is about to end
            return
        if transport.get_write_buffer_size() > MAX_UNREAD:
            self._leave(data)  # a client that doesn't read gets no more work done
            return
        request = self._request
        self._waiter = None  # so that aiohttp can read, but doesn't begin
        if request is not None:
            if len(data) == request.length and data[: request.body_at] == request.head:
                # The parser has read the very same bytes before, with a known result.
                request.body = data[request.body_at :]
            else:
                self._request = request = request.like(data)
        if request is not None:
            self._request_count += 1
        else:
            request = self._read(data)
            if request is None:
                self._wait(waiter)
                return
        self._request_in_progress = True
        self._current_request = request  # type: ignore[assignment]
        request.served.server.requests_count += 1
        # An eager task may be done already.
        task = asyncio.Task(self._call(request, waiter), loop=self._loop, name="toto-aio call", **EAGER)
        if self._request_in_progress:
            self._task_handler = task  # which aiohttp waits for at shutdown, and cancels

    def _handle_request(self, request: Any, start_time: float | None, request_handler: Any) -> Any:
        """Handle a request of aiohttp's, each in a turn of its own.

        aiohttp answers thousands of requests that have arrived together without a pause, if none has to wait.
        """
        handler = _in_next_turn(request_handler) if self._messages else request_handler
        return super()._handle_request(request, start_time, handler)

    def make_request(self, message: Any, served: Served, path: str | None) -> web.Request:
        """aiohttp's request for a message, with the match that the router would have found."""
        loop = self._loop
        payload = StreamReader(self, 1, loop=loop)
        payload.feed_eof()
        make: Any = served.server.request_factory
        request = make(message, payload, self, StreamWriter(self, loop), self._own_task)
        route = served.routes.root if path is None else served.routes.below
        match = UrlMappingMatchInfo({} if path is None else {"path": path}, route)
        for app in served.apps:
            match.add_app(app)
        match.freeze()
        request._match_info = match
        return cast(web.Request, request)

    def _wait_for_aiohttp(self, data: bytes) -> None:
        """Leave the data to aiohttp if it is busy with a request.

        If it is about to wait for one, let it: otherwise a fast client would be answered by the general path
        again and again.
        """
        if not data:
            self._leave(data)  # aiohttp tells itself to continue with what it has
        elif self._late:
            self._late += data
        elif self._request_in_progress or self._messages:
            self._leave(data)
        else:
            self._late = data
            self._loop.call_soon(self._take_late)

    def _take_late(self) -> None:
        data, self._late = self._late, b""
        if self._waiter is None:
            self._leave(data)
        else:
            self.data_received(data)

    def _leave(self, data: bytes) -> None:
        self._request, self._is_between = None, False
        super().data_received(data)

    def _read(self, data: bytes) -> FastRequest | None:
        """Let aiohttp read. Returns the request, taken out of its queue, if it is to be answered here."""
        was_between = self._is_between
        self._leave(data)
        if len(self._messages) != 1 or self._upgraded:
            return None
        message: Any = self._messages[0][0]
        payload = self._messages[0][1]
        if (
            type(payload) is not StreamReader  # there is no body, or an error
            or not payload._eof
            or len(payload._buffer) != 1
            or message.method != hdrs.METH_POST
            or message.version != HttpVersion11
            or message.should_close
            or message.chunked
            or hdrs.EXPECT in message.headers
            or hdrs.UPGRADE in message.headers
            or hdrs.CONTENT_ENCODING in message.headers
        ):
            return None
        body = payload._buffer[0]
        for served in self._served:
            found = served.path.fullmatch(message.path)
            if found is not None and len(body) <= served.service.max_body_size:
                break
        else:
            return None
        request = FastRequest(self, served, message, message.headers, found[1], None)
        request.codec = served.service.codec(request)
        if request.codec is None or self._parser is None:
            return None
        self._messages.clear()
        self._parser.message_consumed()
        request.body = body
        end = data.find(b"\r\n\r\n")
        at = end + 4
        # Data that begin with a line break may have only the last bytes of the empty line: what was found may
        # lie in the body, and what follows the body may be the beginning of the next request.
        ends_here = end > 0 and data[0] not in b"\r\n"
        self._is_between = ends_here and at + len(body) == len(data)
        if was_between and self._is_between:
            request.head, request.body_at, request.length = data[:at], at, len(data)
            self._request = request
        return request

    async def _call(self, request: FastRequest, waiter: asyncio.Future[None]) -> None:
        """Respond, and leave the connection to aiohttp's own task as if that had responded."""
        body, request.body = request.body, b""
        stays = False
        try:
            response = await request.served.service.post(request, request.codec, body, request.path)
            if type(response) is WholeResponse and self.transport is not None:
                self.transport.write(response.whole)
                stays = True
            else:
                stays = await self._finish(request, response)
        except Exception as exc:
            stays = await self._finish(request, None, exc)
        finally:
            self._current_request = None
            self._request_in_progress = False
            if self._handler_waiter is not None and not self._handler_waiter.done():
                self._handler_waiter.set_result(None)
            if self._manager is not None:
                self._task_handler = self._own_task
            if not stays or self._close or self._force_close:
                waiter.cancel()
                if self.transport is not None:
                    self.transport.close()
            else:
                self._waiter = waiter
                if self._messages:
                    self._wait(waiter)
                if request._request is not None:
                    self._request = None  # a request of aiohttp's was created, for one call only
                self._next_keepalive_close_time = close = self._loop.time() + self._keepalive_timeout
                if self._keepalive_handle is None:
                    self._keepalive_handle = self._loop.call_at(close, self._process_keepalive)

    def _wait(self, waiter: asyncio.Future[None]) -> None:
        """Let aiohttp's own task wait, or take what has arrived for it."""
        self._waiter = waiter
        if self._messages and not waiter.done():
            waiter.set_result(None)

    async def _finish(self, request: FastRequest, response: Any, failure: Exception | None = None) -> bool:
        """Have aiohttp send a response, or that of a failure; returns whether the connection stays open."""

        async def outcome(request: Any) -> Any:
            if failure is not None:
                raise failure
            return response

        try:
            sent, left = await self._handle_request(request.web_request(), None, outcome)
        except ConnectionError:
            return False
        except Exception as exc:
            self.log_exception("Unhandled exception", exc_info=exc)
            return False
        return bool(sent.keep_alive) and not left


def _in_next_turn(handler: Any) -> Any:
    async def handle(request: Any) -> Any:
        await asyncio.sleep(0)
        return await handler(request)

    return handle
