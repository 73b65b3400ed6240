"""What ``invoke`` receives: the session, the database, events, and the ways to respond."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, overload

from toto_aio.auth.accounts import Accounts
from toto_aio.auth.audit import acting
from toto_aio.auth.caller import Caller
from toto_aio.auth.sessions import Sessions
from toto_aio.auth.user_session import UserSession
from toto_aio.dispatch import hooks
from toto_aio.dispatch.acting import CallActing
from toto_aio.dispatch.answers import RawAnswer, Redirect, Streamed
from toto_aio.dispatch.call import Call
from toto_aio.dispatch.head import checked_header, checked_status, checked_text
from toto_aio.dispatch.reply import Reply
from toto_aio.dispatch.runtime import Connection, Runtime
from toto_aio.dispatch.tornado import with_hints
from toto_aio.dispatch.transaction import CallTransaction
from toto_aio.events.manager import EventManager
from toto_aio.events.registration import Registration
from toto_aio.exceptions import InvalidParameters, TotoException
from toto_aio.models import ClientInfo
from toto_aio.threads import discard, waits_in_threads

if TYPE_CHECKING:
    from aiohttp import web

    from toto_aio.dispatch.claim import Claim
    from toto_aio.dispatch.deadlines import Deadline
    from toto_aio.dispatch.idempotency import Keys

T = TypeVar("T")


@with_hints
class Handler:
    """One call's view of the service. What touches a database is a coroutine; the rest is plain.

    ``respond`` and ``respond_raw`` may be called from any thread. The first response counts, later ones are
    dropped.
    """

    _given: tuple[Any, BaseException | None] | None = None
    _waiter: asyncio.Future[None] | None = None
    _acting: CallActing | None = None
    finished = False
    open_transaction = False
    claim: Claim | None = None
    """What the call has of the idempotency key that it runs for."""
    limit: Deadline | None = None
    """The time limit of the call, in methods that are ``@idempotent``."""
    own_session: UserSession | None = None
    """The user's session of this call of a batch, in which others may log in or out meanwhile."""
    client_left = False
    """Whether the client disconnected before the response, in methods that watch for it."""

    def __init__(self, call: Call, caller: Caller, reply: Reply, runtime: Runtime) -> None:
        self.call = call
        self.caller = caller
        self.reply = reply
        self.responded = False  # each call asks, and finds what an object has itself sooner
        """Whether the method has responded already."""
        self._registrations: list[Registration] | None = None
        self._runtime = runtime

    @property
    def session(self) -> UserSession | None:
        """The session, once a decorator, ``retrieve_session`` or ``create_session`` has loaded it.

        On a WebSocket that was opened with a session it is there without that, as it was read last.
        """
        if self.own_session is not None:
            return self.own_session
        caller = self.caller
        return caller.shown if caller.session is None else caller.session

    @property
    def connection(self) -> Connection:
        """``connection.db`` is the database driver's client or pool, which the service itself doesn't use.

        Toto's name for it is ``db_connection``.
        """
        if acting.get() is not self._acting or self._acting is None:
            self.act()
        return self._runtime.connection

    db_connection = connection

    @property
    def accounts(self) -> Accounts:
        """The accounts of the service: ``connection.accounts``."""
        return self.connection.accounts

    @property
    def sessions(self) -> Sessions:
        """The sessions of all users: ``connection.sessions``. The caller's own is ``session``."""
        return self.connection.sessions

    @property
    def db(self) -> Any:
        """``connection.db``."""
        return self._runtime.connection.db

    @property
    def body(self) -> bytes:
        """The bytes of the request's body, or of the frame; all calls of a batch have the same."""
        return self.reply.body

    @property
    def settings(self) -> Mapping[str, Any]:
        """The author's own settings: ``[app]`` of the file, or ``app={...}``. They cannot be changed."""
        return self._runtime.connection.settings

    @property
    def events(self) -> EventManager:
        """The events of the service. Raises ``RuntimeError`` if they are off."""
        return self._runtime.needed_events()

    @property
    def keys(self) -> Keys:
        """The idempotency keys of the service."""
        assert self._runtime.keys is not None
        return self._runtime.keys

    @property
    def is_cut_off(self) -> bool:
        """Whether the call has ended, or is being ended, before its method: nobody waits for that."""
        return self.finished or self.client_left or (self.limit is not None and self.limit.expired)

    @property
    def request(self) -> web.Request:
        """aiohttp's request."""
        return self.reply.request

    @property
    def address(self) -> str:
        """The client's IP address, as reported by trusted proxies; "unix" through a Unix socket."""
        return self.reply.address

    @property
    def client(self) -> ClientInfo:
        """The client: its address, and the name that it gives itself."""
        return ClientInfo(self.address, self.reply.agent)

    @property
    def transaction_id(self) -> str:
        """16 hexadecimal digits that identify this call in hooks and logs."""
        return self.call.transaction_id

    @property
    def headers_only(self) -> bool:
        """Whether the client asked for the headers only (HEAD)."""
        return self.reply.headers_only

    @property
    def response_type(self) -> str:
        """The content type of the response; one that the service has a codec for selects the encoding."""
        return self.reply.content_type

    @response_type.setter
    def response_type(self, content_type: str) -> None:
        self.reply.content_type = checked_text(content_type, "response_type")

    @waits_in_threads
    async def create_session(
        self,
        user_id: str | None = None,
        password: str | None = None,
        verify_password: bool = True,
        *,
        device: str | None = None,
        second_factor: bool = True,
    ) -> UserSession:
        """Create a session and make it the session of this request; anonymous without a ``user_id``.

        ``verify_password=False`` logs in without a password, after a check of the method's own. Raises
        ``InvalidCredentials``, and ``TooManyAttempts`` after too many wrong passwords; and
        ``SecondFactorRequired`` if the account has a second factor and the ``device`` is not remembered,
        unless ``second_factor=False``, for a method that has checked one of its own.
        """
        self.act()
        session = await self.caller.create(
            user_id,
            password,
            self.client,
            verify_password=verify_password,
            device=device,
            second_factor=second_factor,
        )
        self.take_session(session)
        return session

    @waits_in_threads
    async def retrieve_session(self, session_id: str | None = None) -> UserSession | None:
        """The session that the request shows, or the one of ``session_id``; None if it doesn't exist.

        Raises ``InvalidHMAC`` for a wrong signature.
        """
        session = await self.caller.retrieve(session_id)
        self.take_session(session)
        return session

    def transaction(self) -> CallTransaction:
        """``async with handler.transaction() as connection:`` a connection of this call's own.

        The transaction is committed at the end of the block. An exception in the block, the time limit and a
        cancelled call roll it back. On MongoDB the connection is the driver's session, for ``session=``. In a
        plain ``def invoke`` write ``with``. Raises ``Unavailable``, also after a conflict with another
        transaction, and ``RuntimeError`` if the database has no transactions, or if this call has one open.
        """
        return CallTransaction(self)

    def respond(self, result: Any = None, error: BaseException | dict[str, Any] | None = None) -> None:
        """Respond with a result or an error, from any thread.

        An error may be a dict of its ``code``, its ``value`` and whatever else the client is to get.
        """
        if isinstance(error, dict):
            details = {name: value for name, value in error.items() if name not in ("code", "value")}
            error = TotoException(error.get("code", 1000), error.get("value"), details=details)
        self._on_loop(self.settle, result, error)

    def respond_raw(self, body: bytes | str, content_type: str, finish: bool = True) -> None:
        """Respond with bytes of the method's own; ``finish=False`` sends a piece, and more may follow.

        Text is sent as UTF-8. Call ``await handler.drain()`` between the pieces of a long stream: at most
        8 MiB wait for a client that doesn't read, then this raises ``BufferError``. Raises
        ``InvalidParameters`` in a batch.
        """
        self._require_alone()
        piece = body.encode() if isinstance(body, str) else bytes(body)
        self._on_loop(self._respond_raw, piece, checked_text(content_type, "content_type"), finish)

    raw_respond = respond_raw

    @waits_in_threads
    async def drain(self) -> None:
        """Wait until the client has read most of what ``respond_raw`` sent; return at once if it has left."""
        await self.reply.drain()

    def send_message(self, data: Any, message_id: Any = None) -> None:
        """Send ``data`` over the WebSocket, or ``{"message_id", "data"}``, from any thread.

        Raises ``RuntimeError`` if the call didn't come over a WebSocket. Raises ``BufferError`` if too much
        waits for a client that doesn't read, unless called from another thread.
        """
        self._on_loop(self.reply.send_message, data, message_id)

    def redirect(self, url: str, status: int = 302) -> None:
        """Respond with a redirection. Raises ``InvalidParameters`` in a batch."""
        self._require_alone()
        self._on_loop(self.settle, Redirect(checked_text(url, "url"), checked_status(status)), None)

    def set_status(self, status: int) -> None:
        """Respond with this HTTP status instead of 200. The calls of a batch share it, as they do headers."""
        self.reply.set_status(checked_status(status))

    def set_header(self, name: str, value: str) -> None:
        """Set a header of the response. Raises ``RuntimeError`` after the headers of a stream were sent.

        ``Connection: close`` closes the connection; the framing is the service's, whatever is set here.
        """
        self.reply.set_header(*checked_header(name, value))

    def set_cookie(self, name: str, value: str, **attributes: Any) -> None:
        """Set a cookie; attributes are ``max_age`` (seconds), ``path``, ``httponly``, ``samesite`` ..."""
        self.reply.set_cookie(name, value, **attributes)

    def register_event_handler(
        self,
        name: str,
        function: Callable[[Any], Any],
        run_on_main_loop: bool | None = None,
        deregister_on_finish: bool = False,
    ) -> Registration:
        """Call ``function(args)`` when the event arrives, once, and only until this call has a response.

        On a WebSocket it is called each time, until the socket closes or, with ``deregister_on_finish``, the
        call ends. A plain function runs in a thread if a plain method registers it, else on the event loop,
        unless ``run_on_main_loop`` says otherwise.
        """
        events = self.events
        if not isinstance(getattr(function, "__self__", None), Handler):  # whose own block nothing
            function = events.placed(function, run_on_main_loop)
        registration = self.reply.listen(name, function)
        if registration is None or deregister_on_finish:
            if self._registrations is None:
                self._registrations = []
            registration = registration or events.register_handler(name, function, run_on_main_loop=True)
            self._registrations.append(registration)
            if self.finished:  # a thread registered it after the call had ended
                events.remove_handler(registration)
        return registration

    def deregister_event_handler(self, registration: Registration) -> None:
        """Remove what ``register_event_handler`` returned."""
        self.events.remove_handler(registration)

    @overload
    def wait(self, awaitable: Awaitable[T]) -> T: ...
    @overload
    def wait(self, awaitable: T) -> T: ...
    def wait(self, awaitable: Any) -> Any:
        """The result of a coroutine, for a plain ``def invoke``, which runs in a thread.

        What is a result already, as the service's own coroutine functions give it in a thread, is returned as
        it is. Raises what the coroutine raises; ``CancelledError`` if the call ends meanwhile; and
        ``RuntimeError`` on the event loop, where ``await`` does this.
        """
        if not inspect.isawaitable(awaitable):
            return awaitable
        if self.is_on_loop():
            discard(awaitable)
            raise RuntimeError("handler.wait is for plain 'def invoke'; write await here")
        return self._runtime.threads.wait(awaitable)

    def clean_up(self, awaitable: Awaitable[T]) -> T:
        """``wait`` for what has to be done even if the call has ended, such as a rollback."""
        return self._runtime.threads.wait(awaitable, cleans_up=True)

    def in_thread(self, function: Callable[..., T], parameters: Any) -> Awaitable[T]:
        """Run a plain method in a thread."""
        return self._runtime.threads.run(function, self, parameters)

    def is_on_loop(self) -> bool:
        """Whether this thread is the event loop's, which must not block."""
        return threading.get_ident() == self._runtime.loop_thread

    set_before_handler = staticmethod(hooks.set_before_handler)
    set_after_handler = staticmethod(hooks.set_after_handler)

    def act(self) -> None:
        """Let the audit log know that what happens to accounts now is done by this call."""
        if self._acting is None:
            self._acting = CallActing(self)
        acting.set(self._acting)

    def take_session(self, session: UserSession | None) -> None:
        """Keep the user's session that the call has now, whatever another call of its batch does.

        An anonymous one is everybody's, also if several calls have made one at the same time.
        """
        if self.reply.shared:
            self.own_session = session if session is not None and session.user_id else None

    def settle(self, result: Any, error: BaseException | None) -> None:
        """Take the response, on the event loop; the first counts."""
        if self._given is None and not self.finished:
            self._given = result, error
            self.responded = True
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)

    async def given(self) -> Any:
        """Wait for ``respond``: the result that it was given, or the error, raised."""
        if self._given is None:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        assert self._given is not None
        result, error = self._given
        if error is not None:
            raise error
        return result

    def end(self) -> None:
        """End the call: its event handlers are removed, and later responses are dropped."""
        self.finished = True
        if self._registrations is not None:
            for registration in self._registrations:
                self.deregister_event_handler(registration)

    def _respond_raw(self, piece: bytes, content_type: str, finish: bool) -> None:
        if self.finished or self._given is not None:
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
        if self.is_on_loop():
            function(*args)
        else:
            self._runtime.loop.call_soon_threadsafe(function, *args)
