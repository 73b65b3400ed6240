"""Accounts and sessions in an SQL database: every statement once, whatever the database.

A database adds a ``Driver`` that sends statements, and a ``Dialect`` that says how its SQL differs. A
statement is written with ``?`` and stands alone: none needs a transaction, so that nothing is left
open when a call is cancelled between two of them.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from toto_aio.codecs import encode_json
from toto_aio.exceptions import Unavailable, UserIDExists
from toto_aio.models import Account, Session
from toto_aio.settings import SettingsError
from toto_aio.stores.merge import Merged

if TYPE_CHECKING:
    from toto_aio.stores.pool import Pool

Row = Sequence[Any]


class DuplicateKeyError(Exception):
    """A driver's word for a row that exists already."""


Run = Callable[..., Awaitable[Sequence[Row]]]
"""Sends a statement with its values and gives the rows that come back, if any."""


class Driver(Protocol):
    """How statements reach a database. Each raises ``Unavailable`` when it is out of reach."""

    async def fetch(self, statement: str, *values: Any) -> Sequence[Row]:
        """The rows of a query."""

    async def execute(self, statement: str, *values: Any) -> int:
        """Run a statement; how many rows it matched. Raises ``DuplicateKeyError``."""

    async def change(self, statement: str, *values: Any) -> Sequence[Row]:
        """The rows that a statement returns of what it changed."""

    async def create_schema(self, migrate: Callable[[Run], Awaitable[None]]) -> None:
        """Call ``migrate`` while no other process is at it, with what runs a statement."""

    async def close(self) -> None:
        """Give back what the driver opened."""


def in_list(keys: Sequence[str]) -> tuple[str, Sequence[Any]]:
    """The condition that a column has one of the keys, and its values."""
    # Of a few lengths only, so that the statements can be kept ready.
    keys = [*keys, *[keys[-1]] * ((1 << (len(keys) - 1).bit_length()) - len(keys))]
    return f"IN ({', '.join('?' * len(keys))})", keys


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a database's SQL differs: first the names of its types.

    Text in a column of the type ``key`` is compared byte for byte, trailing spaces included.
    """

    key: str
    text: str
    blob: str
    real: str
    integer: str
    has_schema: str
    """A query that gives a row if there is a table ``toto_schema``."""
    any_of: Callable[[Sequence[str]], tuple[str, Sequence[Any]]] = in_list
    index_in_table: str = ""
    index: str = "CREATE INDEX IF NOT EXISTS {table}_{column} ON {table} ({column})"
    table_options: str = ""
    on_conflict: str = "ON CONFLICT ({key}) DO UPDATE SET"
    counted: str = "{}"
    """Around a value that an upsert writes, so that it is returned."""
    returning: str = "RETURNING {column}"
    delete_expired: str = (
        "DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} WHERE expires <= ? LIMIT 1000)"
    )

    def table(self, table: str, columns: str, *indexed: str) -> Sequence[str]:
        """The statements that make a table, with an index on each of the columns ``indexed``, if missing."""
        inside = "".join(self.index_in_table.format(table=table, column=column) for column in indexed)
        create = f"CREATE TABLE IF NOT EXISTS {table} ({columns}{inside}) {self.table_options}"
        indexes = (self.index.format(table=table, column=column) for column in indexed)
        return [create, *(index for index in indexes if index)]

    def increment(self) -> str:
        """Add to a counter, or begin it anew, and return what it counts now."""
        # The count comes first: where assignments are done in turn, it is to see the old time.
        added = "? + CASE WHEN toto_counters.expires > ? THEN toto_counters.count ELSE 0 END"
        return f"""INSERT INTO toto_counters (counter_key, count, expires)
            VALUES (?, {self.counted.format("?")}, ?) {self.on_conflict.format(key="counter_key")}
            count = {self.counted.format(added)},
            expires = CASE WHEN toto_counters.expires > ? THEN toto_counters.expires ELSE ? END
            {self.returning.format(column="count")}"""

    def sweeps(self) -> Sequence[str]:
        """The statements that drop what has expired, a bounded number of rows each."""
        tables = (("toto_sessions", "session_key"), ("toto_counters", "counter_key"))
        return [self.delete_expired.format(table=table, key=key) for table, key in tables]


def _create_tables(d: Dialect) -> Sequence[str]:
    return [
        *d.table(
            "toto_accounts",
            f"""user_id {d.key} NOT NULL PRIMARY KEY, password {d.key}, extra {d.text} NOT NULL,
            version {d.integer} NOT NULL""",
        ),
        *d.table(
            "toto_sessions",
            f"""session_key {d.key} NOT NULL PRIMARY KEY, user_id {d.key} NOT NULL,
            created {d.real} NOT NULL, expires {d.real} NOT NULL, state {d.blob} NOT NULL,
            version {d.integer} NOT NULL, signing_key {d.blob} NOT NULL,
            seen {d.real} NOT NULL, address {d.text} NOT NULL, agent {d.text} NOT NULL""",
            "user_id",
            "expires",
        ),
        *d.table(
            "toto_counters",
            f"""counter_key {d.key} NOT NULL PRIMARY KEY, count {d.integer} NOT NULL,
            expires {d.real} NOT NULL""",
            "expires",
        ),
    ]


MIGRATIONS: tuple[Callable[[Dialect], Sequence[str]], ...] = (_create_tables,)
"""Step n brings a database of version n to n + 1; a new one has version 0. A step may run twice if the
server ends in the middle of it, so what it makes is made if it is missing."""


async def create_schema(driver: Driver, dialect: Dialect) -> None:
    """Bring a database to the newest version, whoever else is about to; ``SettingsError`` if it is newer."""
    if await _version(driver.fetch, dialect) < len(MIGRATIONS):
        await driver.create_schema(partial(_migrate, dialect))


async def _migrate(dialect: Dialect, run: Run) -> None:
    if not await run(dialect.has_schema):
        await run(f"CREATE TABLE toto_schema (version {dialect.integer} NOT NULL) {dialect.table_options}")
    if not await run("SELECT version FROM toto_schema"):
        await run("INSERT INTO toto_schema (version) VALUES (0)")
    version = await _version(run, dialect)
    for number, step in enumerate(MIGRATIONS[version:], version + 1):
        for statement in step(dialect):
            await run(statement)
        await run("UPDATE toto_schema SET version = ?", number)


async def _version(run: Run, dialect: Dialect) -> int:
    rows = await run("SELECT version FROM toto_schema") if await run(dialect.has_schema) else []
    version = int(rows[0][0]) if rows else 0
    if version > len(MIGRATIONS):
        raise SettingsError(
            f"database: its tables are of version {version} and this toto-aio knows up to {len(MIGRATIONS)}; "
            "install the newer one again: pip install --upgrade toto-aio"
        )
    return version


GET_ACCOUNT = "SELECT user_id, password, extra, version FROM toto_accounts WHERE user_id = ?"
ADD_ACCOUNT = "INSERT INTO toto_accounts (user_id, password, extra, version) VALUES (?, ?, ?, ?)"
UPDATE_ACCOUNT = """UPDATE toto_accounts SET extra = ?, version = version + 1
    WHERE user_id = ? AND version = ?"""
REPLACE_PASSWORD = """UPDATE toto_accounts SET password = ?, version = version + 1
    WHERE user_id = ? AND password = ?"""
_SESSION = "session_key, user_id, created, expires, state, version, signing_key, seen, address, agent"
GET_SESSIONS = f"SELECT {_SESSION} FROM toto_sessions WHERE expires > ? AND session_key"
ADD_SESSION = f"INSERT INTO toto_sessions ({_SESSION}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
SAVE_SESSION = """UPDATE toto_sessions SET state = ?, version = version + 1
    WHERE session_key = ? AND version = ? AND expires > ?"""
TOUCH_SESSION = "UPDATE toto_sessions SET expires = ?, seen = ? WHERE session_key = ? AND expires > ?"
LIST_SESSIONS = f"SELECT {_SESSION} FROM toto_sessions WHERE user_id = ? AND expires > ? ORDER BY created"
REMOVE_SESSION = "DELETE FROM toto_sessions WHERE session_key = ? AND expires > ?"
REMOVE_SESSIONS = "DELETE FROM toto_sessions WHERE user_id = ? AND session_key <> ? AND expires > ?"


class SQLStore:
    """The contract of a store over a driver. ``db`` is what the driver offers to methods.

    ``pool`` has the store's own connections, if there are several.
    """

    def __init__(self, driver: Driver, dialect: Dialect, db: Any, pool: Pool[Any] | None = None) -> None:
        self.db = db
        self.pool = pool
        self._driver = driver
        self._dialect = dialect
        self._sessions = Merged(self._read_sessions)
        self._increment = dialect.increment()
        self._sweeps = dialect.sweeps()

    async def prepare(self, where: str) -> None:
        """Bring the database ``where`` to the newest version; if that fails the store is closed."""
        try:
            await create_schema(self._driver, self._dialect)
        except BaseException as exc:
            await self.close()
            if isinstance(exc, Unavailable):
                raise Unavailable(f"Cannot open the database {where}: {exc.__cause__ or exc}") from exc
            raise

    async def close(self) -> None:
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

    async def list_sessions(self, user_id: str) -> list[Session]:
        return [Session(*row) for row in await self._driver.fetch(LIST_SESSIONS, user_id, time.time())]

    async def remove_session(self, key: str) -> bool:
        return await self._driver.execute(REMOVE_SESSION, key, time.time()) == 1

    async def remove_sessions(self, user_id: str, keep: str | None = None) -> int:
        return await self._driver.execute(REMOVE_SESSIONS, user_id, keep or "", time.time())

    async def increment(self, key: str, ttl: float, by: int = 1) -> int:
        now = time.time()
        ends = now + ttl
        rows = await self._driver.change(self._increment, key, by, ends, by, now, now, ends)
        return int(rows[0][0])

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
    return Account(user_id, password, msgspec.json.decode(extra), version)


def _pack_values(values: Mapping[str, Any]) -> str:
    return encode_json(values).decode()
