"""``mysql://user:password@host:3306/toto``: accounts and sessions in MySQL or MariaDB, with asyncmy.

``mysql+aiomysql://`` selects aiomysql.
"""

from __future__ import annotations

import asyncio
import importlib
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from toto_aio.settings import SettingsError
from toto_aio.settings.urls import without_password
from toto_aio.stores.sql import pool
from toto_aio.stores.sql.dialect import Dialect
from toto_aio.stores.sql.driver import Row, Run
from toto_aio.stores.sql.pool import Client, Lender, Operations, Pool, Verdict
from toto_aio.stores.sql.store import SQLStore

T = TypeVar("T")

MYSQL = Dialect(
    # No collation of text that MySQL and MariaDB share compares trailing spaces. Counters have long keys.
    key="varbinary(2048)",
    text="longtext",
    blob="longblob",
    real="double",
    integer="bigint",
    has_schema="""SELECT 1 FROM information_schema.tables
        WHERE table_schema = DATABASE() AND table_name = 'toto_schema'""",
    index_in_table=", INDEX {table}_{column} ({column})",
    index="",
    table_options="ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    on_conflict="ON DUPLICATE KEY UPDATE",
    counted="CAST(LAST_INSERT_ID({}) AS SIGNED)",
    returning="",
    delete_expired="DELETE FROM {table} WHERE expires <= ? LIMIT 1000",
)
FOUND_ROWS = 2
"""The flag of the protocol by which a server counts the rows that it found, and not those it changed."""
VAR_STRING = 253
"""The protocol's type of text, and of what is declared as varbinary."""
VERDICTS = {1062: Verdict.DUPLICATE, **dict.fromkeys((1020, 1205, 1213), Verdict.AGAIN)}
"""What errors of the server mean; others are refusals."""
LOST = {1053, 1077, 1079, 1080, 1152, 1153, *range(1155, 1162), 1184, 1927, 4031, 1290, 1792, 1836}
"""Those after which the server ends the connection, or (the last three) must not be written to any more."""
INIT = "SET sql_mode = 'STRICT_ALL_TABLES', sql_notes = 0, innodb_lock_wait_timeout = 5"
"""A value that is too long is refused; a statement whose client has gone does not wait for long."""


@dataclass(frozen=True)
class Library:
    """How the two drivers differ."""

    name: str
    install: str
    transport: Callable[[Any], Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    takes_bytes: bool = True

    def load(self) -> Any:
        """The module. Raises ``SettingsError`` if it is not installed."""
        try:
            return importlib.import_module(self.name)
        except ModuleNotFoundError as exc:
            raise SettingsError(f"MySQL needs a driver: pip install {self.install}") from exc


LIBRARIES = {
    "mysql": Library(
        "asyncmy",
        "'toto-aio[mysql]'",
        lambda connection: connection._transport,
        {"stmt_cache_size": 64},
    ),
    "mysql+aiomysql": Library(
        "aiomysql",
        "aiomysql",
        lambda connection: connection._writer and connection._writer.transport,
        takes_bytes=False,  # aiomysql 0.3.2 fails on them with PyMySQL 1.2
    ),
}


class MySQLStore(SQLStore):
    """The store on MySQL; ``db`` is a pool of the driver's, of its own or the one that was given."""

    @classmethod
    async def open(cls, url: str) -> MySQLStore:
        library = LIBRARIES[url.partition("://")[0]]
        module, arguments = library.load(), connect_arguments(url)
        own = {"client_flag": FOUND_ROWS, "init_command": INIT, **library.options}
        client = MySQLClient(library, lambda: module.connect(**arguments, **own))
        db = await module.create_pool(minsize=0, maxsize=pool.SIZE, **arguments)
        connections = Pool(client)
        store = cls(MySQLDriver(library, client, connections, db), MYSQL, db, connections)
        await store.prepare(without_password(url))
        return store

    @classmethod
    async def over(cls, ready: Any) -> MySQLStore:
        """The store on a pool of asyncmy or aiomysql, which stays open."""
        names = {kind.__module__.partition(".")[0] for kind in type(ready).__mro__}
        library = next(library for library in LIBRARIES.values() if library.name in names)
        client = MySQLClient(library, ready.acquire)
        store = cls(MySQLDriver(library, client, ReadyPool(client, ready)), MYSQL, ready)
        await store.prepare("the pool")
        return store


def connect_arguments(url: str) -> dict[str, Any]:
    """What a URL says to ``connect``; what it does not say is localhost, port 3306 and the database toto.

    After a ``?`` it may have ``unix_socket=/path``, ``ssl=true``, or ``ssl_ca=/path`` with the certificates
    that are trusted. Raises ``SettingsError`` for what is not understood whole.
    """
    try:
        parts = urlsplit(url if "://" in url else f"{url}://localhost")
        port = parts.port or 3306
        options = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
    except ValueError:
        raise _not_understood(url) from None  # whose text may show a part of the password
    unknown = set(options) - {"unix_socket", "ssl", "ssl_ca"}
    if unknown or parts.netloc.count("@") > 1 or parts.fragment or "\0" in url or parts.path.count("/") > 1:
        raise _not_understood(url)
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
    if "ssl_ca" in options or options.get("ssl", "false") != "false":
        try:
            arguments["ssl"] = ssl.create_default_context(cafile=options.get("ssl_ca"))
        except OSError as exc:
            raise SettingsError(f"database: cannot read the certificates of ssl_ca: {exc}") from exc
    return arguments


def _not_understood(url: str) -> SettingsError:
    return SettingsError(
        f"database: cannot understand {without_password(url)!r}; write mysql://user:password@host:3306/name, "
        "with @ as %40, / as %2F, ? as %3F and # as %23 in a password, and no options but unix_socket=/path, "
        "ssl=true and ssl_ca=/path"
    )


class MySQLClient:
    """What a library does with connections."""

    def __init__(self, library: Library, connect: Callable[[], Awaitable[Any]]) -> None:
        self._library = library
        self._connect = connect

    async def connect(self) -> Any:
        return await self._connect()

    def is_alive(self, connection: Any) -> bool:
        return not pool.has_hung_up(self._library.transport(connection))

    def judge(self, error: Exception) -> Verdict | None:
        if isinstance(error, (OSError, EOFError, RuntimeError)):
            return Verdict.LOST
        if not any(kind.__name__ == "MySQLError" for kind in type(error).__mro__):
            return None
        number = error.args[0] if error.args else 0
        # Those below 1000 and in the 2000s are the client's own: the connection is of no use.
        if not isinstance(number, int) or number < 1000 or 2000 <= number < 3000 or number in LOST:
            return Verdict.LOST
        return VERDICTS.get(number, Verdict.REFUSED)

    async def close(self, connection: Any) -> None:
        if self.is_alive(connection):
            await connection.ensure_closed()
            return
        # It was cut off. Left alone, the server would go on with the statement, or wait for a lock.
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


class ReadyPool:
    """Lends the connections of a pool that somebody else opened and uses too."""

    def __init__(self, client: Client[Any], ready: Any) -> None:
        self._client = client
        self._ready = ready

    async def take(self) -> Any:
        while True:
            is_full = self._ready.freesize == 0 and self._ready.size >= self._ready.maxsize
            async with asyncio.timeout(pool.POOL_LIMIT if is_full else pool.CONNECT_LIMIT):
                connection = await self._ready.acquire()
            if self._client.is_alive(connection):
                return connection
            self.drop(connection, busy=False)

    async def give_back(self, connection: Any) -> None:
        await self._ready.release(connection)

    def drop(self, connection: Any, *, busy: bool) -> None:
        self._client.abort(connection)
        self._ready.release(connection)

    async def close(self) -> None:
        pass


class MySQLDriver:
    """Statements through the connections of a lender. ``db`` is closed with the driver."""

    def __init__(self, library: Library, client: Client[Any], lender: Lender[Any], db: Any = None) -> None:
        self._cursor = library.load().cursors.Cursor
        self._takes_bytes = library.takes_bytes
        self._lender = lender
        self._operations = Operations(client, lender)
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

            # The server has one room of names for the locks of all its databases.
            name = "CONCAT('toto_schema.', SHA1(DATABASE()))"
            await run(f"SELECT GET_LOCK({name}, {pool.MIGRATION_LIMIT})")
            await migrate(run)
            await run(f"SELECT RELEASE_LOCK({name})")

        await self._operations.run(work, limit=pool.MIGRATION_LIMIT)

    async def close(self) -> None:
        await asyncio.gather(self._lender.close(), self._close_db())

    async def _close_db(self) -> None:
        if self._db is not None:
            self._db.close()
            with suppress(Exception):  # what is not closed politely within the limit is closed all the same
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
        if not connection.get_autocommit():  # as a pool of the author's may have it
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
    # Without the flag FOUND_ROWS, which a pool of the author's may lack, ``rowcount`` has the rows that an
    # UPDATE changed. It answers "Rows matched: 1  Changed: 0", in whatever language.
    matched = re.match(rb"\D*(\d+)", cursor._result.message or b"")
    return int(matched[1] if matched else cursor.rowcount)


async def _counted(cursor: Any) -> Sequence[Row]:
    # LAST_INSERT_ID comes back with the answer to the statement itself, as a number without a sign.
    value = cursor.lastrowid
    return [[value - 2**64 if value >= 2**63 else value]]


def in_hexadecimal(statement: str, values: Sequence[Any]) -> tuple[str, Sequence[Any]]:
    """A statement and its values for a driver that cannot take bytes."""
    places = ("UNHEX(%s)" if isinstance(value, bytes) else "%s" for value in values)
    parts = statement.split("?")
    joined = parts[0] + "".join(place + part for place, part in zip(places, parts[1:], strict=True))
    return joined, [value.hex() if isinstance(value, bytes) else value for value in values]
