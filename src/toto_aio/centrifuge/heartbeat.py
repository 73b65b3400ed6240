"""Whether the client of a connection is there: it has to connect, and then to answer pings."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from toto_aio.centrifuge.codes import BAD_REQUEST, NO_PONG, STALE, DisconnectError
from toto_aio.websocket.open_socket import Reason

CONNECT_LIMIT = 15.0
"""Seconds in which a client has to send ``connect``."""
PING_INTERVAL = 25.0
"""Seconds between two pings. Clients are told: one that hears none for some seconds more connects again."""
PONG_LIMIT = 10.0
"""Seconds that a client has to answer one; less than the interval."""


class Heartbeat:
    """One timer of one connection: first for ``connect``, then for pings and their answers."""

    def __init__(self, send: Callable[[], None], close: Callable[[Reason], None]) -> None:
        self._send = send
        self._close = close
        self._loop = asyncio.get_running_loop()
        self._awaits_pong = False
        self._due = 0.0
        self._timer = self._loop.call_later(CONNECT_LIMIT, close, STALE)

    def start(self) -> None:
        """Begin with pings, as the client has connected."""
        # Many connect at the same time, after a restart.
        self._set(PING_INTERVAL * random.uniform(0.5, 1), self._ping)  # noqa: S311  # not a secret

    def pong(self) -> None:
        """The client has answered. Raises ``DisconnectError`` if nothing was asked."""
        if not self._awaits_pong:
            raise DisconnectError(BAD_REQUEST, "There was no ping")
        self._awaits_pong = False
        self._set(max(self._due - self._loop.time(), 0), self._ping)

    def wait(self) -> None:
        """Close the connection if there is no pong in time."""
        self._set(PONG_LIMIT, lambda: self._close(NO_PONG))

    def stop(self) -> None:
        """The connection is closed."""
        self._timer.cancel()

    def _ping(self) -> None:
        self._awaits_pong = True
        self._due = self._loop.time() + PING_INTERVAL
        self._send()
        self.wait()

    def _set(self, seconds: float, function: Callable[[], None]) -> None:
        self._timer.cancel()
        self._timer = self._loop.call_later(seconds, function)
