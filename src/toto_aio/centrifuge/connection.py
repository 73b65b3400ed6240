"""One connection of a client of Centrifuge: its commands are calls, and subscriptions to channels."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from aiohttp import WSMsgType, web

from toto_aio.auth.user_session import UserSession
from toto_aio.centrifuge import replies
from toto_aio.centrifuge.codes import (
    BAD_REQUEST,
    EXPIRED,
    INVALID_TOKEN,
    NO_PONG,
    SESSION_ENDED,
    SHUTDOWN,
    SLOW,
    TOKEN_EXPIRED,
    WRONG,
    CommandError,
    DisconnectError,
    Error,
    error_of_call,
    error_of_channel,
)
from toto_aio.centrifuge.commands import MAX_ID, Command, WrongCommandError, read_command
from toto_aio.centrifuge.handlers import COMMANDS, Act, dispatching
from toto_aio.centrifuge.heartbeat import PING_INTERVAL, Heartbeat
from toto_aio.centrifuge.tokens import session_of_token
from toto_aio.centrifuge.wire import Spoken
from toto_aio.codecs.limits import LARGE
from toto_aio.dispatch.answers import needs_its_own
from toto_aio.dispatch.call import Call, ClientDisconnectedError
from toto_aio.dispatch.dispatcher import wire_error
from toto_aio.exceptions import InvalidParameters, TotoException
from toto_aio.tasks import work_through
from toto_aio.websocket.frames import Format
from toto_aio.websocket.open_socket import Opening, OpenSocket, Reason
from toto_aio.websocket.receiver import FrameReceiver


@dataclass(frozen=True)
class Limits:
    """What a frame of a client may ask for, and the method that is called once the client is connected."""

    commands: int
    at_once: int
    opened_method: str


class CentrifugeSocket(OpenSocket):
    """A connection; ``connect`` is its first command, and all others wait for that."""

    stopping = SHUTDOWN

    def __init__(self, spoken: Spoken, limits: Limits, opening: Opening) -> None:
        super().__init__(opening)
        self.spoken = spoken
        self._wire = spoken.wire
        self._limits = limits
        self.client_id: str = secrets.token_urlsafe(16)
        self._shows_token = False
        self._connecting: asyncio.Future[bool] | None = None
        """Whether the client is connected, once it has asked for that."""
        self.publishing = asyncio.Lock()
        """What a client publishes is published in its order."""
        self._receiver: FrameReceiver
        self._heartbeat = Heartbeat(lambda: self.sender.put(spoken.ping), self._no_answer)

    def receiver(self) -> FrameReceiver:
        formats = dict.fromkeys((WSMsgType.TEXT, WSMsgType.BINARY), self.spoken.messages)
        self._receiver = FrameReceiver(
            self.response, self._answer, None, self.is_over, self.control.take, formats
        )
        return self._receiver

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
        await self.act(call, b"", None, dispatching(self, call, None))

    def session_closes(self, session: UserSession) -> Reason:
        return EXPIRED if session.expires <= time.time() else SESSION_ENDED

    async def _answer(self, _: Format, data: bytes) -> None:
        """Carry out the commands of a frame."""
        try:
            commands = self._wire.split(data, self._limits.commands)
        except DisconnectError as exc:
            self.close_soon(*exc.reason)
        else:
            await work_through(commands, self._answer_commands, self._limits.at_once, "centrifuge")

    async def _answer_commands(self, commands: Iterator[bytes]) -> None:
        for data in commands:
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
            head = self._wire.head(data)
            if head is None or not 0 < head.id < MAX_ID:
                raise DisconnectError(BAD_REQUEST, str(exc.value)) from exc
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
            if command.kind == "refresh":
                await self._refresh(command)
            else:
                await COMMANDS[command.kind](self, command, data)
        except CommandError as exc:
            self._refuse(command.id, exc.error)
        except DisconnectError:
            raise
        except Exception as exc:
            self._refuse(command.id, error_of_channel(self._wire_error(exc, Call(command.kind))))

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
            told = replies.connected(self.client_id, session, self._expiring(), now, int(PING_INTERVAL))
            self.sender.put(self._wire.frame({"id": command.id, "connect": told}))
            self._heartbeat.start()
            self._connecting.set_result(True)
        except CommandError as exc:
            self._refuse(command.id, exc.error)
        except DisconnectError:
            raise
        except Exception as exc:
            self._refuse(command.id, error_of_channel(self._wire_error(exc, Call("connect"))))
        finally:
            if not self._connecting.done():
                self._connecting.set_result(False)

    async def _refresh(self, command: Command) -> None:
        session, left = await self._session_to_go_on(command.request.token), self.session
        if session is None:
            raise DisconnectError(EXPIRED)
        if left is not None and left.user_id != session.user_id:
            raise DisconnectError(INVALID_TOKEN, "The token is another user's")
        replaced = left if left is not None and left.record.key != session.record.key else None
        if replaced is not None and session.is_api_key:  # whose scopes may not name what is subscribed to
            raise DisconnectError(INVALID_TOKEN, "An API key takes no connection over: connect with it")
        self.session, self._shows_token, self.by_cookie = session, not session.is_api_key, False
        if replaced is not None:
            self.hand_over(replaced, session)
        told = replies.refreshed(self.client_id, self._expiring(), time.time())
        self.reply(command, told)

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

    async def act(
        self,
        call: Call,
        data: bytes,
        command: Command | None,
        act: Act,
        error_of: Callable[[TotoException], Error] = error_of_call,
    ) -> None:
        """Do what a command asks for, under the session of the connection, and answer it."""
        before = self.session
        caller, reply = self.begin(before, self.spoken.messages, data)
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
        error = self._wire_error(exc, call)
        if command is not None:
            self._refuse(command.id, error_of(error))

    def _wire_error(self, exc: Exception, call: Call) -> TotoException:
        return wire_error(exc, call, self, codec=self._wire.codec, debug=self.context.debug)

    def reply(self, command: Command, result: replies.Message) -> None:
        """Send the result of a command that is answered at once."""
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
        """Close the connection of a client that says nothing, maybe as too much waits for it.

        While as many of its calls run as may, what it says isn't read: nor is its pong, which may be there.
        """
        if reason is NO_PONG and self._receiver.is_full:
            self._heartbeat.wait()
            return
        self.close_soon(*(SLOW if reason is NO_PONG and self.sender.waiting else reason))
