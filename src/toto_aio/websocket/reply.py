"""The ``Reply`` of a call over a socket: its response is a frame, so there are no headers to shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from aiohttp import web

from toto_aio.auth.caller import Caller
from toto_aio.auth.user_session import UserSession
from toto_aio.dispatch.handler import Handler
from toto_aio.events.registration import Registration
from toto_aio.exceptions import InvalidParameters
from toto_aio.models import ClientInfo
from toto_aio.websocket.events import SocketEvents
from toto_aio.websocket.frames import Format
from toto_aio.websocket.sender import FrameSender


class ReplySocket(Protocol):
    """The socket of a reply: ``Socket``."""

    request: web.Request
    client: ClientInfo
    sender: FrameSender
    events: SocketEvents
    watching: set[SocketReply]
    answered_first: set[str]
    successors: dict[str, UserSession]

    @property
    def traceparent(self) -> Sequence[str]:
        """The trace of the request that opened the socket."""


class SocketReply:
    """The reply of one call; ``encoding`` is that of the frame that the call came in.

    ``before`` is the session that the socket had when the call began.
    """

    alone = False
    shared = False
    streaming = False
    headers_only = False
    body = b""
    status: int | None = None
    callbacks: list[Callable[[], None]] | None = None
    """Called when the client disconnects."""
    ending: str | None = None
    """The key of the session that the call is ending, if it is answered first."""
    _content_type: str | None = None

    def __init__(
        self, socket: ReplySocket, encoding: Format, caller: Caller, before: UserSession | None
    ) -> None:
        self._socket = socket
        self._format = encoding
        self._caller = caller
        self._before = before

    @property
    def session(self) -> UserSession | None:
        """The session of the call: what it registers and waits for ends with this session."""
        session = self._caller.session or self._before
        return None if session is None else self._socket.successors.get(session.record.key, session)

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
        return self._socket.client.address

    @property
    def agent(self) -> str:
        return self._socket.client.agent

    @property
    def traceparent(self) -> Sequence[str]:
        return self._socket.traceparent

    def header(self, name: str) -> Sequence[str]:
        return ()

    def set_status(self, status: int) -> None: ...

    def set_header(self, name: str, value: str) -> None: ...

    def set_cookie(self, name: str, value: str, **attributes: Any) -> None: ...

    def write(self, body: bytes, content_type: str) -> None:
        raise InvalidParameters("A socket has frames, not streams: call the method over HTTP.")

    async def drain(self) -> None: ...

    def watch(self, callback: Callable[[], None]) -> None:
        if self.callbacks is None:
            self.callbacks = []
            self._socket.watching.add(self)
        self.callbacks.append(callback)

    def disconnected(self) -> None:
        """Call the callbacks, as the client has disconnected."""
        for callback in self.callbacks or ():
            callback()

    def answers_first(self, session: UserSession) -> None:
        self.ending = session.record.key
        self._socket.answered_first.add(self.ending)

    def send_message(self, data: Any, message_id: Any) -> None:
        value = data if message_id is None else {"message_id": message_id, "data": data}
        self._socket.sender.add(self._format.frame(value))

    def listen(self, name: str, function: Callable[[Any], Any]) -> Registration:
        handler = getattr(function, "__self__", None)
        pushes = isinstance(handler, Handler) and handler.reply is self and function == handler.send_message
        return self._socket.events.listen(name, function, self._format, self.session, pushes=pushes)
