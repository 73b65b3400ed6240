"""Calls over a WebSocket: from frames to calls, and back to frames.

Text frames are JSON and binary frames MessagePack, each answered in kind: ``{"id", "method", "parameters"}``
by ``{"id", "result"}`` or ``{"id", "error"}``, as the calls finish. A frame without ``id`` is answered by
nothing but what its method sends.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from aiohttp import WSCloseCode, web

from toto_aio.auth.caller import Caller
from toto_aio.auth.sessions import Sessions, UserSession
from toto_aio.codecs import JSON
from toto_aio.dispatch.call import OWN_BYTES, Call, ClientLeftError
from toto_aio.dispatch.dispatcher import Dispatcher, wire_error
from toto_aio.dispatch.handler import Handler
from toto_aio.events.manager import EventManager, Registration, current_manager
from toto_aio.events.subscription import Arrival
from toto_aio.exceptions import InvalidParameters
from toto_aio.http.readers import SlowReaders
from toto_aio.websocket.frames import TEXT, Format
from toto_aio.websocket.receiver import Inbox
from toto_aio.websocket.sender import Outbox

logger = logging.getLogger(__name__)

HEARTBEAT = 30.0
"""Seconds between two pings; who does not answer one within half of that is gone."""
CLOSE_LIMIT = 2.0
"""Seconds that a client has to take part in closing a socket."""

Show = Callable[[dict[str, Any]], Awaitable[bool]]


class Socket:
    """One open WebSocket: its session, its calls, and what waits to be sent."""

    def __init__(
        self,
        request: web.Request,
        response: web.WebSocketResponse[Any],
        dispatch: Dispatcher,
        sessions: Sessions,
        events: EventManager | None,
        readers: SlowReaders,
        *,
        address: str,
        agent: str,
        debug: bool,
    ) -> None:
        self.request = request
        self.address = address
        self.agent = agent
        self.session: UserSession | None = None
        self.outbox = Outbox(request, response, readers)
        self.watching: set[SocketReply] = set()
        """Those that are to be told when the client leaves."""
        self._response = response
        self._dispatch = dispatch
        self._sessions = sessions
        self._events = events
        self._debug = debug
        self._helpers: set[asyncio.Task[None]] = set()

    async def run(self, show_session: Show) -> None:
        """Read frames until the socket is closed, and let the calls that run come to their end.

        ``show_session`` may take the first frame; it says whether it has.
        """
        if self._events is not None:
            current_manager.set(self._events)  # so that no call of this socket changes it
        inbox = Inbox(
            self._response,
            self._answer,
            lambda format, data: self._shows(show_session, format, data),
            self._is_over,
        )
        try:
            await inbox.read()
            self._leave()
            await inbox.finish()
        finally:
            self._leave()
            for task in self._helpers:
                task.cancel()
            await asyncio.gather(inbox.stop(), *self._helpers, return_exceptions=True)
            await self.outbox.end()

    async def call(self, method: str) -> None:
        """Call a method for what it does, as when the socket is opened and closed."""
        await self._answer(TEXT, JSON.encode({"method": method}))

    async def close(self, code: int, reason: str) -> None:
        """Tell the client that it is over, and end."""
        self.outbox.close()
        try:
            async with asyncio.timeout(CLOSE_LIMIT):
                await self.outbox.sent()
                await self._response.close(code=code, message=reason.encode())
        except TimeoutError:
            if self.request.transport is not None:
                self.request.transport.abort()

    def close_soon(self, code: int, reason: str) -> None:
        """Close, without waiting for it."""
        if not self.outbox.closed:
            self.outbox.close()
            self._help(self.close(code, reason), "closing")

    def listen(
        self, name: str, function: Callable[[Any], Any], answers: Format, *, pushes: bool
    ) -> Registration:
        """Call ``function`` with each event until the socket closes, as fast as the client reads.

        ``pushes``: all that the function does is to send the event, in the format of answers.
        """
        assert self._events is not None
        registration = Registration(name, function)
        self._events.on_loop(self._listen, registration, answers, pushes)
        return registration

    async def _shows(self, show_session: Show, format: Format, data: bytes) -> bool:
        """Whether the first frame is no call: it shows a session, before any other frame is read."""
        try:
            message = format.decode(data)
        except InvalidParameters:
            return False
        if type(message) is not dict or "method" in message:
            return False
        try:
            shown = await show_session(message)
        except Exception as exc:
            self._send_error(format, exc, Call(None, None), None)
            return True
        if shown and "id" in message:
            session = None if self.session is None else self.session.describe()
            self.outbox.put(format.frame({"id": message["id"], "result": session}))
        return shown

    def _is_over(self) -> bool:
        transport = self.request.transport
        return self.outbox.closed or transport is None or transport.is_closing()

    def _leave(self) -> None:
        """The client has gone: those who wait for it are told, once."""
        self.outbox.close()
        while self.watching:
            self.watching.pop().leave()

    def _listen(self, registration: Registration, answers: Format, pushes: bool) -> None:
        assert self._events is not None
        name = registration.name

        def lagged(count: int) -> None:
            self.outbox.add(answers.frame({"lagged": {"event": name, "count": count}}))

        push = partial(self._push, answers.frame) if pushes else None
        registration.subscription = self._events.subscribe(name, on_lagged=lagged, take=push)
        self._help(self._consume(registration), f"event {name}")

    def _push(self, encode: Callable[[Any], bytes], event: Arrival) -> bool:
        """Send an event as it comes; False if it has to wait for the client."""
        if not self.outbox.has_room:
            return False
        try:
            self.outbox.put(event.encoded(encode))
        except Exception:
            return False  # the handler will fail in the same way, where it is logged
        return True

    async def _consume(self, registration: Registration) -> None:
        assert registration.subscription is not None
        async with registration.subscription as events:
            async for args in events:
                try:
                    outcome = registration.function(args)
                    if inspect.isawaitable(outcome):
                        await outcome
                except Exception:
                    logger.exception("the handler of the event %r failed", registration.name)
                await self.outbox.room()

    async def _answer(self, format: Format, data: bytes) -> None:
        """Run the call of a frame, and send its answer if it has an ``id``."""
        try:
            message = format.decode(data)
            if type(message) is not dict:
                raise InvalidParameters("A frame must be an object.")
        except Exception as exc:
            self._refuse(format, data, exc)
            return
        id = message.get("id")
        parameters = message.get("parameters")
        call = Call(message.get("method"), {} if parameters is None else parameters)
        before = self.session
        caller = Caller(self._sessions, None if before is None else before.session_id, None)
        reply = SocketReply(self, format)
        try:
            result = await self._dispatch(call, caller, reply)
            if type(result) in OWN_BYTES:
                raise InvalidParameters(f"'{call.method}' answers with bytes of its own: call it by HTTP.")
            if id is not None:
                answer = {"id": id, "result": result}
                if caller.session is not None:
                    answer["session"] = caller.session.describe()
                frame = format.frame(answer)
                if not self.outbox.has_room:
                    await self.outbox.room()
                self.outbox.put(frame)
        except ClientLeftError:
            pass
        except Exception as exc:
            self._send_error(format, exc, call, id)
        finally:
            if reply.callbacks is not None:
                self.watching.discard(reply)
            if caller.session is not None or caller.left:
                self._follow(before, caller)

    def _refuse(self, format: Format, data: bytes, exc: Exception) -> None:
        """Tell the client that a frame cannot be read."""
        self._send_error(format, exc, Call(None, None), None)
        if format is TEXT and not _is_utf8(data):
            self.close_soon(WSCloseCode.INVALID_TEXT, "Text has to be UTF-8")  # RFC 6455, 8.1

    def _follow(self, before: UserSession | None, caller: Caller) -> None:
        """Take over the session that a call has made, or end with the session that a call has ended."""
        session = caller.session
        if session is not None:
            # Not one that a parameter has loaded: it was shown for that call alone, and need not be signed.
            if session.is_new or (self.session is not None and session.session_id == self.session.session_id):
                self.session = session
        elif caller.left and before is not None and before is self.session:
            self.close_soon(WSCloseCode.POLICY_VIOLATION, "The session has ended")

    def _send_error(self, format: Format, exc: Exception, call: Call, id: Any) -> None:
        error = wire_error(exc, call, self.address, debug=self._debug).as_dict()
        if id is None and call.name is not None:
            return
        try:
            self.outbox.add(format.frame({"id": id, "error": error} if id is not None else {"error": error}))
        except Exception as unsendable:
            self.close_soon(WSCloseCode.TRY_AGAIN_LATER, "Too much waits for the client")
            logger.warning("a socket from %s was closed: %s", self.address, unsendable)

    def _help(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=f"toto-aio socket {name}")
        self._helpers.add(task)
        task.add_done_callback(self._helpers.discard)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


class SocketReply:
    """A ``Reply`` over a socket: a call's answer is a frame, and there is no head that it could shape."""

    alone = False
    streaming = False
    headers_only = False
    callbacks: list[Callable[[], None]] | None = None
    _content_type: str | None = None

    def __init__(self, socket: Socket, format: Format) -> None:
        self._socket = socket
        self._format = format

    @property
    def request(self) -> web.Request:
        return self._socket.request

    @property
    def content_type(self) -> str:
        return self._content_type or self._format.content_type

    @content_type.setter
    def content_type(self, content_type: str) -> None:
        self._content_type = content_type

    @property
    def address(self) -> str:
        return self._socket.address

    @property
    def agent(self) -> str:
        return self._socket.agent

    def set_status(self, status: int) -> None: ...

    def set_header(self, name: str, value: str) -> None: ...

    def set_cookie(self, name: str, value: str, **attributes: Any) -> None: ...

    def write(self, body: bytes, content_type: str) -> None:
        raise InvalidParameters("A socket carries frames, no streams: call the method by HTTP.")

    async def drain(self) -> None: ...

    def watch(self, callback: Callable[[], None]) -> None:
        if self.callbacks is None:
            self.callbacks = []
            self._socket.watching.add(self)
        self.callbacks.append(callback)

    def leave(self) -> None:
        """The client has gone."""
        for callback in self.callbacks or ():
            callback()

    def send_message(self, data: Any, message_id: Any) -> None:
        value = data if message_id is None else {"message_id": message_id, "data": data}
        self._socket.outbox.add(self._format.frame(value))

    def listen(self, name: str, function: Callable[[Any], Any]) -> Registration:
        sender = getattr(function, "__self__", None)
        pushes = isinstance(sender, Handler) and sender.reply is self and function == sender.send_message
        return self._socket.listen(name, function, self._format, pushes=pushes)
