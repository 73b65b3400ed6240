"""``memory://``: events within one process, the default."""

from __future__ import annotations

import asyncio

from toto_aio.brokers import Receiver
from toto_aio.exceptions import Unavailable


class MemoryBroker:
    """Delivers each event in the loop's next turn, so that a handler that sends is not called recursively."""

    def __init__(self, url: str = "memory://") -> None:
        self._receiver: Receiver | None = None

    async def start(self, receiver: Receiver) -> None:
        self._receiver = receiver

    async def publish(self, payload: bytes, *, broadcast: bool) -> None:
        if self._receiver is None:
            raise Unavailable("Events are not running.")
        asyncio.get_running_loop().call_soon(self._deliver, payload)

    async def check(self) -> None:
        if self._receiver is None:
            raise Unavailable("Events are not running.")

    async def close(self) -> None:
        self._receiver = None

    def _deliver(self, payload: bytes) -> None:
        if self._receiver is not None:
            self._receiver.deliver(payload)
