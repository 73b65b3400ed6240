"""Calls over a WebSocket: from frames to calls, and back to frames.

Text frames are JSON and binary frames MessagePack, and the response has the format of the call: to ``{"id",
"method", "parameters"}`` it is ``{"id", "result"}`` or ``{"id", "error"}``, as calls finish. A frame without
``id`` gets no response except what its method sends.
"""

from __future__ import annotations

import logging
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from toto_aio.auth.caller import Caller
from toto_aio.auth.user_session import UserSession
from toto_aio.codecs.json_codec import JSON
from toto_aio.codecs.limits import LARGE
from toto_aio.dispatch.answers import OWN_BYTES, needs_its_own
from toto_aio.dispatch.call import REPLAYED, Call, ClientDisconnectedError
from toto_aio.dispatch.client_limit import MEMBER, end_of_member
from toto_aio.dispatch.dispatcher import wire_error
from toto_aio.exceptions import InvalidParameters
from toto_aio.jsonrpc.messages import says_so
from toto_aio.jsonrpc.server import JSONRPC, made_session
from toto_aio.websocket.channels import answer_channels, asks_for_channels
from toto_aio.websocket.frames import Format
from toto_aio.websocket.open_socket import OpenSocket, Reason
from toto_aio.websocket.receiver import FrameReceiver

logger = logging.getLogger(__name__)

MAX_UNREADABLE = 100
"""Frames of a socket that may be unreadable: an error costs more than a call, and one fits into six bytes."""
TOO_SLOW: Reason = (WSCloseCode.TRY_AGAIN_LATER, "Too much waits for the client")
MAX_FIRST = 4096
"""The most bytes of a frame that shows a session; a longer one is a call, and not decoded twice."""


class Socket(OpenSocket):
    """A socket with frames of the service's own, or of JSON-RPC."""

    _unreadable = 0
    _rpc: JSONRPC | None = None
    """Set once the client has sent a message of JSON-RPC, whose errors it expects then."""

    def receiver(self) -> FrameReceiver:
        return FrameReceiver(
            self.response,
            self._answer,
            self._first_frame,
            self.is_over,
            self.control.take,
            self.context.formats,
        )

    async def call(self, method: str) -> None:
        await self._answer(self.context.formats[WSMsgType.TEXT], JSON.encode({"method": method}))

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
            caller = self.context.authenticator.caller_of_frame(self.request, message)
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
                message = await self.context.large_bodies.run(codec.steps(data))
            rpc, kind = self.context.rpc, type(message)
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
        caller, reply = self.begin(before, encoding, data)
        try:
            if message.get(MEMBER) is not None:
                call.ends = end_of_member(message[MEMBER])
            if call.name is None and asks_for_channels(message):
                subscriptions = self.subscribed()
                if subscriptions is not None:
                    await answer_channels(subscriptions, message, call, caller, reply, encoding)
                    return
            result = await self.context.dispatch(call, caller, reply)
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
            self.finish(before, caller, reply)

    async def _answer_rpc(self, rpc: JSONRPC, encoding: Format, message: Any, data: bytes) -> None:
        """Run the calls of a message of JSON-RPC, and send the response, if it has one."""
        ended: list[tuple[UserSession, Caller]] = []

        async def run(call: Call) -> tuple[Any, UserSession | None]:
            has_ended = ended and ended[-1][0] is self.session
            before = None if has_ended else self.session
            caller, reply = self.begin(before, encoding, data)
            try:
                result = await self.context.dispatch(call, caller, reply)
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
                    self.follow(before, caller)

        body = await rpc.respond(message, encoding.codec, run, self)
        if body is not None:
            if not self.sender.has_room:
                await self.sender.room()
            self.sender.put(encoding.frame_of(body))
        for before, caller in ended:
            self.answered_first.discard(before.record.key)
            self.follow(before, caller)

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

    def _send_error(self, encoding: Format, exc: Exception, call: Call, call_id: Any) -> None:
        codec, debug = encoding.codec, self.context.debug
        error = wire_error(exc, call, self, codec=codec, debug=debug).as_dict()
        if call_id is None and call.name is not None:
            return
        frame: dict[str, Any] = {"error": error} if call_id is None else {"id": call_id, "error": error}
        if call.replayed:
            frame |= REPLAYED
        try:
            self.sender.add(encoding.frame(frame))
        except Exception as unsendable:
            self.close_soon(*TOO_SLOW)
            logger.warning("a socket from %s was closed: %s", self.client.address, unsendable)


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
