"""Who is present in the channels of Redis, seen from one process, which has one heartbeat.

Every client of this process is kept here, so that what Redis loses, or other processes bury, is put back.
What is to be written waits here while Redis is away. ``redis_rooms.py`` writes it, and ``redis_processes.py``
knows which processes are alive.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import islice
from typing import TypeVar

from toto_aio.brokers.redis_processes import BEAT, Processes
from toto_aio.brokers.redis_rooms import Room, Rooms
from toto_aio.channels import Channel
from toto_aio.exceptions import described
from toto_aio.redis_connection import ERRORS, RedisLink
from toto_aio.redis_target import RedisTarget
from toto_aio.tasks import Tasks

logger = logging.getLogger(__name__)

T = TypeVar("T")

ENTER_LIMIT = 1.0
"""Seconds that a subscriber waits until the others can see it."""
RENEWED = 1200.0
"""Seconds after which a process writes all clients of a channel again."""
PORTION = 500
"""Clients that are written at once, and channels that are written at the same time."""
MIN_PAUSE, MAX_PAUSE = 0.1, 2.0
"""Seconds between two attempts to write."""
SPREAD, ROOMS_PER_SECOND = 3.0, 1000
"""After Redis was away a process begins to write within so many seconds, or earlier if it has little."""
CLOSE_LIMIT = 1.0
"""Seconds in which the clients of a process that ends leave."""


class RedisPresence:
    """Who is present in the channels of one Redis, seen from one process.

    ``channel`` is what the names of pub/sub channels begin with.
    """

    def __init__(self, target: RedisTarget, link: RedisLink, channel: str) -> None:
        self._written = Rooms(link, target.prefix, channel)
        self._rooms: dict[str, Room] = {}
        self._unwritten: dict[str, Room] = {}
        self._processes = Processes(link, target.prefix, self._bury, self._put_back)
        self._tasks = Tasks()
        self._is_writing = self._is_beating = self._is_told = self._is_closed = False
        self._loop = asyncio.get_running_loop()

    async def enter(self, name: str, client: str, member: bytes, rules: Channel) -> None:
        """As ``Presence.enter``."""
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = Room(name, self._processes.own, self._next_due())
        room.members[client] = member
        room.tells = rules.join_leave
        waiter = self._mark(room, client)
        await asyncio.wait([waiter], timeout=ENTER_LIMIT)

    def leave(self, name: str, client: str) -> None:
        """As ``Presence.leave``."""
        room = self._rooms.get(name)
        if room is not None and room.members.pop(client, None) is not None:
            self._mark(room, client)

    async def present(self, name: str) -> Sequence[bytes]:
        """As ``Presence.present``. Raises one of ``ERRORS``."""
        await self._all_written(name)
        alive = await self._processes.alive(await self._written.processes(name))
        return await self._written.members(name, alive)

    async def close(self) -> None:
        """Let all clients of this process leave, if Redis can be reached; write nothing any more."""
        self._is_closed = True
        await self._tasks.cancel()
        if not self._is_beating:
            return
        rooms = [*{**self._unwritten, **self._rooms}.values()]
        try:
            async with asyncio.timeout(CLOSE_LIMIT):
                for portion in _portions(rooms):
                    await asyncio.gather(
                        *(
                            self._written.bury(room, process)
                            for room in portion
                            for process in (room.process, *room.former)
                        )
                    )
                await self._processes.end()
        except ERRORS as exc:
            logger.debug("the clients of this process are left to others: %s", described(exc))

    def _mark(self, room: Room, client: str) -> asyncio.Future[None]:
        """Write soon whether a client is present; the future is done when it is."""
        waiter = room.waiting.get(client)
        if waiter is None:
            waiter = room.waiting[client] = self._loop.create_future()
        self._unwritten[room.name] = room
        if not self._is_writing and not self._is_closed:
            self._is_writing = True
            self._tasks.start(self._write(), "presence")
        return waiter

    async def _all_written(self, name: str) -> None:
        """Wait until everything that was said of a channel is written, as its limit allows."""
        room = self._unwritten.get(name)
        if room is not None:
            await asyncio.wait([*room.waiting.values()])

    async def _write(self) -> None:
        """Write what is to be written, until nothing is left."""
        pause = MIN_PAUSE
        try:
            while self._unwritten:
                try:
                    await self._begin()
                    await self._write_some()
                    pause, self._is_told = MIN_PAUSE, False
                    continue
                except ERRORS as exc:
                    if not self._is_told:
                        self._is_told = True
                        logger.warning("who is present can't be told to Redis yet: %s", described(exc))
                await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311  # not a secret
                pause = min(2 * pause, MAX_PAUSE)
        finally:
            self._is_writing = False

    async def _write_some(self) -> None:
        rooms = islice(self._unwritten.values(), PORTION)
        changes = [(room, client) for room in rooms for client in room.waiting]
        writing = (self._write_one(*each) for each in changes[:PORTION])
        for outcome in await asyncio.gather(*writing, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    async def _begin(self) -> None:
        """Be known as alive before the first client is written."""
        if not self._is_beating:
            await self._processes.look(beats=True)
            self._is_beating = True
            self._tasks.start(self._processes.run(), "presence beats")
            self._tasks.start(self._renew_due(), "presence renewed")

    async def _write_one(self, room: Room, client: str) -> None:
        member = room.members.get(client)
        if member is None:
            await self._written.leave(room, client)
        else:
            await self._written.enter(room, [(client, member)], tells=room.tells)
        if room.members.get(client) is not member:
            return  # it has changed meanwhile, and is written again
        waiter = room.waiting.pop(client, None)
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        if not room.waiting:
            self._unwritten.pop(room.name, None)
            if not room.members:
                self._rooms.pop(room.name, None)

    def _put_back(self, tells: bool) -> None:
        """Write everything again: others have buried it, or Redis may have lost it."""
        delay = random.uniform(0, min(SPREAD, len(self._rooms) / ROOMS_PER_SECOND))  # noqa: S311  # not a secret
        self._tasks.start(self._put_back_after(delay, tells), "presence put back")

    async def _put_back_after(self, delay: float, tells: bool) -> None:
        await asyncio.sleep(delay)
        for portion in _portions([*self._rooms.values()]):
            await self._renew(portion, tells)

    async def _renew_due(self) -> None:
        """Write the clients of each channel again now and then, so that Redis does not forget them."""
        while True:
            await asyncio.sleep(BEAT)
            now = self._loop.time()
            due: list[Room] = []
            for room in self._rooms.values():  # in the order of their time
                if room.due > now or len(due) == PORTION:
                    break
                due.append(room)
            for room in due:
                if self._rooms.pop(room.name, None) is not None:
                    self._rooms[room.name] = room
                room.due = self._next_due()
            await self._renew(due, True)

    async def _renew(self, rooms: Sequence[Room], tells: bool) -> None:
        """Write all clients of some channels, until that has succeeded."""
        await self._done(rooms, lambda room: self._renew_room(room, tells))

    async def _renew_room(self, room: Room, tells: bool) -> None:
        own = self._processes.own
        if room.process != own:
            room.former = (*room.former, room.process)
            room.process = own
        clients = [*room.members]
        for portion in _portions(clients):
            members = [(each, room.members[each]) for each in portion if each in room.members]
            await self._written.enter(room, members, tells=tells and room.tells)
            for client, _ in members:
                if client not in room.members:  # it has left meanwhile, maybe before this was written
                    self._mark(self._rooms.setdefault(room.name, room), client)

    def _bury(self, process: str) -> None:
        """Let the clients of a dead process leave the channels in which this one has clients."""
        self._tasks.start(self._bury_everywhere(process), "presence buried")

    async def _bury_everywhere(self, process: str) -> None:
        for portion in _portions([*self._rooms.values()]):
            await self._done(portion, lambda room: self._written.bury(room, process))

    async def _done(self, rooms: Sequence[Room], do: Callable[[Room], Awaitable[None]]) -> None:
        """Do something in each of some channels, until that has succeeded."""
        pause = MIN_PAUSE
        left = list(rooms)
        while left:
            outcomes = await asyncio.gather(*map(do, left), return_exceptions=True)
            for each in outcomes:
                if isinstance(each, BaseException) and not isinstance(each, ERRORS):
                    raise each
            left = [room for room, each in zip(left, outcomes, strict=True) if isinstance(each, ERRORS)]
            if left:
                await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311  # not a secret
                pause = min(2 * pause, MAX_PAUSE)

    def _next_due(self) -> float:
        return self._loop.time() + RENEWED


def _portions(items: Sequence[T]) -> Iterable[Sequence[T]]:
    return (items[start : start + PORTION] for start in range(0, len(items), PORTION))
