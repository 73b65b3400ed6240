"""The measures of an app: the parts that count, what is looked at now and then, and the page ``/metrics``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, cast

from aiohttp import hdrs, web
from prometheus_client import Counter, Gauge
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from toto_aio.auth.sessions import Sessions
from toto_aio.dispatch.dispatcher import Dispatcher
from toto_aio.events.manager import EventManager
from toto_aio.http.proxies import UNIX, TrustedProxies
from toto_aio.monitoring.counting import CountedDispatcher, CountedEvents, CountedStore, CountedThrottle
from toto_aio.monitoring.measures import UnreadableError, open_book
from toto_aio.monitoring.pools import pools
from toto_aio.parts import Parts
from toto_aio.settings import Settings
from toto_aio.stores import Store
from toto_aio.stores.sql.pool import Use
from toto_aio.websocket.endpoint import Sockets

logger = logging.getLogger(__name__)

Look = Callable[[], Iterable[tuple[Gauge | Counter, float]]]
"""Looks at something: what its measures are now."""

INTERVAL = 1.0
"""Seconds between two looks at what is not counted as it happens; another process shows it so late."""
THIS_MACHINE = ("127.0.0.0/8", "::1", UNIX)
FORWARDED = (hdrs.X_FORWARDED_FOR, hdrs.FORWARDED, hdrs.VIA, "X-Real-IP", hdrs.X_FORWARDED_PROTO)
"""The headers by which a proxy shows itself."""


class Metrics:
    """What measures one app. ``parts`` are those that count."""

    def __init__(self, settings: Settings, proxies: TrustedProxies) -> None:
        self._settings = settings
        self._proxies = proxies
        self._clients = TrustedProxies([*THIS_MACHINE, *settings.metrics_clients], "metrics_clients")
        self._book = open_book()
        self._measures = self._book.measures
        self._turn = asyncio.Lock()
        self._looks: list[Look] = [lambda: [(self._measures.processes, 1)]]
        self._shown: dict[Gauge | Counter, float] = {}
        self.parts = Parts(self._store, self._sessions, self._events, self._dispatcher)

    def add_route(self, app: web.Application, path: str) -> None:
        """Show the measures at ``path``."""
        app.router.add_get(path, self._serve)

    def watch_sockets(self, sockets: Sockets) -> None:
        """Look at the WebSockets."""
        measures = self._measures
        self._looks.append(
            lambda: [
                (measures.sockets, len(sockets)),
                (measures.socket_bytes, sockets.waiting),
            ]
        )

    async def run(self) -> None:
        """Look, time and again, if another process may be asked for what there is here."""
        try:
            while self._book.is_shared:
                self._sample()
                await asyncio.sleep(INTERVAL)
        finally:
            for measure, value in self._shown.items():
                if isinstance(measure, Gauge):
                    measure.dec(value)

    async def _serve(self, request: web.Request) -> web.Response:
        address = self._proxies.client(request.remote, request.headers.getall(hdrs.X_FORWARDED_FOR, ()))
        came_by_stranger = address == (request.remote or UNIX) and any(
            name in request.headers for name in FORWARDED
        )
        if came_by_stranger or not self._clients.trusts(address):
            raise web.HTTPForbidden(text="The metrics are for this machine, and for metrics_clients.\n")
        async with self._turn:
            self._sample()
            try:
                text = await asyncio.to_thread(self._book.text)
            except UnreadableError as exc:
                raise web.HTTPServiceUnavailable(text=f"{exc}\n") from exc
        return web.Response(body=text, headers={hdrs.CONTENT_TYPE: CONTENT_TYPE_PLAIN_0_0_4})

    def _sample(self) -> None:
        self._book.sample()
        for look in tuple(self._looks):
            try:
                for measure, value in look():
                    # By what has changed: apps of one process may share a measure.
                    measure.inc(value - self._shown.get(measure, 0))
                    self._shown[measure] = value
            except Exception:
                logger.exception("something cannot be measured, and is not looked at any more")
                self._looks.remove(look)

    def _store(self, store: Store, name: str) -> Store:
        for pool, use in pools(store, name).items():
            self._looks.append(partial(self._pool, pool, use))
        return cast(Store, CountedStore(self._measures, store, name))

    def _pool(self, pool: str, use: Callable[[], Use]) -> list[tuple[Gauge, float]]:
        used, idle, limit = use()
        measures = self._measures
        return [
            (measures.pool.labels(pool, "used"), used),
            (measures.pool.labels(pool, "idle"), idle),
            (measures.pool_limit.labels(pool), limit),
        ]

    def _sessions(self, store: Store, *args: Any, **options: Any) -> Sessions:
        sessions = Sessions(store, *args, **options)
        sessions.throttle = CountedThrottle(self._measures, store, self._settings.login_attempts)
        return sessions

    def _events(self, *args: Any) -> EventManager:
        events, measures = CountedEvents(*args), self._measures
        counted = (
            measures.events_sent,
            measures.events_received,
            measures.events_dropped,
            measures.events_missed,
            measures.events_waiting,
            measures.subscriptions,
        )
        self._looks.append(lambda: zip(counted, events.counts(), strict=True))
        return events

    def _dispatcher(self, *args: Any, **options: Any) -> Dispatcher:
        return CountedDispatcher(self._measures, *args, **options)
