"""How an event travels between processes: the contract of a broker, and ``open_broker``.

A new broker is one module here and a row in ``BROKERS``; ``tests/brokers`` runs the contract over it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Protocol, cast

from toto_aio.settings import SettingsError

Deliver = Callable[[bytes], None]


class Broker(Protocol):
    """Carries packed events to every process of a deployment, its sender's included."""

    async def start(self, deliver: Deliver) -> None:
        """From when this returns, ``deliver`` is called on the event loop with each event, in order.

        Raises ``Unavailable`` if the events cannot be reached.
        """

    async def publish(self, payload: bytes, *, broadcast: bool) -> None:
        """Send an event to every process, or, without ``broadcast``, to exactly one of them.

        Raises ``Unavailable`` if it cannot be sent.
        """

    async def close(self) -> None:
        """Deliver no more, and give back what ``start`` took. Without a ``start`` this is a no-op."""


BROKERS = {"memory": "toto_aio.brokers.memory:MemoryBroker"}


def open_broker(events: Any) -> Broker | None:
    """The broker for a URL such as ``memory://``, or None for ``off``; it is not started yet.

    A broker that is ready is returned as it is. Raises ``SettingsError`` for what is neither.
    """
    if not isinstance(events, str):
        if hasattr(events, "publish"):
            return cast(Broker, events)
        raise SettingsError(f"events: expected a URL or a broker, got {type(events).__name__}")
    if events == "off":
        return None
    scheme = events.partition("://")[0]
    if scheme not in BROKERS:
        known = ", ".join(f"{name}://" for name in BROKERS)
        raise SettingsError(f"events: cannot open {events!r}; write one of {known} or off")
    module, _, name = BROKERS[scheme].partition(":")
    return cast(Broker, getattr(importlib.import_module(module), name)(events))
