"""Who is present in the channels of Redis, as it is written: for each channel a hash for each process.

A set has the processes of a channel, and each hash the clients of one of them: all are in one slot, so that
a script can write them, and tell the subscribers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from toto_aio.redis_connection import Argument, RedisLink
from toto_aio.redis_script import Script

ENTER = Script("""-- keys: the processes of a channel, the clients of this one, and those of its former ids;
-- arguments: milliseconds to keep them, the pub/sub channel to tell or '', this process, how many former ids
-- and these, and for each client its id and what is known of it
local told, former = ARGV[2], tonumber(ARGV[4])
for n = 1, former do
  local moved = redis.call('HGETALL', KEYS[2 + n])
  for m = 1, #moved, 2 do redis.call('HSET', KEYS[2], moved[m], moved[m + 1]) end
  redis.call('DEL', KEYS[2 + n])
  redis.call('SREM', KEYS[1], ARGV[4 + n])
end
for n = 5 + former, #ARGV, 2 do
  if redis.call('HSET', KEYS[2], ARGV[n], ARGV[n + 1]) == 1 and told ~= '' then
    redis.call('PUBLISH', told, '+::' .. ARGV[n + 1])
  end
end
redis.call('SADD', KEYS[1], ARGV[3])
for n = 1, 2 do redis.call('PEXPIRE', KEYS[n], ARGV[1]) end
return 1
""")
LEAVE = Script("""-- keys as for ENTER; arguments: a client, the pub/sub channel to tell or '', this process
-- and its former ids
for n = 2, #KEYS do
  local member = redis.call('HGET', KEYS[n], ARGV[1])
  if member then
    redis.call('HDEL', KEYS[n], ARGV[1])
    if redis.call('EXISTS', KEYS[n]) == 0 then redis.call('SREM', KEYS[1], ARGV[1 + n]) end
    if ARGV[2] ~= '' then redis.call('PUBLISH', ARGV[2], '-::' .. member) end
  end
end
return 1
""")
BURY = Script("""-- keys: the processes of a channel, the clients of one; arguments: the pub/sub channel to
-- tell or '', the process
redis.call('SREM', KEYS[1], ARGV[2])
local members = redis.call('HVALS', KEYS[2])
redis.call('DEL', KEYS[2])
if ARGV[1] ~= '' then
  for n = 1, #members do redis.call('PUBLISH', ARGV[1], '-::' .. members[n]) end
end
return 1
""")
KEPT = 3600.0
"""Seconds after which Redis forgets the clients of a process that nobody has buried."""
ROOM = "toto:present:"
"""What the keys begin with."""


class Room:
    """The clients of this process in one channel, and which of them are still to be written."""

    __slots__ = ("due", "former", "members", "name", "process", "tells", "waiting")

    def __init__(self, name: str, process: str, due: float) -> None:
        self.name = name
        self.process = process
        """The id of this process under which the clients are written."""
        self.former: tuple[str, ...] = ()
        """Earlier ids under which some may still be written."""
        self.members: dict[str, bytes] = {}
        self.waiting: dict[str, asyncio.Future[None]] = {}
        self.tells = False
        self.due = due
        """When all are written again, on the clock of the loop."""


class Rooms:
    """What is written about the channels of one Redis. Its methods raise one of ``ERRORS``.

    ``channel`` is what the names of pub/sub channels begin with.
    """

    def __init__(self, link: RedisLink, prefix: str, channel: str) -> None:
        self._link = link
        self._prefix = prefix
        self._channel = channel

    async def enter(self, room: Room, members: Sequence[tuple[str, bytes]], *, tells: bool) -> None:
        """Write some clients of a channel, and move there what stands under former ids of this process."""
        former = room.former
        keys = self._keys(room, room.process, *former)
        told = self._told(room) if tells else ""
        arguments: list[Argument] = [_ms(KEPT), told, room.process, len(former), *former]
        for member in members:
            arguments += member
        await ENTER.run(self._link.call, len(keys), *keys, *arguments)
        if room.former == former:
            room.former = ()

    async def leave(self, room: Room, client: str) -> None:
        """Remove a client of this process."""
        ids = (room.process, *room.former)
        keys = self._keys(room, *ids)
        await LEAVE.run(self._link.call, len(keys), *keys, client, self._told(room), *ids)

    async def bury(self, room: Room, process: str) -> None:
        """Remove all clients of a process."""
        keys = self._keys(room, process)
        await BURY.run(self._link.call, len(keys), *keys, self._told(room), process)

    async def processes(self, name: str) -> list[str]:
        """The processes that have clients in a channel, or had them when they died."""
        return [each.decode() for each in await self._link.read("SMEMBERS", self._key(name))]

    async def members(self, name: str, processes: Iterable[str]) -> Sequence[bytes]:
        """What is known of the clients of some processes in a channel."""
        clients = await asyncio.gather(
            *(self._link.read("HGETALL", self._key(name, process)) for process in processes)
        )
        # A client that is moved from one id of its process to the next can be found twice.
        return list({key: member for found in clients for key, member in _pairs(found)}.values())

    def _told(self, room: Room) -> str:
        return f"{self._channel}{room.name}" if room.tells else ""

    def _keys(self, room: Room, *processes: str) -> list[str]:
        return [self._key(room.name), *(self._key(room.name, each) for each in processes)]

    def _key(self, name: str, process: str = "") -> str:
        key = f"{self._prefix}{ROOM}{{{name}}}"
        return f"{key}:{process}" if process else key


def _pairs(found: Sequence[bytes]) -> Iterable[tuple[bytes, bytes]]:
    return zip(found[::2], found[1::2], strict=True)


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
