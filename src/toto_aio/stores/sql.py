"""Accounts and sessions in an SQL database: every statement once, whatever the database.

A database adds a ``Driver`` that sends statements, and a ``Dialect`` that says how its SQL differs. A
statement is written with ``?`` and stands alone: none needs a transaction, so that nothing is left
open when a call is cancelled between two of them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from toto_aio.codecs import encode_json
from toto_aio.exceptions import Unavailable, UserIDExists
from toto_aio.models import Account, Session

Row = Sequence[Any]


class DuplicateKeyError(Exception):
    """A driver's word for a row that exists already."""


class Driver(Protocol):
    """How statements reach a database. Each raises ``Unavailable`` when it is out of reach."""

    async def fetch(self, statement: str, *values: Any) -> Sequence[Row]:
        """The rows of a query."""

    async def execute(self, statement: str, *values: Any) -> int:
        """Run a statement; how many rows it matched. Raises ``DuplicateKeyError``."""

    async def change(self, statement: str, *values: Any) -> Sequence[Row]:
        """The rows that a statement returns of what it changed."""

    async def create_schema(self, statements: Sequence[str]) -> None:
        """Run the statements of the schema, while other processes may do the same."""

    async def close(self) -> None:
        """Give back what the driver opened."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a database's SQL differs: the names of its types, whose text must compare byte for byte."""

    text: str
    blob: str
    real: str
    integer: str

    def schema(self) -> Sequence[str]:
        """The statements that make the tables that are missing."""
        return [
            f"""CREATE TABLE IF NOT EXISTS toto_accounts (
                user_id {self.text} NOT NULL PRIMARY KEY, password {self.text}, extra {self.text} NOT NULL,
                version {self.integer} NOT NULL)""",
            f"""CREATE TABLE IF NOT EXISTS toto_sessions (
                session_key {self.text} NOT NULL PRIMARY KEY, user_id {self.text} NOT NULL,
                created {self.real} NOT NULL, expires {self.real} NOT NULL, state {self.blob} NOT NULL,
                version {self.integer} NOT NULL, signing_key {self.blob} NOT NULL,
                seen {self.real} NOT NULL, address {self.text} NOT NULL, agent {self.text} NOT NULL)""",
            f"""CREATE TABLE IF NOT EXISTS toto_counters (
                counter_key {self.text} NOT NULL PRIMARY KEY, count {self.integer} NOT NULL,
                expires {self.real} NOT NULL)""",
            "CREATE INDEX IF NOT EXISTS toto_sessions_user_id ON toto_sessions (user_id)",
            "CREATE INDEX IF NOT EXISTS toto_sessions_expires ON toto_sessions (expires)",
            "CREATE INDEX IF NOT EXISTS toto_counters_expires ON toto_counters (expires)",
        ]


GET_ACCOUNT = "SELECT user_id, password, extra, version FROM toto_accounts WHERE user_id = ?"
ADD_ACCOUNT = "INSERT INTO toto_accounts (user_id, password, extra, version) VALUES (?, ?, ?, ?)"
UPDATE_ACCOUNT = """UPDATE toto_accounts SET extra = ?, version = version + 1
    WHERE user_id = ? AND version = ?"""
REPLACE_PASSWORD = """UPDATE toto_accounts SET password = ?, version = version + 1
    WHERE user_id = ? AND password = ?"""
_SESSION = "session_key, user_id, created, expires, state, version, signing_key, seen, address, agent"
GET_SESSION = f"SELECT {_SESSION} FROM toto_sessions WHERE session_key = ? AND expires > ?"
ADD_SESSION = f"INSERT INTO toto_sessions ({_SESSION}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
SAVE_SESSION = """UPDATE toto_sessions SET state = ?, version = version + 1
    WHERE session_key = ? AND version = ? AND expires > ?"""
TOUCH_SESSION = "UPDATE toto_sessions SET expires = ?, seen = ? WHERE session_key = ? AND expires > ?"
LIST_SESSIONS = f"SELECT {_SESSION} FROM toto_sessions WHERE user_id = ? AND expires > ? ORDER BY created"
REMOVE_SESSION = "DELETE FROM toto_sessions WHERE session_key = ? AND expires > ?"
REMOVE_SESSIONS = "DELETE FROM toto_sessions WHERE user_id = ? AND session_key <> ? AND expires > ?"
INCREMENT = """INSERT INTO toto_counters (counter_key, count, expires) VALUES (?, ?, ?)
    ON CONFLICT (counter_key) DO UPDATE SET
    count = excluded.count + CASE WHEN toto_counters.expires > ? THEN toto_counters.count ELSE 0 END,
    expires = CASE WHEN toto_counters.expires > ? THEN toto_counters.expires ELSE excluded.expires END
    RETURNING count"""
SWEEPS = (
    """DELETE FROM toto_sessions WHERE session_key IN
    (SELECT session_key FROM toto_sessions WHERE expires <= ? LIMIT 1000)""",
    """DELETE FROM toto_counters WHERE counter_key IN
    (SELECT counter_key FROM toto_counters WHERE expires <= ? LIMIT 1000)""",
)


class SQLStore:
    """The contract of a store over a driver. ``db`` is what the driver offers to methods."""

    def __init__(self, driver: Driver, db: Any) -> None:
        self.db = db
        self._driver = driver

    async def close(self) -> None:
        await self._driver.close()

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
        for _ in range(100):  # another writer came first: look again
            account = await self.get_account(user_id)
            if account is None:
                return False
            extra = _pack_values({**account.values, **changes})
            if await self._driver.execute(UPDATE_ACCOUNT, extra, user_id, account.version):
                return True
        raise Unavailable

    async def replace_password(self, user_id: str, old: str, new: str) -> bool:
        return await self._driver.execute(REPLACE_PASSWORD, new, user_id, old) == 1

    async def get_session(self, key: str) -> Session | None:
        rows = await self._driver.fetch(GET_SESSION, key, time.time())
        return Session(*rows[0]) if rows else None

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

    async def list_sessions(self, user_id: str) -> list[Session]:
        return [Session(*row) for row in await self._driver.fetch(LIST_SESSIONS, user_id, time.time())]

    async def remove_session(self, key: str) -> bool:
        return await self._driver.execute(REMOVE_SESSION, key, time.time()) == 1

    async def remove_sessions(self, user_id: str, keep: str | None = None) -> int:
        return await self._driver.execute(REMOVE_SESSIONS, user_id, keep or "", time.time())

    async def increment(self, key: str, ttl: float, by: int = 1) -> int:
        now = time.time()
        rows = await self._driver.change(INCREMENT, key, by, now + ttl, now, now)
        return int(rows[0][0])

    async def add_once(self, key: str, ttl: float) -> bool:
        return await self.increment(key, ttl) == 1

    async def sweep(self) -> int:
        now = time.time()
        return sum([await self._driver.execute(statement, now) for statement in SWEEPS])


def _account(row: Row) -> Account:
    user_id, password, extra, version = row
    return Account(user_id, password, msgspec.json.decode(extra), version)


def _pack_values(values: Mapping[str, Any]) -> str:
    return encode_json(values).decode()
