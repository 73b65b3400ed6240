"""For tests of services: serve one on a free port, or call its methods in process.

    async with serving("methods") as client:
        assert await client.call("hello", {"name": "Ada"}) == {"hello": "Ada"}

    async with calling() as call:
        assert await call(hello, {"name": "Ada"}) == {"hello": "Ada"}

Both work in every test framework that runs coroutines; in pytest they are the fixtures ``toto_serve`` and
``toto_call``. Everything is kept in memory by default, even if the ``file`` of options names a database.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from copy import deepcopy
from types import ModuleType
from typing import Any, cast

from aiohttp import web

import toto_aio.methods
from toto_aio.app import create_app
from toto_aio.auth.accounts import normal_user_id
from toto_aio.auth.caller import Caller
from toto_aio.auth.sessions import UserSession
from toto_aio.client import Client
from toto_aio.codecs.json_codec import JSON
from toto_aio.dispatch.answers import RawAnswer, Redirect, Streamed
from toto_aio.dispatch.call import Call
from toto_aio.dispatch.method import compile_method
from toto_aio.dispatch.reply import Reply
from toto_aio.exceptions import UserIDExists
from toto_aio.lifespan import LIFESPAN, Lifespan
from toto_aio.registry import DEFAULT_PACKAGE
from toto_aio.settings import Settings, SettingsError, read_settings
from toto_aio.settings.urls import root_path

__all__ = ["InProcess", "RawAnswer", "Redirect", "Serve", "calling", "serving"]

SHUTDOWN_TIMEOUT = 1.0
"""Seconds that calls in progress have to finish when a test is over."""

Methods = str | ModuleType | Mapping[str, Any]
Serve = Callable[..., Awaitable[Client]]
"""The type of the fixture ``toto_serve``."""


@asynccontextmanager
async def serving(
    methods: Methods | None = None,
    *,
    file: str | os.PathLike[str] | None = None,
    encoding: str = "json",
    **options: Any,
) -> AsyncIterator[Client]:
    """Serve a package, a module or a mapping of methods until the end of the block; a client of it.

    ``client.another()`` is a client for another user. ``options`` are those of ``create_app`` and override
    those of the ``file``; ``encoding`` is the client's. Raises ``SettingsError``.
    """
    settings = _settings(methods, file, options)
    async with _running(settings) as runner:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}{root_path(settings)}"
        signing = settings.signing if isinstance(settings.signing, str) else "off"
        async with Client(url, signing=signing, encoding=encoding) as client:
            yield client


@asynccontextmanager
async def calling(*, file: str | os.PathLike[str] | None = None, **options: Any) -> AsyncIterator[InProcess]:
    """Call methods without HTTP until the end of the block; the arguments are those of ``serving``."""
    options["method_module"] = toto_aio.methods  # those that are called are handed in
    settings = _settings(None, file, options)
    async with _running(settings) as runner:
        yield InProcess(runner.app[LIFESPAN], settings.method_timeout)


class InProcess:
    """Calls methods without HTTP, through the same dispatch: guards, parameters, session, time limit, hooks.

    ``await call(invoke, {"name": "Ada"}, user_id="ada")``. Stores and events are the same for all calls.
    """

    def __init__(self, lifespan: Lifespan, method_timeout: float) -> None:
        self._lifespan = lifespan
        self._method_timeout = method_timeout
        self._session_ids: dict[str, str] = {}

    async def __call__(
        self,
        method: Callable[..., Any] | ModuleType,
        parameters: Any = None,
        *,
        user_id: str | None = None,
    ) -> Any:
        """The result of an ``invoke``, or of the one in a module; with ``user_id``, in that user's session.

        Raises the ``TotoException`` that a client would receive, and other exceptions of the method as they
        are. A method with bytes of its own gives a ``RawAnswer`` (``body``, ``content_type``), a redirection
        a ``Redirect`` (``url``, ``status``).
        """
        require_loop(self._lifespan.runtime.loop)
        name = getattr(method, "__name__" if isinstance(method, ModuleType) else "__module__", "method")
        dispatch = self._lifespan.dispatcher({name: compile_method(name, method, self._method_timeout)})
        session_id = None if user_id is None else (await self.session(user_id)).session_id
        caller = Caller(self._lifespan.runtime.connection.sessions, session_id, None)
        reply = _Reply()
        call = Call(name, {} if parameters is None else deepcopy(parameters))
        try:
            # The protocol wants a request, which raises here.
            result = await dispatch(call, caller, cast(Reply, reply))
        finally:
            await dispatch.close()
        return RawAnswer(reply.written, reply.content_type) if isinstance(result, Streamed) else result

    async def session(self, user_id: str) -> UserSession:
        """The session of a user's calls, with its ``state``; it and the account are created if needed."""
        user_id = normal_user_id(user_id)
        sessions = self._lifespan.runtime.connection.sessions
        session = await sessions.load(self._session_ids.get(user_id, ""))
        if session is None:
            with suppress(UserIDExists):
                await sessions.accounts.create(user_id, None)
            session = await sessions.create(user_id)
            self._session_ids[user_id] = session.session_id
        return session


def require_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Raise ``RuntimeError`` in another event loop, as in a test whose scope differs from its fixture's."""
    if asyncio.get_running_loop() is not loop:
        raise RuntimeError(
            "The fixture has another event loop than this test: give both the same scope, by "
            "asyncio_default_fixture_loop_scope and asyncio_default_test_loop_scope"
        )


class _Reply:
    """The ``Reply`` of a call without HTTP: it has no headers, and no client that could disconnect."""

    alone = True
    shared = False
    headers_only = False
    address = "127.0.0.1"
    agent = "toto_aio.testing"
    streaming = False
    written = b""

    def __init__(self) -> None:
        self.content_type = JSON.content_type

    @property
    def request(self) -> web.Request:
        raise RuntimeError("A call in process has no request: call this method through toto_serve")

    def set_status(self, status: int) -> None: ...

    def set_header(self, name: str, value: str) -> None: ...

    def set_cookie(self, name: str, value: str, **attributes: Any) -> None: ...

    def write(self, body: bytes, content_type: str) -> None:
        self.streaming = True
        self.content_type = content_type
        self.written += body

    async def drain(self) -> None: ...

    def watch(self, callback: Callable[[], None]) -> None: ...

    def send_message(self, data: Any, message_id: Any) -> None:
        raise RuntimeError("send_message is for WebSockets: call this method through client.socket()")

    def listen(self, name: str, function: Callable[[Any], Any]) -> None: ...


def _settings(
    methods: Methods | None, file: str | os.PathLike[str] | None, options: Mapping[str, Any]
) -> Settings:
    """The options of a test, which touches nothing that the service of the file uses."""
    given = None if file is None else read_settings({}, file)
    alone = {"database": "memory://", "session_store": None, "events": "memory://"}
    named = {} if methods is None else {"method_module": methods}
    settings = read_settings({**alone, **options, **named}, base=given)
    if settings.method_module == DEFAULT_PACKAGE and importlib.util.find_spec(DEFAULT_PACKAGE) is None:
        raise SettingsError(
            f"method_module: there is no package {DEFAULT_PACKAGE!r} on the import path; for pytest, write "
            'pythonpath = ["."] below [tool.pytest.ini_options] in pyproject.toml'
        )
    return settings


@asynccontextmanager
async def _running(settings: Settings) -> AsyncIterator[web.AppRunner]:
    """A running service that doesn't listen yet."""
    runner = web.AppRunner(create_app(settings), access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT)
    try:
        await runner.setup()
        yield runner
    finally:
        await runner.cleanup()
