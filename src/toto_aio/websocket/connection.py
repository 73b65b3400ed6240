"""Calls over a WebSocket: from frames to calls, and back to frames.

Text frames are JSON and binary frames MessagePack, and the response has the format of the call: to ``{"id",
"method", "parameters"}`` it is ``{"id", "result"}`` or ``{"id", "error"}``, as calls finish. A frame without
``id`` gets no response except what its method sends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from toto_aio.auth.caller import Caller
from toto_aio.auth.sessions import Sessions
from toto_aio.auth.user_session import UserSession
from toto_aio.codecs.codec import LargeBodies
from toto_aio.codecs.json_codec import JSON
from toto_aio.codecs.limits import LARGE
from toto_aio.dispatch.answers import OWN_BYTES, needs_its_own
from toto_aio.dispatch.call import REPLAYED, Call, ClientDisconnectedError
from toto_aio.dispatch.client_limit import MEMBER, end_of_member
from toto_aio.dispatch.dispatcher import Dispatch, wire_error
from toto_aio.events.manager import EventManager, current_manager
from toto_aio.exceptions import InvalidParameters
from toto_aio.http.authentication import Authenticator
from toto_aio.http.clients import StalledConnections
from toto_aio.http.reply import TRACEPARENT
from toto_aio.jsonrpc.messages import says_so
from toto_aio.jsonrpc.server import JSONRPC, made_session
from toto_aio.models import ClientInfo
from toto_aio.tasks import Tasks
from toto_aio.websocket.channels import SocketChannels, SocketChannelsContext, asks_for_channels
from toto_aio.websocket.control import ControlFrames
from toto_aio.websocket.events import HandlerLimits, SocketEvents
from toto_aio.websocket.frames import Format, Formats
from toto_aio.websocket.receiver import FrameReceiver
from toto_aio.websocket.reply import SocketReply
from toto_aio.websocket.sender import FrameSender

logger = logging.getLogger(__name__)

CLOSE_LIMIT = 2.0
"""Seconds that a client has to take part in closing a socket."""
MAX_UNREADABLE = 100
"""Frames of a socket that may be unreadable: an error costs more than a call, and one fits into six bytes."""
MAX_FIRST = 4096
"""The most bytes of a frame that shows a session; a longer one is a call, and not decoded twice."""


@dataclass(frozen=True, slots=True)
class SocketContext:
    """What the sockets of one running app share."""

    dispatch: Dispatch
    authenticator: Authenticator
    sessions: Sessions
    events: EventManager | None
    stalled: StalledConnections
    large_bodies: LargeBodies
    handlers: HandlerLimits
    channels: SocketChannelsContext | None
    formats: Formats
    rpc: JSONRPC | None
    debug: bool


class Socket:
    """One open WebSocket: its session, its calls, and what waits to be sent."""

    def __init__(
        self,
        context: SocketContext,
        request: web.Request,
        response: web.WebSocketResponse[Any],
        client: ClientInfo,
        session: UserSession | None,
    ) -> None:
        self.request = request
        self.client = client
        self.session = session
        self._by_cookie = session is not None and session.hides_id and not session.is_api_key
        self.sender = FrameSender(request, response, context.stalled)
        self.events = SocketEvents(context.events, self.sender, context.handlers)
        self.channels: SocketChannels | None = None
        """The channels, once the client has subscribed to one."""
        self.replaced: str | None = None
        """The key of the session in whose place a password change has put the current one."""
        self.watching: set[SocketReply] = set()
        """The replies to notify when the client disconnects."""
        self._response = response
        self._context = context
        self._dispatch = context.dispatch
        self._sessions = context.sessions
        self._closing = Tasks()
        self._control = ControlFrames(self.sender, self.close_soon)
        self._unreadable = 0
        self.answered_first: set[str] = set()
        """The sessions that calls are ending, or have ended, which haven't been answered."""
        self._rpc: JSONRPC | None = None
        """Set once the client has sent a message of JSON-RPC, whose errors it expects then."""

    @property
    def address(self) -> str:
        """The client's IP address."""
        return self.client.address

    @property
    def traceparent(self) -> Sequence[str]:
        """The trace of the request that opened the socket."""
        return self.request.headers.getall(TRACEPARENT, ())

    async def run(self) -> None:
        """Read frames until the socket is closed, and let the calls in progress finish."""
        if self._context.events is not None:
            current_manager.set(self._context.events)  # so that no call of this socket changes it
        receiver = FrameReceiver(
            self._response,
            self._answer,
            self._first_frame,
            self._is_over,
            self._control.take,
            self._context.formats,
        )
        try:
            await receiver.read()
            self._disconnected()
            await receiver.finish()
        finally:
            self._disconnected()
            if self.channels is not None:
                self.channels.close()
            await asyncio.gather(receiver.stop(), self.events.close(), self._closing.cancel())
            await self.sender.end()

    async def call(self, method: str) -> None:
        """Call a method that gets no response, as when the socket is opened and closed."""
        await self._answer(self._context.formats[WSMsgType.TEXT], JSON.encode({"method": method}))

    async def close(self, code: int, reason: str) -> None:
        """Send what waits, and a close frame; wait until the socket is closed."""
        self.sender.close()
        try:
            async with asyncio.timeout(CLOSE_LIMIT):
                await self.sender.sent()
                await self._response.close(code=code, message=reason.encode())
        except TimeoutError:
            if self.request.transport is not None:
                self.request.transport.abort()

    def close_soon(self, code: int, reason: str) -> None:
        """Close the socket in the background."""
        if not self.sender.closed:
            self.sender.close()
            self._closing.start(self.close(code, reason), "socket closing")

    def sessions(self) -> list[UserSession]:
        """The sessions that something of the socket depends on: its own, and those of handlers and calls."""
        of_calls = (reply.session for reply in self.watching)
        of_channels = () if self.channels is None else self.channels.sessions()
        found = (self.session, *self.events.sessions(), *of_channels, *of_calls)
        return list({each.record.key: each for each in found if each is not None}.values())

    def session_ended(self, session: UserSession) -> None:
        """Close the socket if its session has ended; end what another session has left on it."""
        key = session.record.key
        if key in self.answered_first:
            return
        if self.session is not None and self.session.record.key == key:
            self.close_soon(WSCloseCode.POLICY_VIOLATION, "The session has ended")
        self._end_what_is_of(key)

    async def _first_frame(self, encoding: Format, data: bytes) -> bool:
        """Take the session that the first frame shows; False if the frame is a call."""
        if len(data) > MAX_FIRST:
            return False
        try:
            message = encoding.codec.decode(data)
        except InvalidParameters:
            return False
        if type(message) is not dict or "method" in message or self.session is not None:
            return False
        try:
            caller = self._context.authenticator.caller_of_frame(self.request, message)
            if caller is None:
                return False
            self.session = await caller.retrieve()
        except Exception as exc:
            self._send_error(encoding, exc, Call(), None)
            return True
        if "id" in message:
            shown = None if self.session is None else self.session.describe()
            self.sender.put(encoding.frame({"id": message["id"], "result": shown}))
        return True

    async def _answer(self, encoding: Format, data: bytes) -> None:
        """Run the call of a frame, and send its result if it has an ``id``."""
        try:
            codec = encoding.codec
            if len(data) <= LARGE:
                message = codec.decode(data)
            else:
                message = await self._context.large_bodies.run(codec.steps(data))
            rpc, kind = self._context.rpc, type(message)
            is_batch = rpc is not None and kind is list and (self._rpc is not None or says_so(message))
            if kind is not dict and not is_batch:
                raise InvalidParameters("A frame must be an object.")
        except Exception as exc:
            self._refuse(encoding, data, exc)
            return
        if rpc is not None and (is_batch or "jsonrpc" in message):
            self._rpc = rpc
            await self._answer_rpc(rpc, encoding, message, data)
            return
        call_id = message.get("id")
        parameters = message.get("parameters")
        call = Call(message.get("method"), {} if parameters is None else parameters, binary=codec.binary)
        call.message = message
        before = self.session
        caller, reply = self._begin(before, encoding, data)
        try:
            if message.get(MEMBER) is not None:
                call.ends = end_of_member(message[MEMBER])
            if call.name is None and self._context.channels is not None and asks_for_channels(message):
                if self.channels is None:
                    self.channels = SocketChannels(self._context.channels, self.sender)
                await self.channels.answer(message, call, caller, reply, encoding)
                return
            result = await self._dispatch(call, caller, reply)
            if type(result) in OWN_BYTES:
                raise needs_its_own(call.method)
            if call_id is not None:
                frame = _result_frame(encoding, call, call_id, result, caller)
                if not self.sender.has_room:
                    await self.sender.room()
                self.sender.put(frame)
        except ClientDisconnectedError:
            pass
        except web.HTTPException:  # a method that uses aiohttp's exceptions
            self._send_error(encoding, needs_its_own(call.method), call, call_id)
        except Exception as exc:
            self._send_error(encoding, exc, call, call_id)
        finally:
            if reply.callbacks is not None:
                self.watching.discard(reply)
            if reply.ending is not None:
                self.answered_first.discard(reply.ending)
            if caller.session is not None or caller.logged_out:
                self._follow(before, caller)

    async def _answer_rpc(self, rpc: JSONRPC, encoding: Format, message: Any, data: bytes) -> None:
        """Run the calls of a message of JSON-RPC, and send the response, if it has one."""
        ended: list[tuple[UserSession, Caller]] = []

        async def run(call: Call) -> tuple[Any, UserSession | None]:
            has_ended = ended and ended[-1][0] is self.session
            before = None if has_ended else self.session
            caller, reply = self._begin(before, encoding, data)
            try:
                result = await self._dispatch(call, caller, reply)
                return result, made_session(before, caller)
            finally:
                if reply.callbacks is not None:
                    self.watching.discard(reply)
                if reply.ending is not None and not caller.logged_out:
                    self.answered_first.discard(reply.ending)
                if caller.logged_out and before is not None:
                    ended.append((before, caller))  # its response comes before the socket is closed
                    self.answered_first.add(before.record.key)
                elif caller.session is not None:
                    self._follow(before, caller)

        body = await rpc.respond(message, encoding.codec, run, self)
        if body is not None:
            if not self.sender.has_room:
                await self.sender.room()
            self.sender.put(encoding.frame_of(body))
        for before, caller in ended:
            self.answered_first.discard(before.record.key)
            self._follow(before, caller)

    def _begin(self, before: UserSession | None, encoding: Format, data: bytes) -> tuple[Caller, SocketReply]:
        """The caller and the reply of a call that came in a frame, under the session ``before`` it."""
        if before is not None and before.is_api_key:
            caller: Caller = self._context.authenticator.caller_of_key(before.record.key, self.address)
        else:
            session_id = None if before is None else before.session_id
            by_cookie = self._by_cookie
            caller = Caller(self._sessions, session_id, None, by_cookie=by_cookie, hides_id=by_cookie)
        caller.shown, caller.on_renewal = before, self._renewed
        reply = SocketReply(self, encoding, caller, before)
        reply.body = data
        return caller, reply

    def _refuse(self, encoding: Format, data: bytes, exc: Exception) -> None:
        """Send the error of a frame that can't be read, or close the socket after too many of them."""
        self._unreadable += 1
        if self._unreadable > MAX_UNREADABLE:
            self.close_soon(WSCloseCode.POLICY_VIOLATION, "Too many frames that can't be read")
            return
        if self._rpc is None:
            self._send_error(encoding, exc, Call(), None)
        else:
            self.sender.put(encoding.frame_of(self._rpc.refused(exc, encoding.codec, self)))
        if encoding.content_type == JSON.content_type and not _is_utf8(data):
            self.close_soon(WSCloseCode.INVALID_TEXT, "Text has to be UTF-8")  # RFC 6455, 8.1

    def _follow(self, before: UserSession | None, caller: Caller) -> None:
        """Take over the session that a call has created, or close the socket of one that a call has ended."""
        session = caller.session
        if session is not None:
            # Not a session that a parameter has loaded: it was shown for that call only, maybe unsigned.
            if session.is_new or (self.session is not None and session.session_id == self.session.session_id):
                left, self.session = self.session, session
                if left is not None and left.record.key != session.record.key:
                    self._end_what_is_of(left.record.key)
        elif caller.logged_out and before is not None and before is self.session:
            self.session_ended(before)

    def _renewed(self, session: UserSession) -> None:
        """Take over the session of a password change, whose announcement would close the socket."""
        left, self.session = self.session, session
        if left is not None:
            self.replaced = left.record.key
            self._end_what_is_of(left.record.key)

    def _end_what_is_of(self, key: str) -> None:
        """End the event handlers and the waiting calls of a session that the socket doesn't have any more."""
        self.events.end_session(key)
        if self.channels is not None:
            self.channels.end_session(key)
        for reply in tuple(self.watching):
            if reply.session is not None and reply.session.record.key == key:
                self.watching.discard(reply)
                reply.disconnected()

    def _send_error(self, encoding: Format, exc: Exception, call: Call, call_id: Any) -> None:
        codec, debug = encoding.codec, self._context.debug
        error = wire_error(exc, call, self, codec=codec, debug=debug).as_dict()
        if call_id is None and call.name is not None:
            return
        frame: dict[str, Any] = {"error": error} if call_id is None else {"id": call_id, "error": error}
        if call.replayed:
            frame |= REPLAYED
        try:
            self.sender.add(encoding.frame(frame))
        except Exception as unsendable:
            self.close_soon(WSCloseCode.TRY_AGAIN_LATER, "Too much waits for the client")
            logger.warning("a socket from %s was closed: %s", self.client.address, unsendable)

    def _is_over(self) -> bool:
        transport = self.request.transport
        return self.sender.closed or transport is None or transport.is_closing()

    def _disconnected(self) -> None:
        """Notify the replies that watch for it, once."""
        self.sender.close()
        while self.watching:
            self.watching.pop().disconnected()


def _result_frame(encoding: Format, call: Call, call_id: Any, result: Any, caller: Caller) -> bytes:
    value = {"id": call_id, "result": result}
    if call.replayed:
        value |= REPLAYED
    if caller.session is not None:
        value["session"] = caller.session.describe()
    return encoding.frame(value)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
