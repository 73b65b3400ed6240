"""A whole service on a real database that fails: what its clients receive, and how it recovers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import SERVER_KINDS, server_module
from tests.support.limits import WATCHDOG, limits
from tests.support.servers import Server
from tests.support.service import Serve, Service, eventually
from toto_aio import redis_connection
from toto_aio.invocation import authenticated, cancellable
from toto_aio.stores import mongodb, mongodb_operations
from toto_aio.stores.sql import operations

LIMITED = {
    "mongodb": mongodb_operations,
    "mysql": operations,
    "postgresql": operations,
    "redis": redis_connection,
}
"""For each kind of server the module that has the ``OPERATION_LIMIT`` of its store."""


@authenticated
async def who(handler: Any, parameters: dict[str, Any]) -> str:
    """The caller's user id."""
    return str(handler.session.user_id)


@authenticated
async def count(handler: Any, parameters: dict[str, Any]) -> int:
    """How often this session has called."""

    def add(state: dict[str, Any]) -> int:
        state["n"] = state.get("n", 0) + 1
        return int(state["n"])

    return int(await handler.session.update(add))


async def echo(handler: Any, parameters: dict[str, Any]) -> Any:
    """The parameters, without the database."""
    return parameters


METHODS = {"who": who, "count": count, "echo": echo}

pytestmark = pytest.mark.usefixtures("forgotten_sockets")


@pytest.fixture(params=SERVER_KINDS, scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Server]]:
    """A server of each kind for this module only."""
    module = server_module(str(request.param))
    with module.server() as server:
        yield module, server


async def calls(service: Service, session: str, times: int) -> list[dict[str, Any]]:
    """The responses to ``times`` calls at the same time."""
    return list(await asyncio.gather(*(service.call("count", session=session) for _ in range(times))))


async def test_killed_under_load(
    serve: Serve, server: tuple[Any, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call is answered; afterwards the service recovers, with everything that was counted."""
    module, database = server
    # Seconds in which its driver searches for a server: calls of one session wait for it one after another.
    monkeypatch.setattr(mongodb, "CONNECT_LIMIT", 1)
    service = await serve(METHODS, database=module.fresh_url(database))
    session = await service.create()
    loading = asyncio.create_task(calls(service, session, 8))
    await asyncio.sleep(0.05)
    database.kill()
    async with asyncio.timeout(WATCHDOG):
        answers = await loading
        answers += await calls(service, session, 3)
    assert {answer["error"]["code"] for answer in answers if "error" in answer} == {1011}
    assert await service.result("echo", {"a": 1}) == {"a": 1}
    response = await service.post("/who", json={}, headers={"x-toto-session-id": session})
    assert response.status == 503
    database.start()
    await serves_again(service, session)
    counted = max((answer["result"] for answer in answers if "result" in answer), default=0)
    assert await service.result("count", session=session) > counted


async def test_frozen(serve: Serve, server: tuple[Any, Server], monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that need the database get 1011 in time, and others work as usual; then service resumes."""
    module, database = server
    monkeypatch.setattr(redis_connection, "OPERATION_LIMIT", 5)  # for which the timer of a connection runs
    service = await serve(METHODS, database=module.fresh_url(database))
    session = await service.create()
    assert await service.result("count", session=session) == 1
    database.freeze()
    try:
        waiting = asyncio.create_task(service.call("who", session=session))
        assert await service.result("echo", {"a": 1}) == {"a": 1}
        assert not waiting.done()
        with limits(LIMITED[module.__name__.rpartition(".")[2]], OPERATION_LIMIT=1):
            async with asyncio.timeout(WATCHDOG):
                answers = await asyncio.gather(*(service.call("who", session=session) for _ in range(20)))
        assert {answer["error"]["code"] for answer in answers} == {1011}
    finally:
        database.thaw()
    await waiting
    await serves_again(service, session)
    assert await service.result("count", session=session) == 2


async def test_restarted_while_idle(serve: Serve, server: tuple[Any, Server]) -> None:
    """Connections that the restart has cut are not used again: the first call, a write, succeeds."""
    module, database = server
    service = await serve(METHODS, database=module.fresh_url(database))
    session = await service.create()
    await calls(service, session, 20)
    database.stop()
    database.start()
    await asyncio.sleep(0.2)
    assert await service.result("count", session=session) == 21


async def test_clients_that_leave(serve: Serve, server: tuple[Any, Server]) -> None:
    """Half of the calls are cancelled at random: no response goes to the wrong call, and nothing leaks."""
    module, database = server
    service = await serve({**METHODS, "who": cancellable(_copy(who))}, database=module.fresh_url(database))
    sessions = {user: await service.create(user) for user in ("ada", "bob", "eve")}

    async def call(number: int) -> None:
        user = list(sessions)[number % 3]
        asked = asyncio.create_task(service.call("who", session=sessions[user]))
        if number % 2:
            await asyncio.sleep(number % 7 / 1000)
            asked.cancel()
        else:
            assert (await asked)["result"] == user

    for start in range(0, 200, 20):
        await asyncio.gather(*(call(start + number) for number in range(20)))
    for user, session in sessions.items():
        assert await service.result("who", session=session) == user


def _copy(function: Any) -> Any:
    """A copy of a method, to add decorators that the original must not have."""

    @authenticated
    async def invoke(handler: Any, parameters: dict[str, Any]) -> Any:
        return await function(handler, parameters)

    return invoke


async def serves_again(service: Service, session: str) -> None:
    """Wait until the service works again, with nothing restarted."""
    answer: dict[str, Any] = {}
    async with asyncio.timeout(WATCHDOG):
        while answer.get("result") != "ada":
            answer = await service.call("who", session=session)


async def test_a_transaction_whose_client_leaves(serve: Serve, servers: Any) -> None:
    """The method is cancelled, its transaction rolled back, and its connection released."""
    kind = "postgresql"
    begun = 0

    @cancellable
    async def write(handler: Any, parameters: dict[str, Any]) -> None:
        nonlocal begun
        async with handler.connection.db.acquire() as connection, connection.transaction():
            await connection.execute("INSERT INTO notes VALUES ('half')")
            begun += 1
            await asyncio.sleep(30)

    async def read(handler: Any, parameters: dict[str, Any]) -> Any:
        async with handler.connection.db.acquire() as connection:
            return [row["text"] for row in await connection.fetch("SELECT text FROM notes")]

    async def make(handler: Any, parameters: dict[str, Any]) -> None:
        await handler.connection.db.execute("CREATE TABLE notes (text text)")

    url = server_module(kind).fresh_url(servers(kind))
    service = await serve({"write": write, "read": read, "make": make}, database=url)
    await service.result("make")
    leaving = [asyncio.create_task(service.call("write")) for _ in range(10)]
    await eventually(lambda: begun == 10)
    for task in leaving:
        task.cancel()
    assert await asyncio.wait_for(service.result("read"), WATCHDOG) == []


async def test_sessions_in_another_store(serve: Serve, servers: Any) -> None:
    """Accounts in PostgreSQL, sessions and counters in Redis: two settings and nothing else."""
    accounts = server_module("postgresql").fresh_url(servers("postgresql"))
    sessions = server_module("redis").fresh_url(servers("redis"))

    async def count_sessions(handler: Any, parameters: dict[str, Any]) -> int:
        db = handler.connection.db
        return int(await db.fetchval("SELECT (SELECT count(*) FROM toto_sessions)"))

    service = await serve(
        {**METHODS, "count_sessions": count_sessions}, database=accounts, session_store=sessions
    )
    session = await service.create()
    assert await service.result("count", session=session) == 1
    assert await service.result("count_sessions") == 0
