"""The one connection to Redis: cancelled callers, and a server that freezes or stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop
from redis.asyncio import Redis
from redis.exceptions import ResponseError

import tests.support.servers.redis
from tests.support.limits import WATCHDOG, limits
from tests.support.servers import Server, free_port, make_certificate
from tests.support.stores import (
    assert_all_unavailable,
    cancelled_anywhere,
    make_session,
    once_available,
    opened,
    operations,
    serves_again,
    write_until_killed,
)
from toto_aio import redis_connection
from toto_aio.exceptions import Unavailable
from toto_aio.models import Account
from toto_aio.redis_target import redis_target
from toto_aio.stores import Store, open_store

KIND = "redis"
"""The kind of server that this module has for itself."""


@pytest.fixture
def url(own_server: Server) -> str:
    """The URL of an empty database on the module's own server."""
    return tests.support.servers.redis.fresh_url(own_server)


class Proxy:
    """A proxy that records what it forwards, and disconnects instead of the next ``cut`` answers."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.sent: list[bytes] = []
        self.cut = 0
        self.tasks: list[asyncio.Task[None] | None] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward a connection."""
        self.tasks.append(asyncio.current_task())
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.port)
        back = asyncio.create_task(self._back(server_reader, writer))
        with suppress(OSError):
            while chunk := await reader.read(2**20):
                self.sent.append(chunk)
                server_writer.write(chunk)
        server_writer.close()
        await back

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while answer := await reader.read(2**20):
                if self.cut:
                    self.cut -= 1
                    break
                writer.write(answer)
        writer.close()


async def connection_ids(admin: Any) -> set[str]:
    """The ids of the connections to the database of ``admin``, including its own."""
    number = str(admin.connection_pool.connection_kwargs["db"])
    return {each["id"] for each in await admin.client_list() if each["db"] == number}


@asynccontextmanager
async def through_proxy(url: str) -> AsyncIterator[tuple[Store, Proxy]]:
    """A store that reaches its server through a proxy."""
    address, _, number = url.removeprefix("redis://127.0.0.1:").partition("/")
    proxy = Proxy(int(address))
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    async with opened(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/{number}") as store:
        yield store, proxy
    server.close()
    await asyncio.gather(*filter(None, proxy.tasks), return_exceptions=True)


# What goes over the connection


async def test_concurrent_commands_share_one_write(url: str) -> None:
    """The commands of one turn of the loop cost one system call, not one each."""
    async with through_proxy(url) as (store, proxy):
        proxy.sent.clear()
        assert await asyncio.gather(*(store.get_session(f"k{n}") for n in range(100))) == [None] * 100
        assert len(proxy.sent) == 1


async def test_a_read_is_sent_again(url: str) -> None:
    """A read is sent again, once, if the connection ends before the answer arrives."""
    async with through_proxy(url) as (store, proxy):
        await store.add_session(make_session("k"))
        await store.add_account(Account("ada", None))
        proxy.cut = 1
        assert await store.get_session("k") == make_session("k")
        proxy.cut = 1
        assert await store.get_account("ada") == Account("ada", None)
        proxy.cut = 2
        with pytest.raises(Unavailable):
            await store.get_session("k")
        assert await store.get_session("k") == make_session("k")


async def test_a_write_is_not_sent_again(url: str) -> None:
    """A write may have been carried out, and a second one would count twice."""
    async with through_proxy(url) as (store, proxy):
        assert await store.increment("a", 60) == 1
        proxy.cut = 1
        with pytest.raises(Unavailable):
            await store.increment("a", 60)
        assert await store.increment("a", 60) == 3
        await store.add_session(make_session("k"))
        assert await store.save_session(make_session("k")) is True
        proxy.cut = 1
        with pytest.raises(Unavailable):
            await store.save_session(make_session("k", version=2))
        assert await store.get_session("k") == make_session("k", version=3)


async def test_uvloop(url: str) -> None:
    """All of it works on the event loop of ``serve``, which has different transports."""

    async def work() -> None:
        async with opened(url) as store:
            for operation in operations(store).values():
                await operation()
            await cancelled_anywhere(store, 30)

    await asyncio.to_thread(uvloop.run, work())


async def test_cancelled_operations(url: str) -> None:
    """Wherever callers are cancelled, the others get their own results."""
    async with opened(url) as store:
        await cancelled_anywhere(store, 200)


async def test_an_opening_that_is_cancelled(url: str) -> None:
    """Wherever it is cancelled, it leaves no connection behind."""
    for steps in range(0, 20):
        opening = asyncio.create_task(open_store(url))
        for _ in range(steps):
            await asyncio.sleep(0)
        opening.cancel()
        [outcome] = await asyncio.gather(opening, return_exceptions=True)
        if not isinstance(outcome, BaseException):
            await outcome.close()
    async with opened(url) as store, asyncio.timeout(WATCHDOG):
        while len(await connection_ids(store.db)) > 2:  # the server notices the end of one a little later
            await asyncio.sleep(0.01)


async def test_closing_while_operations_are_in_progress(url: str) -> None:
    """Operations in progress fail, and so do later ones."""
    async with opened(url) as store:
        under_way = [asyncio.ensure_future(operation()) for operation in operations(store).values()]
        await asyncio.sleep(0)
        await asyncio.wait_for(store.close(), WATCHDOG)
        outcomes = await asyncio.gather(*under_way, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {Unavailable}
        await assert_all_unavailable(store)


# A server that fails


async def test_a_frozen_server(own_server: Server, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each operation fails in time, on an open or a new connection; once thawed, the server serves again."""
    monkeypatch.setattr(redis_connection, "OPERATION_LIMIT", 2)  # for which the timer of a connection runs
    async with opened(await once_available(lambda: open_store(url))) as store:
        await once_available(lambda: store.add_session(make_session("kept", "eve")))
        own_server.freeze()
        try:
            with limits(redis_connection, OPERATION_LIMIT=0.4, CONNECT_LIMIT=0.3):
                await assert_all_unavailable(store)
                await assert_all_unavailable(store)
                with pytest.raises(Unavailable, match="Cannot open the database redis://127"):
                    await asyncio.wait_for(open_store(url), WATCHDOG)
                await asyncio.gather(*(assert_all_unavailable(store) for _ in range(50)))
        finally:
            own_server.thaw()
        await serves_again(store)
        kept = await once_available(lambda: store.get_session("kept"))
        assert kept == make_session("kept", "eve")


async def test_closing_while_the_server_is_frozen(own_server: Server, url: str) -> None:
    """Closing does not wait for an answer."""
    store = await open_store(url)
    await store.db.ping()
    waiting = asyncio.ensure_future(store.get_session("k"))
    own_server.freeze()
    try:
        await asyncio.sleep(0.01)
        await asyncio.wait_for(store.close(), WATCHDOG)
    finally:
        own_server.thaw()
    with suppress(Unavailable):
        await waiting


async def test_a_server_that_is_killed(own_server: Server, url: str) -> None:
    """Operations fail immediately; after a restart the server has everything that was acknowledged."""
    async with opened(url) as store:
        acknowledged = await write_until_killed(store, own_server.kill)
        try:
            await assert_all_unavailable(store)
        finally:
            own_server.start()
        await serves_again(store)
        found = await asyncio.gather(*map(store.get_account, acknowledged))
        assert found == [Account(user_id, None) for user_id in acknowledged]


async def test_a_server_that_is_no_longer_the_primary(url: str) -> None:
    """The connection is closed, so that a name that now leads to another server is resolved again."""
    admin: Any
    async with opened(url) as store, Redis.from_url(url) as admin:
        counted = await store.increment("a", 60)
        before = await connection_ids(admin)
        await admin.execute_command("REPLICAOF", "127.0.0.1", free_port())
        try:
            with pytest.raises(Unavailable):
                await store.increment("a", 60)
        finally:
            await admin.execute_command("REPLICAOF", "NO", "ONE")
        assert await store.increment("a", 60) == counted + 1
        assert len(await connection_ids(admin) - before) == 1
        async with asyncio.timeout(WATCHDOG):
            while len(before - await connection_ids(admin)) != 1:  # the server notices it a little later
                await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("error", "ends"),
    [
        ("READONLY You can't write against a read only replica.", True),
        (
            "ERR Error running script (call to f_0): @user_script:1: @user_script: 1: "
            "-READONLY You can't write against a read only replica.",
            True,
        ),
        ("ERR Error running script (call to f_0): @user_script:1: wrong number", False),
    ],
)
async def test_a_script_on_a_replica(error: str, ends: bool) -> None:
    """Before Redis 7 the error of a script quotes READONLY; any other error leaves the connection open."""
    greeted = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal greeted
        greeted += 1
        with suppress(OSError):
            while data := await reader.read(2**16):
                writer.write(b"+PONG\r\n" if b"PING" in data else f"-{error}\r\n".encode())
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        connection = redis_target(f"redis://127.0.0.1:{port}/0", "events").link(False)
        for _ in range(3):
            with pytest.raises(ResponseError):
                await connection.call("EVALSHA", "0" * 40, 0)
        await connection.close()
    assert greeted == (3 if ends else 1)


async def test_a_restart_while_idle(own_server: Server, url: str) -> None:
    """The first operation after a restart works, even if it writes."""
    async with opened(url) as store:
        for end in (own_server.stop, own_server.kill):
            counted = await store.increment("a", 60)
            await store.db.ping()
            end()
            own_server.start()
            await asyncio.sleep(0.01)
            assert await store.increment("a", 60) == counted + 1
            assert await store.db.ping()


async def test_tls(tmp_path: Path) -> None:
    """``rediss://`` verifies the server's certificate with the authority that the URL names."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    make_certificate(certificate, key)
    options = {"tls_port": str(free_port()), "tls_auth_clients": "no"}
    files = {"tls_cert_file": str(certificate), "tls_key_file": str(key)}
    with tests.support.servers.redis.server(**options, **files):
        url = f"rediss://localhost:{options['tls_port']}/1"
        with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
            await open_store(url)
        async with opened(f"{url}?ssl_ca_certs={certificate}") as store:
            await store.add_session(make_session("k"))
            assert await store.get_session("k") == make_session("k")
            assert await store.db.exists("toto:session:k") == 1


async def test_a_server_that_cannot_save() -> None:
    """It refuses writes; what is read is still answered, on a new connection too."""
    with tests.support.servers.redis.server(appendonly="no") as server:
        async with opened(f"redis://127.0.0.1:{server.port}/0") as store:
            await store.add_session(make_session("k"))
            await tests.support.servers.redis.fail_to_save(server, True)
            async with Redis(port=server.port, db=1) as admin:
                await admin.client_kill_filter(_type="normal", skipme=True)
            assert await store.get_session("k") == make_session("k")
            with pytest.raises(Unavailable) as error:
                await store.increment("n", 60)
            assert "MISCONF" in str(error.value.__cause__)
            await tests.support.servers.redis.fail_to_save(server, False)
            assert await store.increment("n", 60) == 1
