"""How events travel between processes: the contract of a broker, and ``open_broker``.

A new broker is a module here and a row in ``BROKERS``; ``tests/brokers`` runs the contract over it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable

from toto_aio.brokers.presence import Presence
from toto_aio.brokers.streams import Streams, Stretch
from toto_aio.channels import Position
from toto_aio.importer import Extra, load
from toto_aio.ready import find_ready, lacking, refusal
from toto_aio.settings import SettingsError
from toto_aio.settings.urls import REDIS_CLIENTS, REDIS_SCHEMES, without_password

__all__ = ["Broker", "Handover", "Presence", "Receiver", "Streams", "Stretch", "open_broker"]


@dataclass(frozen=True, slots=True)
class Receiver:
    """What a broker calls, on the event loop."""

    deliver: Callable[[bytes], None]
    """Called with each event, in order."""
    interrupted: Callable[[], None] = lambda: None
    """Called when an unknown number of events may have been missed."""
    wanted: Callable[[bytes], bool] = lambda payload: True
    """Whether this process waits for an event that is sent to one process. If not, another can take it."""
    room: Callable[[bytes], int] = lambda payload: 1
    """How many such events this process can take now without dropping any."""
    published: Callable[[str, Position | None, bytes], None] = lambda name, position, payload: None
    """Called with what is published to a channel that is followed, and its position if it is kept."""
    joined: Callable[[str, bytes], None] = lambda name, member: None
    """Called with who has entered a channel with ``join_leave`` that is followed."""
    left: Callable[[str, bytes], None] = lambda name, member: None
    """Called with who has left it."""


class Broker(Protocol):
    """Carries packed events to every process of a deployment, including the sender's."""

    async def start(self, receiver: Receiver) -> None:
        """Deliver every event that is sent after this returns. Events of one sender arrive in its order.

        Raises ``Unavailable`` if the broker cannot be reached.
        """

    async def publish(self, payload: bytes, *, broadcast: bool) -> None:
        """Send an event to every process, or, without ``broadcast``, to exactly one of them.

        It is sent at most once. Raises ``Unavailable`` if it cannot be sent, or may not have been sent.
        """

    async def check(self) -> None:
        """Return if events can be sent and received now; else raise ``Unavailable``, within a few seconds."""

    async def close(self) -> None:
        """Stop delivering, and release what ``start`` opened. Without a ``start`` this does nothing."""


@runtime_checkable
class Handover(Protocol):
    """What a broker has, besides the methods of ``Broker``, if a process can leave events to the others.

    Without it, a process that shuts down can only handle the events for one process that it has taken.
    """

    async def stop_taking(self) -> None:
        """Take no more events for one process; return when those being taken have been delivered.

        They include those that this process has sent before and that are on their way: all processes may stop
        at once.
        """

    async def hand_back(self, payloads: Sequence[bytes], limit: float) -> Sequence[bytes]:
        """Offer events for one process to the other processes, in order; return those that none has taken.

        They have ``limit`` seconds. What it returns is this process's alone again.
        """


BROKERS = {
    "memory": "toto_aio.brokers.memory:MemoryBroker",
    **dict.fromkeys(REDIS_SCHEMES, "toto_aio.brokers.redis:RedisBroker"),
}
"""For each scheme of a URL, the class that is called with the URL."""

READY = {
    "redis.asyncio.client:Redis": "toto_aio.brokers.redis:RedisBroker",
    "redis.asyncio.cluster:RedisCluster": "toto_aio.brokers.redis:RedisBroker",
}
"""For each type of a ready client, the class that is called with the client, and leaves it open."""

INSTEAD = {"redis": REDIS_CLIENTS}
"""What to write instead of other objects of a library."""

DRIVERS = {"toto_aio.brokers.redis": Extra("Redis needs a driver", "'toto-aio[redis]'")}
"""For each module of a broker that imports an optional driver, how to install it."""


def open_broker(events: Any) -> Broker | None:
    """Return the broker for a URL such as ``redis://host/0``, not yet started, or None for ``off``.

    With a ready ``redis.asyncio.Redis`` the broker opens connections of its own to the same server, and the
    client is left open; a ready broker is returned as it is. Raises ``SettingsError`` for anything else.
    """
    if not isinstance(events, str):
        if path := find_ready(events, READY):
            return _open(path, events)
        if isinstance(events, type) or lacking(events, ("start", "publish", "check", "close")):
            raise refusal("events", events, "a URL, a redis.asyncio.Redis or a broker", INSTEAD)
        return cast(Broker, events)
    if events == "off":
        return None
    scheme = events.partition("://")[0]
    if scheme not in BROKERS:
        known = ", ".join(f"{name}://" for name in BROKERS)
        raise SettingsError(f"events: cannot open {without_password(events)!r}; write one of {known} or off")
    return _open(BROKERS[scheme], events)


def _open(path: str, events: Any) -> Broker:
    return cast(Broker, load(path, DRIVERS.get(path.partition(":")[0]))(events))
