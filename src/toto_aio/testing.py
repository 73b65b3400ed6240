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
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from types import ModuleType
from typing import Any

from aiohttp import web

import toto_aio.methods
from toto_aio.app import create_app
from toto_aio.auth.accounts import Accounts
from toto_aio.auth.caller import Caller
from toto_aio.auth.user_session import UserSession
from toto_aio.channels import Channel
from toto_aio.client import Client
from toto_aio.dispatch.answers import RawAnswer, Redirect
from toto_aio.dispatch.call import MEMBER, Call
from toto_aio.dispatch.method import compile_method
from toto_aio.exceptions import UserIDExists
from toto_aio.in_process import InProcessReply, UserSessions, call_in_process, running
from toto_aio.lifespan import LIFESPAN, Lifespan
from toto_aio.marked import RULES
from toto_aio.method_rules import Rules
from toto_aio.registry import DEFAULT_PACKAGE
from toto_aio.settings import Settings, SettingsError, read_settings
from toto_aio.settings.sources import override
from toto_aio.settings.urls import root_path

__all__ = ["InProcess", "RawAnswer", "Redirect", "Serve", "ServedClient", "calling", "serving"]

SHUTDOWN_TIMEOUT = 1.0
"""Seconds that calls in progress have to finish when a test is over."""

Methods = str | ModuleType | Mapping[str, Any]
Serve = Callable[..., Awaitable["ServedClient"]]
"""The type of the fixture ``toto_serve``."""


@asynccontextmanager
async def serving(
    methods: Methods | None = None,
    *,
    file: str | os.PathLike[str] | None = None,
    encoding: str = "json",
    **options: Any,
) -> AsyncIterator[ServedClient]:
    """Serve a package, a module or a mapping of methods until the end of the block; a client of it.

    ``client.another()`` is a client for another user. ``options`` are those of ``create_app`` and override
    those of the ``file``; ``encoding`` is the client's. Raises ``SettingsError``.
    """
    settings = _settings(methods, None if file is None else read_settings({}, file), options)
    async with running(create_app(settings), SHUTDOWN_TIMEOUT) as runner:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}{root_path(settings)}"
        signing = settings.signing if isinstance(settings.signing, str) else "off"
        accounts = runner.app[LIFESPAN].runtime.connection.accounts
        async with ServedClient(url, accounts, signing=signing, encoding=encoding) as client:
            yield client


class ServedClient(Client):
    """A client of a service in the same process, which ``toto_serve`` makes."""

    def __init__(self, url: str, accounts: Accounts, *, signing: str, encoding: str) -> None:
        super().__init__(url, signing=signing, encoding=encoding)
        self.accounts = accounts
        """The service's, as ``handler.accounts``: ``await client.accounts.set_roles("ada", ["admin"])``."""


@asynccontextmanager
async def calling(*, file: str | os.PathLike[str] | None = None, **options: Any) -> AsyncIterator[InProcess]:
    """Call methods without HTTP until the end of the block; the arguments are those of ``serving``.

    The methods are handed in with each call. With ``method_module`` they publish to all channels of a
    package, and not only to those that their own module declares or imports.
    """
    given = None if file is None else read_settings({}, file)
    if given is None or given.method_module == DEFAULT_PACKAGE:
        options.setdefault("method_module", toto_aio.methods)
    settings = _settings(None, given, options)
    async with running(create_app(settings), SHUTDOWN_TIMEOUT) as runner:
        yield InProcess(runner.app[LIFESPAN], settings.method_timeout)


class InProcess:
    """Calls methods without HTTP, through the same dispatch: guards, parameters, session, time limit, hooks.

    ``await call(invoke, {"name": "Ada"}, user_id="ada")``. Stores and events are the same for all calls.
    """

    def __init__(self, lifespan: Lifespan, method_timeout: float) -> None:
        self._lifespan = lifespan
        self._method_timeout = method_timeout
        self._users: UserSessions | None = None

    async def __call__(
        self,
        method: Callable[..., Any] | ModuleType,
        parameters: Any = None,
        *,
        user_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Any:
        """The result of an ``invoke``, or of the one in a module; with ``user_id``, in that user's session.

        It is what the method returns, as a Python object; a client gets what the encoding makes of it.

        Raises the ``TotoException`` that a client would receive, and other exceptions of the method as they
        are. A method with bytes of its own gives a ``RawAnswer`` (``body``, ``content_type``), a redirection
        a ``Redirect`` (``url``, ``status``).
        """
        require_loop(self._lifespan.runtime.loop)
        if isinstance(method, str):
            raise TypeError(
                f"toto_call({method!r}): give the function, or its module; open_service calls methods by name"
            )
        name = getattr(method, "__name__" if isinstance(method, ModuleType) else "__module__", "method")
        module = method if isinstance(method, ModuleType) else sys.modules.get(name)
        methods = {name: compile_method(name, method, self._method_timeout)}
        dispatch = self._lifespan.dispatcher_of_guests(methods, _channels(module))
        message = None if idempotency_key is None else {MEMBER: idempotency_key}
        session_id = None if user_id is None else (await self.session(user_id)).session_id
        caller = Caller(self._lifespan.runtime.connection.sessions, session_id, None)
        try:
            return await call_in_process(dispatch, caller, Call(name, parameters, message=message), _Reply())
        finally:
            await dispatch.close()

    @property
    def accounts(self) -> Accounts:
        """The accounts, as ``handler.accounts``: ``await call.accounts.set_roles("ada", ["admin"])``."""
        return self._lifespan.runtime.connection.accounts

    async def session(self, user_id: str) -> UserSession:
        """The session of a user's calls, with its ``state``; it and the account are created if needed."""
        if self._users is None:
            self._users = UserSessions(self._lifespan.runtime.connection.sessions, self._create_account)
        return await self._users.get(user_id)

    async def _create_account(self, user_id: str) -> str:
        accounts = self.accounts
        with suppress(UserIDExists):
            return (await accounts.create(user_id, None)).user_id
        account = await accounts.get(user_id)
        assert account is not None
        return account.user_id


def require_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Raise ``RuntimeError`` in another event loop, as in a test whose scope differs from its fixture's."""
    if asyncio.get_running_loop() is not loop:
        raise RuntimeError(
            "The fixture has another event loop than this test: give both the same scope, by "
            "asyncio_default_fixture_loop_scope and asyncio_default_test_loop_scope"
        )


def _channels(module: ModuleType | None) -> list[Channel]:
    """The channels of the functions in a module, also of those that it imports."""
    rules = (getattr(value, RULES, None) for value in ({} if module is None else vars(module)).values())
    return [each.channel for each in rules if isinstance(each, Rules) and each.channel is not None]


class _Reply(InProcessReply):
    agent = "toto_aio.testing"
    over_http = "through toto_serve"
    over_a_socket = "through client.socket()"


def _settings(methods: Methods | None, given: Settings | None, options: Mapping[str, Any]) -> Settings:
    """The options of a test, which touches nothing that the service whose options are ``given`` uses."""
    alone = {"database": "memory://", "session_store": None, "events": "memory://", "check_results": True}
    named = {} if methods is None else {"method_module": methods}
    settings = override(given, {**alone, **options, **named})
    if settings.method_module == DEFAULT_PACKAGE and importlib.util.find_spec(DEFAULT_PACKAGE) is None:
        raise SettingsError(
            f"method_module: there is no package {DEFAULT_PACKAGE!r} on the import path; for pytest, write "
            'pythonpath = ["."] below [tool.pytest.ini_options] in pyproject.toml'
        )
    return settings
