"""What is specific to PostgreSQL: its URL, its driver, and a ready pool."""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import Callable
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest

from tests.support.limits import WATCHDOG, limits
from tests.support.servers import Server, postgresql
from tests.support.service import Serve
from tests.support.sql_stores import (
    assert_unavailable,
    every_operation,
    frozen,
    opened,
    run,
    session,
    traceback_of,
)
from toto_aio import Handler
from toto_aio.exceptions import Unavailable
from toto_aio.models import Account
from toto_aio.settings import SettingsError
from toto_aio.stores import open_store
from toto_aio.stores.postgres import data_source, numbered
from toto_aio.stores.postgres_options import connect_options
from toto_aio.stores.sql import operations, pool


@pytest.fixture
def server(servers: Callable[[str], Server]) -> Server:
    """The server that all tests share."""
    return servers("postgresql")


@pytest.fixture
def url(server: Server) -> str:
    """The URL of a new, empty database on it."""
    return postgresql.fresh_url(server)


# The URL


@pytest.mark.parametrize(
    ("url", "dsn"),
    [
        ("postgresql", "postgresql://localhost/toto"),
        ("postgres", "postgresql://localhost/toto"),
        ("postgresql://", "postgresql:///toto"),
        ("postgres://host", "postgres://host/toto"),
        ("postgresql://host/", "postgresql://host/toto"),
        ("postgresql://me:p%40ss@host:99/db", "postgresql://me:p%40ss@host:99/db"),
        ("postgresql://host?sslmode=require", "postgresql://host/toto?sslmode=require"),
        ("postgresql://host?dbname=x", "postgresql://host?dbname=x"),
        ("postgresql:///db?host=/run/postgresql", "postgresql:///db?host=/run/postgresql"),
    ],
)
def test_urls(url: str, dsn: str) -> None:
    """The defaults are localhost and the database toto."""
    assert data_source(url) == dsn


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:s3cr@et@host/db",
        "postgresql://me:s3cr/et@host/db",
        "postgresql://me:s3cr#et@host/db",
        "postgresql://me:s3cr?et@host/db",
        "postgresql://me:s3cret@host:port/db",
        "postgresql://me:s3cret@[/db",
        "postgresql://me:s3cret@host/db\0",
        "postgresql://me:s3cret@host/db?sslmode=much",
        "postgresql://me:s3cret@host/db?password",
        "postgresql:me:s3cret@host/db",
        "postgress://me:s3cret@host/db",
    ],
)
async def test_urls_that_are_not_understood(url: str) -> None:
    """The error says what to write, and shows no password."""
    with pytest.raises(SettingsError, match="postgresql://") as refused:
        await open_store(url)
    assert "s3cr" not in traceback_of(refused.value)
    assert "\n" not in str(refused.value)


async def test_an_option_of_the_url(url: str) -> None:
    """An option that the driver does not know is passed to the server as a setting."""
    async with opened(f"{url}&application_name=of%20the%20test") as store:
        assert await run(store, "SHOW application_name") == [("of the test",)]


@pytest.mark.parametrize("change", [("%40ss", "ss"), ("/postgres?", "/none?"), ("postgres:", "nobody:")])
async def test_a_database_that_refuses(url: str, change: tuple[str, str]) -> None:
    """With a wrong password, database or user, opening fails with that reason."""
    with pytest.raises(
        Unavailable, match=r"Cannot open the database postgresql://[\w.]+:\d+/\w+: .+"
    ) as error:
        await open_store(url.replace(*change))
    assert "%3Aw" not in traceback_of(error.value)
    assert ":w" not in traceback_of(error.value)


async def test_a_missing_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install."""
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    monkeypatch.delitem(sys.modules, "toto_aio.stores.postgres")
    with pytest.raises(
        SettingsError, match=r"^PostgreSQL needs a driver: pip install 'toto-aio\[postgresql\]'$"
    ):
        await open_store("postgresql://localhost/toto")


def test_placeholders() -> None:
    """Each ? becomes a numbered placeholder."""
    assert numbered("a = ? AND b = ?") == "a = $1 AND b = $2"


async def test_the_zero_character(url: str) -> None:
    """PostgreSQL cannot store it; a user id that contains it is unknown, and is still counted."""
    async with opened(url) as store:
        assert await store.get_account("a\0") is None
        assert await store.list_sessions("a\0") == []
        assert [await store.increment(key, 60) for key in ("a\0", "a\0", "a")] == [1, 2, 1]


async def test_a_value_that_cannot_be_sent(url: str) -> None:
    """A value that cannot be sent is not reported as an error of the database, which continues to work."""
    async with opened(url) as store:
        with pytest.raises(asyncpg.DataError, match="surrogates"):
            await store.get_account("\ud800")
        assert await store.increment("a", 60) == 1


# The pool for methods


async def test_db_is_a_separate_pool(url: str) -> None:
    """A method's transaction does not see half of what the store does, and does not block it."""
    async with opened(url) as store:
        assert isinstance(store.db, asyncpg.Pool)
        async with store.db.acquire() as connection, connection.transaction(isolation="serializable"):
            count = "SELECT count(*) FROM toto_accounts"
            assert await connection.fetchval(count) == 0
            await store.add_account(Account("ada", "hash"))
            assert await connection.fetchval(count) == 0
        assert await store.db.fetchval(count) == 1


async def test_all_of_db_in_use(url: str) -> None:
    """Methods that hold all connections of ``db`` do not block the store."""
    async with opened(url) as store:
        held = [await store.db.acquire() for _ in range(pool.MAX_SIZE)]
        await store.add_account(Account("ada", "hash"))
        for connection in held:
            await store.db.release(connection)


async def test_a_connection_that_a_method_kept(url: str) -> None:
    """Closing a store does not wait forever for a connection that a method has kept."""
    store = await open_store(url)
    await store.db.acquire()
    await asyncio.wait_for(store.close(), WATCHDOG)


async def test_a_method_has_the_pool(serve: Serve, url: str) -> None:
    """``handler.connection.db`` is a pool on the same database as the store."""

    async def names(handler: Handler, parameters: dict[str, str]) -> list[str]:
        rows = await handler.connection.db.fetch("SELECT user_id FROM toto_accounts ORDER BY user_id")
        return [row["user_id"] for row in rows]

    service = await serve({"names": names}, database=url)
    await service.create("ada")
    await service.create("eve")
    assert await service.result("names") == ["ada", "eve"]


# A ready pool


async def test_a_ready_pool(url: str) -> None:
    """The store uses the pool and leaves it open, with every connection released."""
    async with asyncpg.create_pool(url, min_size=0, max_size=3) as ready:
        store = await open_store(ready)
        assert store.db is ready
        await store.add_session(session("k"))
        found = await asyncio.gather(*(store.list_sessions("ada") for _ in range(20)))
        assert [[each.key for each in listed] for listed in found] == [["k"]] * 20
        await store.close()
        assert ready.get_idle_size() == ready.get_size()
        assert await ready.fetchval("SELECT count(*) FROM toto_sessions") == 1


async def test_a_subclass_of_the_pool(url: str) -> None:
    """A subclass of the driver's pool is accepted, too."""

    class TheirPool(asyncpg.Pool):  # type: ignore[misc]
        __slots__ = ()

    async with asyncpg.create_pool(url, min_size=0) as ready:
        ready.__class__ = TheirPool
        store = await open_store(ready)
        assert await store.increment("a", 60) == 1
        await store.close()


async def test_a_pooler_that_forgets_statements(url: str) -> None:
    """A connection whose statements are gone is not kept: a read is made on another, later writes work."""
    async with asyncpg.create_pool(url, min_size=1, max_size=1) as ready:
        store = await open_store(ready)
        assert await store.increment("a", 60) == 1
        assert (await store.get_counter("a"))[0] == 1
        await ready.execute("DEALLOCATE ALL")
        assert (await store.get_counter("a"))[0] == 1
        assert await store.increment("a", 60) == 2
        await ready.execute("DEALLOCATE ALL")
        await assert_unavailable(store.increment("a", 60))
        assert await store.increment("a", 60) == 3
        await store.close()


async def test_no_statements_are_kept(url: str) -> None:
    """With ``statement_cache_size=0`` neither the store nor ``db`` need a statement from before."""
    store: Any
    async with opened(f"{url}&statement_cache_size=0") as store:
        for n in range(1, 4):
            assert await store.increment("a", 60) == n
            for source in (store.pool, store.db):
                connection = await source.acquire()
                found = await connection.fetch("SELECT name FROM pg_prepared_statements WHERE name <> ''")
                assert found == []
                await source.release(connection)


@pytest.mark.parametrize("value", ["", "-1", "off", "1e3", "٣"])
async def test_a_number_of_statements_that_is_none(value: str) -> None:
    """It is refused with what to write."""
    with pytest.raises(SettingsError, match="write statement_cache_size=0 behind PgBouncer"):
        await open_store(f"postgresql://localhost/x?statement_cache_size={value}")


UNPREPARED = {"statement_cache_size": 0}
PROVIDERS: dict[str, tuple[str, dict[str, int]]] = {
    "postgresql": ("postgresql", {}),
    "postgresql://h/a?sslmode=require": ("postgresql://h/a?sslmode=require", {}),
    "postgresql://h/a?statement_cache_size=0": ("postgresql://h/a", UNPREPARED),
    "postgresql://h/a?b=%40&statement_cache_size=7&c=%3F": (
        "postgresql://h/a?b=%40&c=%3F",
        {"statement_cache_size": 7},
    ),
    # of Supabase, with Prisma
    "postgres://u:p@h:6543/a?pgbouncer=true&connection_limit=1&schema=x": (
        "postgres://u:p@h:6543/a?search_path=x",
        UNPREPARED,
    ),
    # of libpq and node-postgres
    "postgres://h/a?sslmode=no-verify&connect_timeout=5&keepalives=1&gssencmode=disable": (
        "postgres://h/a?sslmode=require",
        {},
    ),
    "postgres://h/a?ssl=true&application_name=x%20y&target_session_attrs=read-write": (
        "postgres://h/a?sslmode=require&application_name=x%20y&target_session_attrs=read-write",
        {},
    ),
    "postgres://h/a?sslmode=verify-full&sslrootcert=%2Fca.pem&ssl=true": (
        "postgres://h/a?sslmode=verify-full&sslrootcert=%2Fca.pem",
        {},
    ),
    # of Java's client
    "postgres://h/a?prepareThreshold=0&currentSchema=x&ApplicationName=y": (
        "postgres://h/a?search_path=x&application_name=y",
        UNPREPARED,
    ),
    "postgres://h/a?sslmode=disable&channel_binding=require&sslrootcert=ca": (
        "postgres://h/a?sslmode=verify-full&sslrootcert=ca",
        {},
    ),
}
"""URLs, and what is left of them beside which options of asyncpg."""


def test_urls_of_providers() -> None:
    """Each option is that of asyncpg, or left out; of two modes of TLS the safer one holds."""
    for url, expected in PROVIDERS.items():
        assert connect_options(url) == expected, url
    for url in (
        "postgres://h/a?sslmode=require&channel_binding=require",  # of Neon
        "postgres://h/a?sslmode=verify-full&sslrootcert=system",
    ):
        rest, options = connect_options(url)
        assert rest == "postgres://h/a", url
        assert options["ssl"].check_hostname, url
        assert options["ssl"].verify_mode == ssl.CERT_REQUIRED, url


def test_options_that_cannot_be_left_out() -> None:
    """What would make a connection less safe than it says is refused, with what to write."""
    for option, advice in {
        "gssencmode=require": "write sslmode=verify-full",
        "require_auth=scram-sha-256": "write sslmode=verify-full",
        "requirepeer=postgres": "leave it out",
        "channel_binding=always": "write sslmode=verify-full",
        "ssl=s3cret": "write sslmode=require",
        "sslmode=s3cret": "write sslmode=disable, prefer, require",
        "client_encoding=latin1": "all text is UTF-8",
    }.items():
        name = option.partition("=")[0]
        with pytest.raises(
            SettingsError, match=f"database: cannot use this {name} of the URL: .*{advice}"
        ) as no:
            connect_options(f"postgresql://h/a?{option}")
        assert "s3cr" not in str(no.value)


async def test_a_url_of_a_provider(url: str) -> None:
    """It opens, and keeps no statement from before with ``pgbouncer=true``."""
    habits = (
        "pgbouncer=true&connection_limit=1&connect_timeout=3&keepalives_idle=9&gssencmode=prefer&sslsni=1"
    )
    async with opened(f"{url}&{habits}&channel_binding=prefer&schema=public") as store:
        assert await run(store, "SHOW search_path") == [("public",)]
        assert await run(store, "SELECT count(*) FROM pg_prepared_statements WHERE name <> ''") == [(0,)]


async def test_a_ready_pool_in_use(url: str) -> None:
    """While all connections of the pool are in use, an operation is unavailable within the limit."""
    async with asyncpg.create_pool(url, min_size=0, max_size=2) as ready:
        store = await open_store(ready)
        async with ready.acquire(), ready.acquire():
            with limits(pool, POOL_LIMIT=0.2):
                await assert_unavailable(store.get_session("k"))
        assert await store.get_session("k") is None
        await store.close()


async def test_cancelled_operations_on_a_ready_pool(url: str) -> None:
    """The connection of a cancelled operation is closed, and other operations continue."""
    async with asyncpg.create_pool(url, min_size=0, max_size=3) as ready:
        store = await open_store(ready)
        await store.add_session(session("k"))
        async with ready.acquire() as connection, connection.transaction():
            await connection.execute("SELECT 1 FROM toto_sessions FOR UPDATE")
            writes = [asyncio.create_task(store.save_session(session("k"))) for _ in range(2)]
            await asyncio.sleep(0.05)
            for write in writes:
                write.cancel()
            await asyncio.wait(writes)
            reads = asyncio.gather(*(store.get_session("k") for _ in range(5)))
            found = await asyncio.wait_for(reads, WATCHDOG)
            assert found == [session("k")] * 5
        assert await store.save_session(session("k")) is True
        await store.close()


async def test_a_ready_pool_on_a_server_that_restarts() -> None:
    """Operations are unavailable within the limit while frozen; after a restart the first ones work."""
    with postgresql.server() as server:
        async with asyncpg.create_pool(postgresql.url(server), min_size=0, max_size=5) as ready:
            store = await open_store(ready)
            await asyncio.gather(*(store.get_account("ada") for _ in range(5)))
            with (
                frozen(server),
                limits(operations, OPERATION_LIMIT=0.3),
                limits(pool, CLOSE_LIMIT=0.2),
            ):
                await asyncio.gather(*(assert_unavailable(store.get_account("ada")) for _ in range(5)))
            await asyncio.gather(*(store.get_account("ada") for _ in range(5)))
            server.stop()
            server.start()
            for _, call in reversed(every_operation(store)):
                await call()
            await store.close()
