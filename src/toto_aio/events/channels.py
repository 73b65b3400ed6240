"""The channels of one app in this process: publishes, subscribes, and finds what did not arrive.

The process follows a channel while somebody here has subscribed to it. What arrives in the order of its
numbers is delivered at once. A gap, a lost connection and a long silence make the process read the channel
once, for all of its subscribers; only what can't be found is told to them.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from toto_aio.brokers import Broker, Streams
from toto_aio.channels import Channel, ChannelTable, Position
from toto_aio.events.channel_counts import ChannelCounts
from toto_aio.events.deliveries import Join, Leave
from toto_aio.events.followed import ChannelSubscription, Followed, Publication, Subscribed
from toto_aio.events.packing import pack_publication, unpack_member, unpack_publication
from toto_aio.events.presence import Present
from toto_aio.exceptions import InvalidParameters, Unavailable, described
from toto_aio.members import Member, PresenceStats, stats_of
from toto_aio.names import shortened
from toto_aio.settings import SettingsError
from toto_aio.tasks import Tasks

logger = logging.getLogger(__name__)

READERS = 16
"""Channels that are read at the same time."""
READ_PER_SECOND, SPREAD = 1000, 5.0
"""After a lost connection the channels are read one after the other, so many a second or within that time."""
MIN_PAUSE, MAX_PAUSE = 0.1, 5.0
"""Seconds between two attempts to read a channel."""
WATCH_INTERVAL = 0.5
"""Seconds between two looks for channels that are silent."""
MAX_KEY = 255
"""The most bytes of an idempotency key."""


class Channels:
    """The channels of these patterns. Raises ``SettingsError`` if the broker carries none."""

    def __init__(self, channels: Iterable[Channel], broker: Broker, encode: Callable[[Any], bytes]) -> None:
        self._given = tuple(channels)
        self.table = _table(self._given)
        if not isinstance(broker, Streams):
            raise SettingsError(
                f"events: a {type(broker).__name__} carries no channels: it needs the methods of Streams"
            )
        self._streams = broker
        self._present = Present(self._given, broker, encode)
        self._followed: dict[str, Followed] = {}
        self._opening: dict[str, asyncio.Task[None]] = {}
        self._encode = encode
        self._counts = ChannelCounts()
        self._tasks = Tasks()
        self._reading = asyncio.Semaphore(READERS)
        self._look = asyncio.Event()

    def declare(self, channels: Iterable[Channel]) -> None:
        """Add those of the patterns that are not there yet. Raises ``SettingsError``."""
        if new := [each for each in channels if each not in self._given]:
            self._present.require(new)
            given = (*self._given, *new)
            self.table, self._given = _table(given), given

    def start(self) -> None:
        """Begin to look for channels that are silent."""
        self._tasks.start(self._watch(), "channels watched")

    async def close(self) -> None:
        """Deliver nothing any more."""
        await self._tasks.cancel()
        await self._present.close()
        self._followed.clear()

    async def publish(self, name: str, data: Any, key: str | None) -> Position | None:
        """As ``EventManager.publish``."""
        rules = self.rules(name)
        if key is not None and not _is_key(key):
            raise InvalidParameters(f"idempotency_key: write printable text of 1 to {MAX_KEY} bytes")
        payload = pack_publication(name, data, self._encode)
        position = await self._streams.publish_to(name, payload, rules, key or "")
        self._counts.published += 1
        return position

    def rules(self, name: str) -> Channel:
        """What is declared about a channel. Raises ``InvalidParameters`` if no pattern matches its name."""
        found = self.table.find(name)
        if found is None:
            raise InvalidParameters(f"There is no channel {shortened(name)!r}.")
        return found[0]

    def require_tellable(self, name: str, member: Member) -> None:
        """Raise ``TypeError`` for a member whose info can't be told to the others in a channel."""
        if self.rules(name).presence:
            self._present.pack(name, member)

    async def subscribe(self, subscription: ChannelSubscription, since: Position | None) -> Subscribed:
        """Begin a subscription, after a position if that is possible.

        Call its ``begin`` when this has been told to the subscriber. Raises ``Unavailable``, and
        ``TypeError`` for a member whose info can't be told.
        """
        followed = self._follow(subscription.name)
        followed.subscriptions[subscription] = None
        try:
            subscribed = await self._begin(subscription, followed, since)
            if not subscription.is_closed:  # its client may have entered anew meanwhile
                await self._present.enter(subscription, followed.rules)
        except BaseException:
            self.unsubscribe(subscription)
            raise
        if since is not None:
            self._counts.recovered += subscribed.recovered
            self._counts.unrecovered += not subscribed.recovered
        return subscribed

    async def _begin(
        self, subscription: ChannelSubscription, followed: Followed, since: Position | None
    ) -> Subscribed:
        name = followed.name
        if name in self._opening:  # several may wait for it, so one that is cancelled must not cancel it
            await asyncio.shield(self._opening[name])
        stretch = None
        if since is not None and followed.position is not None:
            if since == followed.position and not followed.is_filling:
                subscription.start_after(since)
                return Subscribed(since, True, ())
            stretch = await self._streams.read(name, followed.rules, since)
        if since is None or stretch is None or stretch.payloads is None:
            subscription.start_after(followed.position)
            return Subscribed(followed.position, False, ())
        subscription.start_after(stretch.position)
        found = _publications(name, since.epoch, enumerate(stretch.payloads, since.offset + 1))
        return Subscribed(stretch.position, True, found)

    async def history(
        self, name: str, limit: int, since: Position | None = None, *, newest: bool = False
    ) -> tuple[Position, list[Publication]] | None:
        """Where a channel with a history is, and publications that are kept: those after a position.

        The ``newest`` come backwards, before the position. A negative ``limit`` is none. None if what was
        published since the position isn't known. Raises ``InvalidParameters`` if there is no such channel,
        and ``Unavailable``.
        """
        rules = self.rules(name)
        limit = limit if 0 <= limit <= rules.history else rules.history
        if since is not None and not newest:
            stretch = await self._streams.read(name, rules, since)
            if stretch.payloads is None:
                return None
            after = enumerate(stretch.payloads[:limit], since.offset + 1)
            return stretch.position, _publications(name, since.epoch, after)
        if not limit:
            return (await self._streams.read(name, rules, None)).position, []
        position, found = await self._streams.kept(
            name, rules, limit if since is None else rules.history, newest=newest
        )
        if since is not None:
            if since.epoch != position.epoch:
                return None
            found = [each for each in found if each[0] < since.offset][:limit]
        return position, _publications(name, position.epoch, found)

    def unsubscribe(self, subscription: ChannelSubscription) -> None:
        """End a subscription."""
        subscription.close()
        self._present.leave(subscription)
        followed = self._followed.get(subscription.name)
        if followed is not None:
            followed.subscriptions.pop(subscription, None)
            self._forget_unused(followed)

    def hear(self, name: str, position: Position | None, payload: bytes) -> None:
        """Take a message of the broker."""
        followed = self._followed.get(name)
        if followed is not None:
            followed.hear(position, payload)
            self._forget_unused(followed)

    def joined(self, name: str, packed: bytes) -> None:
        """Tell who has come."""
        self._tell(name, packed, Join)

    def left(self, name: str, packed: bytes) -> None:
        """Tell who has gone."""
        self._tell(name, packed, Leave)

    async def presence(self, name: str) -> list[Member]:
        """As ``EventManager.presence``."""
        if not self.rules(name).presence:
            raise InvalidParameters(
                f"Who is present in {shortened(name)!r} is not known: declare it with presence=True."
            )
        return await self._present.members(name)

    async def presence_stats(self, name: str) -> PresenceStats:
        """As ``EventManager.presence_stats``."""
        return stats_of(await self.presence(name))

    def interrupted(self) -> None:
        """Look for what was published while the broker was away."""
        spread = min(SPREAD, len(self._followed) / READ_PER_SECOND)
        now = asyncio.get_running_loop().time()
        for followed in tuple(self._followed.values()):
            if followed.rules.history:
                followed.due = now + random.uniform(0, spread)  # noqa: S311  # not a secret
            else:
                followed.lose()
                self._forget_unused(followed)
        self._look.set()

    def counts(self) -> tuple[int, int]:
        """The channels that are followed here, and their subscriptions."""
        return len(self._followed), sum(len(each.subscriptions) for each in self._followed.values())

    def measured(self) -> ChannelCounts:
        """What has happened so far, and how many there are now."""
        followed, subscriptions = self.counts()
        return replace(
            self._counts, followed=followed, subscriptions=subscriptions, members=self._present.count
        )

    def _tell(self, name: str, packed: bytes, kind: type[Join | Leave]) -> None:
        followed = self._followed.get(name)
        if followed is not None and (member := unpack_member(packed)) is not None:
            followed.deliver(kind(name, member))

    def _follow(self, name: str) -> Followed:
        followed = self._followed.get(name)
        if followed is None:
            followed = self._followed[name] = Followed(
                name, self.rules(name), self._start_filling, self._counts
            )
            opening = self._tasks.start(self._open(followed), "channel opened")
            self._opening[name] = opening
            opening.add_done_callback(lambda task: self._opened(followed, task))
        return followed

    async def _open(self, followed: Followed) -> None:
        await self._streams.follow(followed.name)
        position = None
        if followed.rules.history:
            position = (await self._streams.read(followed.name, followed.rules, None)).position
        followed.begin(position)

    def _opened(self, followed: Followed, opening: asyncio.Task[None]) -> None:
        if self._opening.get(followed.name) is opening:
            del self._opening[followed.name]
        if opening.cancelled() or opening.exception() is not None:
            self._drop(followed)
        else:
            self._forget_unused(followed)

    def _forget_unused(self, followed: Followed) -> None:
        if not followed.subscriptions and followed.name not in self._opening:
            self._drop(followed)

    def _drop(self, followed: Followed) -> None:
        if self._followed.get(followed.name) is followed:
            del self._followed[followed.name]
            self._streams.unfollow(followed.name)

    def _start_filling(self, followed: Followed) -> None:
        self._tasks.start(self._filled(followed), "channel read")

    async def _filled(self, followed: Followed) -> None:
        """Read what was published after the position of a channel, until that has succeeded."""
        pause = MIN_PAUSE
        while self._followed.get(followed.name) is followed:
            try:
                async with self._reading:
                    if self._followed.get(followed.name) is not followed:
                        return  # everybody has left; to follow it now would last
                    await self._streams.follow(followed.name)
                    stretch = await self._streams.read(followed.name, followed.rules, followed.position)
                break
            except Unavailable as exc:
                reason = described(exc.__cause__ or exc)
                logger.debug("channel %s cannot be read yet: %s", followed.name, reason)
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311  # not a secret
            pause = min(2 * pause, MAX_PAUSE)
        else:
            return
        followed.filled(stretch)
        self._forget_unused(followed)

    async def _watch(self) -> None:
        """Read the channels that are due, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self._look.clear()
            now = loop.time()
            for followed in tuple(self._followed.values()):
                if followed.due <= now and followed.rules.history:
                    followed.put_off()
                    followed.look()
            with suppress(TimeoutError):
                async with asyncio.timeout(WATCH_INTERVAL):
                    await self._look.wait()


def _publications(name: str, epoch: str, entries: Iterable[tuple[int, bytes]]) -> list[Publication]:
    """Those that can be read."""
    return [
        Publication(name, Position(epoch, number), packed)
        for number, payload in entries
        if (packed := unpack_publication(payload)) is not None
    ]


def _is_key(key: Any) -> bool:
    return type(key) is str and key.isprintable() and 0 < len(key.encode()) <= MAX_KEY


def _table(channels: Iterable[Channel]) -> ChannelTable:
    """Raises ``SettingsError`` for channels that share names."""
    try:
        return ChannelTable(channels)
    except ValueError as exc:
        raise SettingsError(str(exc)) from exc
