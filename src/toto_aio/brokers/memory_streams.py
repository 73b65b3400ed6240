"""Channels of ``memory://``: within one process, and gone with it."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable
from itertools import islice

from toto_aio.brokers.streams import COUNT_TTL, NEW_TTL, REPEAT_TTL, Kept, Stretch, complete
from toto_aio.channels import Channel, Position

MAX_CHANNELS = 100_000
"""Channels whose history and numbers are kept, and as many to which nothing was published, as clients can
make up names. Those that were silent the longest are forgotten."""
MAX_KEYS = 10_000
"""Idempotency keys that are remembered, the latest ones."""


class MemoryStreams:
    """The histories of the channels of one process. ``publish`` is called with each publication."""

    def __init__(self, publish: Callable[[str, Position | None, bytes], None]) -> None:
        self._publish = publish
        self._followed: set[str] = set()
        self._published: OrderedDict[str, Numbered] = OrderedDict()
        self._new: OrderedDict[str, Numbered] = OrderedDict()
        self._results: OrderedDict[tuple[str, str], tuple[float, Position | None]] = OrderedDict()
        self._loop = asyncio.get_running_loop()

    def follow(self, name: str) -> None:
        """Deliver what is published to a channel."""
        self._followed.add(name)

    def unfollow(self, name: str) -> None:
        """Stop delivering it."""
        self._followed.discard(name)

    def follows(self, name: str) -> bool:
        """Whether it is delivered."""
        return name in self._followed

    def publish_to(self, name: str, payload: bytes, rules: Channel, key: str) -> Position | None:
        """Number, keep and deliver a publication, in the loop's next turn."""
        now = self._loop.time()
        while self._results and next(iter(self._results.values()))[0] <= now:
            self._results.popitem(last=False)
        if key and (name, key) in self._results:
            return self._results[name, key][1]
        position = None
        if rules.history:
            kept = self._take(name, now)
            position = kept.add(payload, rules, now)
            self._put(name, kept, now)
        if key:
            self._results[name, key] = now + REPEAT_TTL, position
            if len(self._results) > MAX_KEYS:
                self._results.popitem(last=False)
        if name in self._followed:
            self._loop.call_soon(self._publish, name, position, payload)
        return position

    def read(self, name: str, rules: Channel, since: Position | None) -> Stretch:
        """What was published after a position."""
        kept = self._read(name)
        found = [] if since is None else [each for each in kept.history if each[0] > since.offset]
        return complete(since, Position(kept.epoch, kept.offset), found)

    def kept(self, name: str, limit: int, *, newest: bool) -> Kept:
        """What is kept, the oldest first or the newest."""
        kept = self._read(name)
        entries = reversed(kept.history) if newest else kept.history
        return Kept(Position(kept.epoch, kept.offset), list(islice(entries, limit)))

    def _read(self, name: str) -> Numbered:
        now = self._loop.time()
        kept = self._take(name, now)
        kept.expires = max(kept.expires, now + (COUNT_TTL if kept.offset else NEW_TTL))
        if kept.history_expires <= now:
            kept.history.clear()
        self._put(name, kept, now)
        return kept

    def _take(self, name: str, now: float) -> Numbered:
        kept = self._published.pop(name, None) or self._new.pop(name, None)
        return Numbered() if kept is None or kept.expires <= now else kept

    def _put(self, name: str, kept: Numbered, now: float) -> None:
        among = self._published if kept.offset else self._new
        among[name] = kept
        while len(among) > MAX_CHANNELS or next(iter(among.values())).expires <= now:
            among.popitem(last=False)


class Numbered:
    """What is kept of one channel: its epoch, the last number, and its history."""

    __slots__ = ("epoch", "expires", "history", "history_expires", "offset")

    def __init__(self) -> None:
        self.epoch = secrets.token_urlsafe(9)
        self.offset = 0
        self.history: deque[tuple[int, bytes]] = deque()
        self.history_expires = self.expires = float("-inf")

    def add(self, payload: bytes, rules: Channel, now: float) -> Position:
        """Number and keep a publication."""
        if self.history_expires <= now:
            self.history.clear()
        self.offset += 1
        self.history.append((self.offset, payload))
        while len(self.history) > rules.history:
            self.history.popleft()
        self.history_expires = now + rules.ttl
        self.expires = self.history_expires + COUNT_TTL
        return Position(self.epoch, self.offset)
