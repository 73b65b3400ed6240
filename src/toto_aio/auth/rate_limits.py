"""Counters of calls, which all processes share: a client that has made too many is refused."""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from toto_aio.addresses import networks_of
from toto_aio.auth.rates import Rate
from toto_aio.auth.user_session import UserSession
from toto_aio.exceptions import TooManyAttempts
from toto_aio.stores import SessionStore

REMEMBERED = 1.0
"""Seconds for which a process refuses without asking the store again, so that a flood costs it nothing."""
MAX_REMEMBERED = 10_000
"""The most counters that a process remembers to be full."""


class Full(NamedTuple):
    """A counter that is full: until when that is remembered, and when it starts again, both monotonic."""

    forget: float
    again: float


class RateLimits:
    """Counts the calls of an app where the sessions are kept.

    A counter is a fixed window, which the first call opens: the store adds to it and tells the new count in
    one step, so exactly as many calls as allowed are within the limit, in however many processes.
    """

    def __init__(self, store: SessionStore) -> None:
        self._store = store
        self._full: dict[str, Full] = {}

    async def count(
        self, method: str, rates: Sequence[Rate], session: UserSession | None, address: str
    ) -> None:
        """Count a call in all of its rates. Raises ``TooManyAttempts`` if one of them is used up.

        A call that is refused counts in the rates before that one only. Raises ``Unavailable`` if the store
        is out of reach: no limit is lifted by an outage.
        """
        limits = [limit for rate in rates for limit in _limits(method, rate, session, address)]
        for place, limit in enumerate(limits):
            left = self._known_to_be_full(limit.counter)
            if left is None:
                if await self._store.increment(limit.counter, limit.rate.per) <= limit.most:
                    continue
                left = await self._seconds_left(limits[place:])
            times, per = limit.rate.times, limit.rate.per
            calls, seconds = "call" if times == 1 else "calls", "second" if per == 1 else "seconds"
            value = f"Too many calls: at most {times} {calls} in {per:g} {seconds}."
            raise TooManyAttempts(value, retry_after=left)

    def _known_to_be_full(self, counter: str) -> int | None:
        """The seconds until a counter starts again, if it is remembered to be full."""
        full = self._full.get(counter)
        if full is None:
            return None
        now = time.monotonic()
        if full.forget > now:
            return _whole(full.again - now)
        del self._full[counter]
        return None

    async def _seconds_left(self, limits: Sequence[Limit]) -> int:
        """The seconds until the first of these counters, and the later ones that are full, start again."""
        counts = await asyncio.gather(*(self._store.get_counter(limit.counter) for limit in limits))
        full = [
            left
            for place, (limit, (count, left)) in enumerate(zip(limits, counts, strict=True))
            if place == 0 or count >= limit.most
        ]
        now, left = time.monotonic(), max(full)
        if len(self._full) >= MAX_REMEMBERED:
            self._full.clear()
        self._full[limits[0].counter] = Full(now + min(REMEMBERED, left), now + left)
        return _whole(left)


class Limit(NamedTuple):
    """A counter, and how many calls may count in it."""

    counter: str
    most: int
    rate: Rate


def _limits(method: str, rate: Rate, session: UserSession | None, address: str) -> Iterator[Limit]:
    """The counters of one rate for a caller: several for the address of one who uses IPv6."""
    name = "" if rate.of_all else method
    for kind, who, clients in _counted(rate, session, address):
        # A hash, so that nothing that a client chooses makes the key of another counter, or a long one.
        parts = (name, rate.by, rate.per, kind, who)
        digest = hashlib.sha256(msgspec.msgpack.encode(parts)).hexdigest()
        yield Limit(f"rate:{digest}", rate.times * clients, rate)


def _counted(rate: Rate, session: UserSession | None, address: str) -> Iterator[tuple[str, str, int]]:
    """Whose calls are counted, and as how many clients.

    An anonymous session has no count of its own: anyone can get as many of them as they like.
    """
    if session is None or not session.user_id or rate.by == "address":
        for network in networks_of(address):
            yield "address", network.name, network.clients
    elif rate.by == "user":
        yield "user", session.user_id, 1
    else:
        yield "session", session.record.key, 1


def _whole(seconds: float) -> int:
    return math.ceil(max(1.0, seconds))
