"""Accounts and sessions in an SQL database: every statement is written once, for all databases.

A database adds a ``Driver``, which sends statements, and a ``Dialect``, which has what is specific to its
SQL. Statements have ``?`` as the placeholder. None needs a transaction, so nothing is left open when a call
is cancelled between two of them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from toto_aio.codecs import encode_json
from toto_aio.codecs.json_codec import read_json
from toto_aio.exceptions import Unavailable, UserIDExists
from toto_aio.models import Account, Session
from toto_aio.stores import portions
from toto_aio.stores.coalesce import Coalescer
from toto_aio.stores.sql.dialect import Dialect
from toto_aio.stores.sql.driver import Driver, DuplicateKeyError, Row
from toto_aio.stores.sql.pool import Pool
from toto_aio.stores.sql.records import SQLRecords
from toto_aio.stores.sql.schema import create_schema
from toto_aio.stores.transactions import Transactions

GET_ACCOUNT = "SELECT user_id, password, extra, version FROM toto_accounts WHERE user_id = ?"
ADD_ACCOUNT = "INSERT INTO toto_accounts (user_id, password, extra, version) VALUES (?, ?, ?, ?)"
UPDATE_ACCOUNT = """UPDATE toto_accounts SET extra = ?, version = version + 1
    WHERE user_id = ? AND version = ?"""
REPLACE_PASSWORD = """UPDATE toto_accounts SET password = ?, version = version + 1
    WHERE user_id = ? AND COALESCE(password, '') = ?"""
REMOVE_ACCOUNT = "DELETE FROM toto_accounts WHERE user_id = ?"
LIST_ACCOUNTS = """SELECT user_id, password, extra, version FROM toto_accounts WHERE user_id > ?
    ORDER BY user_id LIMIT ?"""
_SESSION = "session_key, user_id, created, expires, state, version, signing_key, seen, address, agent"
GET_SESSIONS = f"SELECT {_SESSION} FROM toto_sessions WHERE expires > ? AND session_key"
ADD_SESSION = f"INSERT INTO toto_sessions ({_SESSION}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
SAVE_SESSION = """UPDATE toto_sessions SET state = ?, version = version + 1
    WHERE session_key = ? AND version = ? AND expires > ?"""
TOUCH_SESSION = "UPDATE toto_sessions SET expires = ?, seen = ? WHERE session_key = ? AND expires > ?"
LIST_SESSIONS = """SELECT session_key, user_id, created, expires, version, signing_key, seen, address, agent
    FROM toto_sessions WHERE user_id = ? AND expires > ? ORDER BY expires DESC LIMIT ?"""
SURPLUS_SESSIONS = """SELECT session_key FROM toto_sessions
    WHERE user_id = ? AND session_key <> ? AND expires > ?
    ORDER BY created DESC, session_key LIMIT ? OFFSET ?"""
REMOVE_SESSION = "DELETE FROM toto_sessions WHERE session_key = ? AND expires > ?"
GET_COUNTER = "SELECT count, expires FROM toto_counters WHERE counter_key = ? AND expires > ?"
OTHER_SESSIONS = "user_id = ? AND session_key <> ? AND expires > ?"


class SQLStore(SQLRecords):
    """The store over a driver. ``db`` is the driver's client or pool for methods.

    ``transactions`` are methods' too. ``pool`` has the store's own connections, if it opened any pool.
    """

    def __init__(
        self,
        driver: Driver,
        dialect: Dialect,
        db: Any,
        transactions: Transactions,
        pool: Pool[Any] | None = None,
    ) -> None:
        super().__init__(driver, dialect)
        self.db = db
        self.pool = pool
        self.transactions = transactions
        self._dialect = dialect
        self._sessions = Coalescer(self._read_sessions)
        self._increment = dialect.increment()
        self._sweeps = dialect.sweeps()
        self._remove_portion = dialect.delete_portion("toto_sessions", "session_key", OTHER_SESSIONS)

    async def prepare(self, name: str) -> None:
        """Bring the tables of the database ``name`` to the newest version. If that fails, close the store."""
        try:
            await create_schema(self._driver, self._dialect)
        except BaseException as exc:
            await self.close()
            if isinstance(exc, Unavailable):
                raise Unavailable(f"Cannot open the database {name}: {exc.__cause__ or exc}") from exc
            raise

    async def close(self) -> None:
        await self.transactions.close()
        await self._driver.close()
        await self._sessions.finish()

    async def get_account(self, user_id: str) -> Account | None:
        rows = await self._driver.fetch(GET_ACCOUNT, user_id)
        return _account(rows[0]) if rows else None

    async def add_account(self, account: Account) -> None:
        extra = _pack_values(account.values)
        try:
            await self._driver.execute(ADD_ACCOUNT, account.user_id, account.password, extra, account.version)
        except DuplicateKeyError as exc:
            raise UserIDExists from exc

    async def update_account(self, user_id: str, changes: Mapping[str, Any]) -> bool:
        for _ in range(100):  # each time another writer comes first
            account = await self.get_account(user_id)
            if account is None:
                return False
            extra = _pack_values({**account.values, **changes})
            if await self._driver.execute(UPDATE_ACCOUNT, extra, user_id, account.version):
                return True
        raise Unavailable

    async def replace_password(self, user_id: str, old: str | None, new: str) -> bool:
        return await self._driver.execute(REPLACE_PASSWORD, new, user_id, old or "") == 1

    async def remove_account(self, user_id: str) -> bool:
        return await self._driver.execute(REMOVE_ACCOUNT, user_id) == 1

    async def list_accounts(self, after: str, limit: int) -> list[Account]:
        return [_account(row) for row in await self._driver.fetch(LIST_ACCOUNTS, after, limit)]

    async def get_session(self, key: str) -> Session | None:
        row = await self._sessions.get(key)
        return None if row is None else Session(*row)

    async def add_session(self, session: Session) -> None:
        await self._driver.execute(
            ADD_SESSION,
            session.key,
            session.user_id,
            session.created,
            session.expires,
            session.state,
            session.version,
            session.signing_key,
            session.seen,
            session.address,
            session.agent,
        )

    async def save_session(self, session: Session) -> bool:
        saved = await self._driver.execute(
            SAVE_SESSION, session.state, session.key, session.version, time.time()
        )
        return saved == 1

    async def touch_session(self, key: str, expires: float, seen: float) -> bool:
        return await self._driver.execute(TOUCH_SESSION, expires, seen, key, time.time()) == 1

    async def list_sessions(self, user_id: str, limit: int = 1000) -> list[Session]:
        rows = await self._driver.fetch(LIST_SESSIONS, user_id, time.time(), limit)
        sessions = (Session(*(*row[:4], b"", *row[4:])) for row in rows)
        return sorted(sessions, key=lambda session: session.created)

    async def surplus_sessions(self, user_id: str, most: int, keep: str) -> list[str]:
        values = user_id, keep, time.time(), portions.SURPLUS, most
        rows = await self._driver.fetch(SURPLUS_SESSIONS, *values)
        return [row[0] for row in rows]

    async def remove_session(self, key: str) -> bool:
        return await self._driver.execute(REMOVE_SESSION, key, time.time()) == 1

    async def remove_sessions(self, user_id: str, keep: str | None = None) -> int:
        ended = 0
        while True:
            portion = await self._driver.execute(self._remove_portion, user_id, keep or "", time.time())
            ended += portion
            if portion < portions.PORTION:
                return ended

    async def increment(self, key: str, ttl: float, by: int = 1) -> int:
        now = time.time()
        expires = now + ttl
        first = max(by, 0)
        rows = await self._driver.change(
            self._increment, key, first, expires, now, first, by, by, now, expires
        )
        return int(rows[0][0])

    async def get_counter(self, key: str) -> tuple[int, float]:
        now = time.time()
        rows = await self._driver.fetch(GET_COUNTER, key, now)
        return (int(rows[0][0]), rows[0][1] - now) if rows else (0, 0.0)

    async def add_once(self, key: str, ttl: float) -> bool:
        return await self.increment(key, ttl) == 1

    async def sweep(self) -> int:
        now = time.time()
        return sum([await self._driver.execute(statement, now) for statement in self._sweeps])

    async def _read_sessions(self, keys: Sequence[str]) -> Mapping[str, Row]:
        is_one, values = self._dialect.any_of(keys)
        rows = await self._driver.fetch(f"{GET_SESSIONS} {is_one}", time.time(), *values)
        return {row[0]: row for row in rows}


def _account(row: Row) -> Account:
    user_id, password, extra, version = row
    return Account(user_id, password, read_json(extra), version)


def _pack_values(values: Mapping[str, Any]) -> str:
    return encode_json(values).decode()
