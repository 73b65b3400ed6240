"""What is specific to MySQL: its URL, its two drivers, encryption, and a ready pool."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import aiomysql  # type: ignore[import-untyped]
import asyncmy
import pytest
from msgspec.structs import replace

from tests.support.limits import WATCHDOG, limits
from tests.support.servers import Server, mysql
from tests.support.service import Serve
from tests.support.sql_stores import (
    NOW,
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
from toto_aio.models import Account, Session
from toto_aio.settings import SettingsError
from toto_aio.stores import open_store
from toto_aio.stores.mysql import connect_arguments
from toto_aio.stores.mysql_transactions import in_hexadecimal
from toto_aio.stores.sql import operations, pool

LIBRARIES = {"mysql": asyncmy, "mysql+aiomysql": aiomysql}


@pytest.fixture
def server(servers: Callable[[str], Server]) -> Server:
    """The server that all tests share."""
    return servers("mysql")


@pytest.fixture
def url(server: Server) -> str:
    """The URL of a new, empty database on it."""
    return mysql.fresh_url(server)


@pytest.fixture(params=LIBRARIES)
def any_url(request: pytest.FixtureRequest, url: str) -> str:
    """The URL with the scheme of each driver."""
    return url.replace("mysql", request.param, 1)


@asynccontextmanager
async def ready_pool(url: str, **options: Any) -> AsyncIterator[Any]:
    """A pool as an application may have it: with none of the store's options."""
    parts = urlsplit(url)
    ready = await LIBRARIES[parts.scheme].create_pool(
        host=parts.hostname,
        port=parts.port,
        user=parts.username,
        password=unquote(parts.password or ""),
        db=parts.path[1:],
        **{"minsize": 0, "maxsize": 3, **options},
    )
    try:
        yield ready
    finally:
        ready.close()
        await ready.wait_closed()


# The URL


@pytest.mark.parametrize(
    ("url", "arguments"),
    [
        ("mysql", {}),
        ("mysql+aiomysql", {}),
        ("mysql://", {}),
        ("mysql://host", {"host": "host"}),
        ("mysql://host/", {"host": "host"}),
        ("mysql://me@host:99/db", {"user": "me", "host": "host", "port": 99, "db": "db"}),
        (
            "mysql://m%20e:p%40s%2Fs@[::1]/d%20b",
            {"user": "m e", "password": "p@s/s", "host": "::1", "db": "d b"},
        ),
        ("mysql:///db?unix_socket=/run/my.sock", {"db": "db", "unix_socket": "/run/my.sock"}),
        ("mysql://host?ssl=false", {"host": "host"}),
        ("mysql://host?charset=latin1&ssl-mode=PREFERRED&connect_timeout=5&parseTime=true", {"host": "host"}),
        ("mysql:///db?socket=/run/my.sock", {"db": "db", "unix_socket": "/run/my.sock"}),
    ],
)
def test_urls(url: str, arguments: dict[str, Any]) -> None:
    """The defaults are localhost, port 3306, and the database toto."""
    usual = {
        "host": "localhost",
        "port": 3306,
        "user": None,
        "password": "",
        "db": "toto",
        "unix_socket": None,
    }
    usual |= {"charset": "utf8mb4", "autocommit": True}
    assert connect_arguments(url) == usual | arguments


VERIFIED, CHAIN, UNVERIFIED = (True, ssl.CERT_REQUIRED), (False, ssl.CERT_REQUIRED), (False, ssl.CERT_NONE)
TLS = {
    "ssl=true": VERIFIED,
    "ssl-mode=REQUIRED": UNVERIFIED,  # of DigitalOcean and Aiven
    "ssl_mode=VERIFY_CA": CHAIN,
    "sslMode=VERIFY_IDENTITY": VERIFIED,
    "sslmode=verify-full&ssl-mode=REQUIRED": VERIFIED,
    "sslaccept=strict": VERIFIED,
    "sslaccept=accept_invalid_certs": UNVERIFIED,
    "ssl=%7B%22rejectUnauthorized%22%3Atrue%7D": VERIFIED,  # of PlanetScale
    "useSSL=true&requireSSL=true": UNVERIFIED,
    "verifyServerCertificate=true&useSSL=true": CHAIN,
    "tls=skip-verify": UNVERIFIED,
}
"""Options of URLs, and whether the host name and the certificate are verified."""


def test_tls_as_providers_write_it() -> None:
    """Each way to ask for TLS means what it means to the client that has it; of two the safer one holds."""
    for option, expected in TLS.items():
        context = connect_arguments(f"mysql://host/db?{option}")["ssl"]
        assert (context.check_hostname, context.verify_mode) == expected, option
    for option in ("ssl=s3cret", "ssl-mode=s3cret", "sslaccept=s3cret", "useSSL=s3cret"):
        with pytest.raises(SettingsError, match="of the URL: write ssl-mode=REQUIRED") as refused:
            connect_arguments(f"mysql://host/db?{option}")
        assert "s3cr" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://me:s3cr@et@host/db",
        "mysql://me:s3cr/et@host/db",
        "mysql://me:s3cr#et@host/db",
        "mysql://me:s3cr?et@host/db",
        "mysql://me:s3cret@host:port/db",
        "mysql://me:s3cret@[/db",
        "mysql://me:s3cret@host/db\0",
        "mysql://me:s3cret@host/db/more",
        "mysql+aiomysql://me:s3cret@host/db?option=1",
        "mysql:me:s3cret@host/db",
        "mysqll://me:s3cret@host/db",
    ],
)
async def test_urls_that_are_not_understood(url: str) -> None:
    """The error says what to write, and shows no password."""
    with pytest.raises(SettingsError, match="mysql://") as refused:
        await open_store(url)
    assert "s3cr" not in traceback_of(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("change", [("%40ss", "ss"), ("/toto_", "/none_"), ("toto:", "nobody:")])
async def test_a_database_that_refuses(any_url: str, change: tuple[str, str]) -> None:
    """With a wrong password, database or user, opening fails with that reason."""
    refused = r"Cannot open the database mysql[^:]*://[\w.]+:\d+/\w+: .*denied"
    with pytest.raises(Unavailable, match=refused) as error:
        await open_store(any_url.replace(*change))
    assert "%3Aw" not in traceback_of(error.value)
    assert ":w" not in traceback_of(error.value)


@pytest.mark.parametrize(
    ("url", "module", "package"),
    [("mysql", "asyncmy", "'toto-aio[mysql]'"), ("mysql+aiomysql", "aiomysql", "'toto-aio[aiomysql]'")],
)
async def test_a_missing_driver(monkeypatch: pytest.MonkeyPatch, url: str, module: str, package: str) -> None:
    """The error says what to install."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SettingsError) as refused:
        await open_store(url)
    assert str(refused.value) == f"MySQL needs a driver: pip install {package}"


async def test_encryption(tmp_path: Path) -> None:
    """``ssl_ca`` names the authorities of the server's certificate; with ``ssl`` the system's count."""

    def command(directory: Path, port: int) -> Sequence[str]:
        files = [f"-keyout {directory}/key -out {directory}/cert", "-subj /CN=localhost"]
        extension = "-addext subjectAltName=IP:127.0.0.1"
        request = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 {extension}"
        subprocess.run(f"{request} {' '.join(files)}".split(), check=True, capture_output=True)
        (directory / "key").chmod(0o644)
        secure = [f"--ssl-cert={directory}/cert", f"--ssl-key={directory}/key"]
        return [*mysql._command(directory, port), *secure]

    with Server(command, user="mysql", is_ready=mysql._is_ready) as server:
        url = mysql.fresh_url(server)
        for scheme in LIBRARIES:
            certificate = f"{url}?ssl_ca={server.directory}/cert".replace("mysql", scheme, 1)
            async with opened(certificate) as store:
                [(_, cipher)] = await run(store, "SHOW STATUS LIKE 'ssl_cipher'")
                assert cipher
            with pytest.raises(Unavailable, match="certificate"):
                await open_store(f"{url}?ssl=true")
    with pytest.raises(SettingsError, match="ssl_ca"):
        await open_store(f"mysql://localhost?ssl_ca={tmp_path}/none")


# Both drivers


async def test_both_drivers(any_url: str) -> None:
    """Each driver stores text, bytes, numbers and counters unchanged."""
    every = replace(session("grüße 🦊 "), state=bytes(range(256)), signing_key=b"'\\\0\n", agent="'\\%s ? 🦊")
    async with opened(any_url) as store:
        assert isinstance(store.db, LIBRARIES[any_url.partition("://")[0]].Pool)
        await store.add_account(Account("ada ", None, {"a": "'\\ 🦊", "b": [0.1, None, "%s ?"]}))
        account = await store.get_account("ada ")
        assert account == Account("ada ", None, {"a": "'\\ 🦊", "b": [0.1, None, "%s ?"]})
        await store.add_session(every)
        assert await store.get_session(every.key) == every
        assert await store.list_sessions("ada") == [replace(every, state=b"")]
        assert await store.save_session(replace(every, state=b"")) is True
        assert await store.get_session(every.key) == replace(every, state=b"", version=2)
        assert await store.touch_session(every.key, NOW + 9e4 + 0.1, NOW + 0.7) is True
        assert await store.touch_session(every.key, NOW + 9e4 + 0.1, NOW + 0.7) is True
        assert [await store.increment("a", 60, by) for by in (2, -2, -1, 2**40)] == [2, 0, 0, 2**40]
        assert await store.sweep() == 0
        assert await store.remove_sessions("ada") == 1


async def test_cancelled_operations_of_both_drivers(any_url: str) -> None:
    """After an operation is cancelled, the next one gets its own result."""
    async with opened(any_url) as store:
        for n in range(5):
            await store.add_account(Account(f"user {n}", f"hash {n}"))
        for delay in range(20):
            reads = [asyncio.create_task(store.get_account(f"user {n}")) for n in range(5)]
            await asyncio.sleep(delay / 5000)
            for read in reads:
                read.cancel()
            await asyncio.gather(*reads, return_exceptions=True)
            for n in range(5):
                assert await store.get_account(f"user {n}") == Account(f"user {n}", f"hash {n}")


def test_bytes_in_hexadecimal() -> None:
    """Bytes are sent as hexadecimal digits."""
    statement = in_hexadecimal("a = ? AND b = ? AND c = ?", ["x", b"\xff", 1.5])
    assert statement == ("a = %s AND b = UNHEX(%s) AND c = %s", ["x", "ff", 1.5])


async def test_a_value_that_is_too_long(url: str) -> None:
    """A value that is too long is refused, not truncated, as some servers do by default."""
    async with opened(url) as store:
        with pytest.raises(Unavailable):
            await store.add_account(Account("x" * 3000, None))
        assert await run(store, "SELECT count(*) FROM toto_accounts") == [(0,)]


async def test_a_server_that_is_strict_about_tables() -> None:
    """Small pages, an old row format and obligatory primary keys prevent neither the tables nor long ids."""
    options = [
        "--innodb-page-size=4k",
        "--innodb-default-row-format=redundant",
        "--innodb-force-primary-key=1",
    ]
    with mysql.server(*options) as server:
        url = mysql.fresh_url(server)
        for _ in range(2):
            async with opened(url) as store:
                assert await store.get_account("a" * 256) is None
        async with opened(url) as store:
            account = Account("a" * 255, "h" * 2000)
            await store.add_account(account)
            assert await store.get_account("a" * 255) == account
            long = Session("k" * 255, "a" * 255, NOW, NOW + 86400, b"state")
            await store.add_session(long)
            assert await store.list_sessions("a" * 255) == [replace(long, state=b"")]
            assert await store.increment("c" * 255, 60) == 1


async def test_tables_with_longer_keys(url: str) -> None:
    """Those that an older version has created are used as they are."""
    async with opened(url) as store:
        for table, column in (
            ("toto_accounts", "user_id"),
            ("toto_sessions", "session_key"),
            ("toto_sessions", "user_id"),
            ("toto_counters", "counter_key"),
        ):
            await run(store, f"ALTER TABLE {table} MODIFY {column} varbinary(2048) NOT NULL")
        await store.add_account(Account("a" * 2000, "hash"))
    async with opened(url) as store:
        assert await store.get_account("a" * 2000) == Account("a" * 2000, "hash")
        await store.add_session(session("k"))
        assert await store.get_session("k") == session("k")
        assert await store.increment("c" * 2000, 60) == 1


# The pool for methods


async def test_db_is_a_separate_pool(any_url: str) -> None:
    """A method's transaction does not see half of what the store does, and does not block it."""
    async with opened(any_url) as store:
        async with store.db.acquire() as connection:
            await connection.begin()
            cursor = await connection.cursor()
            count = "SELECT count(*) FROM toto_accounts"
            await cursor.execute(count)
            await store.add_account(Account("ada", "hash"))
            await cursor.execute(count)
            assert tuple(await cursor.fetchall()) == ((0,),)
            await connection.rollback()
        assert await run(store, count) == [(1,)]


async def test_a_connection_that_a_method_kept(any_url: str) -> None:
    """Closing a store does not wait forever for a connection that a method has kept."""
    store = await open_store(any_url)
    await store.db.acquire()
    await asyncio.wait_for(store.close(), WATCHDOG)


async def test_a_method_has_the_pool(serve: Serve, url: str) -> None:
    """``handler.connection.db`` is a pool on the same database as the store."""

    async def names(handler: Handler, parameters: dict[str, str]) -> list[str]:
        async with handler.connection.db.acquire() as connection, connection.cursor() as cursor:
            await cursor.execute("SELECT user_id FROM toto_accounts ORDER BY user_id")
            return [name.decode() for (name,) in await cursor.fetchall()]

    service = await serve({"names": names}, database=url)
    await service.create("ada")
    await service.create("eve")
    assert await service.result("names") == ["ada", "eve"]


# A ready pool


@pytest.mark.parametrize("options", [{}, {"autocommit": True}], ids=["no autocommit", "autocommit"])
async def test_a_ready_pool(any_url: str, options: dict[str, Any]) -> None:
    """The store uses the pool, commits what it writes, and leaves the pool open."""
    async with ready_pool(any_url, **options) as ready:
        store = await open_store(ready)
        assert store.db is ready
        await store.add_session(session("k"))
        found = await asyncio.gather(*(store.list_sessions("ada") for _ in range(20)))
        assert [[each.key for each in listed] for listed in found] == [["k"]] * 20
        for _ in range(2):  # the second changes nothing
            assert await store.touch_session("k", NOW + 9e4, NOW) is True
        assert await store.touch_session("none", NOW + 9e4, NOW) is False
        async with opened(any_url) as other:
            assert await other.save_session(session("k", b"other")) is True
            found = await asyncio.gather(*(store.list_sessions("ada") for _ in range(5)))
            assert [one.version for [one] in found] == [2] * 5
        await store.close()
        assert ready.freesize == ready.size


async def test_a_ready_pool_in_use(any_url: str) -> None:
    """While all connections of the pool are in use, an operation is unavailable within the limit."""
    async with ready_pool(any_url, maxsize=2) as ready:
        store = await open_store(ready)
        async with ready.acquire(), ready.acquire():
            with limits(pool, POOL_LIMIT=0.2):
                await assert_unavailable(store.get_session("k"))
        assert await store.get_session("k") is None


async def test_a_ready_pool_on_a_server_that_restarts() -> None:
    """Operations are unavailable within the limit while frozen; after a restart the first ones work."""
    with mysql.server() as server:
        for scheme in LIBRARIES:
            url = mysql.fresh_url(server).replace("mysql", scheme, 1)
            async with ready_pool(url, maxsize=5) as ready:
                store = await open_store(ready)
                await asyncio.gather(*(store.get_account("ada") for _ in range(5)))
                with frozen(server), limits(operations, OPERATION_LIMIT=0.3):
                    await asyncio.gather(*(assert_unavailable(store.get_account("ada")) for _ in range(5)))
                await asyncio.gather(*(store.get_account("ada") for _ in range(5)))
                server.stop()
                server.start()
                for _, call in reversed(every_operation(store)[4:] + every_operation(store)[:3]):
                    await call()
