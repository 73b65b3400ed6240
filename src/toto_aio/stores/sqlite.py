"""``sqlite:///toto.db``: accounts and sessions in one file, the default.

Any number of processes may share it. Every commit is on disk before it is acknowledged
(``synchronous=FULL``), and readers do not wait for writers (write-ahead log).
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import aiosqlite

from toto_aio.exceptions import Unavailable
from toto_aio.settings import SettingsError
from toto_aio.settings.urls import without_password
from toto_aio.stores import sqlite_busy
from toto_aio.stores.sql.dialect import Dialect
from toto_aio.stores.sql.driver import DuplicateKeyError, Row, Run
from toto_aio.stores.sql.schema import create_schema
from toto_aio.stores.sql.store import SQLStore
from toto_aio.stores.sqlite_busy import when_free
from toto_aio.stores.sqlite_file import SQLiteFile
from toto_aio.stores.sqlite_transactions import SQLiteTransactions

SQLITE = Dialect(
    key="TEXT",
    hash="TEXT",
    text="TEXT",
    blob="BLOB",
    real="REAL",
    integer="INTEGER",
    has_schema="SELECT 1 FROM sqlite_master WHERE name = 'toto_schema'",
)


async def from_url(url: str) -> SQLStore:
    """Return the store in the file of a URL; ``db`` is another ``aiosqlite.Connection`` to the file."""
    path = database_path(url)
    async with AsyncExitStack() as stack:
        reader = await stack.enter_async_context(_connection(path, sqlite_busy.BUSY_TIMEOUT))
        file = SQLiteFile(path)
        writer = await stack.enter_async_context(_connection(path, 0))
        db = await stack.enter_async_context(_connection(path, sqlite_busy.BUSY_TIMEOUT))
        transactions = SQLiteTransactions(lambda: _connection(path, 0), file)
        try:
            await create_schema(SQLiteDriver(reader, writer, transactions, file, stack), SQLITE)
        except (Unavailable, DuplicateKeyError) as exc:  # a table of somebody else's may have its own rules
            raise Unavailable(f"Cannot open the database {path!r}: {exc.__cause__ or exc}") from exc
        driver = SQLiteDriver(reader, writer, transactions, file, stack.pop_all())
        return SQLStore(driver, SQLITE, db, transactions)
    raise AssertionError("unreachable")


def database_path(url: str) -> str:
    """Return the file of a URL: ``sqlite:///toto.db`` is relative, ``sqlite:////var/toto.db`` absolute.

    A bare ``sqlite`` means ``toto.db``. Raises ``SettingsError`` if any part of the URL is not understood,
    and for ``:memory:``, which would be a separate database for each connection.
    """
    path = "toto.db" if url == "sqlite" else unquote(url.removeprefix("sqlite:///"))
    if (
        (not url.startswith("sqlite:///") and url != "sqlite")
        or set(url) & set("?#")
        or "\0" in path
        or path in ("", ":memory:")
    ):
        raise SettingsError(
            f"database: cannot open {without_password(url)!r}; write sqlite:///toto.db (relative), "
            "sqlite:////var/toto.db (absolute) or memory://"
        )
    return os.path.abspath(path)  # SQLite would read a relative file:x.db as a URI


class SQLiteDriver:
    """Sends statements over one connection that reads and one that writes, each with its own thread.

    It writes when none of the ``transactions`` of methods is open. ``resources`` are closed with the driver.
    """

    def __init__(
        self,
        reader: aiosqlite.Connection,
        writer: aiosqlite.Connection,
        transactions: SQLiteTransactions,
        file: SQLiteFile,
        resources: AsyncExitStack,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._transactions = transactions
        self._file = file
        self._resources = resources

    async def fetch(self, statement: str, *values: Any) -> Sequence[Row]:
        try:
            return list(await self._reader.execute_fetchall(statement, values))
        except sqlite3.DatabaseError as exc:
            raise Unavailable from exc

    async def execute(self, statement: str, *values: Any) -> int:
        # With RETURNING, counting the rows takes no second trip to the connection's thread.
        return len(await self._write(f"{statement} RETURNING 1", values))

    async def change(self, statement: str, *values: Any) -> Sequence[Row]:
        return await self._write(statement, values)

    async def create_schema(self, migrate: Callable[[Run], Awaitable[None]]) -> None:
        await self.change("BEGIN IMMEDIATE")
        await migrate(self.change)
        await self.change("COMMIT")  # without it the store is not opened

    async def close(self) -> None:
        await self._resources.aclose()

    async def _write(self, statement: str, values: Sequence[Any] = ()) -> Sequence[Row]:
        """Run one write at a time, each within ``BUSY_TIMEOUT`` seconds, including the wait for its turn."""
        self._transactions.require_no_other(
            "save sessions and accounts before or after the block of a transaction: SQLite has one writer"
        )
        self._file.require()
        try:
            async with asyncio.timeout(sqlite_busy.BUSY_TIMEOUT), self._transactions.turn:
                return list(await when_free(lambda: self._writer.execute_fetchall(statement, values)))
        except sqlite3.IntegrityError as exc:
            raise DuplicateKeyError from exc
        except (sqlite3.DatabaseError, TimeoutError) as exc:
            raise Unavailable from exc


@asynccontextmanager
async def _connection(path: str, busy_timeout: float) -> AsyncIterator[aiosqlite.Connection]:
    opening = asyncio.create_task(_open(path, busy_timeout), name="toto-aio sqlite")
    try:
        # If the opening itself were cancelled, the connection would stay open in its thread.
        connection = await asyncio.shield(opening)
    except asyncio.CancelledError:
        with suppress(Unavailable):
            await (await opening).close()
        raise
    try:
        try:
            await _configure(connection)
        except sqlite3.Error as exc:
            raise Unavailable(f"Cannot open the database {path!r}: {exc}") from exc
        yield connection
    finally:
        await connection.close()


async def _open(path: str, busy_timeout: float) -> aiosqlite.Connection:
    try:
        # If aiosqlite cannot open a connection, it leaves a thread behind that may outlive the loop. So try
        # without aiosqlite first.
        await asyncio.to_thread(_create, path)
        return await aiosqlite.connect(path, timeout=busy_timeout, isolation_level=None)
    except sqlite3.Error as exc:
        reason = await asyncio.to_thread(_missing_folder, path) or exc
        raise Unavailable(f"Cannot open the database {path!r}: {reason}") from exc


def _missing_folder(path: str) -> str:
    """What to do if the file cannot be opened because its folder does not exist."""
    folder = Path(path).absolute().parent
    return "" if folder.is_dir() else f"there is no folder {str(folder)!r}: make it"


def _create(path: str) -> None:
    """Create the database, if it is new, so that only its owner can read it: it has the sessions' keys.

    SQLite gives its journal the same permissions.
    """
    with suppress(OSError):  # it exists, or SQLite says what is wrong
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    sqlite3.connect(path).close()


async def _configure(connection: aiosqlite.Connection) -> None:
    deadline = asyncio.get_running_loop().time() + sqlite_busy.BUSY_TIMEOUT
    while True:
        try:
            await connection.execute_fetchall("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError as exc:
            # The change to WAL needs an exclusive lock, and does not wait for it:
            # https://www.sqlite.org/wal.html#activating_and_configuring_wal_mode
            if "locked" not in str(exc) or asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.02)
    await connection.execute_fetchall("PRAGMA synchronous=FULL")
