"""The measures of an app, and the text format in which Prometheus reads them.

In one process each app has measures of its own. The workers of a master count in files that they share
(prometheus_client's multiprocess mode): each of them shows the sums.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
    values,
)
from prometheus_client.multiprocess import MultiProcessCollector

from toto_aio.monitoring.multiprocess import FOLDER_VARIABLE, keep_folder, locked
from toto_aio.settings import SettingsError

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 30)
"""The upper bounds of the buckets of times."""
TRIES = 20
"""How often reading the files is attempted, if processes come or go meanwhile."""
PAUSE = 0.01
"""Seconds between two attempts."""


class Measures:
    """Everything that is measured."""

    def __init__(self, registry: CollectorRegistry | None) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, registry=registry, multiprocess_mode="livesum")

        def histogram(name: str, text: str, *labels: str) -> Histogram:
            return Histogram(name, text, labels, registry=registry, buckets=SECONDS)

        self.calls = counter(
            "toto_calls", "Calls by method, and ok or the code of the error", "method", "code"
        )
        self.call_seconds = histogram("toto_call_seconds", "Duration of calls, unless asynchronous", "method")
        self.sessions_created = counter("toto_sessions_created", "Sessions created")
        self.sessions_ended = counter("toto_sessions_ended", "Sessions ended before they expired")
        self.logins = counter("toto_login_attempts", "Attempts to log in: right, wrong, refused", "outcome")
        self.store_seconds = histogram("toto_store_seconds", "Duration of store operations", "store")
        self.store_failures = counter(
            "toto_store_failures",
            "Operations that failed as the store was unreachable",
            "store",
        )
        self.pool = gauge("toto_pool_connections", "Connections of a pool: used or idle", "pool", "state")
        self.pool_limit = gauge("toto_pool_limit", "Maximum connections of a pool", "pool")
        self.sockets = gauge("toto_sockets", "Open WebSockets")
        self.socket_bytes = gauge("toto_socket_waiting_bytes", "Bytes waiting to be sent over WebSockets")
        self.streams = gauge("toto_event_streams", "Open event streams")
        self.stream_bytes = gauge("toto_event_stream_waiting_bytes", "Bytes waiting to be sent as events")
        self.events_sent = counter("toto_events_sent", "Events sent")
        self.events_received = counter("toto_events_received", "Events received, in each process")
        self.events_waiting = gauge("toto_events_waiting", "Events waiting to be read by subscriptions")
        self.events_dropped = counter("toto_events_dropped", "Events dropped for slow subscribers")
        self.events_missed = counter("toto_events_missed", "Events that did not arrive, by subscription")
        self.subscriptions = gauge("toto_subscriptions", "Subscriptions and persistent event handlers")
        self.channels = gauge("toto_channels", "Channels with subscriptions in this process")
        self.channel_subscriptions = gauge("toto_channel_subscriptions", "Subscriptions to channels")
        self.channel_members = gauge("toto_channel_members", "Subscriptions to channels that show presence")
        self.channel_published = counter("toto_channel_published", "Publications")
        self.channel_delivered = counter("toto_channel_delivered", "Publications, by subscription")
        self.channel_filled = counter(
            "toto_channel_filled", "Publications that were missed, and read from the history"
        )
        self.channel_recovered = counter(
            "toto_channel_recovered", "Subscriptions that got what they had missed"
        )
        self.channel_unrecovered = counter("toto_channel_unrecovered", "Subscriptions that could not")
        self.channel_lost = counter("toto_channel_lost", "Subscriptions that ended with a gap")
        self.processes = gauge("toto_processes", "Serving processes")


class ProcessMeasures:
    """What prometheus_client measures of a process, as sums over the processes that count together."""

    def __init__(self) -> None:
        self._collector = ProcessCollector(registry=None)
        gauges = {
            "process_resident_memory_bytes": "Resident memory size in bytes.",
            "process_open_fds": "Number of open file descriptors.",
        }
        self._gauges = {
            name: Gauge(name, text, registry=None, multiprocess_mode="livesum")
            for name, text in gauges.items()
        }
        self._cpu = Counter(
            "process_cpu_seconds", "Total user and system CPU time spent in seconds.", registry=None
        )
        self._spent = 0.0

    def sample(self) -> None:
        """Measure the process now."""
        for family in self._collector.collect():
            value = family.samples[0].value
            if family.name in self._gauges:
                self._gauges[family.name].set(value)
            elif family.name == "process_cpu_seconds":
                self._cpu.inc(max(0.0, value - self._spent))
                self._spent = value


@dataclass(frozen=True, slots=True)
class Book:
    """Where an app records its measures, and how it reads them."""

    measures: Measures
    text: Callable[[], bytes]
    """All measures in Prometheus' text format. It takes milliseconds, too long for the event loop.

    Raises ``UnreadableError``.
    """
    sample: Callable[[], None] = lambda: None
    """Measures the process, if nothing else does."""
    is_shared: bool = False
    """Whether other processes read the book."""
    apps: list[object] = field(default_factory=list)
    """Those that record in it, while they run; the first one counts the process."""


class UnreadableError(Exception):
    """The measures can't be read now."""


def open_book() -> Book:
    """A book for an app. Raises ``SettingsError``."""
    if values.ValueClass._multiprocess:
        return _shared_book()
    registry = CollectorRegistry()
    # Includes what the methods measure themselves, and what prometheus_client measures of the process.
    return Book(Measures(registry), lambda: generate_latest(registry) + generate_latest(REGISTRY))


@cache
def _shared_book() -> Book:
    """The book of this process: a measure is one value in its file, however many apps there are."""
    folder = os.environ[FOLDER_VARIABLE]
    if not os.path.isdir(folder):
        raise SettingsError(
            f"metrics: {FOLDER_VARIABLE} names {folder!r}, which is not a folder: create it, or unset it"
        )
    keep_folder(folder)
    return Book(Measures(None), lambda: _read(folder), ProcessMeasures().sample, is_shared=True)


def _read(folder: str) -> bytes:
    """What all processes have counted."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]
    for _ in range(TRIES):
        with locked(folder, exclusive=False) as is_ours:
            try:
                if is_ours:
                    return generate_latest(registry)
            except (FileNotFoundError, RuntimeError, struct.error):  # a file is being created
                pass
        time.sleep(PAUSE)
    raise UnreadableError("processes come and go too fast to be measured")
