"""How an event travels between processes: the contract of a broker, and ``open_broker``.

A new broker is one module here and a row in ``BROKERS``; ``tests/brokers`` runs the contract over it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

from toto_aio.settings import SettingsError
from toto_aio.settings.urls import without_password

__all__ = ["Broker", "Receiver", "open_broker"]


@dataclass(frozen=True, slots=True)
class Receiver:
    """What a broker calls, on the event loop."""

    deliver: Callable[[bytes], None]
    """With each event, in order."""
    interrupted: Callable[[], None] = lambda: None
    """When events may have been missed, nobody knows how many."""
    wanted: Callable[[bytes], bool] = lambda payload: True
    """Whether anybody here waits for an event that one process gets. If not, another process may have it."""


class Broker(Protocol):
    """Carries packed events to every process of a deployment, its sender's included."""

    async def start(self, receiver: Receiver) -> None:
        """From when this returns, events are delivered; of one sender's they arrive in its order.

        Raises ``Unavailable`` if the events cannot be reached.
        """

    async def publish(self, payload: bytes, *, broadcast: bool) -> None:
        """Send an event to every process, or, without ``broadcast``, to exactly one of them.

        It is sent once at most. Raises ``Unavailable`` if it cannot be sent, or nobody knows whether it was.
        """

    async def check(self) -> None:
        """Return if events can be sent and come now; else raise ``Unavailable``, within a few seconds."""

    async def close(self) -> None:
        """Deliver no more, and give back what ``start`` took. Without a ``start`` this is a no-op."""


BROKERS = {
    "memory": "toto_aio.brokers.memory:MemoryBroker",
    "redis": "toto_aio.brokers.redis:RedisBroker",
    "rediss": "toto_aio.brokers.redis:RedisBroker",
    "unix": "toto_aio.brokers.redis:RedisBroker",
}
"""By the scheme of a URL, the class that is called with it."""

DRIVERS = {"toto_aio.brokers.redis": ("Redis", "'toto-aio[redis]'")}
"""By the module of a broker, whose driver it needs and what to install for that."""


def open_broker(events: Any) -> Broker | None:
    """The broker for a URL such as ``redis://host/0``, or None for ``off``; it is not started yet.

    A broker that is ready is returned as it is. Raises ``SettingsError`` for what is neither.
    """
    if not isinstance(events, str):
        if all(hasattr(events, name) for name in ("start", "publish", "check", "close")):
            return cast(Broker, events)
        raise SettingsError(f"events: expected a URL or a broker, got {type(events).__name__}")
    if events == "off":
        return None
    scheme = events.partition("://")[0]
    if scheme not in BROKERS:
        known = ", ".join(f"{name}://" for name in BROKERS)
        raise SettingsError(f"events: cannot open {without_password(events)!r}; write one of {known} or off")
    module, _, name = BROKERS[scheme].partition(":")
    try:
        return cast(Broker, getattr(importlib.import_module(module), name)(events))
    except ModuleNotFoundError as exc:
        if module not in DRIVERS:
            raise
        server, package = DRIVERS[module]
        raise SettingsError(f"{server} needs a driver: pip install {package}") from exc
