"""What an app opens when it starts, in order, and closes when it ends, in the reverse order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aiohttp import web

from toto_aio.auth.audit import Audit
from toto_aio.awaiting import NotAwaitedError, dropped, require_awaited
from toto_aio.brokers import open_broker
from toto_aio.channels import Channel
from toto_aio.clock import Clock
from toto_aio.codecs import codecs_with
from toto_aio.codecs.json_codec import JSON
from toto_aio.codecs.msgpack_codec import exact_with
from toto_aio.connecting import connect
from toto_aio.dispatch.channel_access import ChannelAccess, ChannelFunctions
from toto_aio.dispatch.deadlines import Deadlines
from toto_aio.dispatch.dispatcher import Dispatch, Dispatcher, finish
from toto_aio.dispatch.method import Method
from toto_aio.dispatch.runtime import Runtime
from toto_aio.events.audit_events import AuditEvents
from toto_aio.events.manager import EventManager
from toto_aio.events.session_ends import SessionEnds
from toto_aio.http.parent import share
from toto_aio.http.reply import ReplyContext
from toto_aio.importer import accepted, load_encoders, load_function
from toto_aio.monitoring.health import HEALTH, Health
from toto_aio.patience import Patience
from toto_aio.resources import is_deferred, resolve
from toto_aio.settings import Settings, SettingsError
from toto_aio.settings.urls import require_shared
from toto_aio.signing import SessionScheme
from toto_aio.stores import Store, open_store
from toto_aio.stores.sweep import sweep
from toto_aio.tasks import Tasks, own
from toto_aio.threads import Threads
from toto_aio.transports import Transports
from toto_aio.websocket.endpoint import SOCKETS

if TYPE_CHECKING:
    from toto_aio.dispatch.idempotency import Keys
    from toto_aio.mail.post import Post
    from toto_aio.monitoring.metrics import Metrics

logger = logging.getLogger(__name__)

HANDLERS_SHARE, HAND_BACK_SHARE, MAIL_SHARE = 0.8, 0.05, 0.1
"""The shares of ``shutdown_timeout`` in which handlers of events end, as calls do, and others take
events; and that of mails, whatever is left."""


class Lifespan:
    """Opens what a service needs while its app runs, and closes it. ``metrics`` is None if they are off."""

    runtime: Runtime
    """What the calls share, while the app runs."""
    dispatch: Dispatch
    """What every transport calls, while the app runs."""

    def __init__(
        self,
        settings: Settings,
        methods: Mapping[str, Method],
        context: ReplyContext,
        metrics: Metrics | None,
        channels: ChannelFunctions,
        post: Post | None,
        transports: Transports,
    ) -> None:
        self.settings = self._settings = settings
        self.shutdown_timeout = settings.shutdown_timeout
        """Seconds within which the app ends: those of the server, if it is known."""
        self._methods = methods
        self._context = context
        self._metrics = metrics
        self._channels = channels
        self._before = load_function("before_handler", settings.before_handler)
        self._after = load_function("after_handler", settings.after_handler)
        self._startup = load_function("startup_function", settings.startup_function)
        self._encoders = load_encoders(settings.encoders)
        self._codecs = codecs_with(self._encoders)
        self._init_events = load_function("event_init_module", settings.event_init_module, "invoke")
        self._post = post
        self._transports = transports
        self._broker = None if is_deferred(settings.events) else open_broker(settings.events)
        self._leaving = Tasks()
        self._opened = AsyncExitStack()

    @property
    def functions(self) -> Mapping[str, Method]:
        """The methods, and the functions that admit to channels."""
        return {**self._methods, **self._channels.by_name}

    async def run(self, app: web.Application) -> AsyncIterator[None]:
        """Open everything before the app serves, and close it after: for ``Application.cleanup_ctx``."""
        async with self._opened as stack:
            patience = Patience(self._settings.start_timeout)
            database, sessions_in = await self._open_stores(stack, app, patience)
            events = await self._open_events(stack, app, patience)
            ends = self._open_ends(events)
            if ends is not None:
                stack.push_async_callback(ends.close)
            scheme = self._context.scheme
            connection = connect(
                stack,
                self._settings,
                database,
                sessions_in,
                on_end=None if ends is None else ends.announce,
                audit=self._open_audit(stack, events),
                keyed=scheme is not None and scheme.keyed,
                metrics=self._metrics,
                post=self._post,
            )
            threads = Threads(self._settings.threads)
            stack.push_async_callback(threads.close)
            deadlines = Deadlines(asyncio.get_running_loop())
            stack.callback(deadlines.close)
            self._database = database
            keys = self._open_keys(stack, database, self._methods)
            self.runtime = Runtime(connection, events, threads, deadlines, keys)
            if events is not None:
                events.threads = threads
                if self._init_events is not None:
                    await _start("event_init_module", self._init_events, events)

            dispatcher = self.dispatcher(self._methods, self._channels.by_name)
            stack.push_async_callback(self._context.close)
            stack.push_async_callback(dispatcher.close)
            self._dispatcher = dispatcher
            access = self._open_channels(stack)
            self.dispatch = self._measured(dispatcher)
            self._transports.open(
                *(stack, app, self.runtime, self.dispatch, self._codecs), access=access, ends=ends
            )
            share(app, self.runtime)

            if self._startup is not None:
                parts = {"connection": connection, "db_connection": connection, "application": app}
                await _start("startup_function", self._startup, **accepted(self._startup, parts))
            clock = self._watch_clock(stack)
            for store in {id(store): store for store in (database, sessions_in)}.values():
                own(stack, sweep(store, clock), "sweep")
            if self._metrics is not None:
                own(stack, self._metrics.run(), "metrics")
            app[HEALTH] = health = Health(database, sessions_in, self._broker, self._context.drain)
            stack.push_async_callback(health.close)
            if self._post is not None:
                stack.push_async_callback(self._finish_mail, self._post)
            if events is not None:
                stack.push_async_callback(self._finish_events, events)
            yield

    async def stop(self, app: web.Application) -> None:
        """End calls that wait and close sockets, before the server waits for its connections."""
        self._context.drain.begin()
        if self.runtime.events is not None:  # meanwhile, as calls have no less time for that
            limit = HAND_BACK_SHARE * self.shutdown_timeout
            self._leaving.start(self.runtime.events.drain(limit), "events left to others")
        await self._dispatcher.close()
        if SOCKETS in app:
            await app[SOCKETS].close()

    async def close(self, app: web.Application) -> None:
        """Close everything now, if it is open; what ``run`` closes later is nothing then.

        An error is logged, as it would keep aiohttp from cleaning up the application around the service.
        """
        try:
            await self._opened.aclose()
        except Exception:
            logger.exception("not everything that the service had opened could be closed")

    async def _finish_events(self, events: EventManager) -> None:
        """Give handlers of events for one process as long as calls, while everything is still open."""
        await self._leaving.finish()
        await events.finish(self._context.drain.left_of(HANDLERS_SHARE * self.shutdown_timeout))

    async def _finish_mail(self, post: Post) -> None:
        """Give mails that wait as long as calls, and some time in any case, while all is still open."""
        left = self._context.drain.left_of(HANDLERS_SHARE * self.shutdown_timeout)
        await post.outbox.close(max(left, MAIL_SHARE * self.shutdown_timeout))

    def dispatcher(
        self, methods: Mapping[str, Method], channels: Mapping[str, Method] | None = None
    ) -> Dispatcher:
        """Runs methods in the runtime of the app, as the service runs its own."""
        return Dispatcher(
            methods,
            self.runtime,
            get_methods=self._settings.get_methods,
            slow_call=self._settings.slow_call,
            json=self._codecs[JSON.content_type],
            check_results=self._settings.debug or self._settings.check_results,
            before=self._before,
            after=self._after,
            channels=channels,
        )

    def dispatcher_of_guests(self, methods: Mapping[str, Method], channels: Iterable[Channel]) -> Dispatcher:
        """Runs methods that the service does not have, and what they publish to, as if it had them."""
        if self.runtime.events is not None:
            self.runtime.events.declare(channels)
        if self.runtime.keys is None:
            self.runtime = replace(self.runtime, keys=self._open_keys(self._opened, self._database, methods))
        return self.dispatcher(methods)

    def _open_channels(self, stack: AsyncExitStack) -> ChannelAccess | None:
        """What admits to channels; None if there are none."""
        if not self._channels.by_name:
            return None
        dispatcher = self.dispatcher(self._channels.by_name)
        stack.push_async_callback(dispatcher.close)
        return ChannelAccess(self._channels, dispatcher)

    async def _open_stores(
        self, stack: AsyncExitStack, app: web.Application, patience: Patience
    ) -> tuple[Store, Store]:
        """The database, and where sessions are: the same unless ``session_store`` says otherwise."""
        database = sessions_in = await self._open_store(stack, app, patience, "database", "database")
        if self._settings.session_store is not None:
            sessions_in = await self._open_store(stack, app, patience, "session_store", "sessions")
        return database, sessions_in

    async def _open_store(
        self, stack: AsyncExitStack, app: web.Application, patience: Patience, option: str, name: str
    ) -> Store:
        given = getattr(self._settings, option)
        found = await resolve(option, given, app, stack)
        if found is not given and self._settings.processes != 1:
            require_shared(option, found)
        store = await patience.wait_for(lambda: open_store(found, option))
        if store is not found:  # a store that was handed in belongs to whoever opened it
            stack.push_async_callback(store.close)
        return store if self._metrics is None else self._metrics.count_store(store, name)

    async def _open_events(
        self, stack: AsyncExitStack, app: web.Application, patience: Patience
    ) -> EventManager | None:
        if is_deferred(self._settings.events):
            self._broker = open_broker(await resolve("events", self._settings.events, app, stack))
        if self._broker is None:
            if self._init_events is not None:
                raise SettingsError("event_init_module: write events=memory://, they are off")
            return None
        events = EventManager(
            self._broker, channels=self._channels.channels, encode=exact_with(self._encoders).encode
        )
        await patience.wait_for(events.start)
        stack.push_async_callback(events.close)
        if self._metrics is not None:
            self._metrics.watch_events(events)
        return events

    def _open_keys(
        self, stack: AsyncExitStack, database: Store, methods: Mapping[str, Method]
    ) -> Keys | None:
        """The idempotency keys, if a method is marked so. Raises ``SettingsError`` if no store keeps them."""
        if not any(method.rules.idempotent for method in methods.values()):
            return None
        from toto_aio.dispatch.idempotency import open_keys  # few services need it

        keys = open_keys(methods, database, self._codecs)
        stack.push_async_callback(keys.close)
        return keys

    def _open_audit(self, stack: AsyncExitStack, events: EventManager | None) -> Audit:
        if not self._settings.audit_event:
            return Audit()
        sender = AuditEvents(events, self._settings.audit_event)
        stack.push_async_callback(sender.close)
        return Audit(sender.tell)

    def _measured(self, dispatcher: Dispatcher) -> Dispatch:
        return dispatcher if self._metrics is None else self._metrics.count_calls(dispatcher, self._methods)

    def _open_ends(self, events: EventManager | None) -> SessionEnds | None:
        """What tells of the ends of sessions, if anything here lasts as long as one."""
        if self._settings.use_web_sockets or self._channels.by_name:
            return SessionEnds(events)
        return None

    def _watch_clock(self, stack: AsyncExitStack) -> Clock:
        """The clock, watched for the signatures that depend on it."""
        scheme = self._context.scheme
        if not isinstance(scheme, SessionScheme):
            return Clock()
        own(stack, scheme.clock.watch(), "clock")
        return scheme.clock


LIFESPAN = web.AppKey("toto_aio_lifespan", Lifespan)
"""The key of an app for its lifespan."""


async def _start(option: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Call a function of the author's. Raises ``SettingsError`` if it forgets to await what it calls."""
    await finish(function(*args, **kwargs))
    if dropped:
        try:
            require_awaited()
        except NotAwaitedError as exc:
            raise SettingsError(f"{option}: {exc}, in an async def") from None
