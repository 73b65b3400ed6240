"""``postgresql://user:password@host:5432/toto``: accounts and sessions in PostgreSQL, with asyncpg."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import cache
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg  # type: ignore[import-untyped]

from toto_aio.settings import SettingsError
from toto_aio.settings.urls import without_password
from toto_aio.stores.sql import pool
from toto_aio.stores.sql.dialect import Dialect
from toto_aio.stores.sql.driver import Row, Run
from toto_aio.stores.sql.pool import Client, Lender, Operations, Pool, Verdict
from toto_aio.stores.sql.store import SQLStore
from toto_aio.tasks import Tasks

POSTGRESQL = Dialect(
    key='text COLLATE "C"',
    text="text",
    blob="bytea",
    real="double precision",
    integer="bigint",
    any_of=lambda keys: ("= ANY (?)", [keys]),
    # Not with to_regclass, which after a wait for the lock may still answer from a cache.
    has_schema="""SELECT 1 FROM pg_catalog.pg_tables
        WHERE tablename = 'toto_schema' AND schemaname = ANY (current_schemas(false))""",
)
MIGRATION_LOCK = 0x746F746F
"""The advisory lock of who changes the schema."""
VERDICTS: tuple[tuple[Any, Verdict | None], ...] = (
    (asyncpg.UniqueViolationError, Verdict.DUPLICATE),
    ((asyncpg.DeadlockDetectedError, asyncpg.SerializationError), Verdict.AGAIN),
    (asyncpg.QueryCanceledError, Verdict.REFUSED),
    ((asyncpg.PostgresConnectionError, asyncpg.exceptions.OperatorInterventionError), Verdict.LOST),
    (asyncpg.ReadOnlySQLTransactionError, Verdict.LOST),  # another server is the primary now
    (asyncpg.DataError, None),  # of the server, or of asyncpg for a value that cannot be sent
    (asyncpg.PostgresError, Verdict.REFUSED),
    (OSError, Verdict.LOST),
    (ValueError, None),  # some errors of asyncpg are one, and so no lost connections
    ((asyncpg.InterfaceError, asyncpg.InternalClientError), Verdict.LOST),
)
"""What an error means: what the first row says that fits."""


class PostgresStore(SQLStore):
    """The store on PostgreSQL; ``db`` is an ``asyncpg.Pool`` of its own, or the one that was given."""

    @classmethod
    async def open(cls, url: str) -> PostgresStore:
        dsn = data_source(url)
        client = PostgresClient(dsn)
        db = await asyncpg.create_pool(dsn, min_size=0, max_size=pool.SIZE, timeout=pool.CONNECT_LIMIT)
        own = Pool(client)
        store = cls(PostgresDriver(client, own, db), POSTGRESQL, db, own)
        await store.prepare(without_password(url))
        return store

    @classmethod
    async def over(cls, ready: Any) -> PostgresStore:
        """The store on an ``asyncpg.Pool``, which stays open."""
        client = PostgresClient("")
        store = cls(PostgresDriver(client, ReadyPool(client, ready)), POSTGRESQL, ready)
        await store.prepare("the asyncpg.Pool")
        return store


def data_source(url: str) -> str:
    """The URL as asyncpg takes it; what is not said is localhost, the driver's user, and the database toto.

    Raises ``SettingsError`` for what would be understood in another way than it is meant.
    """
    try:
        parts = urlsplit("postgresql://localhost" if "://" not in url else url)
    except ValueError:
        raise _not_understood(url) from None  # whose text may show a part of the password
    if parts.netloc.count("@") > 1 or parts.fragment or "\0" in url:
        raise _not_understood(url, "; in a password @ is %40, / is %2F, ? is %3F and # is %23")
    has_name = {"dbname", "database"} & set(parse_qs(parts.query))
    path = "/toto" if parts.path in ("", "/") and not has_name else parts.path
    return f"{parts.scheme}://{parts.netloc}{path}" + (f"?{parts.query}" if parts.query else "")


def _not_understood(url: str, why: str = "") -> SettingsError:
    form = "write postgresql://user:password@host:5432/name"
    return SettingsError(f"database: cannot understand {without_password(url)!r}, {form}{why}")


class PostgresClient:
    """What asyncpg does with connections."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    async def connect(self) -> Any:
        try:
            return await asyncpg.connect(self._dsn)
        except OSError:
            raise  # that of a certificate is a ValueError too
        except ValueError as exc:
            # The text of others may show a part of the password.
            why = f": {exc}" if isinstance(exc, asyncpg.ClientConfigurationError) else ""
            raise _not_understood(self._dsn, why) from None

    def is_alive(self, connection: Any) -> bool:
        return not connection.is_closed() and not pool.has_hung_up(connection._transport)

    def judge(self, error: Exception) -> Verdict | None:
        return next((verdict for kinds, verdict in VERDICTS if isinstance(error, kinds)), None)

    async def close(self, connection: Any) -> None:
        await connection.close()  # which has the server cancel what it is doing

    def abort(self, connection: Any) -> None:
        with suppress(asyncpg.InterfaceError):  # closed, and so given back to a ready pool
            connection.terminate()


class ReadyPool:
    """Lends the connections of a pool that somebody else opened and uses too."""

    def __init__(self, client: Client[Any], ready: Any) -> None:
        self._client = client
        self._ready = ready
        self._closing = Tasks()

    async def take(self) -> Any:
        while True:
            is_full = (
                self._ready.get_idle_size() == 0 and self._ready.get_size() >= self._ready.get_max_size()
            )
            limit = pool.POOL_LIMIT if is_full else pool.CONNECT_LIMIT
            connection = await self._ready.acquire(timeout=limit)
            if self._client.is_alive(connection):
                return connection
            self._client.abort(connection)

    async def give_back(self, connection: Any) -> None:
        with suppress(Exception):  # the operation is done, and a connection that fails now is closed
            await self._ready.release(connection, timeout=pool.CLOSE_LIMIT)

    def drop(self, connection: Any, *, busy: bool) -> None:
        if busy:
            self._closing.start(pool.close(self._client, connection), "closing")
        else:
            self._client.abort(connection)

    async def close(self) -> None:
        await self._closing.finish()


class PostgresDriver:
    """Statements through the connections of a lender. ``db`` is closed with the driver."""

    def __init__(self, client: Client[Any], lender: Lender[Any], db: Any = None) -> None:
        self._lender = lender
        self._operations = Operations(client, lender)
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

        await self._operations.run(work, limit=pool.MIGRATION_LIMIT)

    async def close(self) -> None:
        await asyncio.gather(self._lender.close(), self._close_db())

    async def _close_db(self) -> None:
        if self._db is not None:
            with suppress(Exception):  # what is not closed politely within the limit is closed all the same
                async with asyncio.timeout(pool.CLOSE_LIMIT):
                    await self._db.close()
            self._db.terminate()


@cache
def numbered(statement: str) -> str:
    """A statement with PostgreSQL's placeholders, $1 and so on."""
    numbers = count(1)
    return "".join(f"${next(numbers)}" if character == "?" else character for character in statement)


def sendable(values: Sequence[Any]) -> Sequence[Any]:
    """Values without the zero character, which no text of PostgreSQL can hold.

    No account has it in its id, but what a client sends may, and is to be looked for and counted.
    """
    return [value.replace("\0", "\U0010ffff") if type(value) is str else value for value in values]
