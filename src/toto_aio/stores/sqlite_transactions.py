"""Transactions of methods on SQLite, each on a connection of its own to the file.

A file has one writer at a time. Those of one process, the store included, take turns in the order in which
they come.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress

import aiosqlite

from toto_aio.exceptions import Unavailable
from toto_aio.models import Record
from toto_aio.stores import sqlite_busy
from toto_aio.stores.sql.records import SAVE_RECORD, saved
from toto_aio.stores.sqlite_busy import when_free
from toto_aio.stores.sqlite_file import SQLiteFile
from toto_aio.stores.transactions import ENDED, Ends, current

OUTAGES = frozenset(
    (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
    )
)
"""Errors that come from the state of the file, not from the statement."""

Connect = Callable[[], AbstractAsyncContextManager[aiosqlite.Connection]]


class SQLiteTransactions:
    """Begins transactions on connections that ``connect`` opens to a file; who writes has the ``turn``."""

    save_records = True

    def __init__(self, connect: Connect, file: SQLiteFile) -> None:
        self.tasks = Ends()
        self.turn = asyncio.Lock()
        self._connect = connect
        self._file = file

    async def begin(self) -> SQLiteTransaction:
        self.require_no_other("A transaction is open here already: use its connection")
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(sqlite_busy.BUSY_TIMEOUT):
                    await stack.enter_async_context(self.turn)
                    self._file.require()  # a connection would create another one in its place
                    connection = await stack.enter_async_context(self._connect())
                    await connection.execute_fetchall("PRAGMA foreign_keys=ON")  # no-op in a transaction
                    await when_free(lambda: connection.execute_fetchall("BEGIN IMMEDIATE"))
            except (sqlite3.DatabaseError, TimeoutError) as exc:
                raise Unavailable from exc
            return SQLiteTransaction(connection, stack.pop_all())
        raise AssertionError("unreachable")

    def require_no_other(self, what_to_do: str) -> None:
        """Raise ``RuntimeError`` in the block of a transaction, which would wait for its own end."""
        transaction = current.get()
        while transaction is not None:
            if transaction.is_open and transaction.transactions is self:
                raise RuntimeError(what_to_do)
            transaction = transaction.outer

    async def close(self) -> None:
        await self.tasks.finish()


class SQLiteTransaction:
    """A transaction; ``resources`` are its connection and its turn, which end with it."""

    def __init__(self, connection: aiosqlite.Connection, resources: AsyncExitStack) -> None:
        self.connection = connection
        self._resources = resources

    async def commit(self) -> None:
        async with self._resources:
            if not self.connection.in_transaction:
                raise RuntimeError(ENDED)
            try:
                await self.connection.execute_fetchall("COMMIT")
            except sqlite3.Error as exc:
                if self.is_outage(exc):
                    raise Unavailable from exc
                raise

    async def save_record(self, record: Record) -> bool:
        if not self.connection.in_transaction:
            raise RuntimeError(ENDED)
        rows = await self.connection.execute_fetchall(f"{SAVE_RECORD} RETURNING 1", saved(record))
        return len(list(rows)) == 1

    async def rollback(self) -> None:
        with suppress(sqlite3.Error, ValueError):  # it was closed by the method; closing rolls back
            await self.connection.interrupt()  # a statement of a call that was cut off
        with suppress(sqlite3.Error, ValueError):
            async with self._resources:
                await self.connection.execute_fetchall("ROLLBACK")

    def is_outage(self, error: Exception) -> bool:
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in OUTAGES
