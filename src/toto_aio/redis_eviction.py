"""Whether a Redis drops keys that have not expired when its memory is full, and whether it has done so.

With any ``maxmemory-policy`` except ``noeviction`` it may drop what counts attempts to log in, or remembers
a nonce: then a locked login is open, and a copied request is accepted again. No command fails, so the server
has to be asked.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from redis.exceptions import ResponseError

from toto_aio.redis_connection import RedisLink

logger = logging.getLogger(__name__)

SAFE = "noeviction"
"""The one policy that drops nothing: a write that has no room fails."""
ADVICE = f"write maxmemory-policy {SAFE} in its configuration"
REMEMBERED = 86_400_000
"""Milliseconds for which the processes know how much the server had dropped when one of them last looked."""
SEEN = "toto:evicted:"
"""What the key begins with that they share, so that one of them reports what all of them see."""
EXCHANGE = """-- what was seen: the new value, the TTL (ms)
local seen = redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return seen
"""


class Evictions:
    """Looks for what servers drop. ``kept`` is what we keep there, and ``risk`` what its loss leads to.

    ``key`` is the one in which the processes share what they have seen.
    """

    def __init__(self, connection: RedisLink, key: str, *, kept: str, risk: str) -> None:
        self._connection = connection
        self._key = key
        self._kept = kept
        self._risk = risk
        self._policy: str | None = None
        self._seen = ""

    async def begin(self) -> None:
        """Warn if the server may drop keys, or if that cannot be read; what it has dropped so far is past."""
        facts = await self._facts()
        await self._warn(facts)
        self._seen = _position(facts)

    async def look(self) -> None:
        """Log an error if the server has dropped keys since the last look, of whichever process.

        Also warns if its policy has changed since.
        """
        facts = await self._facts()
        if not any(facts):
            return  # ``begin`` has said so
        await self._warn(facts)
        position = _position(facts)
        shared = await self._connection.call("EVAL", EXCHANGE, 1, self._key, position, REMEMBERED)
        dropped = _dropped(self._seen if shared is None else str(shared, "utf-8"), position)
        self._seen = position
        if dropped > 0:
            logger.error(
                "Redis has dropped %d keys because its memory is full; %s may be among them: %s; %s",
                dropped,
                self._kept,
                self._risk,
                ADVICE,
            )

    async def _warn(self, facts: Sequence[Mapping[str, str]]) -> None:
        policies = {each.get("maxmemory_policy", "") for each in facts}
        if "" in policies:
            policies = await self._configured()
        policy = min(policies, key=lambda each: (each == SAFE, each))  # the worst
        if policy == self._policy:
            return
        self._policy = policy
        if not policy:
            logger.warning(
                "cannot read whether Redis drops %s when its memory is full, which would mean: %s; "
                "%s, or permit INFO",
                self._kept,
                self._risk,
                ADVICE,
            )
        elif policy != SAFE:
            logger.warning(
                "Redis drops %s when its memory is full (maxmemory-policy %s): %s; %s",
                self._kept,
                policy,
                self._risk,
                ADVICE,
            )

    async def _facts(self) -> list[dict[str, str]]:
        """What each server says of itself."""
        try:
            return [parse_info(await server.read("INFO")) for server in await self._connection.primaries()]
        except ResponseError:
            return [{}]  # the user may not

    async def _configured(self) -> set[str]:
        """The policies by the other way to read them; "" stands for those that cannot be read."""
        policies: set[str] = set()
        for server in await self._connection.primaries():
            try:
                pair = await server.read("CONFIG", "GET", "maxmemory-policy")
            except ResponseError:
                pair = None
            policies.add(str(pair[1], "utf-8") if pair else "")
        return policies


def parse_info(text: bytes) -> dict[str, str]:
    """The fields of a reply to INFO."""
    lines = (line.partition(":") for line in text.decode(errors="replace").splitlines())
    return {name: value for name, colon, value in lines if colon}


def _position(facts: Sequence[Mapping[str, str]]) -> str:
    """How many keys have been dropped by which run of each server: its count begins again with each run."""
    return ",".join(f"{each.get('run_id', '')} {each.get('evicted_keys', 0)}" for each in facts)


def _dropped(before: str, after: str) -> int:
    """How many keys have been dropped from one position to another."""
    old = _counts(before)
    return sum(count - old.get(run, 0) for run, count in _counts(after).items())


def _counts(position: str) -> dict[str, int]:
    pairs = (each.rpartition(" ") for each in position.split(","))
    return {run: int(count or 0) for run, _, count in pairs}
