"""One connection of a client of Centrifuge: its commands are calls, and subscriptions to channels."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import WSMsgType, web

from toto_aio.auth.caller import Caller
from toto_aio.auth.user_session import UserSession
from toto_aio.centrifuge import replies
from toto_aio.centrifuge.codes import (
    ALREADY_SUBSCRIBED,
    BAD_REQUEST,
    EXPIRED,
    INVALID_TOKEN,
    NO_PONG,
    NOT_ANSWERED,
    NOT_AVAILABLE,
    PERMISSION_DENIED,
    SESSION_ENDED,
    SHUTDOWN,
    SLOW,
    TOKEN_EXPIRED,
    UNKNOWN_CHANNEL,
    UNRECOVERABLE_POSITION,
    WRONG,
    CommandError,
    DisconnectError,
    Error,
    error_of_call,
    error_of_channel,
)
from toto_aio.centrifuge.commands import MAX_ID, Command, WrongCommandError, read_command
from toto_aio.centrifuge.heartbeat import PING_INTERVAL, Heartbeat
from toto_aio.centrifuge.rpc import call_of_rpc, call_of_send
from toto_aio.centrifuge.tokens import session_of_token
from toto_aio.centrifuge.wire import Spoken
from toto_aio.channels import Position
from toto_aio.codecs.limits import LARGE, MalformedError
from toto_aio.dispatch.answers import OWN_BYTES, needs_its_own
from toto_aio.dispatch.call import Call, ClientDisconnectedError
from toto_aio.dispatch.dispatcher import wire_error
from toto_aio.events.followed import Subscribed
from toto_aio.exceptions import InvalidParameters, TotoException
from toto_aio.models import ClientInfo
from toto_aio.tasks import work_through
from toto_aio.websocket.frames import Format
from toto_aio.websocket.open_socket import OpenSocket, Reason, SocketContext
from toto_aio.websocket.receiver import FrameReceiver
from toto_aio.websocket.reply import SocketReply
from toto_aio.websocket.subscriptions import Subscriptions

Act = Callable[[Caller, SocketReply], Awaitable[bytes | None]]
"""What a command does as its caller; the frame that answers it, if it hasn't been sent already."""


@dataclass(frozen=True)
class Limits:
    """What a frame of a client may ask for, and the method that is called once the client is connected."""

    commands: int
    at_once: int
    opened_method: str


class CentrifugeSocket(OpenSocket):
    """A connection; ``connect`` is its first command, and all others wait for that."""

    stopping = SHUTDOWN
    too_slow = SLOW

    def __init__(
        self,
        spoken: Spoken,
        limits: Limits,
        context: SocketContext,
        request: web.Request,
        response: web.WebSocketResponse[Any],
        client: ClientInfo,
        session: UserSession | None,
    ) -> None:
        super().__init__(context, request, response, client, session)
        self._spoken = spoken
        self._wire = spoken.wire
        self._limits = limits
        self._id = secrets.token_urlsafe(16)
        self._shows_token = False
        self._connecting: asyncio.Future[bool] | None = None
        """Whether the client is connected, once it has asked for that."""
        self._publishing = asyncio.Lock()
        """What a client publishes is published in its order."""
        self._heartbeat = Heartbeat(lambda: self.sender.put(spoken.ping), self._no_answer)

    def receiver(self) -> FrameReceiver:
        formats = dict.fromkeys((WSMsgType.TEXT, WSMsgType.BINARY), self._spoken.messages)
        return FrameReceiver(self.response, self._answer, None, self.is_over, self.control.take, formats)

    async def run(self) -> None:
        try:
            await super().run()
        finally:
            self._heartbeat.stop()

    async def opened(self, method: str) -> None:
        """Nothing: ``connect`` shows the session that the method is called with."""

    async def closed(self, method: str) -> None:
        if self._connecting is not None and self._connecting.done() and self._connecting.result():
            await self.call(method)

    async def call(self, method: str) -> None:
        call = Call(method, {})
        await self._act(call, b"", None, self._dispatching(call, None))

    def session_closes(self, session: UserSession) -> Reason:
        return EXPIRED if session.expires <= time.time() else SESSION_ENDED

    async def _answer(self, _: Format, data: bytes) -> None:
        """Carry out the commands of a frame."""
        try:
            commands = self._wire.split(data, self._limits.commands)
            if len(commands) == 1:
                await self._answer_one(commands[0])
            else:
                await work_through(commands, self._answer_one, self._limits.at_once, "centrifuge")
        except DisconnectError as exc:
            self.close_soon(*exc.reason)

    async def _answer_one(self, data: bytes) -> None:
        if self.sender.closed:
            return
        try:
            command = await self._read(data)
            if command is None:
                self._heartbeat.pong()
            else:
                await self._carry_out(command, data)
        except WrongCommandError as exc:
            self._refuse(exc.id, exc.error)
        except DisconnectError as exc:
            self.close_soon(*exc.reason)

    async def _read(self, data: bytes) -> Command | None:
        """The command; None for a pong. Raises ``WrongCommandError`` and ``DisconnectError``."""
        try:
            if len(data) <= LARGE:
                message = self._wire.decode(data)
            else:
                message = await self.context.large_bodies.run(self._wire.steps(data))
        except InvalidParameters as exc:
            head = None if isinstance(exc, MalformedError) else self._wire.head(data)
            if head is None or not 0 < head.id < MAX_ID:
                raise DisconnectError(BAD_REQUEST, str(exc.value)[:100]) from exc
            error = error_of_call(exc) if head.is_call else WRONG._replace(message=str(exc.value))
            raise WrongCommandError(head.id, error) from exc
        return read_command(message)

    async def _carry_out(self, command: Command, data: bytes) -> None:
        if command.kind == "connect":
            await self._connect(command)
            return
        if self._connecting is None:
            raise DisconnectError(BAD_REQUEST, "The first command must be connect")
        if not await asyncio.shield(self._connecting):
            return
        try:
            await COMMANDS[command.kind](self, command, data)
        except CommandError as exc:
            self._refuse(command.id, exc.error)

    async def _connect(self, command: Command) -> None:
        if self._connecting is not None:
            raise DisconnectError(BAD_REQUEST, "The client is connected already")
        self._connecting = asyncio.get_running_loop().create_future()
        try:
            if command.request.token:
                self.session = await self._session_of(command.request.token, command.request.data)
                if self.session is None:
                    raise CommandError(TOKEN_EXPIRED)
                self._shows_token, self.by_cookie = not self.session.is_api_key, False
            if self._limits.opened_method:
                await self.call(self._limits.opened_method)
            session, now = self.session, time.time()
            told = replies.connected(self._id, session, self._expiring(), now, int(PING_INTERVAL))
            self.sender.put(self._wire.frame({"id": command.id, "connect": told}))
            self._heartbeat.start()
            self._connecting.set_result(True)
        except CommandError as exc:
            self._refuse(command.id, exc.error)
        finally:
            if not self._connecting.done():
                self._connecting.set_result(False)

    async def _refresh(self, command: Command, data: bytes) -> None:
        session, left = await self._session_to_go_on(command.request.token), self.session
        if session is None:
            raise DisconnectError(EXPIRED)
        if left is not None and left.user_id != session.user_id:
            raise DisconnectError(INVALID_TOKEN, "The token is another user's")
        self.session, self._shows_token = session, not session.is_api_key
        if left is not None and left.record.key != session.record.key and self.subscriptions is not None:
            self.subscriptions.hand_over(left.record.key, session)
        told = replies.refreshed(self._id, self._expiring(), time.time())
        self._reply(command, told)

    async def _session_of(self, token: str, signed: Any) -> UserSession | None:
        return await session_of_token(self.context.authenticator, self, token, signed)

    async def _session_to_go_on(self, token: str) -> UserSession | None:
        """The session of a token, renewed; nothing is signed, so with signatures it must be known already."""
        is_known = self.session is not None and self.session.session_id == token
        if is_known and not self.by_cookie:
            return await self.context.sessions.load(token)
        if self.context.authenticator.keyed:
            raise DisconnectError(EXPIRED)  # upon which the client connects, and signs
        return await self._session_of(token, None)

    def _expiring(self) -> UserSession | None:
        """The session, if its client is to show it again: only tokens can be shown."""
        return self.session if self._shows_token else None

    async def _rpc(self, command: Command, data: bytes) -> None:
        call = Call(command.request.method)
        try:
            call_of_rpc(call, command.request)
        except InvalidParameters as exc:
            raise CommandError(error_of_call(exc)) from exc
        await self._act(call, data, command, self._dispatching(call, command))

    async def _send(self, command: Command, data: bytes) -> None:
        call = call_of_send(command.request.data)
        if call is None:
            raise DisconnectError(NOT_ANSWERED, 'send: write {"method": ..., "parameters": ...}')
        await self._act(call, data, None, self._dispatching(call, None))

    async def _publish(self, command: Command, data: bytes) -> None:
        request = command.request
        if request.type:
            raise CommandError(NOT_AVAILABLE)
        call = Call("publish")

        async def publish(caller: Caller, reply: SocketReply) -> bytes:
            asked = self._channels().context.access.publishing(request.channel, request.data)
            call.name, call.parameters = asked.name, asked.parameters
            await self._dispatching(call, None)(caller, reply)
            return self._wire.frame({"id": command.id, "publish": {}})

        async with self._publishing:
            await self._act(call, data, command, publish, error_of_channel)

    async def _subscribe(self, command: Command, data: bytes) -> None:
        request, subscriptions = command.request, self._channels()
        if request.tf is not None:
            raise CommandError(WRONG, "tf: publications have no tags")
        if request.type:
            raise CommandError(NOT_AVAILABLE)
        if request.channel in subscriptions:
            raise CommandError(ALREADY_SUBSCRIBED)
        call = Call("subscribe")

        def begun(subscribed: Subscribed, given: Any) -> bytes:
            told = replies.subscribed(subscribed, given, was_recovering=request.recover)
            return self._wire.frame({"id": command.id, "subscribe": told})

        async def subscribe(caller: Caller, reply: SocketReply) -> None:
            asked = subscriptions.context.access.call(request.channel)
            call.name, call.parameters, call.by_form = asked.name, asked.parameters, asked.by_form
            since = Position(request.epoch, request.offset) if request.recover else None
            wire = self._spoken.channels
            await subscriptions.subscribe(request.channel, since, call, caller, reply, wire, begun)

        await self._act(call, data, command, subscribe, error_of_channel)

    async def _unsubscribe(self, command: Command, data: bytes) -> None:
        if self.subscriptions is not None:
            self.subscriptions.unsubscribe(command.request.channel)
        self._reply(command, {})

    async def _history(self, command: Command, data: bytes) -> None:
        request, subscriptions = command.request, self._subscribed_to(command.request.channel)
        channels = subscriptions.context.channels
        if not channels.rules(request.channel).history:
            raise CommandError(NOT_AVAILABLE)
        since = None if request.since is None else Position(request.since.epoch, request.since.offset)

        async def read(caller: Caller, reply: SocketReply) -> bytes:
            found = await channels.history(request.channel, request.limit, since, newest=request.reverse)
            if found is None:
                raise CommandError(UNRECOVERABLE_POSITION)
            return self._wire.frame({"id": command.id, "history": replies.history(*found)})

        await self._act(Call("history", method="history"), data, command, read, error_of_channel)

    async def _presence(self, command: Command, data: bytes) -> None:
        self._subscribed_to(command.request.channel)
        raise CommandError(NOT_AVAILABLE)

    async def _ping(self, command: Command, data: bytes) -> None:
        self._reply(command, {})

    async def _no_tokens(self, command: Command, data: bytes) -> None:
        raise CommandError(NOT_AVAILABLE, "Subscriptions have no tokens: they end with the session")

    def _channels(self) -> Subscriptions:
        subscriptions = self.subscribed()
        if subscriptions is None:
            raise CommandError(UNKNOWN_CHANNEL)
        return subscriptions

    def _subscribed_to(self, name: str) -> Subscriptions:
        """The subscriptions, one of which is to this channel: who was admitted may read what is kept."""
        subscriptions = self._channels()
        if name not in subscriptions:
            raise CommandError(PERMISSION_DENIED, "Subscribe to the channel first")
        return subscriptions

    def _dispatching(self, call: Call, command: Command | None) -> Act:
        """Makes a call, and answers the command, if it is to be answered, with the result."""

        async def dispatch(caller: Caller, reply: SocketReply) -> bytes | None:
            result = await self.context.dispatch(call, caller, reply)
            if type(result) in OWN_BYTES:
                raise needs_its_own(call.method)
            if command is None:
                return None
            return self._wire.frame({"id": command.id, "rpc": {"data": result}})

        return dispatch

    async def _act(
        self,
        call: Call,
        data: bytes,
        command: Command | None,
        act: Act,
        error_of: Callable[[TotoException], Error] = error_of_call,
    ) -> None:
        """Do what a command asks for, under the session of the connection, and answer it."""
        before = self.session
        caller, reply = self.begin(before, self._spoken.messages, data)
        exc: Exception
        try:
            frame = await act(caller, reply)
            if frame is not None:
                if not self.sender.has_room:
                    await self.sender.room()
                self.sender.put(frame)
            return
        except ClientDisconnectedError:
            return
        except CommandError:
            raise
        except web.HTTPException:  # a method that uses aiohttp's exceptions
            exc = needs_its_own(call.method)
        except Exception as found:
            exc = found
        finally:
            self.finish(before, caller, reply)
        error = wire_error(exc, call, self, codec=self._wire.codec, debug=self.context.debug)
        if command is not None:
            self._refuse(command.id, error_of(error))

    def _reply(self, command: Command, result: replies.Message) -> None:
        self._add(self._wire.frame({"id": command.id, command.kind: result}))

    def _refuse(self, command_id: int, error: Error) -> None:
        self._add(self._wire.frame({"id": command_id, "error": error.as_dict()}))

    def _add(self, frame: bytes) -> None:
        """Send a short frame, unless too much waits already."""
        try:
            self.sender.add(frame)
        except BufferError:
            self.close_soon(*SLOW)

    def _no_answer(self, reason: Reason) -> None:
        """Close the connection of a client that says nothing, maybe as too much waits for it."""
        self.close_soon(*(SLOW if reason is NO_PONG and self.sender.waiting else reason))


COMMANDS: Mapping[str, Callable[[CentrifugeSocket, Command, bytes], Awaitable[None]]] = {
    "ping": CentrifugeSocket._ping,
    "subscribe": CentrifugeSocket._subscribe,
    "unsubscribe": CentrifugeSocket._unsubscribe,
    "publish": CentrifugeSocket._publish,
    "presence": CentrifugeSocket._presence,
    "presence_stats": CentrifugeSocket._presence,
    "history": CentrifugeSocket._history,
    "rpc": CentrifugeSocket._rpc,
    "send": CentrifugeSocket._send,
    "refresh": CentrifugeSocket._refresh,
    "sub_refresh": CentrifugeSocket._no_tokens,
}
"""What carries out each command; ``connect`` comes before all of them."""
