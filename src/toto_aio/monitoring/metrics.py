"""The metrics of an app: what counts, what is sampled periodically, and the page ``/metrics``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, cast

from aiohttp import hdrs, web
from prometheus_client import Counter, Gauge
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from toto_aio.auth.throttle import Attempts
from toto_aio.dispatch.dispatcher import Dispatch
from toto_aio.dispatch.method import Method
from toto_aio.events.manager import EventManager
from toto_aio.http.proxies import UNIX, TrustedProxies
from toto_aio.monitoring.counting import CountedAttempts, CountedCalls, CountedStore
from toto_aio.monitoring.measures import UnreadableError, open_book
from toto_aio.monitoring.pools import pools
from toto_aio.settings import Settings
from toto_aio.stores import Store
from toto_aio.stores.sql.pool import Use
from toto_aio.websocket.endpoint import Sockets

if TYPE_CHECKING:
    from toto_aio.events.channels import Channels
    from toto_aio.http.event_streams import EventStreams

logger = logging.getLogger(__name__)

Sample = Callable[[], Iterable[tuple[Gauge | Counter, float]]]
"""Returns measures and their values now."""

SAMPLE_INTERVAL = 1.0
"""Seconds between two samples of what isn't counted as it happens; other processes show it this late."""
THIS_MACHINE = ("127.0.0.0/8", "::1", UNIX)
FORWARDED = (hdrs.X_FORWARDED_FOR, hdrs.FORWARDED, hdrs.VIA, "X-Real-IP", hdrs.X_FORWARDED_PROTO)
"""The headers that show that a request came through a proxy."""


class Metrics:
    """Measures one app."""

    def __init__(self, settings: Settings, proxies: TrustedProxies) -> None:
        self._proxies = proxies
        self._named = TrustedProxies(settings.metrics_clients, "metrics_clients")
        self._local = TrustedProxies([*THIS_MACHINE, *settings.metrics_clients])
        self._book = open_book()
        self._measures = self._book.measures
        self._turn = asyncio.Lock()
        self._samples: list[Sample] = [lambda: [(self._measures.processes, self._book.apps[:1] == [self])]]
        self._shown: dict[Gauge | Counter, float] = {}

    def add_route(self, app: web.Application, path: str) -> None:
        """Show the metrics at ``path``."""
        app.router.add_get(path, self._serve)

    def count_calls(self, dispatch: Dispatch, methods: Mapping[str, Method]) -> Dispatch:
        """A dispatcher that is counted and timed."""
        return CountedCalls(self._measures, dispatch, methods)

    def count_store(self, store: Store, name: str) -> Store:
        """A store that is timed; its pools are sampled."""
        for pool, use in pools(store, name).items():
            self._samples.append(partial(self._pool, pool, use))
        return cast(Store, CountedStore(self._measures, store, name))

    def count_attempts(self, attempts: Attempts) -> Attempts:
        """Attempts to log in that are counted."""
        return CountedAttempts(self._measures, attempts)

    def watch_events(self, events: EventManager) -> None:
        """Sample the counts of events."""
        measures = self._measures

        def sample() -> Iterable[tuple[Gauge | Counter, float]]:
            counts = events.counts()
            yield measures.events_sent, counts.sent
            yield measures.events_received, counts.received
            yield measures.events_dropped, counts.dropped
            yield measures.events_missed, counts.missed
            yield measures.events_waiting, counts.waiting
            yield measures.subscriptions, counts.subscriptions

        self._samples.append(sample)
        if events.channels is not None:
            self._samples.append(partial(self._channels, events.channels))

    def watch_sockets(self, sockets: Sockets) -> None:
        """Sample the WebSockets."""
        measures = self._measures
        self._samples.append(
            lambda: [
                (measures.sockets, len(sockets.open)),
                (measures.socket_bytes, sockets.waiting),
            ]
        )

    def watch_streams(self, streams: EventStreams) -> None:
        """Sample the event streams."""
        measures = self._measures
        self._samples.append(
            lambda: [(measures.streams, len(streams.open)), (measures.stream_bytes, streams.waiting)]
        )

    async def run(self) -> None:
        """Sample periodically, if other processes show what is measured here."""
        self._book.apps.append(self)
        try:
            while self._book.is_shared:
                self._sample()
                await asyncio.sleep(SAMPLE_INTERVAL)
        finally:
            if self._book.is_shared:
                self._book.apps.remove(self)
            for measure, value in self._shown.items():
                if isinstance(measure, Gauge):
                    measure.dec(value)

    async def _serve(self, request: web.Request) -> web.Response:
        address = self._proxies.client(request.remote, request.headers.getall(hdrs.X_FORWARDED_FOR, ()))
        if any(name in request.headers for name in FORWARDED):
            # It isn't this machine's, or its proxy's, whatever the headers say: anyone can write those.
            may_read = address != (request.remote or UNIX) and self._named.trusts(address)
        else:
            may_read = self._local.trusts(address)
        if not may_read:
            raise web.HTTPForbidden(text="Only this machine and metrics_clients may read the metrics.\n")
        async with self._turn:
            self._sample()
            try:
                text = await asyncio.to_thread(self._book.text)
            except UnreadableError as exc:
                raise web.HTTPServiceUnavailable(text=f"{exc}\n") from exc
        return web.Response(body=text, headers={hdrs.CONTENT_TYPE: CONTENT_TYPE_PLAIN_0_0_4})

    def _sample(self) -> None:
        self._book.sample()
        for sample in tuple(self._samples):
            try:
                for measure, value in sample():
                    # By the difference: the apps of one process may share a measure.
                    measure.inc(value - self._shown.get(measure, 0))
                    self._shown[measure] = value
            except Exception:
                logger.exception("a sample failed, and is not taken any more")
                self._samples.remove(sample)

    def _channels(self, channels: Channels) -> list[tuple[Gauge | Counter, float]]:
        counts, measures = channels.measured(), self._measures
        return [
            (measures.channels, counts.followed),
            (measures.channel_subscriptions, counts.subscriptions),
            (measures.channel_members, counts.members),
            (measures.channel_published, counts.published),
            (measures.channel_delivered, counts.delivered),
            (measures.channel_filled, counts.filled),
            (measures.channel_recovered, counts.recovered),
            (measures.channel_unrecovered, counts.unrecovered),
            (measures.channel_lost, counts.lost),
        ]

    def _pool(self, pool: str, use: Callable[[], Use]) -> list[tuple[Gauge, float]]:
        used, idle, limit = use()
        measures = self._measures
        return [
            (measures.pool.labels(pool, "used"), used),
            (measures.pool.labels(pool, "idle"), idle),
            (measures.pool_limit.labels(pool), limit),
        ]
