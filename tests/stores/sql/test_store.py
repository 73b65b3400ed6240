"""What the stores on a server of SQL share: the schema and its versions, and what happens to a server."""

from __future__ import annotations

import asyncio
import random
import sys
import time
import traceback
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.conftest import server_module
from tests.support.limits import WATCHDOG, limits
from tests.support.servers import Server
from tests.support.service import eventually
from toto_aio.exceptions import Unavailable
from toto_aio.models import Account, Session
from toto_aio.settings import SettingsError
from toto_aio.stores import Store, open_store
from toto_aio.stores.sql import pool, schema
from toto_aio.stores.sql.dialect import Dialect

KINDS = ("postgresql", "mysql")
PERSISTENT = ("sqlite", *KINDS)
NOW = float(int(time.time()))


@pytest.fixture(scope="module", params=KINDS)
def own_server(request: pytest.FixtureRequest) -> Iterator[tuple[str, Server]]:
    """A server of each kind that no other module uses, as it is going to be killed."""
    with server_module(request.param).server() as server:
        yield request.param, server


@pytest.fixture
def own_url(own_server: tuple[str, Server]) -> str:
    """The URL of a new, empty store there."""
    kind, server = own_server
    return str(server_module(kind).fresh_url(server))


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    """The store of a URL, closed afterwards."""
    store = await open_store(url)
    try:
        yield store
    finally:
        await asyncio.wait_for(store.close(), 20)


@contextmanager
def frozen(server: Server) -> Iterator[None]:
    """A server that does nothing while its connections stay open."""
    server.freeze()
    try:
        yield
    finally:
        server.thaw()


@asynccontextmanager
async def locked(store: Store, key: str) -> AsyncIterator[None]:
    """A session that a method's transaction holds, so that who writes to it waits."""
    async with store.db.acquire() as connection:
        query = f"SELECT 1 FROM toto_sessions WHERE session_key = '{key}' FOR UPDATE"  # noqa: S608
        if hasattr(connection, "transaction"):
            async with connection.transaction():
                await connection.execute(query)
                yield
        else:
            await connection.begin()
            try:
                cursor = await connection.cursor()
                await cursor.execute(query)
                yield
            finally:
                await connection.rollback()


async def run(store: Store, statement: str) -> list[Any]:
    """The rows of a statement on the connection of the methods."""
    if hasattr(store.db, "execute_fetchall"):
        return [tuple(row) for row in await store.db.execute_fetchall(statement)]
    async with store.db.acquire() as connection:
        if hasattr(connection, "fetch"):
            return [tuple(row) for row in await connection.fetch(statement)]
        cursor = await connection.cursor()
        await cursor.execute(statement)
        return [tuple(row) for row in await cursor.fetchall()]


def session(key: str, state: bytes = b"state") -> Session:
    """A session that lives for a day."""
    return Session(key, "ada", NOW, NOW + 86400, state)


async def failing(operation: Awaitable[Any]) -> None:
    """An operation must be unavailable, and wait for no limit that the test has not shortened."""
    async with asyncio.timeout(WATCHDOG):
        with pytest.raises(Unavailable):
            await operation


def told(error: BaseException) -> str:
    """All that a log has of an error."""
    return "".join(traceback.format_exception(error))


def operations(store: Store) -> list[tuple[bool, Callable[[], Awaitable[Any]]]]:
    """Every operation, each with whether it only reads."""
    return [
        (True, lambda: store.get_account("ada")),
        (True, lambda: store.get_session("k")),
        (True, lambda: store.list_sessions("ada")),
        (False, lambda: store.add_account(Account("eve", None))),
        (False, lambda: store.replace_password("ada", "old", "new")),
        (False, lambda: store.save_session(session("k"))),
        (False, lambda: store.touch_session("k", time.time() + 9, time.time())),
        (False, lambda: store.remove_session("none")),
        (False, lambda: store.remove_sessions("none")),
        (False, lambda: store.increment("counter", 60)),
        (False, lambda: store.add_once("once", 60)),
        (False, lambda: store.sweep()),
    ]


# The schema


@pytest.fixture(params=PERSISTENT)
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new store of each kind that lasts."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/toto.db"
    servers = request.getfixturevalue("servers")
    return str(server_module(request.param).fresh_url(servers(request.param)))


async def test_the_schema_has_a_version(new_url: str) -> None:
    """It stands in the one row of a table, and opening the store again changes nothing."""
    for _ in range(2):
        async with opened(new_url) as store:
            assert await run(store, "SELECT * FROM toto_schema") == [(len(schema.MIGRATIONS),)]


async def test_a_newer_schema_is_refused(new_url: str) -> None:
    """A program that does not know the tables leaves them alone, and says what to do."""
    async with opened(new_url) as store:
        await run(store, "UPDATE toto_schema SET version = 99")
        with pytest.raises(SettingsError, match=r"version 99 .* pip install"):
            await open_store(new_url)
        assert await run(store, "SELECT * FROM toto_schema") == [(99,)]


async def test_an_older_schema_is_migrated(new_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing is done in order, by one of those who open the store, and what is stored is kept."""
    async with opened(new_url) as store:
        await store.add_account(Account("ada", "hash", {"n": 1}))
    steps: tuple[Callable[[Dialect], list[str]], ...] = (
        lambda dialect: [f"ALTER TABLE toto_accounts ADD a {dialect.integer} NOT NULL DEFAULT 7"],
        lambda _: ["UPDATE toto_accounts SET a = a * 2", "UPDATE toto_accounts SET a = a + 1"],
    )
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, *steps))
    stores = await asyncio.gather(*(open_store(new_url) for _ in range(5)))
    for store in stores:
        assert await store.get_account("ada") == Account("ada", "hash", {"n": 1})
    assert await run(stores[0], "SELECT a FROM toto_accounts") == [(15,)]
    assert await run(stores[0], "SELECT * FROM toto_schema") == [(len(schema.MIGRATIONS),)]
    await asyncio.gather(*(store.close() for store in stores))


async def test_tables_without_a_version(new_url: str) -> None:
    """A schema whose making was cut off is completed."""
    async with opened(new_url) as store:
        await store.add_account(Account("ada", "hash"))
        await run(store, "DROP TABLE toto_counters")
        await run(store, "DELETE FROM toto_schema")
        await store.close()
    async with opened(new_url) as store:
        assert await store.get_account("ada") == Account("ada", "hash")
        assert await store.increment("a", 60) == 1
        assert await run(store, "SELECT * FROM toto_schema") == [(len(schema.MIGRATIONS),)]


async def test_many_make_the_schema_at_once(new_url: str) -> None:
    """Eight stores are opened on an empty database together, and each works."""
    stores = await asyncio.gather(*(open_store(new_url) for _ in range(8)))
    for n, store in enumerate(stores):
        await store.add_account(Account(f"user {n}", None))
    assert await run(stores[0], "SELECT count(*) FROM toto_accounts") == [(8,)]
    await asyncio.gather(*(store.close() for store in stores))


async def test_processes_make_the_schema_at_once(new_url: str) -> None:
    """Four processes do so too."""
    body = """
import asyncio, sys
from toto_aio.models import Account
from toto_aio.stores import open_store

async def main():
    sys.stdin.readline()
    store = await open_store(sys.argv[1])
    await store.add_account(Account(sys.argv[2], None))
    await store.close()

print("ready", flush=True)
asyncio.run(main())
"""
    command = [sys.executable, "-W", "error", "-c", body, new_url]
    started = [
        await asyncio.create_subprocess_exec(*command, str(n), stdin=PIPE, stdout=PIPE, stderr=PIPE)
        for n in range(4)
    ]
    for process in started:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    answers = await asyncio.gather(*(process.communicate(b"start\n") for process in started))
    for process, (_, errors) in zip(started, answers, strict=True):
        assert (process.returncode, errors.decode()) == (0, "")
    async with opened(new_url) as store:
        assert await run(store, "SELECT count(*) FROM toto_accounts") == [(4,)]


# The statements


async def test_a_sweep_is_bounded(new_url: str) -> None:
    """It drops a thousand rows at a time, so that no one waits long for it."""
    async with opened(new_url) as store:
        rows = ", ".join(f"('{n}', 1, 1)" for n in range(2048))
        await run(store, f"INSERT INTO toto_counters VALUES {rows}")  # noqa: S608
        assert await store.add_once("living", 60) is True
        assert [await store.sweep() for _ in range(4)] == [1000, 1000, 48, 0]
        assert await store.add_once("living", 60) is False


async def test_the_longest_keys(new_url: str) -> None:
    """255 characters of four bytes, and counters of 500, are kept and told apart to the last one."""
    async with opened(new_url) as store:
        longest = "🦊" * 254
        for n, last in enumerate("ab"):
            await store.add_account(Account(longest + last, None, {"n": n}))
            await store.add_session(replace(session(last), user_id=longest + last))
        account = await store.get_account(longest + "b")
        assert account is not None and account.values == {"n": 1}
        assert [found.key for found in await store.list_sessions(longest + "b")] == ["b"]
        assert [await store.increment("🦊" * 499 + last, 60) for last in "aab"] == [1, 2, 1]


# Time limits


async def test_a_frozen_server(own_server: tuple[str, Server], own_url: str) -> None:
    """Each operation is unavailable within its limit, and works again when the server does."""
    async with opened(own_url) as store:
        await store.add_session(session("k"))
        await asyncio.gather(*(store.get_account("ada") for _ in range(10)))
        short = limits(pool, OPERATION_LIMIT=0.4, CONNECT_LIMIT=0.3, CLOSE_LIMIT=0.2)
        with frozen(own_server[1]), short:
            for _ in range(2):  # on connections that were open, and on new ones
                await asyncio.gather(*(failing(call()) for _, call in operations(store)[:10]))
        async with asyncio.timeout(WATCHDOG):
            assert await store.get_session("k") is not None
            await store.add_session(session("new"))


async def test_a_frozen_server_is_left(own_server: tuple[str, Server], own_url: str) -> None:
    """A store closes while the server does not answer."""
    store = await open_store(own_url)
    await asyncio.gather(*(store.increment("a", 60) for _ in range(5)))
    await run(store, "SELECT 1")
    with frozen(own_server[1]):
        under_way = asyncio.create_task(store.get_session("k"))
        await asyncio.sleep(0.05)
        await asyncio.wait_for(store.close(), WATCHDOG)
        await failing(under_way)


async def test_a_frozen_server_cannot_be_opened(own_server: tuple[str, Server], own_url: str) -> None:
    """Opening a store gives up after the time to connect."""
    with frozen(own_server[1]), limits(pool, CONNECT_LIMIT=0.3):
        await failing(open_store(own_url))


async def test_an_exhausted_pool(own_url: str) -> None:
    """While every connection waits for a lock, who comes last is told within the pool's limit."""
    async with opened(own_url) as store:
        await store.add_session(session("k"))
        async with locked(store, "k"):
            waiting = [asyncio.create_task(store.save_session(session("k"))) for _ in range(pool.SIZE)]
            await asyncio.sleep(0.2)
            with limits(pool, POOL_LIMIT=0.2):
                await failing(store.get_session("k"))
                await failing(store.increment("a", 60))
        assert sorted(await asyncio.gather(*waiting)) == [False] * (pool.SIZE - 1) + [True]
        assert await store.get_session("k") is not None


async def test_a_lock_that_stays(own_url: str) -> None:
    """A write that waits too long is unavailable, and is not done behind the caller's back later."""
    async with opened(own_url) as store:
        await store.add_session(session("k"))
        async with locked(store, "k"):
            with limits(pool, OPERATION_LIMIT=0.3):
                await failing(store.save_session(session("k", b"late")))
                await failing(store.remove_session("k"))
            await _nobody_waits(store)
        await asyncio.sleep(0.1)
        assert await store.get_session("k") == session("k")


# Cancellation


async def test_cancelled_operations(own_url: str) -> None:
    """Wherever an operation is cut off, the next one gets the answer to its own question."""
    rng = random.Random(1)  # noqa: S311
    async with opened(own_url) as store:
        keys = [f"key {n}" for n in range(20)]
        for key in keys:
            await store.add_session(session(key, key.encode()))
            await store.add_account(Account(key, key))
        calls: list[Callable[[str], Coroutine[Any, Any, Any]]] = [
            store.get_session,
            store.get_account,
            lambda key: store.save_session(session(key, key.encode())),
        ]
        tasks = []
        for n in range(200):
            tasks.append(asyncio.create_task(calls[n % 3](keys[n % len(keys)])))
            asyncio.get_running_loop().call_later(rng.uniform(0, 0.02), tasks[-1].cancel)
            if n % 10 == 9:
                await asyncio.sleep(rng.uniform(0, 0.01))
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(3):
            found = await asyncio.gather(*(store.get_session(key) for key in keys))
            assert [one and (one.key, one.state) for one in found] == [(key, key.encode()) for key in keys]
            accounts = await asyncio.gather(*(store.get_account(key) for key in keys))
            assert accounts == [Account(key, key) for key in keys]


async def test_a_cancelled_write_is_ended(own_url: str) -> None:
    """Whoever waits for a lock on the server waits no more when the call is cancelled."""
    async with opened(own_url) as store:
        await store.add_session(session("k"))
        async with locked(store, "k"):
            writes = [asyncio.create_task(store.save_session(session("k", b"late"))) for _ in range(3)]
            await asyncio.sleep(0.1)
            for write in writes:
                write.cancel()
            await asyncio.wait(writes, timeout=WATCHDOG)
            assert all(write.cancelled() for write in writes)
            await _nobody_waits(store)
        assert await store.get_session("k") == session("k")


async def _nobody_waits(store: Store) -> None:
    if hasattr(store.db, "fetch"):
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    else:
        query = """SELECT count(*) FROM information_schema.processlist
            WHERE command IN ('Query', 'Execute') AND id <> CONNECTION_ID()"""
    async with asyncio.timeout(WATCHDOG):
        while await run(store, query) != [(0,)]:  # the server tells nobody
            await asyncio.sleep(0.02)


async def test_a_cancelled_opening(own_url: str) -> None:
    """Wherever the opening of a store is cut off, it leaves nothing open and can be tried again."""
    for steps in range(0, 60, 4):
        opening = asyncio.create_task(open_store(own_url))
        await asyncio.sleep(steps / 1000)
        opening.cancel()
        [outcome] = await asyncio.gather(opening, return_exceptions=True)
        if not isinstance(outcome, BaseException):
            await outcome.close()
    async with opened(own_url) as store:
        await store.add_account(Account("ada", None))


async def test_close_while_operations_are_under_way(own_url: str) -> None:
    """They end at once, well or unavailable; after that every operation is unavailable."""
    store = await open_store(own_url)
    writes = [asyncio.create_task(store.add_session(session(f"k{n}"))) for n in range(30)]
    await asyncio.sleep(0.005)
    await asyncio.wait_for(store.close(), 20)
    for outcome in await asyncio.wait_for(asyncio.gather(*writes, return_exceptions=True), 20):
        assert outcome is None or isinstance(outcome, Unavailable)
    await failing(store.get_session("k0"))
    await failing(store.increment("a", 60))


# A server that ends


async def test_a_killed_server(own_server: tuple[str, Server], own_url: str) -> None:
    """Operations are unavailable while it is gone; the first one afterwards works, and nothing is lost."""
    async with opened(own_url) as store:
        await store.add_account(Account("ada", "old"))
        written = []

        async def write() -> None:
            for n in range(10_000):
                await store.add_session(session(f"k{n}"))
                written.append(f"k{n}")

        writing = asyncio.create_task(write())
        await eventually(lambda: bool(written))
        own_server[1].kill()
        with pytest.raises(Unavailable):
            await asyncio.wait_for(writing, 20)
        for _, call in operations(store):
            await failing(call())
        await asyncio.to_thread(own_server[1].start)
        assert await store.replace_password("ada", "old", "new") is True
        found = await asyncio.gather(*(store.get_session(key) for key in written))
        assert None not in found


@pytest.mark.parametrize("is_read", [True, False])
async def test_a_restart_while_idle(own_server: tuple[str, Server], own_url: str, is_read: bool) -> None:
    """The first operation after it works, on connections that the event loop has not seen break."""
    async with opened(own_url) as store:
        await store.add_account(Account("ada", "old"))
        await asyncio.gather(*(store.get_account("ada") for _ in range(5)))
        own_server[1].stop()
        own_server[1].start()
        calls = [call for reads, call in operations(store) if reads is is_read]
        for call in calls:
            await call()


async def test_no_server(own_server: tuple[str, Server], own_url: str) -> None:
    """A store that cannot be opened says which database, and not with what password."""
    own_server[1].stop()
    try:
        with pytest.raises(Unavailable) as error:
            await open_store(own_url)
    finally:
        own_server[1].start()
    assert "Cannot open the database" in str(error.value)
    assert str(own_server[1].port) in str(error.value)
    assert "p@ss" not in told(error.value) and "p%40ss" not in told(error.value)
