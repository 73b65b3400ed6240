"""Clients that publish to the channels of a service, and others that subscribe and keep books."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp

from torture.drill import Failure
from torture.ledger import Ledger, Reading
from torture.services import until
from torture.subscribers import KINDS
from toto_aio.channels import Position

CHANNELS = 10
SUBSCRIBERS = 4
"""Subscribers of each channel."""
PORTION = 10
"""Messages that are published by one call, at the same time."""
PAUSE = 0.1
"""Mean seconds between two calls that publish to a channel, and before one is repeated."""
MOVED = 200
"""Messages that must be acknowledged between two disturbances, at least."""
LIMIT = 60.0
"""Seconds within which a disturbance must be over, a call be answered, and everything be received."""
METHODS = """import asyncio
from toto_aio.invocation import channel, method

@channel("room:{room}", history=2000, ttl=600)
async def join(room: str):
    return None

@method
async def say(handler, room: str, numbers: list[int]):
    publish = handler.events.publish
    found = await asyncio.gather(*(publish(f"room:{room}", n, idempotency_key=str(n)) for n in numbers))
    return [[position.epoch, position.offset] for position in found]
"""


class Talk:
    """Clients that publish to a service at ``port``, and others that subscribe to it."""

    def __init__(self, port: int) -> None:
        self.acknowledged = 0
        """Messages."""
        self.repeats = 0
        """Calls that were made again."""
        self._port = port
        self._ledgers = [Ledger(f"room:{n}") for n in range(CHANNELS)]
        self.readings = [Reading(ledger) for ledger in self._ledgers for _ in range(SUBSCRIBERS)]
        self._numbers = iter(range(10**9))
        self._over = asyncio.Event()
        self._answered = asyncio.Event()

    @asynccontextmanager
    async def between(self, port: int) -> AsyncIterator[None]:
        """Subscribe at this port and publish, for the duration of the block; then wait for the last ones."""
        subscribers = [KINDS[n % len(KINDS)](each) for n, each in enumerate(self.readings)]
        async with (
            aiohttp.ClientSession(f"http://127.0.0.1:{self._port}") as http,
            asyncio.TaskGroup() as tasks,
        ):
            reading = [tasks.create_task(each.read(port), name="subscriber") for each in subscribers]
            await asyncio.gather(*(each.opened.wait() for each in subscribers))
            publishing = [
                tasks.create_task(self._publish(http, each), name=f"publisher {each.name}")
                for each in self._ledgers
            ]
            yield
            self._over.set()
            last = dict(zip(self._ledgers, await asyncio.gather(*publishing), strict=True))
            with suppress(Failure):  # what doesn't come is lost
                await until(
                    lambda: all(each.is_at(last[each.ledger]) for each in self.readings), LIMIT, "the end"
                )
            for task in reading:
                task.cancel()

    async def reaches(self, count: int) -> None:
        """Wait until so many messages are acknowledged."""
        while self.acknowledged < count:
            self._answered.clear()
            async with asyncio.timeout(LIMIT):
                await self._answered.wait()

    async def moves(self) -> None:
        """Wait until more messages are acknowledged."""
        await self.reaches(self.acknowledged + MOVED)

    async def _publish(self, http: aiohttp.ClientSession, ledger: Ledger) -> Position:
        """Publish until it is over; the last position."""
        while True:
            over = self._over.is_set()
            numbers = [next(self._numbers) for _ in range(1 if over else PORTION)]
            positions = await self._say(http, ledger.name, numbers)
            for position, number in zip(positions, numbers, strict=True):
                ledger.acknowledge(Position(*position), number)
            self.acknowledged += len(numbers)
            self._answered.set()
            if over:
                return Position(*positions[-1])
            await asyncio.sleep(random.uniform(0, 2 * PAUSE))  # noqa: S311  # no secret

    async def _say(self, http: aiohttp.ClientSession, name: str, numbers: list[int]) -> list[tuple[str, int]]:
        """Publish, again and again until that is acknowledged."""
        call = {"method": "rooms.say", "parameters": {"room": name.partition(":")[2], "numbers": numbers}}
        end = time.monotonic() + LIMIT
        answer: Any = None
        while time.monotonic() < end:
            try:
                async with http.post("/", json=call) as response:
                    answer = await response.json()
            except (aiohttp.ClientError, OSError, ValueError) as exc:
                answer = {"error": {"code": 1011, "value": repr(exc)}}
            if "result" in answer:
                return [tuple(position) for position in answer["result"]]
            if answer["error"]["code"] not in (1011, 1013):
                break
            self.repeats += 1
            await asyncio.sleep(PAUSE)
        raise Failure(f"publishing is answered with {answer}")
