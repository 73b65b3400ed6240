"""``postgresql://user:password@host:5432/toto``: accounts and sessions in PostgreSQL, with asyncpg."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from itertools import count
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg  # type: ignore[import-untyped]

from toto_aio.models import Record
from toto_aio.settings import SettingsError
from toto_aio.settings.urls import address_of, without_password
from toto_aio.stores.postgres_options import connect_options
from toto_aio.stores.sql import operations, pool
from toto_aio.stores.sql.connector import Connector, Failure, has_hung_up
from toto_aio.stores.sql.dialect import Dialect
from toto_aio.stores.sql.driver import Row, Run
from toto_aio.stores.sql.operations import Operations
from toto_aio.stores.sql.pool import ConnectionSource, Pool
from toto_aio.stores.sql.records import SAVE_RECORD, saved
from toto_aio.stores.sql.store import SQLStore
from toto_aio.stores.sql.transactions import PooledTransactions
from toto_aio.stores.transactions import ENDED, FAILED
from toto_aio.tasks import Tasks

POSTGRESQL = Dialect(
    key='text COLLATE "C"',
    hash='text COLLATE "C"',
    text="text",
    blob="bytea",
    real="double precision",
    integer="bigint",
    any_of=lambda keys: ("= ANY (?)", [keys]),
    # With the lock, rows that another statement is deleting don't count for the limit.
    delete_some="""DELETE FROM {table} WHERE {key} = ANY (ARRAY(
        SELECT {key} FROM {table} WHERE {condition} LIMIT {limit} FOR UPDATE))""",
    # Not to_regclass, which may still answer from a cache after waiting for the lock.
    has_schema="""SELECT 1 FROM pg_catalog.pg_tables
        WHERE tablename = 'toto_schema' AND schemaname = ANY (current_schemas(false))""",
)
MIGRATION_LOCK = 0x746F746F
"""The advisory lock that the process holds that changes the schema."""
FAILURES: tuple[tuple[Any, Failure | None], ...] = (
    (asyncpg.UniqueViolationError, Failure.DUPLICATE_KEY),
    ((asyncpg.DeadlockDetectedError, asyncpg.SerializationError), Failure.ROLLED_BACK),
    (asyncpg.QueryCanceledError, Failure.REFUSED),
    (
        (asyncpg.PostgresConnectionError, asyncpg.exceptions.OperatorInterventionError),
        Failure.CONNECTION_LOST,
    ),
    (asyncpg.ReadOnlySQLTransactionError, Failure.CONNECTION_LOST),  # another server is the primary now
    # A pooler such as PgBouncer has given the connection another server, which has other statements.
    (
        (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError),
        Failure.CONNECTION_LOST,
    ),
    (asyncpg.DataError, None),  # from the server, or from asyncpg for a value that cannot be sent
    (asyncpg.PostgresError, Failure.REFUSED),
    (OSError, Failure.CONNECTION_LOST),
    (ValueError, None),  # some of the errors below are ValueErrors too, and lose no connection
    ((asyncpg.InterfaceError, asyncpg.InternalClientError), Failure.CONNECTION_LOST),
)
"""What an error means: the first row with its type counts."""


async def from_url(url: str) -> SQLStore:
    """Return the store at a URL; ``db`` is an ``asyncpg.Pool``, separate from the store's own connections."""
    try:
        rest, options = connect_options(url)
    except SettingsError:
        raise
    except ValueError:
        raise _not_understood(url) from None  # its text may show a part of the password
    dsn = data_source(rest)
    connector = PostgresConnector(dsn, options)
    db = await asyncpg.create_pool(
        dsn, min_size=0, max_size=pool.MAX_SIZE, timeout=pool.CONNECT_LIMIT, **options
    )
    connections = Pool(connector)
    transactions = PooledTransactions(connector, ReadyPostgresPool(connector, db), PostgresSteps)
    store = SQLStore(PostgresDriver(connector, connections, db), POSTGRESQL, db, transactions, connections)
    await store.prepare(address_of(url))
    return store


async def from_client(client: Any) -> SQLStore:
    """Return the store on an ``asyncpg.Pool``, which stays open and becomes ``db``."""
    connector = PostgresConnector("")
    connections = ReadyPostgresPool(connector, client)
    transactions = PooledTransactions(connector, connections, PostgresSteps)
    store = SQLStore(PostgresDriver(connector, connections), POSTGRESQL, client, transactions)
    await store.prepare("of the asyncpg.Pool")
    return store


def data_source(url: str) -> str:
    """Return a URL for asyncpg; by default localhost, the driver's default user, and the database toto.

    Raises ``SettingsError`` if asyncpg would understand the URL differently from how it is meant.
    """
    try:
        parts = urlsplit("postgresql://localhost" if "://" not in url else url)
    except ValueError:
        raise _not_understood(url) from None  # its text may show a part of the password
    if parts.netloc.count("@") > 1 or parts.fragment or "\0" in url:
        raise _not_understood(url, "; in a password, write @ as %40, / as %2F, ? as %3F and # as %23")
    has_name = {"dbname", "database"} & set(parse_qs(parts.query))
    path = "/toto" if parts.path in ("", "/") and not has_name else parts.path
    return f"{parts.scheme}://{parts.netloc}{path}" + (f"?{parts.query}" if parts.query else "")


def _not_understood(url: str, why: str = "") -> SettingsError:
    form = "write postgresql://user:password@host:5432/name"
    return SettingsError(f"database: cannot open {without_password(url)!r}; {form}{why}")


class PostgresConnector:
    """Connects with asyncpg."""

    def __init__(self, dsn: str, options: Mapping[str, Any] = MappingProxyType({})) -> None:
        self._dsn = dsn
        self._options = options

    async def connect(self) -> Any:
        try:
            return await asyncpg.connect(self._dsn, **self._options)
        except OSError:
            raise  # an error of a certificate is a ValueError too
        except ValueError as exc:
            # The text of other errors may show a part of the password.
            why = f": {exc}" if isinstance(exc, asyncpg.ClientConfigurationError) else ""
            raise _not_understood(self._dsn, why) from None

    def is_alive(self, connection: Any) -> bool:
        return not connection.is_closed() and not has_hung_up(connection._transport)

    def classify(self, error: Exception) -> Failure | None:
        return next((failure for kinds, failure in FAILURES if isinstance(error, kinds)), None)

    async def close(self, connection: Any) -> None:
        await connection.close()  # which makes the server cancel what it is doing

    def abort(self, connection: Any) -> None:
        with suppress(asyncpg.InterfaceError):  # it is closed, and thus released to a ready pool
            connection.terminate()


class ReadyPostgresPool:
    """Provides the connections of a pool that the application opened, and may use too."""

    def __init__(self, connector: Connector[Any], ready: Any) -> None:
        self._connector = connector
        self._ready = ready
        self._closing = Tasks()

    async def acquire(self) -> Any:
        while True:
            is_full = (
                self._ready.get_idle_size() == 0 and self._ready.get_size() >= self._ready.get_max_size()
            )
            limit = pool.POOL_LIMIT if is_full else pool.CONNECT_LIMIT
            connection = await self._ready.acquire(timeout=limit)
            if self._connector.is_alive(connection):
                return connection
            self._connector.abort(connection)

    async def release(self, connection: Any) -> None:
        with suppress(Exception):  # the operation is done, and a connection that fails now is closed
            await self._ready.release(connection, timeout=pool.CLOSE_LIMIT)

    def discard(self, connection: Any, *, busy: bool) -> None:
        if busy:
            self._closing.start(pool.close(self._connector, connection), "database close")
        else:
            self._connector.abort(connection)

    async def close(self) -> None:
        await self._closing.finish()


class PostgresSteps:
    """The steps of asyncpg's own transaction, in which ``connection.transaction()`` makes savepoints."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._transaction = connection.transaction()

    async def start(self) -> None:
        await self._transaction.start()

    async def check(self) -> None:
        if not self._connection.is_in_transaction():
            raise RuntimeError(ENDED)
        try:
            # PostgreSQL would answer the commit of a transaction that has failed without an error.
            await self._connection.execute("SELECT 1")
        except asyncpg.InFailedSQLTransactionError as exc:
            raise RuntimeError(FAILED) from exc

    async def save_record(self, record: Record) -> bool:
        status: str = await self._connection.execute(numbered(SAVE_RECORD), *sendable(saved(record)))
        return status.endswith(" 1")

    async def commit(self) -> None:
        await self._transaction.commit()

    async def rollback(self) -> None:
        await self._transaction.rollback()


class PostgresDriver:
    """Sends statements over the connections of a source. ``db`` is closed with the driver."""

    def __init__(self, connector: Connector[Any], source: ConnectionSource[Any], db: Any = None) -> None:
        self._source = source
        self._operations = Operations(connector, source)
        self._db = db

    async def fetch(self, statement: str, *values: Any) -> Sequence[Row]:
        query, sent = numbered(statement), sendable(values)
        return await self._operations.run(lambda connection: connection.fetch(query, *sent), is_read=True)

    async def execute(self, statement: str, *values: Any) -> int:
        query, sent = numbered(statement), sendable(values)
        status: str = await self._operations.run(lambda connection: connection.execute(query, *sent))
        return int(status.rpartition(" ")[2])

    async def change(self, statement: str, *values: Any) -> Sequence[Row]:
        query, sent = numbered(statement), sendable(values)
        return await self._operations.run(lambda connection: connection.fetch(query, *sent))

    async def create_schema(self, migrate: Callable[[Run], Awaitable[None]]) -> None:
        async def work(connection: Any) -> None:
            async def run(statement: str, *values: Any) -> Sequence[Row]:
                rows: Sequence[Row] = await connection.fetch(numbered(statement), *values)
                return rows

            async with connection.transaction():
                await connection.execute(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
                await migrate(run)

        await self._operations.run(work, limit=operations.MIGRATION_LIMIT)

    async def close(self) -> None:
        await asyncio.gather(self._source.close(), self._close_db())

    async def _close_db(self) -> None:
        if self._db is not None:
            with suppress(Exception):  # what cannot be closed gracefully is terminated
                async with asyncio.timeout(pool.CLOSE_LIMIT):
                    await self._db.close()
            self._db.terminate()


@cache
def numbered(statement: str) -> str:
    """Return a statement with PostgreSQL's placeholders: $1, $2 and so on."""
    numbers = count(1)
    return "".join(f"${next(numbers)}" if character == "?" else character for character in statement)


def sendable(values: Sequence[Any]) -> Sequence[Any]:
    """Replace the zero character in values, as no text of PostgreSQL can contain it.

    No user id contains it, but what a client sends may, and must be looked up and counted.
    """
    return [value.replace("\0", "\U0010ffff") if type(value) is str else value for value in values]
