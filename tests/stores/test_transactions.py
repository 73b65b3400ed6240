"""Transactions of methods on servers that fail, and what is special about one database."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiomysql  # type: ignore[import-untyped]
import aiosqlite
import asyncmy
import asyncpg  # type: ignore[import-untyped]
import motor.motor_asyncio
import pymongo
import pytest

from tests.conftest import server_module
from tests.support import notes
from tests.support.limits import WATCHDOG, limits
from tests.support.servers import Server, mongodb
from tests.support.service import Serve, Service
from toto_aio import Handler
from toto_aio.exceptions import Unavailable
from toto_aio.invocation import authenticated, timeout
from toto_aio.lifespan import LIFESPAN
from toto_aio.stores import mongodb as stores_mongodb
from toto_aio.stores import transactions
from toto_aio.stores.mysql import connect_arguments

Parameters = dict[str, Any]


@pytest.fixture(params=["mongodb", "postgresql", "mysql"], scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Server]]:
    """A server of each kind for this module only."""
    module = server_module(str(request.param))
    with module.server() as server:
        yield module, server


class Writer:
    """Methods that write a note in a transaction, and stop in the middle of it."""

    def __init__(self) -> None:
        self.written, self.go_on, self.goes_on = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def write(self, handler: Handler, parameters: Parameters) -> None:
        """Write a note, wait, and write another one."""
        async with handler.transaction() as connection:
            await notes.add(connection, handler.connection.db, parameters["text"])
            self.written.set()
            await self.go_on.wait()
            self.goes_on.set()
            if "again" in parameters:
                await notes.add(connection, handler.connection.db, f"{parameters['text']} again")

    async def create(self, handler: Handler, parameters: Parameters) -> None:
        """Create the table."""
        await notes.create(handler.connection.db)

    async def listed(self, handler: Handler, parameters: Parameters) -> list[str]:
        """The notes."""
        return await notes.listed(handler.connection.db)

    async def serve(self, serve: Serve, database: Any, **more: Any) -> Service:
        """A service with these methods and an empty table."""
        own = {"write": self.write, "create": self.create, "listed": self.listed, **more}
        service = await serve(own, database=database, debug=True)
        await service.result("create")
        return service


@pytest.mark.parametrize("again", [True, False])
async def test_killed_in_the_middle(
    serve: Serve, server: tuple[Any, Server], again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call is 1011, at its next statement or at its commit, and nothing of it is there afterwards."""
    module, database = server
    writer = Writer()
    monkeypatch.setattr(
        stores_mongodb, "CONNECT_LIMIT", 2
    )  # seconds in which its driver searches for a server
    service = await writer.serve(serve, module.fresh_url(database))
    parameters = {"text": "lost", **({"again": 1} if again else {})}
    writing = asyncio.create_task(service.call("write", parameters))
    await asyncio.wait_for(writer.written.wait(), WATCHDOG)
    database.kill()
    writer.go_on.set()
    assert (await asyncio.wait_for(writing, WATCHDOG))["error"]["code"] == 1011
    database.start()
    async with asyncio.timeout(WATCHDOG):
        while "error" in await service.call("write", {"text": "kept"}):
            """The service is not restarted."""
    assert (await service.result("listed")) == ["kept"]


async def test_frozen_at_the_commit(
    serve: Serve, server: tuple[Any, Server], caplog: pytest.LogCaptureFixture
) -> None:
    """The call is 1011 in time, and the log says that nobody knows whether it was committed."""
    module, database = server
    writer = Writer()
    service = await writer.serve(serve, module.fresh_url(database))
    writing = asyncio.create_task(service.call("write", {"text": "unknown"}))
    await asyncio.wait_for(writer.written.wait(), WATCHDOG)
    database.freeze()
    try:
        with limits(transactions, COMMIT_LIMIT=0.3):
            writer.go_on.set()
            assert (await asyncio.wait_for(writing, WATCHDOG))["error"]["code"] == 1011
    finally:
        database.thaw()
    async with asyncio.timeout(WATCHDOG):
        while "error" in await service.call("write", {"text": "kept"}):
            """The service is not restarted."""


async def test_frozen_at_the_beginning(serve: Serve, server: tuple[Any, Server]) -> None:
    """The call is 1011 in time."""
    module, database = server
    writer = Writer()
    writer.go_on.set()
    service = await writer.serve(serve, module.fresh_url(database))
    database.freeze()
    try:
        with limits(transactions, BEGIN_LIMIT=0.3):
            answer = await asyncio.wait_for(service.call("write", {"text": "x"}), WATCHDOG)
        assert answer["error"]["code"] == 1011
    finally:
        database.thaw()


async def test_frozen_when_the_time_limit_comes(serve: Serve, server: tuple[Any, Server]) -> None:
    """A statement that a frozen server does not answer ends with the time limit of the call."""
    module, database = server
    writer = Writer()
    service = await writer.serve(serve, module.fresh_url(database))
    writing = asyncio.create_task(service.call("write", {"text": "lost", "again": 1}))
    await asyncio.wait_for(writer.written.wait(), WATCHDOG)
    database.freeze()
    writer.go_on.set()
    try:
        with limits(transactions, ROLLBACK_LIMIT=0.3):
            await asyncio.wait_for(writer.goes_on.wait(), WATCHDOG)
            for _ in range(50):  # while it is sent, asyncio.wait_for may swallow this before Python 3.12
                await asyncio.sleep(0)
            service.cut_off()
            assert (await asyncio.wait_for(writing, WATCHDOG))["error"]["code"] == 1013
    finally:
        database.thaw()
    async with asyncio.timeout(WATCHDOG):
        while "error" in await service.call("write", {"text": "lost"}):
            """The rollback may still be on its way."""
    assert await service.result("listed") == ["lost"]


async def test_a_statement_that_waits_is_ended(serve: Serve, server: tuple[Any, Server]) -> None:
    """A call that is cut off while it waits for another's lock holds no lock of its own afterwards."""
    module, database = server
    writer, blocks = Writer(), asyncio.Event()

    @timeout(WATCHDOG)
    async def blocked(handler: Handler, parameters: Parameters) -> None:
        async with handler.transaction() as connection:
            await notes.add(connection, handler.connection.db, "mine")
            blocks.set()
            await notes.add(connection, handler.connection.db, "theirs")

    service = await writer.serve(serve, module.fresh_url(database), blocked=blocked)
    holding = asyncio.create_task(service.call("write", {"text": "theirs"}))
    await asyncio.wait_for(writer.written.wait(), WATCHDOG)
    waiting = asyncio.create_task(service.call("blocked"))
    await asyncio.wait_for(blocks.wait(), WATCHDOG)
    if module is not mongodb:  # which does not wait for the other transaction: it ends the second one
        await asyncio.wait([waiting], timeout=0.2)
        service.cut_off(WATCHDOG)
    answer = await asyncio.wait_for(waiting, WATCHDOG)
    assert answer["error"]["code"] == (1011 if module is mongodb else 1013)
    writer.go_on.set()
    assert "error" not in await holding
    async with asyncio.timeout(WATCHDOG):
        while "error" in await service.call("write", {"text": "mine"}):
            """The rollback may still be on its way."""
    assert await service.result("listed") == ["mine", "theirs"]


async def ready(kind: str, url: str) -> Any:
    """A client or pool that an application has opened."""
    if kind == "asyncpg":
        return await asyncpg.create_pool(url, min_size=0, max_size=3)
    if kind == "pymongo":
        return pymongo.AsyncMongoClient(url)
    if kind == "motor":
        return motor.motor_asyncio.AsyncIOMotorClient(url)
    create = {"asyncmy": asyncmy.create_pool, "aiomysql": aiomysql.create_pool}[kind]
    return await create(minsize=0, maxsize=3, **{**connect_arguments(url), "autocommit": False})


async def shut(client: Any) -> None:
    """Close what ``ready`` opened."""
    closing = client.close()
    if closing is not None:
        await closing
    elif not isinstance(client, motor.motor_asyncio.AsyncIOMotorClient):
        await client.wait_closed()


SERVERS = {
    "asyncpg": "postgresql",
    "pymongo": "mongodb",
    "motor": "mongodb",
    "asyncmy": "mysql",
    "aiomysql": "mysql",
}


@pytest.mark.parametrize("kind", SERVERS)
async def test_a_ready_client(kind: str, serve: Serve, servers: Any) -> None:
    """Transactions use the pool or client that the application opened, and give its connections back."""
    url = server_module(SERVERS[kind]).fresh_url(servers(SERVERS[kind]))
    client = await ready(kind, url)
    db = client.get_default_database() if hasattr(client, "get_default_database") else client

    async def write(handler: Handler, parameters: Parameters) -> None:
        async with handler.transaction() as connection:
            await notes.add(connection, db, parameters["text"])
            if "fail" in parameters:
                raise ZeroDivisionError

    service = await serve({"write": write}, database=client)
    await notes.create(db)
    for n in range(5):
        await service.result("write", {"text": f"kept {n}"})
        assert "error" in await service.call("write", {"text": f"lost {n}", "fail": True})
    assert await notes.listed(db) == [f"kept {n}" for n in range(5)]
    await service.client.close()
    await shut(client)


@pytest.mark.parametrize("kind", ["asyncpg", "asyncmy", "aiomysql"])
async def test_a_thread_outlives_the_service(kind: str, serve: Serve, servers: Any) -> None:
    """Its transaction is rolled back with the service, so that the application can close its pool."""
    url = server_module(SERVERS[kind]).fresh_url(servers(SERVERS[kind]))
    client = await ready(kind, url)
    written, go_on, ended = threading.Event(), threading.Event(), threading.Event()
    raised: list[BaseException] = []

    def stuck(handler: Handler, parameters: Parameters) -> None:
        try:
            with handler.transaction() as connection:
                handler.wait(notes.add(connection, client, "late"))
                written.set()
                go_on.wait(WATCHDOG)
        except BaseException as exc:
            raised.append(exc)
        finally:
            ended.set()

    service = await serve({"stuck": stuck}, database=client)
    await notes.create(client)
    calling = asyncio.create_task(service.call("stuck"))
    assert await asyncio.to_thread(written.wait, WATCHDOG)
    service.cut_off()
    assert (await asyncio.wait_for(calling, WATCHDOG))["error"]["code"] == 1013
    await service.client.close()
    try:
        assert await notes.listed(client) == []
        await asyncio.wait_for(shut(client), WATCHDOG)
    finally:
        go_on.set()
    await asyncio.wait_for(asyncio.to_thread(ended.wait), WATCHDOG)
    assert [type(exc) for exc in raised] == [Unavailable]


@pytest.fixture(params=["sqlite", "postgresql", "mysql", "mongodb"])
def any_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/toto.db"
    return str(server_module(request.param).fresh_url(request.getfixturevalue("servers")(request.param)))


async def test_ended_by_the_method(serve: Serve, any_url: str) -> None:
    """A block whose transaction the method has ended itself is an error: the rest would stand alone."""
    writer = Writer()
    writer.go_on.set()

    async def end(handler: Handler, parameters: Parameters) -> None:
        async with handler.transaction() as connection:
            if hasattr(connection, "abort_transaction"):
                await connection.abort_transaction()
            elif hasattr(connection, "rollback"):
                await connection.rollback()
            else:
                await connection.execute("ROLLBACK")

    service = await writer.serve(serve, any_url, end=end)
    assert "ended before its block" in (await service.call("end"))["error"]["value"]
    await service.result("write", {"text": "kept"})


async def test_a_failed_statement_that_is_caught_on_postgresql(serve: Serve, servers: Any) -> None:
    """PostgreSQL commits nothing then, and does not say so: the method learns it."""

    async def caught(handler: Handler, parameters: Parameters) -> None:
        async with handler.transaction() as connection:
            await notes.add(connection, None, "a")
            with suppress(asyncpg.UniqueViolationError):
                await notes.add(connection, None, "a")

    async def savepoint(handler: Handler, parameters: Parameters) -> None:
        async with handler.transaction() as connection:
            await notes.add(connection, None, "b")
            with suppress(asyncpg.UniqueViolationError):
                async with connection.transaction():
                    await notes.add(connection, None, "b")

    url = server_module("postgresql").fresh_url(servers("postgresql"))
    service = await Writer().serve(serve, url, caught=caught, savepoint=savepoint)
    assert "nothing was committed" in (await service.call("caught"))["error"]["value"]
    await service.result("savepoint")
    assert await service.result("listed") == ["b"]


async def test_a_mongodb_without_a_replica_set(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to do."""
    command = mongodb._command
    monkeypatch.setattr(mongodb, "_command", lambda *given: [*command(*given), "--standalone"])
    with mongodb.server() as standalone:
        service = await Writer().serve(serve, mongodb.fresh_url(standalone))
        assert "--replSet" in (await service.call("write", {"text": "a"}))["error"]["value"]
        assert await service.result("listed") == []
        await service.client.close()


async def test_the_session_in_a_transaction_on_sqlite(serve: Serve, tmp_path: Path) -> None:
    """SQLite has one writer: saving the session in the block is an error at once, with what to do."""

    @authenticated
    async def both(handler: Handler, parameters: Parameters) -> None:
        assert handler.session is not None
        async with handler.transaction() as connection:
            await notes.add(connection, None, "a")
            handler.session["n"] = 1
            await handler.session.save()

    @authenticated
    async def after(handler: Handler, parameters: Parameters) -> Any:
        assert handler.session is not None
        async with handler.transaction() as connection:
            await notes.add(connection, None, "b")
        handler.session["n"] = 2
        await handler.session.save()
        return handler.session["n"]

    service = await Writer().serve(serve, f"sqlite:///{tmp_path}/toto.db", both=both, after=after)
    session = await service.create()
    assert "before or after the block" in (await service.call("both", session=session))["error"]["value"]
    assert await service.result("after", session=session) == 2
    assert await service.result("listed") == ["b"]


@pytest.mark.parametrize("within", [True, False])
async def test_another_database_in_the_block_on_sqlite(serve: Serve, tmp_path: Path, within: bool) -> None:
    """A transaction of another database in the block does not hide the first one, which still waits."""
    other = await Writer().serve(serve, f"sqlite:///{tmp_path}/other.db")
    elsewhere = other.client.app[LIFESPAN].runtime.connection

    @authenticated
    async def both(handler: Handler, parameters: Parameters) -> None:
        assert handler.session is not None
        handler.session["n"] = 1
        async with handler.transaction():
            async with elsewhere.transaction():
                if within:
                    await handler.session.save()
            await handler.session.save()

    service = await Writer().serve(serve, f"sqlite:///{tmp_path}/toto.db", both=both)
    session = await service.create()
    assert "before or after the block" in (await service.call("both", session=session))["error"]["value"]


async def test_a_transaction_twice(serve: Serve, any_url: str) -> None:
    """One object stands for one transaction at a time, whose connection it gives back; then for the next."""
    service = await Writer().serve(serve, any_url)
    transaction = service.client.app[LIFESPAN].runtime.connection.transaction()
    for _ in range(12):  # more than a pool has
        async with transaction:
            with pytest.raises(RuntimeError, match="open already: use its connection"):
                async with transaction:
                    raise AssertionError


async def test_other_calls_save_their_sessions_on_sqlite(serve: Serve, tmp_path: Path) -> None:
    """The store's writes wait for their turn behind the transactions, and come between two of them."""
    writer = Writer()
    service = await writer.serve(serve, f"sqlite:///{tmp_path}/toto.db")
    writing = asyncio.create_task(service.call("write", {"text": "a"}))
    await asyncio.wait_for(writer.written.wait(), WATCHDOG)
    creating = asyncio.create_task(service.create("ada"))
    await asyncio.wait([creating], timeout=0.1)
    later = [asyncio.create_task(service.call("write", {"text": str(n)})) for n in range(3)]
    writer.go_on.set()
    assert await asyncio.wait_for(creating, WATCHDOG)
    for answer in await asyncio.gather(writing, *later):
        assert "error" not in answer


async def test_a_long_statement_on_sqlite(serve: Serve, tmp_path: Path) -> None:
    """The time limit interrupts it, so that others can write."""
    forever = """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"""

    @timeout(0.2)
    async def long(handler: Handler, parameters: Parameters) -> None:
        async with handler.transaction() as connection:
            assert isinstance(connection, aiosqlite.Connection)
            await notes.add(connection, None, "lost")
            await connection.execute_fetchall(forever)

    writer = Writer()
    writer.go_on.set()
    service = await writer.serve(serve, f"sqlite:///{tmp_path}/toto.db", long=long)
    assert (await service.call("long"))["error"]["code"] == 1013
    await asyncio.wait_for(service.result("write", {"text": "kept"}), WATCHDOG)
    assert await service.result("listed") == ["kept"]


async def test_nothing_stays_on_the_connection_on_sqlite(serve: Serve, tmp_path: Path) -> None:
    """Each transaction has a new connection, on which foreign keys are enforced."""

    async def first(handler: Handler, parameters: Parameters) -> None:
        async with handler.transaction() as connection:
            await connection.execute("CREATE TABLE parts (note REFERENCES notes)")
            connection.row_factory = aiosqlite.Row
            await connection.execute("CREATE TEMP TABLE mine (a)")

    async def second(handler: Handler, parameters: Parameters) -> Any:
        async with handler.transaction() as connection:
            (row,) = await connection.execute_fetchall("SELECT count(*) FROM sqlite_temp_master")
            assert row == (0,)
            await connection.execute("INSERT INTO parts VALUES ('none')")

    service = await Writer().serve(serve, f"sqlite:///{tmp_path}/toto.db", first=first, second=second)
    await service.result("first")
    assert "FOREIGN KEY" in (await service.call("second"))["error"]["value"]
