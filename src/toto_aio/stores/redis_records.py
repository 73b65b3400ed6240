"""Records in Redis, each a hash ``toto:record:<kind>:<key>``, which Redis drops when it expires.

The sorted set ``toto:records:<kind>:<owner>`` is an index: it has the keys of an owner's records of a kind,
ordered by the time at which they expire, and ``toto:kinds:<owner>`` has the kinds. An index is written before
the record, so that none is missing from it, and may have entries without a record, which do no harm. Each
script touches one key, so that it can run in a cluster.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

from toto_aio.models import NEVER, Record
from toto_aio.redis_connection import Argument, RedisLink
from toto_aio.redis_script import Script
from toto_aio.stores.records import in_store
from toto_aio.stores.redis_operations import limited, milliseconds, run, scan

RECORD, RECORDS, KINDS = "toto:record:", "toto:records:", "toto:kinds:"
INDEX_MARGIN = 60
"""Seconds for which an index outlives its last record, as it is written first."""

WRITE = """
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HINCRBY', KEYS[1], 'version', 1)
else redis.call('HSET', KEYS[1], 'version', ARGV[6]) end
redis.call('HSET', KEYS[1], 'owner', ARGV[2], 'value', ARGV[3], 'expires', ARGV[4])
if ARGV[5] == '' then redis.call('PERSIST', KEYS[1]) else redis.call('PEXPIRE', KEYS[1], ARGV[5]) end
return 1
"""
ADD = Script(
    """-- a record: now, the owner, the value, when it expires, its TTL (ms) or '', its version
local expires = redis.call('HGET', KEYS[1], 'expires')
if expires and tonumber(expires) > tonumber(ARGV[1]) then return 0 end
redis.call('DEL', KEYS[1])"""
    + WRITE
)
PUT = Script(
    """-- a record: now, the owner, the value, when it expires, its TTL (ms) or '', its version
local expires = redis.call('HGET', KEYS[1], 'expires')
if expires and tonumber(expires) <= tonumber(ARGV[1]) then redis.call('DEL', KEYS[1]) end"""
    + WRITE
)
SAVE = Script(
    """-- a record: now, its owner, the value, when it expires, its TTL (ms) or '', its version
local found = redis.call('HMGET', KEYS[1], 'expires', 'version', 'owner')
if not found[1] or tonumber(found[1]) <= tonumber(ARGV[1]) or found[2] ~= ARGV[6] then return 0 end
if found[3] ~= ARGV[2] then return 0 end"""
    + WRITE
)
REMOVE = Script("""-- a record: now, the version or '', the owner or ''
local found = redis.call('HMGET', KEYS[1], 'expires', 'version', 'owner')
if not found[1] or tonumber(found[1]) <= tonumber(ARGV[1]) then return false end
if ARGV[2] ~= '' and found[2] ~= ARGV[2] then return false end
if ARGV[3] ~= '' and found[3] ~= ARGV[4] then return false end
redis.call('DEL', KEYS[1])
return found[3]
""")
ADD_TO_INDEX = Script("""-- an index: the member, when it expires, now, when nothing expires, the margin (ms)
local known = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not known or tonumber(known) < tonumber(ARGV[2]) then redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1]) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[3])
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]
if not last then return 0 end
if tonumber(last) >= tonumber(ARGV[4]) then
  redis.call('PERSIST', KEYS[1])
else
  local ttl = (tonumber(last) - tonumber(ARGV[3])) * 1000 + tonumber(ARGV[5])
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ttl))
end
return 1
""")


class RedisRecords:
    """The ``RecordStore`` of the Redis store."""

    def __init__(self, connection: RedisLink, prefix: str) -> None:
        self._connection = connection
        self._record, self._records, self._kinds = (prefix + kind for kind in (RECORD, RECORDS, KINDS))

    async def get_record(self, kind: str, key: str) -> Record | None:
        async with limited():
            return await self._find_record(kind, key)

    async def add_record(self, record: Record) -> bool:
        return await self._write(ADD, record)

    async def put_record(self, record: Record) -> None:
        await self._write(PUT, record)

    async def save_record(self, record: Record) -> bool:
        return await self._write(SAVE, record)

    async def remove_record(self, kind: str, key: str, version: int | None = None) -> bool:
        only = "" if version is None else version
        async with limited():
            owner = await run(
                self._connection, REMOVE, self._record + in_store(kind, key), time.time(), only, "", ""
            )
            if owner is None:
                return False
            index = self._records + in_store(kind, str(owner, "utf-8"))
            await self._connection.call("ZREM", index, key)
            record = await self._find_record(kind, key)
            if record is not None:  # it has just been added again
                await self._add_to_indexes(record)
            return True

    async def list_records(self, owner: str, kind: str, after: str = "", limit: int = 100) -> list[Record]:
        index, begin = self._records + in_store(kind, owner), after.encode()
        found: list[Record] = []
        async with limited():
            members = await self._connection.read("ZRANGEBYSCORE", index, f"({time.time()}", "+inf")
            # Redis has the order of their bytes only for equal scores.
            keys = sorted(bytes(member) for member in members if bytes(member) > begin)
            while keys and len(found) < limit:
                portion, keys = keys[: limit - len(found)], keys[limit - len(found) :]
                records = await asyncio.gather(
                    *(self._find_record(kind, str(key, "utf-8")) for key in portion)
                )
                found += [record for record in records if record is not None and record.owner == owner]
        return found

    async def remove_records(self, owner: str, kind: str | None = None) -> int:
        removed = 0
        for each in await self._kinds_of(owner) if kind is None else [kind]:
            async for keys in self._keys_of(owner, each):
                async with limited():
                    removed += await self._remove_own(owner, each, keys)
        return removed

    async def _kinds_of(self, owner: str) -> list[str]:
        async with limited():
            kinds = await self._connection.read("ZRANGE", self._kinds + owner, 0, -1)
        return [str(kind, "utf-8") for kind in kinds]

    async def _keys_of(self, owner: str, kind: str) -> AsyncIterator[list[str]]:
        async for found in scan(self._connection, "ZSCAN", self._records + in_store(kind, owner)):
            yield found[::2]  # the others are scores

    async def _remove_own(self, owner: str, kind: str, keys: Sequence[str]) -> int:
        now = time.time()
        removals = (
            run(self._connection, REMOVE, self._record + in_store(kind, key), now, "", "owner", owner)
            for key in keys
        )
        outcomes = await asyncio.gather(*removals)
        return sum(outcome is not None for outcome in outcomes)

    async def _write(self, script: Script, record: Record) -> bool:
        """Write the record after its entry in the indexes, and the entry once more.

        A removal of the same key, which takes both, may just have been between the two.
        """
        now = time.time()
        ttl = "" if record.expires >= NEVER else milliseconds(record.expires - now)
        values = now, record.owner, record.value, repr(float(record.expires)), ttl, record.version
        name = self._record + in_store(record.kind, record.key)
        async with limited():
            await self._add_to_indexes(record)
            written = await run(self._connection, script, name, *values)
            if written:
                for index, *entry in self._entries(record):
                    self._connection.send_and_forget("EVALSHA", ADD_TO_INDEX.sha, 1, index, *entry)
            return bool(written)

    async def _add_to_indexes(self, record: Record) -> None:
        entries = self._entries(record)
        await asyncio.gather(*(run(self._connection, ADD_TO_INDEX, *entry) for entry in entries))

    def _entries(self, record: Record) -> Sequence[tuple[str, *tuple[Argument, ...]]]:
        """Each index that the record is in, with the other values of ``ADD_TO_INDEX``."""
        if not record.owner:  # all that belong to nobody would share an index
            return []
        values = record.expires, time.time(), NEVER, INDEX_MARGIN * 1000
        return [
            (self._records + in_store(record.kind, record.owner), record.key, *values),
            (self._kinds + record.owner, record.kind, *values),
        ]

    async def _find_record(self, kind: str, key: str) -> Record | None:
        owner, value, expires, version = await self._connection.read(
            "HMGET", self._record + in_store(kind, key), "owner", "value", "expires", "version"
        )
        if version is None or float(expires) <= time.time():
            return None
        return Record(kind, key, str(owner, "utf-8"), bytes(value), float(expires), int(version))
