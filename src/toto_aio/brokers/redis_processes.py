"""Which processes of a deployment are alive: each has one heartbeat in Redis, however many clients it has.

Ages are measured by the clock of Redis. A process whose last beat is older than ``DEAD_AFTER`` is dead, and
never alive again under its id: if it was only frozen, it goes on under another. So what is done to the dead
one cannot meet the living. While Redis was away nobody could beat, so a process that has missed beats of its
own takes nobody for dead until all have had the time for one.
"""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from toto_aio.exceptions import described
from toto_aio.redis_connection import ERRORS, RedisLink
from toto_aio.redis_script import Script

logger = logging.getLogger(__name__)

BEAT = 3.0
"""Seconds between two beats."""
DEAD_AFTER = 8.0
"""Seconds without a beat after which a process is dead."""
MISSED = 5.0
"""Seconds between two own beats after which others may have been kept from theirs, too."""
FRESH = BEAT + 1
"""Seconds for which what was seen of the others is good enough to say who is present."""
FORGOTTEN = 60.0
"""Seconds after which nothing is left of a process."""
MIN_PAUSE, RETRY_PAUSE = 0.2, 0.5
"""Seconds between two looks at least, and after one that has failed."""
PROCESSES = "toto:processes"

LOOK = Script("""-- key: the processes; arguments: this one or '', whether it has beaten before, and the
-- milliseconds after which a process is dead, and is forgotten
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local age = -1
if ARGV[1] ~= '' then
  local before = redis.call('ZSCORE', KEYS[1], ARGV[1])
  if before then age = now - before end
  if ARGV[2] == '1' and (age < 0 or age > tonumber(ARGV[3])) then
    redis.call('ZREM', KEYS[1], ARGV[1])
    return {'dead'}
  end
  redis.call('ZADD', KEYS[1], now, ARGV[1])
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[4])
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
local found = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for n = 2, #found, 2 do found[n] = now - found[n] end
return {age, found}
""")


class Processes:
    """The processes, as this one sees them.

    ``bury`` is called with each that has died, and ``put_back`` when others may have buried this one or Redis
    has lost what was in it: with True if others were told that its clients have left.
    """

    def __init__(
        self, link: RedisLink, prefix: str, bury: Callable[[str], None], put_back: Callable[[bool], None]
    ) -> None:
        self.own = _new_id()
        """The id of this process, until it was dead."""
        self._link = link
        self._key = f"{prefix}{PROCESSES}"
        self._bury = bury
        self._put_back = put_back
        self._has_beaten = False
        self._seen: dict[str, float] = {}
        """When each has beaten last, on the clock of the loop."""
        self._known: set[str] = set()
        """Those that were alive, and have not been buried."""
        self._runs: set[bytes] = set()
        """The runs of the servers that were seen last."""
        self._loop = asyncio.get_running_loop()
        self._looked = self._patient_until = float("-inf")
        self._turn = asyncio.Lock()

    async def look(self, *, beats: bool = True) -> None:
        """See who is alive, and beat. Raises one of ``ERRORS``."""
        async with self._turn:
            reply = await self._ask(beats)
            was_dead = reply[0] == b"dead"
            if was_dead:
                self.own, self._has_beaten = _new_id(), False
                reply = await self._ask(beats)
            self._has_beaten = self._has_beaten or beats
            age, found = reply
            now = self._looked = self._loop.time()
            if was_dead or age > MISSED * 1000:
                self._patient_until = now + DEAD_AFTER
            ids, ages = found[::2], found[1::2]
            self._seen = {each.decode(): now - ms / 1000 for each, ms in zip(ids, ages, strict=True)}
            has_restarted = beats and await self._has_restarted()
        if was_dead or has_restarted:
            self._put_back(not has_restarted)
        self._known.update(filter(self._is_alive, self._seen))
        for process in [each for each in self._known if not self._is_alive(each)]:
            self._known.discard(process)
            self._bury(process)

    async def run(self) -> None:
        """Look again and again, until cancelled: when the next beat is due, or when another would be dead."""
        while True:
            now = self._loop.time()
            next_death = min((self._seen[each] for each in self._known if each in self._seen), default=now)
            pause = max(min(BEAT, next_death + DEAD_AFTER + 0.01 - now), MIN_PAUSE)
            await asyncio.sleep(pause)
            while True:
                try:
                    await self.look()
                    break
                except ERRORS as exc:
                    logger.debug("no beat: %s", described(exc))
                await asyncio.sleep(RETRY_PAUSE * random.uniform(0.5, 1))  # noqa: S311  # not a secret

    async def alive(self, processes: Iterable[str]) -> list[str]:
        """Those that are. Raises one of ``ERRORS``."""
        asked = list(processes)
        is_fresh = self._loop.time() - self._looked < FRESH
        if not is_fresh or any(each not in self._seen for each in asked):
            await self.look(beats=self._has_beaten)
        return [each for each in asked if self._is_alive(each)]

    async def end(self) -> None:
        """Be dead at once. Raises one of ``ERRORS``."""
        await self._link.call("ZREM", self._key, self.own)

    def _is_alive(self, process: str) -> bool:
        now = self._loop.time()
        if process == self.own or now < self._patient_until:
            return True
        return process in self._seen and now - self._seen[process] <= DEAD_AFTER

    async def _ask(self, beats: bool) -> Any:
        own = (self.own, int(self._has_beaten)) if beats else ("", 0)
        limits = (int(DEAD_AFTER * 1000), int(FORGOTTEN * 1000))
        return await LOOK.run(self._link.call, 1, self._key, *own, *limits)

    async def _has_restarted(self) -> bool:
        """Whether a server is another run than before, so that it may have lost clients that were in it.

        In a cluster that may be another server than the one that has the heartbeats.
        """
        try:
            servers = await self._link.primaries()
        except ERRORS:
            return False
        answers = await asyncio.gather(
            *(each.call_in_run("PING") for each in servers), return_exceptions=True
        )
        runs = {each for each in answers if isinstance(each, bytes)}
        before = self._runs
        self._runs = runs if len(runs) == len(servers) else runs | before
        return bool(before) and not runs <= before


def _new_id() -> str:
    return uuid.uuid4().hex
