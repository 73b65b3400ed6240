"""``memory://``: events within one process, the default."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from toto_aio.brokers import Receiver
from toto_aio.brokers.memory_presence import MemoryPresence
from toto_aio.brokers.memory_streams import MemoryStreams
from toto_aio.brokers.streams import Kept, Stretch
from toto_aio.channels import Channel, Position
from toto_aio.exceptions import Unavailable


class MemoryBroker:
    """Delivers each event in the loop's next turn, so that a handler that sends is not called recursively."""

    def __init__(self, url: str = "memory://") -> None:
        self._receiver: Receiver | None = None

    async def start(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._streams = MemoryStreams(self._published)
        self._presence = MemoryPresence(self._joined, self._left)

    async def publish(self, payload: bytes, *, broadcast: bool) -> None:
        if self._receiver is None:
            raise Unavailable("Events are not running.")
        asyncio.get_running_loop().call_soon(self._deliver, payload)

    async def follow(self, name: str) -> None:
        self._running().follow(name)

    def unfollow(self, name: str) -> None:
        if self._receiver is not None:
            self._streams.unfollow(name)

    async def publish_to(self, name: str, payload: bytes, rules: Channel, key: str) -> Position | None:
        return self._running().publish_to(name, payload, rules, key)

    async def read(self, name: str, rules: Channel, since: Position | None) -> Stretch:
        return self._running().read(name, rules, since)

    async def kept(self, name: str, rules: Channel, limit: int, *, newest: bool) -> Kept:
        return self._running().kept(name, limit, newest=newest)

    async def enter(self, name: str, client: str, member: bytes, rules: Channel) -> None:
        self._running()
        self._presence.enter(name, client, member, rules)

    def leave(self, name: str, client: str) -> None:
        if self._receiver is not None:
            self._presence.leave(name, client)

    async def present(self, name: str) -> Sequence[bytes]:
        self._running()
        return self._presence.present(name)

    async def check(self) -> None:
        if self._receiver is None:
            raise Unavailable("Events are not running.")

    async def close(self) -> None:
        self._receiver = None

    def _deliver(self, payload: bytes) -> None:
        if self._receiver is not None:
            self._receiver.deliver(payload)

    def _published(self, name: str, position: Position | None, payload: bytes) -> None:
        if self._receiver is not None:
            self._receiver.published(name, position, payload)

    def _joined(self, name: str, member: bytes) -> None:
        if self._receiver is not None and self._streams.follows(name):
            self._receiver.joined(name, member)

    def _left(self, name: str, member: bytes) -> None:
        if self._receiver is not None and self._streams.follows(name):
            self._receiver.left(name, member)

    def _running(self) -> MemoryStreams:
        if self._receiver is None:
            raise Unavailable("Events are not running.")
        return self._streams
