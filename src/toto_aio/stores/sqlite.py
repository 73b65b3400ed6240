"""``sqlite:///toto.db``: accounts and sessions in one file, the default.

Any number of processes may share it. Every commit is on the disk before it is acknowledged
(``synchronous=FULL``), and readers do not wait for writers (write-ahead log).
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

import aiosqlite

from toto_aio.exceptions import Unavailable
from toto_aio.settings import SettingsError
from toto_aio.stores.sql import Dialect, DuplicateKeyError, Row, SQLStore

SQLITE = Dialect(text="TEXT", blob="BLOB", real="REAL", integer="INTEGER")
BUSY_TIMEOUT = 5.0
"""Seconds that a statement waits for another process's write."""


class SQLiteStore(SQLStore):
    """The store on a file of SQLite; ``db`` is an ``aiosqlite.Connection`` of its own to the same file."""

    @classmethod
    async def open(cls, url: str) -> SQLiteStore:
        path = database_path(url)
        driver = SQLiteDriver(await _connect(path))
        try:
            await driver.create_schema(SQLITE.schema())
            driver.db = await _connect(path)
        except BaseException:
            await driver.close()
            raise
        return cls(driver, driver.db)


def database_path(url: str) -> str:
    """The file of a URL: ``sqlite:///toto.db`` is relative, ``sqlite:////var/toto.db`` absolute.

    A bare ``sqlite`` means ``toto.db``. Raises ``SettingsError`` for a host, and for ``:memory:``, which
    would be a database of its own for each connection.
    """
    parts = urlsplit(url)
    path = unquote(parts.path[1:]) if parts.scheme else "toto.db"
    if parts.netloc or not path or path == ":memory:":
        hint = "sqlite:///toto.db (relative), sqlite:////var/toto.db (absolute) or memory://"
        raise SettingsError(f"database: cannot open {url!r}; write {hint}")
    return path


class SQLiteDriver:
    """Statements through one connection, whose thread runs them one after the other."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self.db: aiosqlite.Connection | None = None
        self._connection = connection

    async def fetch(self, statement: str, *values: Any) -> Sequence[Row]:
        try:
            return list(await self._connection.execute_fetchall(statement, values))
        except sqlite3.OperationalError as exc:
            raise Unavailable from exc

    async def execute(self, statement: str, *values: Any) -> int:
        # RETURNING counts the rows in the one hop to the connection's thread that a query takes.
        try:
            return len(await self.fetch(f"{statement} RETURNING 1", *values))
        except sqlite3.IntegrityError as exc:
            raise DuplicateKeyError from exc

    async def create_schema(self, statements: Sequence[str]) -> None:
        for statement in statements:
            await self.fetch(statement)

    async def close(self) -> None:
        await self._connection.close()
        if self.db is not None:
            await self.db.close()


async def _connect(path: str) -> aiosqlite.Connection:
    try:
        # A connection of aiosqlite that could not be opened leaves a thread behind, which may outlive the
        # loop; this one does not.
        await asyncio.to_thread(lambda: sqlite3.connect(path).close())
        connection = await aiosqlite.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)
        try:
            await _configure(connection)
        except BaseException:
            await connection.close()
            raise
    except sqlite3.Error as exc:
        raise Unavailable(f"Cannot open the database {path!r}: {exc}") from exc
    return connection


async def _configure(connection: aiosqlite.Connection) -> None:
    deadline = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            await connection.execute_fetchall("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError as exc:
            # The change to WAL needs the file alone and does not wait for it:
            # https://www.sqlite.org/wal.html#activating_and_configuring_wal_mode
            if "locked" not in str(exc) or time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.02)
    await connection.execute_fetchall("PRAGMA synchronous=FULL")
