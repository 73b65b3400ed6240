"""What a channel, a subscription and a client that is present take in memory: in a process, and in Redis.

In the process it is what Python has allocated (``tracemalloc``), in Redis ``used_memory``. A subscription is
measured without the socket that has it.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any, cast

from toto_aio.channels import Channel, Member
from toto_aio.events import EventManager
from toto_aio.events.channels import Channels
from toto_aio.events.followed import ChannelSubscription

CHANNELS = (Channel("kept:{n}", history=100), Channel("plain:{n}"), Channel("seen:{n}", presence=True))
PAYLOAD = "x" * 200
HISTORIES, MANY = 200, 5000


async def memory(url: str) -> list[tuple[str, float, float]]:
    """For each thing, how many bytes one of it takes in the process and in Redis."""
    from redis.asyncio import Redis

    async with Redis.from_url(url) as admin, EventManager(url, channels=CHANNELS) as events:

        async def used() -> float:
            return float((await admin.info("memory"))["used_memory"])

        # The first ones bring what is there once.
        kept: list[Any] = [await _subscribed(events, f"{name}:0", "first") for name in ("plain", "seen")]
        found = []
        for name, count, work in (
            ("a channel with 100 publications of 200 bytes, kept", HISTORIES, _history(events)),
            ("a channel with one subscription", MANY, lambda n: _subscribed(events, f"plain:x{n}", "")),
            ("a further subscription", MANY, lambda n: _subscribed(events, "plain:0", "")),
            (
                "a further subscription that is present",
                MANY,
                lambda n: _subscribed(events, "seen:0", f"{n:016}"),
            ),
        ):
            before_there = await used()
            tracemalloc.start()
            before = _allocated()
            kept.append([await work(n) for n in range(count)])
            here = _allocated() - before
            tracemalloc.stop()
            found.append((name, here / count, (await used() - before_there) / count))
        return found


def _history(events: EventManager) -> Callable[[int], Awaitable[None]]:
    async def publish(number: int) -> None:
        for _ in range(100):
            await events.publish(f"kept:{number}", PAYLOAD)

    return publish


async def _subscribed(events: EventManager, name: str, client: str) -> ChannelSubscription:
    channels = cast(Channels, events.channels)
    taken: list[Any] = []
    member = Member(client, "user", {"name": "Somebody"}) if client else None
    subscription = ChannelSubscription(name, taken.append, lambda: taken.append(None), member)
    await channels.subscribe(subscription, None)
    subscription.begin()
    return subscription


def _allocated() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
