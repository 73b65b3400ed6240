"""``create_app``: the only place where the parts of a service are put together."""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Any

import msgspec
from aiohttp import web

from toto_aio.accounts import Accounts
from toto_aio.brokers import open_broker
from toto_aio.cors import cors
from toto_aio.deadlines import Deadlines
from toto_aio.dispatch import Dispatcher, finish
from toto_aio.events import EventManager
from toto_aio.handler import Connection, Resources
from toto_aio.passwords import Passwords
from toto_aio.registry import Method, find_methods
from toto_aio.service import Service
from toto_aio.sessions import Sessions
from toto_aio.settings import Settings, SettingsError, read_settings
from toto_aio.signing import SCHEMES, Scheme
from toto_aio.stores import SessionStore, Store, open_store

logger = logging.getLogger(__name__)

SWEEP_INTERVAL = 60.0
"""Seconds between two looks for expired sessions."""


def create_app(settings: Settings | None = None, **options: Any) -> web.Application:
    """The service as an aiohttp application, to be run or to be embedded with ``add_subapp``.

    ``options`` are those of ``Settings``, and override ``settings``. Nothing is read from the environment
    or the command line. The methods are found here: a module that cannot be imported raises what its
    import raised. Databases are opened when the application starts up. Raises ``SettingsError``.
    """
    given = {} if settings is None else msgspec.structs.asdict(settings)
    settings = read_settings({**given, **options})
    methods = find_methods(settings.method_module, settings.method_timeout)
    scheme = _scheme(settings.signing)
    app = web.Application()
    service = Service(settings, scheme)
    service.add_routes(app)
    if settings.allow_origin:
        app.on_response_prepare.append(cors(service.origins, credentials=settings.use_cookies))
    life = _Life(settings, methods, service, keyed=scheme is not None and scheme.keyed)
    app.cleanup_ctx.append(life.run)
    app.on_shutdown.append(life.stop)
    return app


class _Life:
    """What an app opens when it starts and closes when it ends, in the reverse order."""

    def __init__(
        self, settings: Settings, methods: dict[str, Method], service: Service, *, keyed: bool
    ) -> None:
        self._settings = settings
        self._keyed = keyed
        self._methods = methods
        self._service = service
        self._before = _load_function("before_handler", settings.before_handler)
        self._after = _load_function("after_handler", settings.after_handler)
        self._startup = _load_function("startup_function", settings.startup_function)
        self._init_events = _load_function("event_init_module", settings.event_init_module, "invoke")
        self._broker = open_broker(settings.events)

    async def run(self, app: web.Application) -> AsyncIterator[None]:
        """The time between start-up and clean-up."""
        settings = self._settings
        async with AsyncExitStack() as stack:
            store = await _open(stack, settings.database)
            sessions_in = (
                store if settings.session_store is None else await _open(stack, settings.session_store)
            )
            passwords = Passwords()
            stack.callback(passwords.close)
            accounts = Accounts(
                store,
                passwords,
                fields=settings.account_fields,
                password_min_length=settings.password_min_length,
            )
            sessions = Sessions(sessions_in, accounts, settings, keyed=self._keyed)
            connection = Connection(store.db, accounts, sessions)
            threads = ThreadPoolExecutor(settings.threads, "toto-aio-method")
            stack.callback(threads.shutdown, wait=False, cancel_futures=True)
            events = None
            if self._broker is not None:
                events = EventManager(self._broker)
                await events.start()
                stack.push_async_callback(events.close)
            if self._init_events is not None:
                if events is None:
                    raise SettingsError("event_init_module: write events=memory://, they are off")
                await finish(self._init_events(events))
            deadlines = Deadlines(asyncio.get_running_loop())
            stack.callback(deadlines.close)
            resources = Resources(connection, events, threads, deadlines)
            self._service.sessions = sessions
            self._service.dispatch = Dispatcher(
                self._methods,
                resources,
                get_methods=settings.get_methods,
                slow_call=settings.slow_call,
                before=self._before,
                after=self._after,
            )
            stack.push_async_callback(self._service.watch.close)
            stack.callback(self._service.readers.close)
            stack.push_async_callback(self._service.dispatch.close)
            if self._startup is not None:
                await finish(self._startup(connection=connection, application=app))
            sweeper = asyncio.create_task(_sweep(sessions_in), name="toto-aio sweep")
            stack.push_async_callback(_cancel, sweeper)
            yield

    async def stop(self, app: web.Application) -> None:
        """Answer what waits, so that the server need not wait for it."""
        await self._service.dispatch.close()


async def _open(stack: AsyncExitStack, database: Any) -> Store:
    store = await open_store(database)
    if isinstance(database, str):  # a store that was handed in belongs to who made it
        stack.push_async_callback(store.close)
    return store


async def _sweep(store: SessionStore) -> None:
    while True:
        dropped = 0
        try:
            dropped = await store.sweep()
        except Exception:
            logger.exception("expired sessions could not be dropped; trying again in %d s", SWEEP_INTERVAL)
        await asyncio.sleep(0 if dropped else SWEEP_INTERVAL)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _scheme(signing: Any) -> Scheme | None:
    if isinstance(signing, str):
        if signing not in SCHEMES:
            raise SettingsError(f"signing: write one of {', '.join(SCHEMES)}, not {signing!r}")
        return SCHEMES[signing]
    if not all(hasattr(signing, name) for name in ("verify", "sign", "keyed", "nonce_ttl")):
        raise SettingsError(f"signing: expected a scheme with verify and sign, not {signing!r}")
    return signing  # type: ignore[no-any-return]


def _load_function(option: str, value: Any, attribute: str | None = None) -> Callable[..., Any] | None:
    """The function that an option names as ``module.function``, or as a module with the ``attribute``."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        module, name = (value, attribute) if attribute else value.rpartition(".")[::2]
        if not all(module.split(".")):
            expected = "the name of a module" if attribute else "module.function"
            raise SettingsError(f"{option}: write {expected}, not {value!r}")
        try:
            value = getattr(importlib.import_module(module), name or "", None)
        except ModuleNotFoundError as exc:
            if not f"{module}.".startswith(f"{exc.name}."):
                raise
            raise SettingsError(f"{option}: there is no module {module!r} on the import path") from exc
    elif attribute is not None and hasattr(value, attribute):
        value = getattr(value, attribute)
    if not callable(value):
        raise SettingsError(f"{option}: expected {attribute or 'a function'}, found {value!r}")
    return value  # type: ignore[no-any-return]
