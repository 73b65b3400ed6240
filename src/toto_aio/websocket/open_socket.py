"""One open WebSocket, whatever is spoken over it: its session, its calls, and what waits to be sent."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiohttp import WSCloseCode, web

from toto_aio.auth.caller import Caller
from toto_aio.auth.sessions import Sessions
from toto_aio.auth.user_session import UserSession
from toto_aio.codecs.codec import LargeBodies
from toto_aio.dispatch.dispatcher import Dispatch
from toto_aio.events.manager import EventManager, current_manager
from toto_aio.http.authentication import Authenticator
from toto_aio.http.clients import StalledConnections
from toto_aio.http.reply import TRACEPARENT
from toto_aio.jsonrpc.server import JSONRPC
from toto_aio.models import ClientInfo
from toto_aio.tasks import Tasks
from toto_aio.websocket.control import ControlFrames
from toto_aio.websocket.events import HandlerLimits, SocketEvents
from toto_aio.websocket.frames import Format, Formats
from toto_aio.websocket.receiver import FrameReceiver
from toto_aio.websocket.reply import SocketReply
from toto_aio.websocket.sender import FrameSender
from toto_aio.websocket.subscriptions import Subscriptions, SubscriptionsContext

CLOSE_LIMIT = 2.0
"""Seconds that a client has to take part in closing a socket."""

Reason = tuple[int, str]
"""A code and a text of a close frame."""


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
    channels: SubscriptionsContext | None
    formats: Formats
    rpc: JSONRPC | None
    debug: bool


class Opening(NamedTuple):
    """What a socket is opened with; the session is that of the request."""

    context: SocketContext
    request: web.Request
    response: web.WebSocketResponse[Any]
    client: ClientInfo
    session: UserSession | None


class OpenSocket(ABC):
    """One open WebSocket. A subclass speaks a protocol over it: it reads the frames, and says how it ends."""

    stopping: Reason = (WSCloseCode.GOING_AWAY, "The service is stopping")
    """How it is closed when the service shuts down."""
    client_id: str | None = None
    """What others see the connection by, in channels with ``presence``, if its client is told at once."""

    def __init__(self, opening: Opening) -> None:
        self.context, self.request, self.response, self.client, self.session = opening
        context, session = self.context, self.session
        self.by_cookie = session is not None and session.hides_id and not session.is_api_key
        self.sender = FrameSender(self.request, self.response, context.stalled)
        self.events = SocketEvents(context.events, self.sender, context.handlers)
        self.subscriptions: Subscriptions | None = None
        """The subscriptions to channels, once the client has subscribed to one."""
        self.replaced: str | None = None
        """The key of the session in whose place a password change has put the current one."""
        self.successors: dict[str, UserSession] = {}
        """The sessions that have taken over from others, by the keys of these: calls may still be theirs."""
        self.watching: set[SocketReply] = set()
        """The replies to notify when the client disconnects."""
        self.answered_first: set[str] = set()
        """The sessions that calls are ending, or have ended, which haven't been answered."""
        self.control = ControlFrames(self.sender, self.close_soon)
        self._closing = Tasks()

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
        if self.context.events is not None:
            current_manager.set(self.context.events)  # so that no call of this socket changes it
        receiver = self.receiver()
        try:
            await receiver.read()
            self._disconnected()
            await receiver.finish()
        finally:
            self._disconnected()
            await asyncio.gather(receiver.stop(), self.events.close(), self._closing.cancel())
            await self.sender.end()

    @abstractmethod
    def receiver(self) -> FrameReceiver:
        """What reads the frames."""

    @abstractmethod
    async def call(self, method: str) -> None:
        """Call a method that gets no response, as when the socket is opened and closed."""

    def session_closes(self, session: UserSession) -> Reason:
        """How the socket is closed when its session has ended."""
        return WSCloseCode.POLICY_VIOLATION, "The session has ended"

    async def opened(self, method: str) -> None:
        """Call the method that is to be called when a socket is opened."""
        await self.call(method)

    async def closed(self, method: str) -> None:
        """Call the method that is to be called when it is closed."""
        await self.call(method)

    async def close(self, code: int, reason: str) -> None:
        """Send what waits, and a close frame; wait until the socket is closed."""
        self.sender.close()
        try:
            async with asyncio.timeout(CLOSE_LIMIT):
                await self.sender.sent()
                await self.response.close(code=code, message=reason.encode())
        except TimeoutError:
            if self.request.transport is not None:
                self.request.transport.abort()

    def close_soon(self, code: int, reason: str) -> None:
        """Close the socket in the background."""
        if not self.sender.closed:
            self.sender.close()
            self._closing.start(self.close(code, reason), "socket closing")

    def subscribed(self) -> Subscriptions | None:
        """The subscriptions to channels; None if the app has no channels."""
        if self.subscriptions is None and self.context.channels is not None:
            self.subscriptions = Subscriptions(self.context.channels, self.sender, self.client_id)
        return self.subscriptions

    def sessions(self) -> list[UserSession]:
        """The sessions that something of the socket depends on: its own, and those of handlers and calls."""
        of_calls = (reply.session for reply in self.watching)
        of_channels = () if self.subscriptions is None else self.subscriptions.sessions()
        found = (self.session, *self.events.sessions(), *of_channels, *of_calls)
        return list({each.record.key: each for each in found if each is not None}.values())

    def session_ended(self, session: UserSession) -> None:
        """Close the socket if its session has ended; end what another session has left on it."""
        key = session.record.key
        if key in self.answered_first:
            return
        if self.session is not None and self.session.record.key == key:
            self.close_soon(*self.session_closes(session))
        self._end_what_is_of(key)

    def begin(self, before: UserSession | None, encoding: Format, data: bytes) -> tuple[Caller, SocketReply]:
        """The caller and the reply of a call that came in a frame, under the session ``before`` it."""
        if before is not None and before.is_api_key:
            caller: Caller = self.context.authenticator.caller_of_key(before.record.key, self.address)
        else:
            session_id = None if before is None else before.session_id
            by_cookie = self.by_cookie
            caller = Caller(self.context.sessions, session_id, None, by_cookie=by_cookie, hides_id=by_cookie)
        caller.shown, caller.on_renewal = before, self._renewed
        reply = SocketReply(self, encoding, caller, before)
        reply.body = data
        return caller, reply

    def finish(self, before: UserSession | None, caller: Caller, reply: SocketReply) -> None:
        """Take over what a call has done to the session, once it is answered."""
        if reply.callbacks is not None:
            self.watching.discard(reply)
        if reply.ending is not None:
            self.answered_first.discard(reply.ending)
        if caller.session is not None or caller.logged_out:
            self.follow(before, caller)

    def follow(self, before: UserSession | None, caller: Caller) -> None:
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

    def hand_over(self, left: UserSession, session: UserSession) -> None:
        """Let what was begun under a session of a user end with another one of the same user."""
        key = left.record.key
        self.successors[key] = session
        for before, successor in self.successors.items():
            if successor.record.key == key:
                self.successors[before] = session
        self.successors.pop(session.record.key, None)  # it may have left before
        self.events.hand_over(key, session)
        if self.subscriptions is not None:
            self.subscriptions.hand_over(key, session)

    def is_over(self) -> bool:
        """Whether the client has left, or the socket is being closed."""
        transport = self.request.transport
        return self.sender.closed or transport is None or transport.is_closing()

    def _renewed(self, session: UserSession) -> None:
        """Take over the session of a password change, whose announcement would close the socket."""
        left, self.session = self.session, session
        if left is not None:
            self.replaced = left.record.key
            self._end_what_is_of(left.record.key)

    def _end_what_is_of(self, key: str) -> None:
        """End the event handlers and the waiting calls of a session that the socket doesn't have any more."""
        self.events.end_session(key)
        if self.subscriptions is not None:
            self.subscriptions.end_session(key)
        for reply in tuple(self.watching):
            if reply.session is not None and reply.session.record.key == key:
                self.watching.discard(reply)
                reply.disconnected()

    def _disconnected(self) -> None:
        """End the subscriptions, and notify the replies that watch for it, once."""
        self.sender.close()
        if self.subscriptions is not None:  # others must not see a client whose last calls are finishing
            self.subscriptions.close()
        while self.watching:
            self.watching.pop().disconnected()
