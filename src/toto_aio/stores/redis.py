"""``redis://host/0``: accounts and sessions in Redis: in one server, by Sentinel, or in a cluster.

A session is one string, ``toto:session:<key>``, which Redis drops when it expires. The sorted set
``toto:sessions:<user id>`` is the index of an account: it has the keys of the account's sessions, ordered by
the time at which they expire. It is written before the session, so no session is missing from it. The sorted
set ``toto:accounts`` has the user ids of all accounts, and "" once those of earlier versions have been added.
``redis_records`` says how records are kept.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import suppress
from heapq import nlargest
from typing import Any

from toto_aio import redis_connection
from toto_aio.exceptions import Unavailable, UserIDExists
from toto_aio.models import Account, Session
from toto_aio.redis_connection import ERRORS, RedisLink
from toto_aio.redis_eviction import SEEN, Evictions
from toto_aio.redis_target import RedisTarget, redis_target
from toto_aio.stores import portions
from toto_aio.stores import redis_format as form
from toto_aio.stores.redis_durability import account_risk
from toto_aio.stores.redis_format import ACCOUNT, ACCOUNTS, COUNTER, INDEX, SESSION
from toto_aio.stores.redis_operations import limited, milliseconds, run, scan
from toto_aio.stores.redis_records import RedisRecords
from toto_aio.stores.transactions import NoTransactions

logger = logging.getLogger(__name__)

INDEX_MARGIN = 60.0
"""Seconds for which an account's index outlives its last session, as the index is written first."""


async def from_url(url: str) -> RedisStore:
    """Return the store at a URL; ``db`` is a client of redis-py with a pool of its own."""
    return await _open(redis_target(url, "database"), owns_db=True)


async def from_client(client: Any) -> RedisStore:
    """Return the store on the servers of a ready client, which stays open and becomes ``db``."""
    return await _open(redis_target(client, "database"), owns_db=False)


async def _open(target: RedisTarget, *, owns_db: bool) -> RedisStore:
    store = RedisStore(target, owns_db=owns_db)
    await store.prepare()
    return store


class RedisStore(RedisRecords):
    """The store over one connection; ``db`` is closed with it if the store owns it."""

    transactions = NoTransactions(
        "Redis cannot roll back: use handler.connection.db.pipeline(transaction=True), or keep your tables "
        "in another database, and the sessions in Redis (session_store)"
    )

    def __init__(self, target: RedisTarget, *, owns_db: bool) -> None:
        super().__init__(target.link(False), target.prefix)
        self.db = target.client()
        self._target = target
        self._account, self._accounts, self._session, self._index, self._counter = (
            target.prefix + kind for kind in (ACCOUNT, ACCOUNTS, SESSION, INDEX, COUNTER)
        )
        self._owns_db = owns_db
        self._account_risk = ""
        self._evictions = Evictions(
            self._connection,
            f"{target.prefix}{SEEN}store",
            kept="sessions, counts, nonces and records that expire, and with an allkeys policy accounts",
            risk="users are logged out, locked logins are open, copied signed requests are accepted again",
        )

    async def prepare(self) -> None:
        """Check that the servers can be reached, and how they can lose data; else close the store."""
        try:
            async with asyncio.timeout(redis_connection.OPERATION_LIMIT):
                for server in await self._connection.primaries():
                    await server.read("PING")
                    self._account_risk = self._account_risk or await account_risk(server)
                await self._evictions.begin()
        except ERRORS as exc:
            await self.close()
            raise Unavailable(
                f"Cannot open the database {self._target.name}: {str(exc) or 'no answer'}"
            ) from exc
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        await self._connection.close()
        if self._owns_db:
            with suppress(*ERRORS):  # a frozen server does not answer the closing of TLS
                await self.db.aclose()
        with suppress(*ERRORS):
            await self._target.close()

    async def get_account(self, user_id: str) -> Account | None:
        async with limited():
            return await self._find_account(user_id)

    async def add_account(self, account: Account) -> None:
        self._warn_of_account_risk()
        value = form.pack_account(account)
        async with limited():
            await self._connection.call("ZADD", self._accounts, 0, account.user_id)
            if not await self._connection.call("SET", self._account + account.user_id, value, "NX"):
                raise UserIDExists
            # Again, if the account was removed from the index in between.
            self._connection.send_and_forget("ZADD", self._accounts, 0, account.user_id)

    async def update_account(self, user_id: str, changes: Mapping[str, Any]) -> bool:
        async with limited():
            while (value := await self._read_account(user_id)) is not None:
                account = form.unpack_account(user_id, value)
                account.values.update(changes)
                if await self._replace(value, account):
                    return True
            return False

    async def replace_password(self, user_id: str, old: str | None, new: str) -> bool:
        async with limited():
            while (value := await self._read_account(user_id)) is not None:
                account = form.unpack_account(user_id, value)
                if account.password != old:
                    return False
                account.password = new
                if await self._replace(value, account):
                    return True
            return False

    async def remove_account(self, user_id: str) -> bool:
        async with limited():
            existed = bool(await self._connection.call("DEL", self._account + user_id))
            await self._connection.call("ZREM", self._accounts, user_id)
            if await self._connection.read("EXISTS", self._account + user_id):  # it has just been added again
                await self._connection.call("ZADD", self._accounts, 0, user_id)
            return existed

    async def list_accounts(self, after: str, limit: int) -> list[Account]:
        self._warn_of_account_risk()
        await self._index_accounts()
        found: list[Account] = []
        async with limited():
            while wanted := limit - len(found):
                member = f"({after}"
                names = await self._connection.read(
                    "ZRANGEBYLEX", self._accounts, member, "+", "LIMIT", 0, wanted
                )
                user_ids = [str(name, "utf-8") for name in names]
                found += [
                    account for account in await asyncio.gather(*map(self._find_account, user_ids)) if account
                ]
                if len(user_ids) < wanted:
                    break
                after = user_ids[-1]
        return found

    async def get_session(self, key: str) -> Session | None:
        try:
            value = await self._connection.read("GET", self._session + key)
        except ERRORS as exc:
            raise Unavailable from exc
        session = None if value is None else form.unpack_session(key, value)
        return session if session is not None and session.expires > time.time() else None

    async def add_session(self, session: Session) -> None:
        ttl = session.expires - time.time()
        if ttl > 0:
            value = form.pack_session(session)
            async with limited():
                await self._add_to_index(session.user_id, session.key, session.expires)
                await self._connection.call(
                    "SET", self._session + session.key, value, "PX", milliseconds(ttl)
                )

    async def save_session(self, session: Session) -> bool:
        versions = (form.pack_version(version) for version in (session.version, session.version + 1))
        async with limited():
            key = self._session + session.key
            return bool(await run(self._connection, form.SAVE, key, *versions, session.state, time.time()))

    async def touch_session(self, key: str, expires: float, seen: float) -> bool:
        async with limited():
            session = await self.get_session(key)
            if session is None:
                return False
            await self._add_to_index(session.user_id, key, expires)
            now = time.time()
            times = form.pack_times(expires, seen)
            return bool(
                await run(
                    self._connection, form.TOUCH, self._session + key, now, times, milliseconds(expires - now)
                )
            )

    async def list_sessions(self, user_id: str, limit: int = 1000) -> list[Session]:
        async with limited():
            if user_id:
                members = await self._connection.read("ZREVRANGE", self._index + user_id, 0, limit - 1)
                found = await self._heads(str(member, "utf-8") for member in members)
            else:
                anonymous = [each async for keys in self._portions("") for each in await self._heads(keys)]
                found = nlargest(limit, (each for each in anonymous if not each.user_id), key=_expires)
        return sorted(found, key=_created)

    async def surplus_sessions(self, user_id: str, most: int, keep: str) -> list[str]:
        index = self._index + user_id
        async with limited():
            total = await self._connection.read("ZCARD", index)
            if total - 1 <= most:
                return []
            keys = [
                str(key, "utf-8")
                for key in await self._connection.read("ZRANGE", index, 0, portions.PORTION - 1)
            ]
            others = sorted((each for each in await self._heads(keys) if each.key != keep), key=_created)
        surplus = len(others) + total - len(keys) - most
        return [session.key for session in others[: max(0, min(surplus, portions.SURPLUS))]]

    async def remove_session(self, key: str) -> bool:
        async with limited():
            value = await run(self._connection, form.REMOVE, self._session + key)
        if value is None:
            return False
        session = form.unpack_session(key, value)
        if session.user_id:
            # If this is lost, the entry does no harm, and is dropped when the session would have expired.
            self._connection.send_and_forget("ZREM", self._index + session.user_id, key)
        return session.expires > time.time()

    async def remove_sessions(self, user_id: str, keep: str | None = None) -> int:
        ended = 0
        async for keys in self._portions(user_id):
            async with limited():
                if not user_id:
                    keys = [session.key for session in await self._heads(keys) if not session.user_id]
                ended += await self._remove_portion(user_id, [key for key in keys if key != keep])
        return ended

    async def increment(self, key: str, ttl: float, by: int = 1) -> int:
        async with limited():
            return int(
                await run(self._connection, form.INCREMENT, self._counter + key, by, milliseconds(ttl))
            )

    async def get_counter(self, key: str) -> tuple[int, float]:
        async with limited():
            count, left = await asyncio.gather(
                self._connection.read("GET", self._counter + key),
                self._connection.read("PTTL", self._counter + key),
            )
        return (int(count), left / 1000) if count is not None and left > 0 else (0, 0.0)

    async def add_once(self, key: str, ttl: float) -> bool:
        async with limited():
            if ttl <= 0:  # Redis does not set a key that has already expired
                return not await self._connection.read("EXISTS", self._counter + key)
            return bool(
                await self._connection.call("SET", self._counter + key, 1, "NX", "PX", milliseconds(ttl))
            )

    async def sweep(self) -> int:
        """Redis drops what has expired. See whether it has dropped more than that."""
        async with limited():
            await self._evictions.look()
        return 0

    async def _read_account(self, user_id: str) -> bytes | None:
        self._warn_of_account_risk()
        value: bytes | None = await self._connection.read("GET", self._account + user_id)
        return value

    async def _find_account(self, user_id: str) -> Account | None:
        value = await self._read_account(user_id)
        return None if value is None else form.unpack_account(user_id, value)

    async def _replace(self, value: bytes, account: Account) -> bool:
        account.version += 1
        packed = form.pack_account(account)
        return bool(await run(self._connection, form.REPLACE, self._account + account.user_id, value, packed))

    async def _add_to_index(self, user_id: str, key: str, expires: float) -> None:
        """Add a session to its account's index. Anonymous sessions have none, as they would all share it."""
        now = time.time()
        if user_id and expires > now:
            ttl = milliseconds(expires - now + INDEX_MARGIN)
            await run(self._connection, form.ADD_TO_INDEX, self._index + user_id, key, expires, ttl, now)

    async def _portions(self, user_id: str) -> AsyncIterator[list[str]]:
        """The keys of an account's sessions; for the user id "" those of all sessions there are."""
        if user_id:
            members = scan(self._connection, "ZSCAN", self._index + user_id)
            async for found in members:
                yield found[::2]  # the others are scores
            return
        for server in await self._servers():
            async for found in scan(server, "SCAN", pattern=self._session + "*"):
                yield [name.removeprefix(self._session) for name in found]

    async def _servers(self) -> Sequence[RedisLink]:
        async with limited():
            return await self._connection.primaries()

    async def _heads(self, keys: Iterable[str]) -> list[Session]:
        """The sessions of these keys, if they have not expired, without their states."""

        async def head(key: str) -> Session | None:
            value = await self._connection.read("GETRANGE", self._session + key, 0, form.HEAD - 1)
            return form.unpack_session(key, value, with_state=False) if value else None

        now = time.time()
        found = await asyncio.gather(*map(head, keys))
        return [session for session in found if session is not None and session.expires > now]

    async def _remove_portion(self, user_id: str, keys: Sequence[str]) -> int:
        removals = (self._connection.call("UNLINK", self._session + key) for key in keys)
        removed = [key for key, count in zip(keys, await asyncio.gather(*removals), strict=True) if count]
        if removed and user_id:  # an entry without a session may be that of one which is just being added
            self._connection.send_and_forget("ZREM", self._index + user_id, *removed)
        return len(removed)

    async def _index_accounts(self) -> None:
        """Index the accounts of versions before 0.2.0, which had no index. Each step is short."""
        async with limited():
            if await self._connection.read("ZSCORE", self._accounts, "") is not None:
                return
        for server in await self._servers():
            async for found in scan(server, "SCAN", pattern=self._account + "*"):
                scored = [part for name in found for part in (0, name.removeprefix(self._account))]
                if scored:
                    async with limited():
                        await self._connection.call("ZADD", self._accounts, *scored)
        async with limited():
            await self._connection.call("ZADD", self._accounts, 0, "")

    def _warn_of_account_risk(self) -> None:
        """Warn once how this Redis can lose accounts, when it turns out to hold any."""
        if self._account_risk:
            logger.warning("accounts in Redis %s appendonly yes and appendfsync always", self._account_risk)
            self._account_risk = ""


def _created(session: Session) -> float:
    return session.created


def _expires(session: Session) -> float:
    return session.expires
