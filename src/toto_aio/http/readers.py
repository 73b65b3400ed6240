"""Clients that do not take their answers: what waits for them costs memory, so they are cut off."""

from __future__ import annotations

import asyncio

STALL_LIMIT = 30.0
"""Seconds for which a client may take nothing of what waits for it."""
LOOK_INTERVAL = 1.0
"""Seconds between two looks."""


class SlowReaders:
    """Looks at the connections that answers were written to, until all of it has gone out."""

    def __init__(self) -> None:
        self.written: set[asyncio.Transport] = set()
        """The connections that something was written to since the last look."""
        self._stalled: dict[asyncio.Transport, tuple[int, float]] = {}
        self.timer: asyncio.TimerHandle | None = None

    def add(self, transport: asyncio.Transport) -> None:
        """Look at a connection that something is written to now."""
        self.written.add(transport)
        if self.timer is None:
            self.start()

    def start(self) -> None:
        """Begin to look, until all that was written has gone out."""
        self.timer = asyncio.get_running_loop().call_later(LOOK_INTERVAL, self._look)

    def close(self) -> None:
        """Look no more."""
        if self.timer is not None:
            self.timer.cancel()

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for transport in self.written:
            self._stalled[transport] = transport.get_write_buffer_size(), now
        self.written.clear()
        for transport, (waiting, since) in tuple(self._stalled.items()):
            left = transport.get_write_buffer_size()
            if not left:
                del self._stalled[transport]
            elif left < waiting:
                self._stalled[transport] = left, now
            elif now - since > STALL_LIMIT:
                del self._stalled[transport]
                transport.abort()
        self.timer = loop.call_later(LOOK_INTERVAL, self._look) if self._stalled else None
