"""Who is present in the channels of one app: subscribers of this process enter and leave, and anyone asks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from toto_aio.brokers import Broker, Presence
from toto_aio.channels import Channel
from toto_aio.events.followed import ChannelSubscription
from toto_aio.events.packing import pack_member, unpack_member
from toto_aio.members import Member
from toto_aio.settings import SettingsError
from toto_aio.tasks import Tasks


class Present:
    """The subscribers of channels with ``presence``. Raises ``SettingsError`` if the broker knows of none."""

    def __init__(self, channels: Iterable[Channel], broker: Broker, encode: Callable[[Any], bytes]) -> None:
        self._broker: Any = broker
        self.require(channels)
        self.count = 0
        """How many subscribers of this process are present now."""
        self._encode = encode
        self._asked: dict[str, asyncio.Task[Sequence[bytes]]] = {}
        self._asking: dict[str, asyncio.Task[Sequence[bytes]]] = {}
        self._tasks = Tasks()

    def require(self, channels: Iterable[Channel]) -> None:
        """Raise ``SettingsError`` if one of the channels needs a broker that knows who is present."""
        if any(each.presence for each in channels) and not isinstance(self._broker, Presence):
            raise SettingsError(
                f"events: a {type(self._broker).__name__} doesn't know who is present: it needs the methods "
                "of Presence, or leave out presence=True"
            )

    async def enter(self, subscription: ChannelSubscription, rules: Channel) -> None:
        """Count a subscriber as present, if its channel has ``presence``. Raises ``TypeError``."""
        if not rules.presence:
            return
        member = subscription.member
        if member is None:
            raise TypeError("a subscriber of a channel with presence=True is a Member")
        packed = self.pack(subscription.name, member)
        subscription.is_present = True
        self.count += 1
        await self._broker.enter(subscription.name, member.client, packed, rules)

    def pack(self, name: str, member: Member) -> bytes:
        """A member as it travels. Raises ``TypeError`` for an info that can't be told."""
        return pack_member(name, member, self._encode)

    def leave(self, subscription: ChannelSubscription) -> None:
        """Count it no longer."""
        if subscription.is_present:
            subscription.is_present = False
            self.count -= 1
            assert subscription.member is not None
            self._broker.leave(subscription.name, subscription.member.client)

    async def members(self, name: str) -> list[Member]:
        """Who is present. Raises ``Unavailable``.

        However many ask, the broker is asked for one channel once at a time; who asks meanwhile gets what is
        found next, as that may be newer.
        """
        task = self._asked.get(name)
        if task is None:
            task = self._asked[name] = self._tasks.start(self._ask(name), "presence asked")
        found = await asyncio.shield(task)
        return [member for each in found if (member := unpack_member(each)) is not None]

    async def close(self) -> None:
        """Ask no more."""
        await self._tasks.cancel()

    async def _ask(self, name: str) -> Sequence[bytes]:
        task = asyncio.current_task()
        assert task is not None
        try:
            if (before := self._asking.get(name)) is not None:
                await asyncio.wait([before])
        finally:
            del self._asked[name]
        self._asking[name] = task
        try:
            found: Sequence[bytes] = await self._broker.present(name)
            return found
        finally:
            if self._asking.get(name) is task:
                del self._asking[name]
