"""``memory://``: events within one process, the default."""

from __future__ import annotations

import asyncio

from toto_aio.brokers import Receiver
from toto_aio.exceptions import Unavailable


class MemoryBroker:
    """Hands each event to the loop's next round, so that a handler that sends is not called within itself."""

    def __init__(self, url: str = "memory://") -> None:
        self._receiver: Receiver | None = None

    async def start(self, receiver: Receiver) -> None:
        self._receiver = receiver

    async def publish(self, payload: bytes, *, broadcast: bool) -> None:
        if self._receiver is None:
            raise Unavailable("Events are not running.")
        asyncio.get_running_loop().call_soon(self._hand_over, payload)

    async def check(self) -> None:
        if self._receiver is None:
            raise Unavailable("Events are not running.")

    async def close(self) -> None:
        self._receiver = None

    def _hand_over(self, payload: bytes) -> None:
        if self._receiver is not None:
            self._receiver.deliver(payload)
