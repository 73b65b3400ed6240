"""``mysql://user:password@host:3306/toto``: accounts and sessions in MySQL or MariaDB, with asyncmy.

``mysql+aiomysql://`` selects aiomysql.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from toto_aio.importer import Extra, load
from toto_aio.settings import SettingsError
from toto_aio.settings.provider_options import translated
from toto_aio.settings.urls import address_of, without_password
from toto_aio.stores.mysql_options import DISABLED, OPTIONS, REQUIRED, VERIFY_IDENTITY
from toto_aio.stores.mysql_transactions import MySQLSteps, in_hexadecimal
from toto_aio.stores.sql import operations, pool
from toto_aio.stores.sql.connector import Connector, Failure, has_hung_up
from toto_aio.stores.sql.dialect import Dialect
from toto_aio.stores.sql.driver import Row, Run
from toto_aio.stores.sql.operations import Operations
from toto_aio.stores.sql.pool import ConnectionSource, Pool
from toto_aio.stores.sql.store import SQLStore
from toto_aio.stores.sql.transactions import PooledTransactions
from toto_aio.tasks import Tasks

T = TypeVar("T")

MYSQL = Dialect(
    # MySQL and MariaDB share no text collation that compares trailing spaces. Before version 0.2.0 a key had
    # 2048 bytes, which some servers do not index; tables that have it stay as they are.
    key="varbinary(255)",
    hash="varbinary(2048)",
    text="longtext",
    blob="longblob",
    real="double",
    integer="bigint",
    has_schema="""SELECT 1 FROM information_schema.tables
        WHERE table_schema = DATABASE() AND table_name = 'toto_schema'""",
    index_in_table=", INDEX {name} ({columns})",
    index="",
    table_options="ENGINE=InnoDB ROW_FORMAT=DYNAMIC CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    on_conflict="ON DUPLICATE KEY UPDATE",
    counted="CAST(LAST_INSERT_ID({}) AS SIGNED)",
    returning="",
    delete_some="DELETE FROM {table} WHERE {condition} LIMIT {limit}",
)
DEFAULT_PORT = 3306
FOUND_ROWS = 2
"""The protocol's flag that makes the server count the rows that it found, not those that it changed."""
VAR_STRING = 253
"""The protocol's type for text, and for columns declared as varbinary."""
FAILURES = {1062: Failure.DUPLICATE_KEY, **dict.fromkeys((1020, 1205, 1213), Failure.ROLLED_BACK)}
"""What errors of the server mean; others mean that it refused the statement."""
LOST = {1053, 1077, 1079, 1080, 1152, 1153, *range(1155, 1162), 1184, 1927, 4031, 1290, 1792, 1836}
"""Errors after which the server ends the connection, or (the last three) no longer accepts writes."""
INIT = "SET sql_mode = 'STRICT_ALL_TABLES', sql_notes = 0, innodb_lock_wait_timeout = 5"
"""Values that are too long are refused, and a statement whose client has gone soon stops waiting."""


@dataclass(frozen=True)
class Library:
    """One of the two drivers, and how it differs from the other."""

    name: str
    install: str
    transport: Callable[[Any], Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    takes_bytes: bool = True

    def load(self) -> Any:
        """Return the module. Raises ``SettingsError`` if it is not installed."""
        return load(self.name, Extra("MySQL needs a driver", self.install))


LIBRARIES = {
    "mysql": Library(
        "asyncmy",
        "'toto-aio[mysql]'",
        lambda connection: connection._transport,
        {"stmt_cache_size": 64},
    ),
    "mysql+aiomysql": Library(
        "aiomysql",
        "'toto-aio[aiomysql]'",
        lambda connection: connection._writer and connection._writer.transport,
        takes_bytes=False,  # aiomysql 0.3.2 fails on them with PyMySQL 1.2
    ),
}


async def from_url(url: str) -> SQLStore:
    """Return the store at a URL; ``db`` is the driver's pool, separate from the store's own connections."""
    library = LIBRARIES[url.partition("://")[0]]
    module, arguments = library.load(), connect_arguments(url)
    own = {"client_flag": FOUND_ROWS, "init_command": INIT, **library.options}
    connector = MySQLConnector(library, lambda: module.connect(**arguments, **own))
    db = await module.create_pool(minsize=0, maxsize=pool.MAX_SIZE, **arguments)
    connections = Pool(connector)
    transactions = PooledTransactions(connector, ReadyMySQLPool(connector, db), MySQLSteps)
    driver = MySQLDriver(library, connector, connections, db)
    store = SQLStore(driver, MYSQL, db, transactions, connections)
    await store.prepare(address_of(url))
    return store


async def from_client(client: Any) -> SQLStore:
    """Return the store on a pool of asyncmy or aiomysql, which stays open and becomes ``db``."""
    names = {kind.__module__.partition(".")[0] for kind in type(client).__mro__}
    library = next(library for library in LIBRARIES.values() if library.name in names)
    connector = MySQLConnector(library, client.acquire)
    connections = ReadyMySQLPool(connector, client)
    transactions = PooledTransactions(connector, connections, MySQLSteps)
    store = SQLStore(MySQLDriver(library, connector, connections), MYSQL, client, transactions)
    await store.prepare("of the pool")
    return store


def connect_arguments(url: str) -> dict[str, Any]:
    """Return the arguments of ``connect`` for a URL; by default localhost, port 3306 and the database toto.

    After a ``?`` the URL may have ``unix_socket=/path``, ``ssl-mode``, ``ssl_ca=/path``, a file with trusted
    certificates, and what providers write (``mysql_options``). Raises ``SettingsError`` if any part of the
    URL is not understood.
    """
    parts, port, options = _parse(url)
    arguments = {
        "host": parts.hostname or "localhost",
        "port": port,
        "user": unquote(parts.username or "") or None,
        "password": unquote(parts.password or ""),
        "db": unquote(parts.path[1:]) or "toto",
        "unix_socket": options.get("unix_socket"),
        "charset": "utf8mb4",
        "autocommit": True,
    }
    mode = options.get("ssl-mode", VERIFY_IDENTITY if "ssl_ca" in options else DISABLED)
    if mode != DISABLED:
        arguments["ssl"] = _tls_context(options.get("ssl_ca"), mode)
    return arguments


def _parse(url: str) -> tuple[SplitResult, int, dict[str, str]]:
    """Return the parts of a URL, its port and its options."""
    try:
        parts = urlsplit(url if "://" in url else f"{url}://localhost")
        port = parts.port or DEFAULT_PORT
        given = parse_qsl(parts.query, strict_parsing=True) if parts.query else []
    except ValueError:
        raise _not_understood(url) from None  # its text may show a part of the password
    options = translated("database", given, OPTIONS)
    unknown = set(options) - {"unix_socket", "ssl-mode", "ssl_ca"}
    if unknown or parts.netloc.count("@") > 1 or parts.fragment or "\0" in url or parts.path.count("/") > 1:
        raise _not_understood(url)
    return parts, port, options


def _tls_context(ca_file: str | None, mode: str) -> ssl.SSLContext:
    """Return the context that trusts the certificates of a file, or those that the system trusts."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as exc:
        raise SettingsError(f"database: cannot read the certificates of ssl_ca: {exc}") from exc
    context.check_hostname = mode == VERIFY_IDENTITY
    if mode == REQUIRED:
        context.verify_mode = ssl.CERT_NONE
    return context


def _not_understood(url: str) -> SettingsError:
    return SettingsError(
        f"database: cannot open {without_password(url)!r}; write mysql://user:password@host:3306/name, "
        "with %40, %2F, %3F and %23 for @, /, ? and # in the password, and after a ? only unix_socket=/path, "
        "ssl-mode=REQUIRED, VERIFY_CA or VERIFY_IDENTITY, and ssl_ca=/path"
    )


class MySQLConnector:
    """Connects with one of the drivers, or, for a ready pool, with the connections of the pool."""

    def __init__(self, library: Library, connect: Callable[[], Awaitable[Any]]) -> None:
        self._library = library
        self._connect = connect

    async def connect(self) -> Any:
        return await self._connect()

    def is_alive(self, connection: Any) -> bool:
        return not has_hung_up(self._library.transport(connection))

    def classify(self, error: Exception) -> Failure | None:
        if isinstance(error, (OSError, EOFError, RuntimeError)):
            return Failure.CONNECTION_LOST
        if not any(kind.__name__ == "MySQLError" for kind in type(error).__mro__):
            return None
        number = error.args[0] if error.args else 0
        # Numbers below 1000 and in the 2000s are errors of the driver: the connection is unusable.
        if not isinstance(number, int) or number < 1000 or 2000 <= number < 3000 or number in LOST:
            return Failure.CONNECTION_LOST
        return FAILURES.get(number, Failure.REFUSED)

    async def close(self, connection: Any) -> None:
        if self.is_alive(connection):
            await connection.ensure_closed()
            return
        # The operation was cut off. Without this the server would go on with it, or keep waiting for a lock.
        other = await self._connect()
        try:
            cursor = await other.cursor()
            await cursor.execute(f"KILL {connection.thread_id()}")
        finally:
            await other.ensure_closed()

    def abort(self, connection: Any) -> None:
        transport = self._library.transport(connection)
        if transport is not None:
            transport.abort()
        connection.close()


class ReadyMySQLPool:
    """Provides the connections of a pool that the application opened, and may use too."""

    def __init__(self, connector: Connector[Any], ready: Any) -> None:
        self._connector = connector
        self._ready = ready
        self._closing = Tasks()

    async def acquire(self) -> Any:
        while True:
            is_full = self._ready.freesize == 0 and self._ready.size >= self._ready.maxsize
            async with asyncio.timeout(pool.POOL_LIMIT if is_full else pool.CONNECT_LIMIT):
                connection = await self._ready.acquire()
            if self._connector.is_alive(connection):
                return connection
            self.discard(connection, busy=False)

    async def release(self, connection: Any) -> None:
        await self._ready.release(connection)

    def discard(self, connection: Any, *, busy: bool) -> None:
        self._connector.abort(connection)
        self._ready.release(connection)
        if busy:
            self._closing.start(self._kill(connection.thread_id()), "database close")

    async def close(self) -> None:
        await self._closing.finish()

    async def _kill(self, thread_id: int) -> None:
        """End what the server may still be doing, or waiting for, with locks that it holds."""
        with suppress(Exception):  # it has ended by itself, or the server is out of reach
            async with asyncio.timeout(pool.CLOSE_LIMIT):
                connection = await self.acquire()
                try:
                    cursor = await connection.cursor()
                    await cursor.execute(f"KILL {thread_id}")
                except BaseException:
                    self.discard(connection, busy=False)
                    raise
                await self.release(connection)


class MySQLDriver:
    """Sends statements over the connections of a source. ``db`` is closed with the driver."""

    def __init__(
        self, library: Library, connector: Connector[Any], source: ConnectionSource[Any], db: Any = None
    ) -> None:
        self._cursor = library.load().cursors.Cursor
        self._takes_bytes = library.takes_bytes
        self._source = source
        self._operations = Operations(connector, source)
        self._db = db

    async def fetch(self, statement: str, *values: Any) -> Sequence[Row]:
        work = partial(self._run, _rows, statement, values)
        return await self._operations.run(work, is_read=True)

    async def execute(self, statement: str, *values: Any) -> int:
        return await self._operations.run(partial(self._run, _matched, statement, values))

    async def change(self, statement: str, *values: Any) -> Sequence[Row]:
        return await self._operations.run(partial(self._run, _counted, statement, values))

    async def create_schema(self, migrate: Callable[[Run], Awaitable[None]]) -> None:
        async def work(connection: Any) -> None:
            async def run(statement: str, *values: Any) -> Sequence[Row]:
                return await self._run(_rows, statement, values, connection)

            # The names of locks are global to the server, not separate for each database.
            name = "CONCAT('toto_schema.', SHA1(DATABASE()))"
            await run(f"SELECT GET_LOCK({name}, {operations.MIGRATION_LIMIT})")
            await migrate(run)
            await run(f"SELECT RELEASE_LOCK({name})")

        await self._operations.run(work, limit=operations.MIGRATION_LIMIT)

    async def close(self) -> None:
        await asyncio.gather(self._source.close(), self._close_db())

    async def _close_db(self) -> None:
        if self._db is not None:
            self._db.close()
            with suppress(Exception):  # what cannot be closed gracefully is terminated
                async with asyncio.timeout(pool.CLOSE_LIMIT):
                    await self._db.wait_closed()
            self._db.terminate()

    async def _run(
        self, result: Callable[[Any], Awaitable[T]], statement: str, values: Sequence[Any], connection: Any
    ) -> T:
        cursor = await connection.cursor(self._cursor)
        if self._takes_bytes:
            await cursor.execute(statement.replace("?", "%s"), values)
        else:
            await cursor.execute(*in_hexadecimal(statement, values))
        found = await result(cursor)
        if not connection.get_autocommit():  # a ready pool may have it turned off
            await connection.commit()
        return found


async def _rows(cursor: Any) -> Sequence[Row]:
    rows: Sequence[Row] = await cursor.fetchall()
    if not rows:
        return rows
    texts = [column[1] == VAR_STRING for column in cursor.description]
    return [
        [
            value.decode() if is_text and isinstance(value, bytes) else value
            for is_text, value in zip(texts, row, strict=True)
        ]
        for row in rows
    ]


async def _matched(cursor: Any) -> int:
    # Without the flag FOUND_ROWS, which a ready pool may lack, ``rowcount`` counts the rows that an UPDATE
    # changed. The message of the server has both: "Rows matched: 1  Changed: 0", in any language.
    matched = re.match(rb"\D*(\d+)", cursor._result.message or b"")
    return int(matched[1] if matched else cursor.rowcount)


async def _counted(cursor: Any) -> Sequence[Row]:
    # LAST_INSERT_ID comes back with the result of the statement itself, as an unsigned number.
    value = cursor.lastrowid
    return [[value - 2**64 if value >= 2**63 else value]]
