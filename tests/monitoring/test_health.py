"""The health checks, as a load balancer uses them."""

from __future__ import annotations

import asyncio
import json
import logging
import resource
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpClient
from redis.asyncio import Redis

import tests.support.servers.mysql
import tests.support.servers.postgresql
import tests.support.servers.redis
import toto_aio.auth.lifetimes
from tests.conftest import server_module
from tests.support.limits import PATIENCE, WATCHDOG
from tests.support.programs import CALL, HELLO, serving, write
from tests.support.servers import Server
from tests.support.service import Client, Serve, Service
from toto_aio import Handler, create_app, redis_connection
from toto_aio.exceptions import Unavailable
from toto_aio.invocation import authenticated
from toto_aio.models import Session
from toto_aio.monitoring import health
from toto_aio.settings import SettingsError
from toto_aio.stores.memory import MemoryStore

WELL = {"status": "ok", "database": "ok", "sessions": "ok", "events": "ok"}


async def echo(handler: Any, parameters: Any) -> Any:
    """Return the parameters."""
    return parameters


async def ready(client: Client, path: str = "/health/ready") -> tuple[int, Any]:
    """The status and the body of the readiness check."""
    response = await client.get(path)
    assert response.headers["Cache-Control"] == "no-store"
    return response.status, json.loads(await response.text())


async def until(client: Client, status: int, state: Any) -> None:
    """Poll until this is the response."""
    deadline = time.monotonic() + WATCHDOG
    while (answer := await ready(client)) != (status, state):
        assert time.monotonic() < deadline, answer
        await asyncio.sleep(0.1)


@pytest.fixture
def redis() -> Iterator[Server]:
    """A Redis for the test to kill and freeze."""
    with tests.support.servers.redis.server() as server:
        yield server


async def test_well(serve: Serve) -> None:
    """A healthy service is alive and ready, by GET and HEAD, next to its root and not below it."""
    client = (await serve()).client
    assert await ready(client) == (200, WELL)
    assert await ready(client, "/health/live") == (200, {"status": "ok"})
    response = await client.head("/health/ready")
    assert (response.status, await response.read()) == (200, b"")
    assert (await client.post("/health/ready")).status == 405
    assert (await (await client.get("/service/health/ready")).json())["error"]["code"] == 1001
    assert (await client.get("/health")).status == 404


async def test_without_events(serve: Serve) -> None:
    """A part that does not exist is not mentioned."""
    client = (await serve(events="off")).client
    assert await ready(client) == (200, {"status": "ok", "database": "ok", "sessions": "ok"})


async def test_every_database(serve: Serve, store_url: str) -> None:
    """Each kind of database can be checked."""
    assert await ready((await serve(database=store_url)).client) == (200, WELL)


async def test_what_is_not_well(serve: Serve, redis: Server, caplog: pytest.LogCaptureFixture) -> None:
    """It is named, with nothing confidential; the log gives the reason, once, and says when it is over."""
    url = tests.support.servers.redis.fresh_url(redis)
    client = (await serve(session_store=url, events=url)).client
    assert await ready(client) == (200, WELL)
    redis.kill()
    unwell = {"status": "unavailable", "database": "ok", "sessions": "unavailable", "events": "unavailable"}
    await until(client, 503, unwell)
    assert await ready(client, "/health/live") == (200, {"status": "ok"})
    await asyncio.sleep(1.1)
    assert await ready(client) == (503, unwell)
    said = [record.getMessage() for record in caplog.records if record.name == "toto_aio.monitoring.health"]
    assert len(said) == 2
    assert all("cannot be reached" in line for line in said)
    assert any("Connect" in line for line in said), said
    redis.start()
    await until(client, 200, WELL)
    said = [record.getMessage() for record in caplog.records if record.name == "toto_aio.monitoring.health"]
    assert sorted(said[2:]) == ["the events can be reached again", "the sessions can be reached again"]


async def redis_replica(server: Server, is_read_only: bool) -> None:
    """Make Redis the replica of a server that does not exist, as after a failover, or a primary again."""
    async with Redis(port=server.port) as admin:
        await (admin.replicaof("127.0.0.1", 1) if is_read_only else admin.replicaof("NO", "ONE"))


async def read_only_postgresql(server: Server, is_read_only: bool) -> None:
    """Make transactions of PostgreSQL read-only, as those of a standby are, or not."""
    setting = f"default_transaction_read_only = {'on' if is_read_only else 'off'}"
    for statement in (f"ALTER SYSTEM SET {setting}", "SELECT pg_reload_conf()"):
        await asyncio.to_thread(tests.support.servers.postgresql.sql, server, statement)


async def read_only_mysql(server: Server, is_read_only: bool) -> None:
    """Make MySQL read-only, as a replica is, or not."""
    statement = f"SET GLOBAL read_only = {int(is_read_only)}"
    await asyncio.to_thread(tests.support.servers.mysql.sql, server, statement)


@authenticated
async def who(handler: Handler, parameters: dict[str, Any]) -> str:
    """The caller's user id."""
    return str(handler.session and handler.session.user_id)


@pytest.mark.parametrize(
    ("kind", "make_read_only", "reason"),
    [
        ("redis", redis_replica, "READONLY"),
        ("redis", tests.support.servers.redis.fail_to_save, "MISCONF"),
        ("postgresql", read_only_postgresql, "read-only transaction"),
        ("mysql", read_only_mysql, "read-only"),
    ],
)
async def test_a_database_that_is_only_read(
    serve: Serve,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    make_read_only: Callable[[Server, bool], Awaitable[None]],
    reason: str,
) -> None:
    """It is not ready, the log says why, calls that write get 1011, and everything is well again later."""
    monkeypatch.setattr(health, "REMEMBERED", 0)
    monkeypatch.setattr(health, "WRITE_REMEMBERED", 0)
    module = server_module(kind)
    with module.server() as server:
        monkeypatch.setattr(toto_aio.auth.lifetimes, "PAUSE", 0)
        # Every request has to renew its session.
        service = await serve({"who": who}, session_store=module.fresh_url(server), session_renew=1e8)
        session = await service.create("ada")
        await until(service.client, 200, WELL)
        await make_read_only(server, True)
        async with asyncio.timeout(WATCHDOG):
            while "sessions cannot be renewed, and are used as they are" not in caplog.text:
                answer = await service.call("who", session=session)  # servers reload settings in their time
                assert answer["result"] == "ada"
        expires = answer["session"]["expires"]
        await until(service.client, 503, {**WELL, "status": "unavailable", "sessions": "unavailable"})
        assert await ready(service.client, "/health/live") == (200, {"status": "ok"})
        answer = await service.call("account.login", {"user_id": "ada", "password": "correct horse"})
        assert answer["error"]["code"] == 1011
        said = [record for record in caplog.records if reason in record.getMessage()]
        named = {"toto_aio.monitoring.health", "toto_aio.calls", "toto_aio.auth.lifetimes"}
        assert {record.name for record in said} == named
        assert {record.levelno for record in said} == {logging.WARNING}
        await make_read_only(server, False)
        await until(service.client, 200, WELL)
        answer = await service.call("account.login", {"user_id": "ada", "password": "correct horse"})
        assert "error" not in answer
        answer = await service.call("who", session=session)
        assert answer["session"]["expires"] > expires


async def test_a_full_disk(tmp_path: Path) -> None:
    """A service on SQLite is not ready until there is room again; what only reads is served meanwhile."""
    write(tmp_path, methods__hello=HELLO)
    with (tmp_path / "methods" / "__init__.py").open("w") as package:
        package.write("from toto_aio.methods import account\n")
    account = {"method": "account.create", "parameters": {"user_id": "ada", "password": "correct horse"}}
    async with serving(tmp_path) as server, aiohttp.ClientSession() as client:
        url = server.address.removesuffix("/service")

        async def state(page: str) -> tuple[int, dict[str, str]]:
            async with client.get(f"{url}/health/{page}") as response:
                return response.status, await response.json()

        assert await state("ready") == (200, WELL)
        unlimited = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        full = {**WELL, "status": "unavailable", "database": "unavailable", "sessions": "unavailable"}
        async with asyncio.timeout(WATCHDOG):
            while await state("ready") != (503, full):
                await asyncio.sleep(0.1)
        assert await state("live") == (200, {"status": "ok"})
        assert (await server.call(account))["error"] == {"code": 1011, "value": "Service unavailable"}
        assert (await server.call(CALL))["result"] == "Hello, Ada"
        assert "OperationalError" in await server.wait_for("the database cannot be written")
        assert "OperationalError" in await server.wait_for("account.create with 1011")
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, unlimited)
        async with asyncio.timeout(WATCHDOG):
            while await state("ready") != (200, WELL):
                await asyncio.sleep(0.1)
        assert "result" in await server.call(account)


async def test_a_write_for_many_who_ask(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes write at most once in five seconds, and once for a store that has accounts and sessions."""
    assert health.WRITE_REMEMBERED == 5
    monkeypatch.setattr(health, "REMEMBERED", 0)
    monkeypatch.setattr(health, "WRITE_REMEMBERED", PATIENCE)
    store = Writes()
    client = (await serve(database=store)).client
    for _ in range(3):
        assert {status for status, _ in await asyncio.gather(*(ready(client) for _ in range(50)))} == {200}
    assert store.written == 1
    monkeypatch.setattr(health, "WRITE_REMEMBERED", 0)
    store.error = Unavailable()
    assert (await ready(client))[0] == 503
    assert store.written == 2


class Writes(MemoryStore):
    """Counts what the checks write, and may fail to."""

    def __init__(self) -> None:
        super().__init__()
        self.written = 0
        self.error: Exception | None = None

    async def increment(self, key: str, ttl: float, by: int = 1) -> int:
        self.written += key == health.COUNTER
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return await super().increment(key, ttl, by)


async def test_frozen(serve: Serve, redis: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that does not respond within the limit of an operation is unhealthy."""
    monkeypatch.setattr(health, "REMEMBERED", 0)
    monkeypatch.setattr(health, "LIMIT", PATIENCE)
    monkeypatch.setattr(redis_connection, "OPERATION_LIMIT", 2)  # of connections that are open already
    url = tests.support.servers.redis.fresh_url(redis)
    monkeypatch.setattr(redis_connection, "OPERATION_LIMIT", 2)  # of commands on the open connection
    client = (await serve(database=url, events=url)).client
    healthy = {"status": "ok", "database": "ok", "sessions": "ok", "events": "ok"}
    await until(client, 200, healthy)
    redis.freeze()
    status, state = await asyncio.wait_for(ready(client), WATCHDOG)
    redis.thaw()
    assert (status, set(state.values())) == (503, {"unavailable"})


class Slow(MemoryStore):
    """A slow store that counts its checks, and may fail."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.error: Exception | None = None

    async def get_session(self, key: str) -> Session | None:
        self.asked += 1
        await asyncio.sleep(0.2)
        if self.error is not None:
            raise self.error
        return await super().get_session(key)


async def test_many_who_ask(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand probes share one check of the database, as does one more within a second; then a new one."""
    assert health.REMEMBERED == 1
    monkeypatch.setattr(health, "REMEMBERED", PATIENCE)
    monkeypatch.setattr(health, "LIMIT", PATIENCE)  # a thousand requests may keep a busy machine for long
    store = Slow()
    client = (await serve(database=store)).client
    answers = await asyncio.gather(*(ready(client) for _ in range(1000)))
    assert [status for status, _ in answers] == [200] * 1000
    store.error = Unavailable()
    assert await ready(client) == (200, WELL)
    assert store.asked == 1
    monkeypatch.setattr(health, "REMEMBERED", 0)
    assert (await ready(client))[0] == 503
    assert store.asked == 2


async def test_who_leaves_takes_nobody_along(serve: Serve) -> None:
    """A probe that disconnects does not end the check that others wait for."""
    service = await serve(database=Slow())
    leaving = asyncio.create_task(ready(service.client))
    staying = asyncio.create_task(ready(service.client))
    await asyncio.sleep(0.1)
    leaving.cancel()
    assert await staying == (200, WELL)


@pytest.mark.parametrize(
    "error", [Unavailable(), RuntimeError("secret.example:6379"), OSError("secret.example")], ids=repr
)
async def test_whatever_a_store_raises(serve: Serve, error: Exception) -> None:
    """The store is unhealthy, and nobody sees the text of the exception."""
    store = Slow()
    store.error = error
    status, state = await ready((await serve(database=store)).client)
    assert (status, state) == (503, {**WELL, "status": "unavailable", "sessions": "unavailable"})


async def test_a_process_that_is_told_to_end(tmp_path: Path) -> None:
    """It is no longer ready, on a connection that it still has, and still alive."""
    write(tmp_path, methods__hello=HELLO)
    async with serving(tmp_path) as server, aiohttp.ClientSession() as client:
        url = server.address.removesuffix("/service")
        async with client.get(f"{url}/health/ready") as response:
            assert (response.status, await response.json()) == (200, WELL)
        server.process.send_signal(signal.SIGTERM)
        status, answer = 200, {}
        while status == 200:
            async with client.get(f"{url}/health/ready") as response:
                status, answer = response.status, await response.json()
        assert (status, answer) == (503, {"status": "draining"})
        assert await server.process.wait() == 0


async def test_an_app_that_ends(aiohttp_client: AiohttpClient) -> None:
    """Under another server it is no longer ready when it is shut down."""
    app = create_app(method_module={"echo": echo}, database="memory://")
    client = await aiohttp_client(app)
    assert (await ready(client))[0] == 200
    await app.shutdown()
    assert await ready(client) == (503, {"status": "draining"})


async def test_another_path_or_none(serve: Serve) -> None:
    """``health`` sets where the checks are."""
    client = (await serve(health="status/")).client
    assert (await ready(client, "/status/ready"))[0] == 200
    assert (await client.get("/health/ready")).status == 404
    client = (await serve(health="off")).client
    assert (await client.get("/health/live")).status == 404
    for wrong in ("/", "/{x}", "/a?b"):
        with pytest.raises(SettingsError, match="health: write a path"):
            create_app(method_module={"echo": echo}, health=wrong)


async def test_below_a_prefix(aiohttp_client: AiohttpClient) -> None:
    """An application that embeds the service keeps its own paths."""

    async def own(request: web.Request) -> web.Response:
        return web.Response(text="own")

    parent = web.Application()
    parent.router.add_get("/health/ready", own)
    parent.add_subapp("/api", create_app(method_module={"echo": echo}, database="memory://", root="/"))
    client = await aiohttp_client(parent)
    assert await (await client.get("/health/ready")).text() == "own"
    assert await ready(client, "/api/health/ready") == (200, WELL)
    service = Service(client, "/api")
    assert await service.result("echo", {"a": 1}) == {"a": 1}


async def test_a_method_of_that_path(serve: Serve) -> None:
    """A check that would hide a method is refused at start-up, with what to write."""
    with pytest.raises(SettingsError, match=r"health: /health/live is the method 'health\.live' already"):
        create_app(method_module={"health.live": echo}, root="/")
    with pytest.raises(SettingsError, match="health: /service/echo/ready is the method"):
        create_app(method_module={"echo.ready": echo}, health="/service/echo")
    service = await serve({"health.live": echo})
    assert (await service.call("health.live"))["result"] == {}
    assert await ready(service.client, "/health/live") == (200, {"status": "ok"})
    create_app(method_module={"health.live": echo}, root="/", method_select="parameter")


async def test_a_health_of_the_root(serve: Serve) -> None:
    """With ``root=/`` methods are called by POST to the same paths, and by URL on all other paths."""
    service = await serve({"echo": echo}, root="/")
    assert await ready(service.client) == (200, WELL)
    assert (await (await service.client.post("/echo", json={"a": 1})).json())["result"] == {"a": 1}
    answer = await (await service.client.post("/health/ready", json={"a": 1})).json()
    assert answer["error"]["code"] == 1001


async def test_nothing_is_logged_when_all_is_well(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """Probes are not logged."""
    client = (await serve()).client
    with caplog.at_level(logging.INFO, "toto_aio"):
        await ready(client)
    assert not [record for record in caplog.records if record.name.startswith("toto_aio")]
