"""A service without a server: its methods are called in the process that opens it.

    async with toto_aio.open_service(method_module="notes.methods", database="sqlite:///notes.db") as service:
        notes = await service.call("notes.list", {"limit": 10}, user_id="ada")

The calls pass through the same dispatcher as requests: guards, parameters, sessions, time limits and hooks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from copy import deepcopy
from typing import Any, cast

from aiohttp import web

from toto_aio.app import create_app
from toto_aio.auth.accounts import Accounts
from toto_aio.auth.caller import Caller
from toto_aio.auth.sessions import Sessions
from toto_aio.auth.user_ids import known_as
from toto_aio.auth.user_session import UserSession
from toto_aio.codecs.json_codec import JSON
from toto_aio.dispatch.answers import RawAnswer, Streamed
from toto_aio.dispatch.call import MEMBER, Call
from toto_aio.dispatch.dispatcher import Dispatch
from toto_aio.dispatch.reply import Reply
from toto_aio.dispatch.runtime import Connection
from toto_aio.events.manager import EventManager
from toto_aio.exceptions import Unavailable, described
from toto_aio.lifespan import LIFESPAN, Lifespan
from toto_aio.models import ClientInfo
from toto_aio.settings import Settings
from toto_aio.settings.sources import override
from toto_aio.tasks import Tasks

logger = logging.getLogger(__name__)

CALLS_SHARE = 0.8
"""The share of ``shutdown_timeout`` in which calls end that are in progress at the end of the block."""
AGENT = "toto_aio.open_service"


@asynccontextmanager
async def open_service(settings: Settings | None = None, **options: Any) -> AsyncIterator[OpenService]:
    """Open a service until the end of the block, to call its methods from a script, a task or a shell.

    The arguments are those of ``create_app``. Databases and events are opened, ``event_init_module`` and
    ``startup_function`` are called, and nothing listens. Calls in progress at the end of the block have four
    fifths of ``shutdown_timeout`` to end. Raises ``SettingsError``, and ``Unavailable`` if a database or the
    broker is out of reach.
    """
    settings = override(settings, options)
    app = create_app(settings)
    service = OpenService(app[LIFESPAN], CALLS_SHARE * settings.shutdown_timeout)
    app.on_shutdown.append(service.finish)  # everything is still open then
    async with running(app, settings.shutdown_timeout):
        yield service


class OpenService:
    """An open service. Use it in the event loop in which it was opened."""

    def __init__(self, lifespan: Lifespan, limit: float) -> None:
        self._lifespan = lifespan
        self._limit = limit
        self._users: UserSessions | None = None
        self._calls = Tasks()
        self._is_open = True

    @property
    def connection(self) -> Connection:
        """The service's database client ``db``, ``accounts`` and ``sessions``, as ``handler.connection``."""
        return self._lifespan.runtime.connection

    @property
    def accounts(self) -> Accounts:
        """The accounts of the service, as ``handler.accounts``."""
        return self.connection.accounts

    @property
    def sessions(self) -> Sessions:
        """The sessions of all users, as ``handler.sessions``."""
        return self.connection.sessions

    @property
    def events(self) -> EventManager:
        """The events of the service. Raises ``RuntimeError`` if they are off."""
        return self._lifespan.runtime.needed_events()

    async def call(
        self,
        method: str,
        parameters: Any = None,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Any:
        """The result of a method, as it was returned: by an anonymous caller, a user, or in a session.

        Raises the ``TotoException`` that a client would receive, and other exceptions of the method as they
        are. A method with bytes of its own gives an object with ``body`` and ``content_type``, a redirection
        one with ``url`` and ``status``. ``parameters`` are copied. A call that the end of the block cuts off
        raises ``Unavailable``. ``idempotency_key`` names the call for those that repeat it.
        """
        self._require_open()
        if user_id is not None:
            if session_id is not None:
                raise ValueError("give either user_id or session_id")
            session_id = (await self.session(user_id)).session_id
        message = None if idempotency_key is None else {MEMBER: idempotency_key}
        # A task of its own: what a call sets in its context is not the caller's.
        task = self._calls.start(
            call_in_process(
                self._lifespan.dispatch,
                Caller(self.connection.sessions, session_id, None),
                Call(method, parameters, message=message),
                InProcessReply(),
            ),
            f"call {method}",
        )
        try:
            return await task
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if self._is_open or (caller is not None and caller.cancelling()):
                raise
            # Nobody has cancelled the caller, whose own task would pass for cancelled.
            raise Unavailable("The service has ended before the call.") from None

    async def session(self, user_id: str) -> UserSession:
        """The session of a user's calls, which ends with the block.

        Raises ``LookupError`` if there is no such account.
        """
        self._require_open()
        if self._users is None:
            self._users = UserSessions(self.connection.sessions, self._require_account)
        return await self._users.get(user_id)

    async def finish(self, app: web.Application) -> None:
        """Wait for the calls in progress, and end the users' sessions."""
        await self._calls.finish(self._limit)
        self._is_open = False
        await self._calls.cancel()
        if self._users is not None:
            await self._users.end()

    def _require_open(self) -> None:
        """Raise ``RuntimeError`` after the end of the block, and in another event loop."""
        if not self._is_open:
            raise RuntimeError("The service is closed: call it within the block of open_service")
        if asyncio.get_running_loop() is not self._lifespan.runtime.loop:
            raise RuntimeError(
                "The service was opened in another event loop: with that loop, write "
                "asyncio.run_coroutine_threadsafe(service.call(...), loop).result()"
            )

    async def _require_account(self, user_id: str) -> str:
        account = await self.accounts.get(user_id)
        if account is None:
            create = f"service.accounts.create({user_id!r}, None)"
            raise LookupError(f"there is no account {user_id!r}; create it: await {create}")
        return account.user_id


class UserSessions:
    """A session for each user that calls are made for.

    ``prepare`` is called before one is created, and returns the user id of the account.
    """

    def __init__(self, sessions: Sessions, prepare: Callable[[str], Awaitable[str]]) -> None:
        self._sessions = sessions
        self._prepare = prepare
        self._by_user: dict[str, UserSession] = {}
        self._creating = asyncio.Lock()

    async def get(self, user_id: str) -> UserSession:
        """The session of a user, as it is stored now; a new one if there is none yet, or it has ended."""
        name = known_as(user_id)[0]
        async with self._creating:
            known = self._by_user.get(name)
            session = None if known is None else await self._sessions.load(known.session_id)
            if session is None:
                account_id = await self._prepare(user_id)
                session = await self._sessions.log_in_known(
                    account_id, ClientInfo("", AGENT), second_factor=False
                )
            self._by_user[name] = session
            return session

    async def end(self) -> None:
        """End all of them."""
        for session in self._by_user.values():
            try:
                await self._sessions.end(session)
            except Unavailable as exc:
                reason = described(exc.__cause__ or exc)
                logger.warning("a session of %r stays until it expires: %s", session.user_id, reason)


async def call_in_process(dispatch: Dispatch, caller: Caller, call: Call, reply: InProcessReply) -> Any:
    """The result of a call that came by no transport; what it streams is one ``RawAnswer``."""
    call.parameters = {} if call.parameters is None else deepcopy(call.parameters)
    # The protocol wants a request, which raises here.
    result = await dispatch(call, caller, cast(Reply, reply))
    return RawAnswer(reply.written, reply.content_type) if isinstance(result, Streamed) else result


class InProcessReply:
    """The ``Reply`` of a call without HTTP: it has no headers, and no client that could disconnect."""

    alone = True
    shared = False
    headers_only = False
    address = "127.0.0.1"
    agent = AGENT
    traceparent = ()
    streaming = False
    body = b""
    status: int | None = None
    written = b""
    over_http = "over HTTP"
    over_a_socket = "over a WebSocket"

    def __init__(self) -> None:
        self.content_type = JSON.content_type

    @property
    def request(self) -> web.Request:
        raise RuntimeError(f"A call in process has no request: call this method {self.over_http}")

    def header(self, name: str) -> tuple[str, ...]:
        return ()

    def set_status(self, status: int) -> None: ...

    def set_header(self, name: str, value: str) -> None: ...

    def set_cookie(self, name: str, value: str, **attributes: Any) -> None: ...

    def write(self, body: bytes, content_type: str) -> None:
        self.streaming = True
        self.content_type = content_type
        self.written += body

    async def drain(self) -> None: ...

    def watch(self, callback: Callable[[], None]) -> None: ...

    def answers_first(self, session: UserSession) -> None: ...

    def send_message(self, data: Any, message_id: Any) -> None:
        raise RuntimeError(f"send_message is for WebSockets: call this method {self.over_a_socket}")

    def listen(self, name: str, function: Callable[[Any], Any]) -> None: ...


@asynccontextmanager
async def running(app: web.Application, shutdown_timeout: float) -> AsyncIterator[web.AppRunner]:
    """A running service that doesn't listen yet."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=shutdown_timeout)
    try:
        await runner.setup()
        yield runner
    finally:
        await runner.cleanup()
