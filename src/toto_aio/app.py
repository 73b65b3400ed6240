"""``create_app``: the only place where the parts of a service are put together."""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from toto_aio.auth.accounts import Accounts
from toto_aio.auth.passwords import Passwords
from toto_aio.auth.sessions import Sessions
from toto_aio.brokers import open_broker
from toto_aio.dispatch.deadlines import Deadlines
from toto_aio.dispatch.dispatcher import Dispatcher, finish
from toto_aio.dispatch.handler import Connection, Resources
from toto_aio.events.manager import EventManager
from toto_aio.exceptions import Unavailable
from toto_aio.http.authentication import Callers
from toto_aio.http.cookies import SessionCookie
from toto_aio.http.cors import Cors
from toto_aio.http.drain import DRAIN, Drain
from toto_aio.http.origins import Origins
from toto_aio.http.proxies import TrustedProxies
from toto_aio.http.service import Service
from toto_aio.monitoring.health import Health, own_path
from toto_aio.parts import Parts
from toto_aio.registry import Method, find_methods
from toto_aio.settings import Settings, SettingsError, read_settings
from toto_aio.signing import SCHEMES, Scheme
from toto_aio.stores import SessionStore, Store, open_store
from toto_aio.websocket.endpoint import Sockets

if TYPE_CHECKING:
    from toto_aio.monitoring.metrics import Metrics

logger = logging.getLogger(__name__)

SESSION_ENDED = "toto_aio.session_ended"
"""The event that tells every process of the end of sessions."""
SWEEP_INTERVAL = 60.0
"""Seconds between two looks for expired sessions."""
SWEEP_PAUSE = 0.05
"""Seconds that are left to others between two portions of them."""


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
    proxies = TrustedProxies(settings.trusted_proxies)
    origins = Origins(settings.allow_origin, proxies)
    cookie = SessionCookie(settings, origins) if settings.use_cookies else None
    callers = Callers(scheme, cookie)
    cors = Cors(origins, credentials=settings.use_cookies) if settings.allow_origin else None
    app[DRAIN] = drain = Drain()
    service = Service(settings, callers, proxies, scheme, cookie, cors, drain)
    sockets = None
    if settings.use_web_sockets:
        sockets = Sockets(settings, callers, origins, proxies, service.readers)
        drain.lasting = sockets.__len__
    health = Health(drain)
    if settings.health not in ("", "off"):
        health.add_routes(app, own_path(settings, methods, "health", settings.health, "/live", "/ready"))
    metrics = None
    if settings.metrics:
        metrics = _load_metrics()(settings, proxies)
        metrics.add_route(app, own_path(settings, methods, "metrics", "/metrics", ""))
        if sockets is not None:
            metrics.watch_sockets(sockets)
    service.add_routes(app, sockets)  # last, as the root may be /
    app.on_response_prepare.extend(service.signals)
    app[LIFE] = life = Life(settings, methods, callers, service, sockets, health, metrics)
    app.cleanup_ctx.append(life.run)
    app.on_shutdown.append(life.stop)
    return app


class Life:
    """What an app opens when it starts and closes when it ends, in the reverse order."""

    resources: Resources
    """There while the app runs."""

    def __init__(
        self,
        settings: Settings,
        methods: dict[str, Method],
        callers: Callers,
        service: Service,
        sockets: Sockets | None,
        health: Health,
        metrics: Metrics | None,
    ) -> None:
        self._settings = settings
        self._methods = methods
        self._callers = callers
        self._service = service
        self._sockets = sockets
        self._health = health
        self._metrics = metrics
        self._parts = Parts() if metrics is None else metrics.parts
        self._before = _load_function("before_handler", settings.before_handler)
        self._after = _load_function("after_handler", settings.after_handler)
        self._startup = _load_function("startup_function", settings.startup_function)
        self._init_events = _load_function("event_init_module", settings.event_init_module, "invoke")
        self._broker = open_broker(settings.events)

    async def run(self, app: web.Application) -> AsyncIterator[None]:
        """The time between start-up and clean-up."""
        settings = self._settings
        async with AsyncExitStack() as stack:
            parts = self._parts
            store = sessions_in = parts.store(await _open(stack, settings.database), "database")
            if settings.session_store is not None:
                sessions_in = parts.store(await _open(stack, settings.session_store), "sessions")
            passwords = Passwords()
            stack.callback(passwords.close)
            accounts = Accounts(
                store,
                passwords,
                fields=settings.account_fields,
                password_min_length=settings.password_min_length,
            )
            sessions = parts.sessions(sessions_in, accounts, settings, keyed=self._callers.keyed)
            connection = Connection(store.db, accounts, sessions)
            threads = ThreadPoolExecutor(settings.threads, "toto-aio-method")
            stack.callback(threads.shutdown, wait=False, cancel_futures=True)
            events = None
            if self._broker is not None:
                events = parts.events(self._broker)
                await events.start()
                stack.push_async_callback(events.close)
            if self._init_events is not None:
                if events is None:
                    raise SettingsError("event_init_module: write events=memory://, they are off")
                await finish(self._init_events(events))
            deadlines = Deadlines(asyncio.get_running_loop())
            stack.callback(deadlines.close)
            self.resources = Resources(connection, events, threads, deadlines)
            self._callers.sessions = sessions
            self._service.dispatch = dispatch = self.dispatcher(self._methods)
            stack.push_async_callback(self._service.watch.close)
            stack.callback(self._service.readers.close)
            stack.push_async_callback(dispatch.close)
            if self._sockets is not None:
                self._sockets.dispatch, self._sockets.events = dispatch, events
                self._watch_ends(sessions, self._sockets, events)
                self._own(stack, self._sockets.watch_sessions(), "sockets")
            if self._startup is not None:
                await finish(self._startup(connection=connection, application=app))
            self._own(stack, _sweep(sessions_in), "sweep")
            if self._metrics is not None:
                self._own(stack, self._metrics.run(), "metrics")
            self._health.watch(store, sessions_in, self._broker)
            stack.push_async_callback(self._health.close)
            yield

    def dispatcher(self, methods: Mapping[str, Method]) -> Dispatcher:
        """Runs methods with what the app has open, as the service runs its own."""
        return self._parts.dispatcher(
            methods,
            self.resources,
            get_methods=self._settings.get_methods,
            slow_call=self._settings.slow_call,
            before=self._before,
            after=self._after,
        )

    async def stop(self, app: web.Application) -> None:
        """Answer what waits and close the sockets, so that the server need not wait for them."""
        app[DRAIN].begun = True
        await self._service.dispatch.close()
        if self._sockets is not None:
            await self._sockets.close()

    def _watch_ends(self, sessions: Sessions, sockets: Sockets, events: EventManager | None) -> None:
        """Let the end of a session close its sockets: in all processes, if events travel between them."""
        if events is None:
            sessions.on_end = sockets.session_ended
            return

        async def tell(end: dict[str, str]) -> None:
            try:
                await events.send(SESSION_ENDED, end)
            except Unavailable as exc:
                logger.warning("sockets elsewhere learn late that their session has ended: %s", exc)
                await sockets.session_ended(end)

        sessions.on_end = tell
        events.register_handler(SESSION_ENDED, sockets.session_ended, persist=True)

    def _own(self, stack: AsyncExitStack, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run a task until the app ends."""
        stack.push_async_callback(_cancel, asyncio.create_task(work, name=f"toto-aio {name}"))


LIFE = web.AppKey("toto_aio.life", Life)
"""Where an app has its life."""


def _load_metrics() -> type[Metrics]:
    try:
        from toto_aio.monitoring.metrics import Metrics
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] != "prometheus_client":
            raise
        raise SettingsError("metrics need a library: pip install 'toto-aio[metrics]'") from exc
    return Metrics


async def _open(stack: AsyncExitStack, database: Any) -> Store:
    store = await open_store(database)
    if store is not database:  # one that was handed in belongs to who made it
        stack.push_async_callback(store.close)
    return store


async def _sweep(store: SessionStore) -> None:
    """Drop what has expired, now and then, in one of the processes that share the store."""
    while True:
        try:
            if await store.add_once("sweep", SWEEP_INTERVAL / 2):
                dropped = 1
                while dropped:
                    dropped = await store.sweep()
                    await asyncio.sleep(SWEEP_PAUSE)
        except Unavailable as exc:
            logger.warning("expired sessions could not be dropped: %s", exc.__cause__ or exc)
        except Exception:
            logger.exception("expired sessions could not be dropped; trying again in %d s", SWEEP_INTERVAL)
        await asyncio.sleep(SWEEP_INTERVAL)


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
