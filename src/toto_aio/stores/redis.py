"""``redis://host/0``: accounts and sessions in Redis.

A session is one string under ``toto:session:<key>``, which Redis drops when it has expired. The keys of an
account's sessions stand in a sorted set ``toto:sessions:<user id>``, by the time when they expire; that is
written before the session is, so that no session is missing there.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection, Connection, UnixDomainSocketConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelManagedConnection
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.maint_notifications import MaintNotificationsConfig

from toto_aio import redis_connection
from toto_aio.exceptions import Unavailable, UserIDExists
from toto_aio.models import Account, Session
from toto_aio.redis_connection import ERRORS, Argument, Link
from toto_aio.settings import SettingsError
from toto_aio.settings.urls import without_password
from toto_aio.stores import redis_records as records
from toto_aio.stores.redis_records import ACCOUNT, COUNTER, INDEX, SESSION, Script, milliseconds

logger = logging.getLogger(__name__)

INDEX_MARGIN = 60.0
"""Seconds that the index of an account outlives its last session, as it is written before that."""
SAFE = {
    "appendonly": (b"yes", "appendonly yes and appendfsync always"),
    "appendfsync": (b"always", "appendonly yes and appendfsync always"),
    "maxmemory-policy": (b"noeviction", "maxmemory-policy noeviction"),
}
"""How Redis is configured when it loses no account: by option its value, and what to write else."""
QUERY = {
    "client_name",
    *(
        f"ssl_{name}"
        for name in "ca_certs ca_path certfile keyfile password cert_reqs check_hostname".split()
    ),
}
"""What may stand behind the ``?`` of a URL."""


class RedisStore:
    """The store over a connection of its own; ``db`` is a ``redis.asyncio.Redis`` with a pool of its own."""

    def __init__(self, link: Link, db: Redis, *, owns_db: bool) -> None:
        self.db = db
        self._link = link
        self._owns_db = owns_db
        self._risks: list[str] = []

    @classmethod
    async def open(cls, url: str) -> RedisStore:
        pool = connection_pool(url)
        store = cls(Link(_template(pool)), Redis.from_pool(pool), owns_db=True)
        await store._begin(without_password(url))
        return store

    @classmethod
    async def over(cls, client: Redis) -> RedisStore:
        """The store on the server of a ready client, which is left open and becomes ``db``."""
        template = _template(client.connection_pool)
        of_one_server = isinstance(template, Connection | UnixDomainSocketConnection)
        if not of_one_server or isinstance(template, SentinelManagedConnection):
            raise SettingsError(
                f"database: cannot use a {type(template).__name__}; give a redis.asyncio.Redis of one server"
            )
        store = cls(Link(template), client, owns_db=False)
        await store._begin("of the client")
        return store

    async def close(self) -> None:
        await self._link.close()
        if self._owns_db:
            with suppress(*ERRORS):  # a server that is frozen does not answer TLS's good-bye
                await self.db.aclose()

    async def get_account(self, user_id: str) -> Account | None:
        async with _limited():
            value = await self._account(user_id)
            return None if value is None else records.unpack_account(user_id, value)

    async def add_account(self, account: Account) -> None:
        self._warn()
        value = records.pack_account(account)
        async with _limited():
            if not await self._link.call("SET", ACCOUNT + account.user_id, value, "NX"):
                raise UserIDExists

    async def update_account(self, user_id: str, changes: Mapping[str, Any]) -> bool:
        async with _limited():
            while (value := await self._account(user_id)) is not None:
                account = records.unpack_account(user_id, value)
                account.values.update(changes)
                if await self._replace(value, account):
                    return True
            return False

    async def replace_password(self, user_id: str, old: str, new: str) -> bool:
        async with _limited():
            while (value := await self._account(user_id)) is not None:
                account = records.unpack_account(user_id, value)
                if account.password != old:
                    return False
                account.password = new
                if await self._replace(value, account):
                    return True
            return False

    async def get_session(self, key: str) -> Session | None:
        try:
            value = await self._link.read("GET", SESSION + key)
        except ERRORS as exc:
            raise Unavailable from exc
        session = None if value is None else records.unpack_session(key, value)
        return session if session is not None and session.expires > time.time() else None

    async def add_session(self, session: Session) -> None:
        ttl = session.expires - time.time()
        if ttl > 0:
            value = records.pack_session(session)
            async with _limited():
                await self._note(session.user_id, session.key, session.expires)
                await self._link.call("SET", SESSION + session.key, value, "PX", milliseconds(ttl))

    async def save_session(self, session: Session) -> bool:
        versions = (records.pack_version(version) for version in (session.version, session.version + 1))
        async with _limited():
            key = SESSION + session.key
            return bool(await self._run(records.SAVE, key, *versions, session.state, time.time()))

    async def touch_session(self, key: str, expires: float, seen: float) -> bool:
        async with _limited():
            session = await self.get_session(key)
            if session is None:
                return False
            await self._note(session.user_id, key, expires)
            now = time.time()
            times = records.pack_times(expires, seen)
            return bool(
                await self._run(records.TOUCH, SESSION + key, now, times, milliseconds(expires - now))
            )

    async def list_sessions(self, user_id: str) -> list[Session]:
        async with _limited():
            keys = await self._session_keys(user_id)
            found = [session for session in await asyncio.gather(*map(self.get_session, keys)) if session]
        of_user = (session for session in found if session.user_id == user_id)
        return sorted(of_user, key=lambda session: session.created)

    async def remove_session(self, key: str) -> bool:
        async with _limited():
            value = await self._run(records.REMOVE, SESSION + key)
        if value is None:
            return False
        session = records.unpack_session(key, value)
        if session.user_id:
            # Should this be lost, the key is in nobody's way, and goes when the session would have expired.
            self._link.post("ZREM", INDEX + session.user_id, key)
        return session.expires > time.time()

    async def remove_sessions(self, user_id: str, keep: str | None = None) -> int:
        async with _limited():
            keys = [session.key for session in await self.list_sessions(user_id) if session.key != keep]
            return sum(await asyncio.gather(*map(self.remove_session, keys)))

    async def increment(self, key: str, ttl: float, by: int = 1) -> int:
        async with _limited():
            return int(await self._run(records.INCREMENT, COUNTER + key, by, milliseconds(ttl)))

    async def add_once(self, key: str, ttl: float) -> bool:
        async with _limited():
            if ttl <= 0:  # Redis sets no key that has expired already
                return not await self._link.read("EXISTS", COUNTER + key)
            return bool(await self._link.call("SET", COUNTER + key, 1, "NX", "PX", milliseconds(ttl)))

    async def sweep(self) -> int:
        return 0  # Redis drops by itself what has expired

    async def _account(self, user_id: str) -> bytes | None:
        self._warn()
        value: bytes | None = await self._link.read("GET", ACCOUNT + user_id)
        return value

    async def _replace(self, value: bytes, account: Account) -> bool:
        account.version += 1
        packed = records.pack_account(account)
        return bool(await self._run(records.REPLACE, ACCOUNT + account.user_id, value, packed))

    async def _note(self, user_id: str, key: str, expires: float) -> None:
        """Have a session in the index of its account. The anonymous ones, which would all meet, have none."""
        now = time.time()
        if user_id and expires > now:
            life = milliseconds(expires - now + INDEX_MARGIN)
            await self._run(records.NOTE, INDEX + user_id, key, expires, life, now)

    async def _session_keys(self, user_id: str) -> list[str]:
        """The keys of an account's sessions, or among others those of all that are anonymous."""
        if user_id:
            return [str(key, "utf-8") for key in await self._link.read("ZRANGE", INDEX + user_id, 0, -1)]
        keys: set[str] = set()
        cursor: bytes | int = 0
        while True:
            cursor, found = await self._link.read("SCAN", cursor, "MATCH", SESSION + "*", "COUNT", 1000)
            keys.update(str(key, "utf-8").removeprefix(SESSION) for key in found)
            if cursor == b"0":
                return list(keys)

    async def _run(self, script: Script, key: str, *arguments: Argument) -> Any:
        try:
            return await self._link.call("EVALSHA", script.sha, 1, key, *arguments)
        except ResponseError as exc:
            if not str(exc).startswith("NOSCRIPT"):
                raise
        return await self._link.call("EVAL", script.text, 1, key, *arguments)

    async def _begin(self, name: str) -> None:
        try:
            async with asyncio.timeout(redis_connection.OPERATION_LIMIT):
                await self._link.read("PING")
                self._risks = await self._find_risks()
        except ERRORS as exc:
            await self.close()
            raise Unavailable(f"Cannot open the database {name}: {str(exc) or 'no answer'}") from exc
        except BaseException:
            await self.close()
            raise

    async def _find_risks(self) -> list[str]:
        try:
            found = [await self._link.read("CONFIG", "GET", option) for option in SAFE]
        except ResponseError:
            return []  # who runs this Redis lets nobody see its configuration
        advice = (
            text
            for (value, text), pair in zip(SAFE.values(), found, strict=True)
            if pair and pair[1] != value
        )
        return list(dict.fromkeys(advice))

    def _warn(self) -> None:
        """Say once, when it turns out that this Redis holds accounts, how it can lose them."""
        while self._risks:
            logger.warning(
                "accounts in Redis can be lost: write %s into its configuration", self._risks.pop(0)
            )


def connection_pool(url: str) -> ConnectionPool:
    """The pool for a URL; a bare ``redis`` means ``redis://localhost:6379/0``. Raises ``SettingsError``."""
    try:
        parts = urlsplit(url if "://" in url else f"{url}://")
        options: dict[str, Any] = {**parse_url(parts.geturl())}
        strange = set(parse_qs(parts.query, keep_blank_values=True)) - QUERY
        if strange or parts.fragment or not (parts.path[1:].isdecimal() or parts.path in ("", "/")):
            raise ValueError
        pool = ConnectionPool(
            **options,
            socket_timeout=redis_connection.OPERATION_LIMIT,
            socket_connect_timeout=redis_connection.CONNECT_LIMIT,
            retry=Retry(NoBackoff(), 0),  # a command that is sent again may count twice
            # With these, redis-py does not look whether a connection has ended while it was idle.
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
        _template(pool)
    except (ValueError, TypeError, RedisError):
        # Without its cause, which may quote the password.
        raise SettingsError(
            f"database: cannot open {without_password(url)!r}; write "
            "redis://user:password@host:6379/0, in the password %23, %2F, %3F and %40 for #, /, ? and @, "
            f"and behind a ? only {', '.join(sorted(QUERY))}"
        ) from None
    return pool


def _template(pool: ConnectionPool) -> AbstractConnection:
    connection: AbstractConnection = pool.make_connection()  # type: ignore[no-untyped-call]
    return connection


@asynccontextmanager
async def _limited() -> AsyncIterator[None]:
    """A time limit for all that is inside, and ``Unavailable`` for what goes wrong there."""
    try:
        async with asyncio.timeout(redis_connection.OPERATION_LIMIT):
            yield
    except ERRORS as exc:
        raise Unavailable from exc
