"""What ``invoke`` receives: the session, the database, events, and the ways to answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from toto_aio.auth.accounts import Accounts
from toto_aio.auth.caller import Caller
from toto_aio.auth.sessions import Sessions, UserSession
from toto_aio.dispatch.call import Call, RawAnswer, Redirect, Streamed
from toto_aio.dispatch.deadlines import Deadlines
from toto_aio.events.manager import EventManager, Registration
from toto_aio.exceptions import InvalidParameters, TotoException
from toto_aio.models import ClientInfo

if TYPE_CHECKING:
    from aiohttp import web

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Connection:
    """``handler.connection``: the driver's own client or pool, and the rules of accounts and sessions."""

    db: Any
    accounts: Accounts
    sessions: Sessions


@dataclass(slots=True)
class Resources:
    """What the calls of one app share."""

    connection: Connection
    events: EventManager | None
    threads: ThreadPoolExecutor
    deadlines: Deadlines
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    loop_thread: int = field(default_factory=threading.get_ident)


class Reply(Protocol):
    """The response that is being made for a request, as far as a method may shape it."""

    content_type: str
    alone: bool
    """Whether the response is this call's own; the calls of a batch share one."""

    @property
    def request(self) -> web.Request:
        """aiohttp's request."""

    @property
    def headers_only(self) -> bool:
        """Whether the client asked for the head alone."""

    @property
    def streaming(self) -> bool:
        """Whether a piece of a stream has been written."""

    @property
    def address(self) -> str:
        """The client's IP address."""

    @property
    def agent(self) -> str:
        """The name that the client's program gives itself; "" without one."""

    def set_status(self, status: int) -> None:
        """Answer with this HTTP status."""

    def set_header(self, name: str, value: str) -> None:
        """Set a header of the response."""

    def set_cookie(self, name: str, value: str, **attributes: Any) -> None:
        """Set a cookie, with the attributes of ``aiohttp.web.Response.set_cookie``."""

    def write(self, body: bytes, content_type: str) -> None:
        """Send a piece of a stream; the first sends the head. Raises ``BufferError`` when too much waits."""

    async def drain(self) -> None:
        """Wait until the client has taken most of what was written."""

    def watch(self, callback: Callable[[], None]) -> None:
        """Call back once if the client leaves before the answer."""

    def send_message(self, data: Any, message_id: Any) -> None:
        """Send a frame of the method's own. Raises ``RuntimeError`` where there are none, ``BufferError``."""

    def listen(self, name: str, function: Callable[[Any], Any]) -> Registration | None:
        """Call ``function`` with each event until the client leaves; None if it will not stay that long."""


class Handler:
    """One call's view of the service. What touches a database is a coroutine; the rest is plain.

    ``respond`` and ``respond_raw`` may be called from any thread. Of several answers the first counts.
    """

    _answer: tuple[Any, BaseException | None] | None = None
    _waiter: asyncio.Future[None] | None = None
    _registrations: list[Registration] | None = None
    finished = False
    answered = False
    """Whether there is an answer already."""
    client_left = False
    """Whether the client left before its answer, as far as that is looked for."""

    def __init__(self, call: Call, caller: Caller, reply: Reply, resources: Resources) -> None:
        self.call = call
        self.caller = caller
        self.reply = reply
        self._resources = resources

    @property
    def session(self) -> UserSession | None:
        """The session, once a decorator, ``retrieve_session`` or ``create_session`` has got one."""
        return self.caller.session

    @property
    def connection(self) -> Connection:
        """``connection.db`` is the database's own client or pool, which the service itself does not use."""
        return self._resources.connection

    @property
    def events(self) -> EventManager:
        """The events of the service. Raises ``RuntimeError`` if they are off."""
        if self._resources.events is None:
            raise RuntimeError("Events are off: start the service with events=memory://")
        return self._resources.events

    @property
    def request(self) -> web.Request:
        """aiohttp's request."""
        return self.reply.request

    @property
    def address(self) -> str:
        """The client's IP address, as the trusted proxies tell it; "unix" through a Unix socket."""
        return self.reply.address

    @property
    def transaction_id(self) -> str:
        """16 hexadecimal digits that name this call in hooks and logs."""
        return self.call.transaction_id

    @property
    def headers_only(self) -> bool:
        """Whether the client asked for the head alone (HEAD)."""
        return self.reply.headers_only

    @property
    def response_type(self) -> str:
        """The content type of the answer; of those that the service knows, it selects the encoding."""
        return self.reply.content_type

    @response_type.setter
    def response_type(self, content_type: str) -> None:
        self.reply.content_type = content_type

    async def create_session(
        self, user_id: str | None = None, password: str | None = None, verify_password: bool = True
    ) -> UserSession:
        """Make a session and let it be this request's: anonymous without a ``user_id``.

        ``verify_password=False`` logs in without a password, after a check of the caller's own. Raises
        ``InvalidCredentials``, and ``TooManyAttempts`` after too many wrong passwords.
        """
        client = ClientInfo(self.address, self.reply.agent)
        return await self.caller.create(user_id, password, client, verify_password=verify_password)

    async def retrieve_session(self, session_id: str | None = None) -> UserSession | None:
        """The session that the request shows, or that of ``session_id``; None if there is no such one.

        Raises ``InvalidHMAC`` for a wrong signature.
        """
        return await self.caller.retrieve(session_id)

    def respond(self, result: Any = None, error: BaseException | dict[str, Any] | None = None) -> None:
        """Answer with a result or an error, from any thread; a dict is ``{"code": ..., "value": ...}``."""
        if isinstance(error, dict):
            error = TotoException(error.get("code", 1000), error.get("value"))
        self._on_loop(self.settle, result, error)

    def respond_raw(self, body: bytes | str, content_type: str, finish: bool = True) -> None:
        """Answer with bytes of the method's own; ``finish=False`` sends a piece, and more may follow.

        Text is sent as UTF-8. Between the pieces of a long stream ``await handler.drain()``: at most 8 MiB
        wait for a slow client, then this raises ``BufferError``. Raises ``InvalidParameters`` in a batch.
        """
        self._require_alone()
        piece = body.encode() if isinstance(body, str) else bytes(body)
        self._on_loop(self._respond_raw, piece, content_type, finish)

    raw_respond = respond_raw

    async def drain(self) -> None:
        """Wait until the client has taken most of what ``respond_raw`` sent; at once if it has left."""
        await self.reply.drain()

    def send_message(self, data: Any, message_id: Any = None) -> None:
        """Send ``data`` over the WebSocket, or ``{"message_id", "data"}``, from any thread.

        Raises ``RuntimeError`` if the call did not come over one. Raises ``BufferError`` if too much waits
        for a slow client, unless it is called from another thread.
        """
        self._on_loop(self.reply.send_message, data, message_id)

    def redirect(self, url: str, status: int = 302) -> None:
        """Answer with a redirection. Raises ``InvalidParameters`` in a batch."""
        self._require_alone()
        self._on_loop(self.settle, Redirect(url, status), None)

    def set_status(self, status: int) -> None:
        """Answer with this HTTP status in place of 200. The calls of a batch share it, as they do headers."""
        self.reply.set_status(status)

    def set_header(self, name: str, value: str) -> None:
        """Set a header of the response. Raises ``RuntimeError`` once a stream's head has gone out."""
        self.reply.set_header(name, value)

    def set_cookie(self, name: str, value: str, **attributes: Any) -> None:
        """Set a cookie; attributes are ``max_age`` (seconds), ``path``, ``httponly``, ``samesite`` ..."""
        self.reply.set_cookie(name, value, **attributes)

    def register_event_handler(
        self, name: str, function: Callable[[Any], Any], deregister_on_finish: bool = False
    ) -> Registration:
        """Call ``function(args)`` when the event comes, once, and only while this call is unanswered.

        On a WebSocket: each time, until the socket closes or, with ``deregister_on_finish``, the call ends.
        """
        events = self.events
        registration = self.reply.listen(name, function)
        if registration is None or deregister_on_finish:
            if self._registrations is None:
                self._registrations = []
            registration = registration or events.register_handler(name, function)
            self._registrations.append(registration)
            if self.finished:  # a thread that came too late
                events.remove_handler(registration)
        return registration

    def deregister_event_handler(self, registration: Registration) -> None:
        """Remove what ``register_event_handler`` returned."""
        self.events.remove_handler(registration)

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine, for a plain ``def invoke``, which runs in a thread.

        Raises what the coroutine raises, and ``RuntimeError`` on the event loop, where ``await`` does this.
        """
        if threading.get_ident() == self._resources.loop_thread:
            coroutine.close()
            raise RuntimeError("handler.wait is for plain 'def invoke'; write await here")
        return asyncio.run_coroutine_threadsafe(coroutine, self._resources.loop).result()

    def settle(self, result: Any, error: BaseException | None) -> None:
        """Take the answer, on the event loop; what comes after the first is dropped."""
        if self._answer is None and not self.finished:
            self._answer = result, error
            self.answered = True
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)

    async def answer(self) -> Any:
        """Wait for the answer: the result that was given, or the error, raised."""
        if self._answer is None:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        assert self._answer is not None
        result, error = self._answer
        if error is not None:
            raise error
        return result

    def finish(self) -> None:
        """End the call: event handlers are removed, and later answers are dropped."""
        self.finished = True
        if self._registrations is not None:
            for registration in self._registrations:
                self.deregister_event_handler(registration)

    def _respond_raw(self, piece: bytes, content_type: str, finish: bool) -> None:
        if self.finished or self._answer is not None:
            return
        if not finish or self.reply.streaming:
            self.reply.write(piece, content_type)
            if finish:
                self.settle(Streamed(), None)
        else:
            self.settle(RawAnswer(piece, content_type), None)

    def _require_alone(self) -> None:
        if not self.reply.alone:
            raise InvalidParameters(f"'{self.call.name}' answers with bytes of its own: call it alone.")

    def _on_loop(self, function: Callable[..., None], *args: Any) -> None:
        if threading.get_ident() == self._resources.loop_thread:
            function(*args)
        else:
            self._resources.loop.call_soon_threadsafe(function, *args)
