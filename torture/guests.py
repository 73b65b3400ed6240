"""Clients that are present in the channels of a service, and what each of its processes says about them."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

import aiohttp

ROOMS = 10
CHURN = 8
"""One of so many clients leaves when some do, and at least as many come when some come."""
ANSWER_LIMIT = 5.0
"""Seconds after which a process that does not answer is asked again."""
HOLD = 2.0
"""Seconds for which all must be right, as it may be by chance."""
PAUSE = 0.05
"""Seconds between two looks, and about a quarter of those before a client subscribes again."""
METHODS = f"""import asyncio, os
from toto_aio.invocation import channel, method

@channel("room:{{room}}", presence=True)
async def join(room: int):
    return None

@method
async def process():
    return os.getpid()

@method
async def present(handler):
    found = await asyncio.gather(*(handler.events.presence(f"room:{{n}}") for n in range({ROOMS})))
    return [sorted(member.client for member in members) for members in found]
"""


class Guest:
    """A client with a socket, which subscribes to a room, and again whenever it is told to."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.client = ""
        """The id by which others see it."""
        self.process = 0
        """The process that serves it."""
        self.is_open = False
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, http: aiohttp.ClientSession) -> None:
        """Connect and subscribe."""
        self._socket = await http.ws_connect("/websocket")
        self.is_open = True
        self._start(self._read())
        self.process = await self.ask(method="rooms.process")
        await self._subscribe()

    async def ask(self, **message: Any) -> Any:
        """The result of a frame; None for an error. Raises ``ConnectionError``."""
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            await self._socket.send_json({"id": number, **message})
            return (await self._waiting[number]).get("result")
        finally:
            del self._waiting[number]

    async def close(self) -> None:
        """Leave."""
        self.is_open = False
        for task in self._tasks:
            task.cancel()
        await self._socket.close()

    async def _subscribe(self) -> None:
        while (found := await self.ask(subscribe=f"room:{self.room}")) is None:  # noqa: ASYNC110  # it is asked
            await asyncio.sleep(random.uniform(0, 8 * PAUSE))  # noqa: S311  # no secret
        self.client = found["client"]

    async def _read(self) -> None:
        async for message in self._socket:
            frame = message.json()
            if "id" in frame:
                if frame["id"] in self._waiting:
                    self._waiting[frame["id"]].set_result(frame)
            elif "unsubscribed" in frame:
                self._start(self._subscribe())
        self.is_open = False
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ConnectionError("the socket was closed"))

    def _start(self, work: Any) -> None:
        async def do() -> None:
            with suppress(ConnectionError):
                await work

        task = asyncio.create_task(do())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Guests:
    """The clients of the service at ``port``, for the duration of the block."""

    def __init__(self, port: int) -> None:
        self.difference = ""
        """What was wrong when it was looked for the last time."""
        self._guests: list[Guest] = []
        self._away: set[int] = set()
        self._rooms = itertools.cycle(range(ROOMS))
        self._port = port

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(
            f"http://127.0.0.1:{self._port}", connector=aiohttp.TCPConnector(limit=0)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(each.close() for each in self._guests), return_exceptions=True)
        await self._http.close()

    async def come(self) -> None:
        """Let another one come."""
        guest = Guest(next(self._rooms))
        await guest.open(self._http)
        self._guests.append(guest)

    async def some_come(self) -> None:
        """Let some come."""
        await asyncio.gather(*(self.come() for _ in range(1 + len(self._guests) // CHURN)))

    async def some_leave(self) -> None:
        """Let some leave, but nobody who is the only one in a process."""
        counts = Counter(each.process for each in self._guests)
        there = [each for each in self._guests if each.process not in self._away]
        leaving = []
        for guest in random.sample(there, 1 + len(there) // CHURN):
            if counts[guest.process] > 1:
                counts[guest.process] -= 1
                leaving.append(guest)
                self._guests.remove(guest)
        await asyncio.gather(*(each.close() for each in leaving))

    async def some_change(self) -> None:
        """Let some leave, and others come."""
        await self.some_leave()
        await self.some_come()

    def processes(self) -> set[int]:
        """The processes that have clients."""
        return {each.process for each in self._guests} - self._away

    def busiest(self) -> int:
        """The one that has most."""
        return Counter(each.process for each in self._guests).most_common(1)[0][0]

    def forget(self, process: int) -> None:
        """Expect nobody whom a process served that has ended."""
        self._guests = [each for each in self._guests if each.process != process]

    @contextmanager
    def without(self, process: int) -> Iterator[None]:
        """Expect nobody whom a process serves, for the duration of the block."""
        self._away.add(process)
        try:
            yield
        finally:
            self._away.discard(process)

    async def right_after(self, seconds: float, changing: asyncio.Task[None] | None = None) -> float:
        """The seconds after which each process names those who are there, and goes on to; or infinity.

        So many seconds at most, and after some changes.
        """
        begun, since = time.monotonic(), math.inf
        if changing is not None:
            await asyncio.wait([changing], timeout=seconds)
            if changing.done():
                changing.result()
        while True:
            expected = self._expected()
            found = await asyncio.gather(*map(self._said_by, self.processes()))
            wrong = [each for each in found if each != expected]
            now = time.monotonic()
            if wrong or expected != self._expected() or not (changing is None or changing.done()):
                self.difference = f"{wrong[:1]} instead of {expected}"
                since = math.inf
                if now - begun > seconds:
                    return math.inf
            else:
                since = min(since, now)
                if now - since >= HOLD:
                    return since - begun
            await asyncio.sleep(PAUSE)

    def _expected(self) -> list[list[str]]:
        there = [each for each in self._guests if each.process not in self._away]
        return [sorted(each.client for each in there if each.room == room) for room in range(ROOMS)]

    async def _said_by(self, process: int) -> Any:
        guest = next(each for each in self._guests if each.process == process)
        with suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(ANSWER_LIMIT):
                return await guest.ask(method="rooms.present")
        return None
