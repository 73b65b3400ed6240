"""A Redis that drops keys when its memory is full: it is warned of, and what it has dropped is reported."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from redis.asyncio import Redis

import tests.support.servers.redis
from tests.support.servers import Server
from tests.support.service import Serve, eventually
from tests.support.stores import opened
from toto_aio.brokers import Receiver
from toto_aio.brokers import redis as redis_broker
from toto_aio.brokers.redis import RedisBroker
from toto_aio.stores import sweep

LIMIT = "3mb"
"""The memory of the server while it is to be full, which a few values fill."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A Redis that drops any key when its memory is full, and writes nothing to disk."""
    with tests.support.servers.redis.server(maxmemory_policy="allkeys-lru", appendonly="no") as server:
        yield server


@pytest.fixture
async def admin(server: Server) -> AsyncIterator[Redis]:
    """A client with all permissions, on an empty server."""
    async with Redis(port=server.port) as client:
        await client.flushall()
        await client.config_set("maxmemory-policy", "allkeys-lru")
        yield client


@pytest.fixture
def url(server: Server) -> str:
    """The URL of an empty database."""
    return tests.support.servers.redis.fresh_url(server)


async def overflow(admin: Redis) -> None:
    """Write until the server drops keys, and give it more memory then, so that it drops no others."""
    before = (await admin.info("stats"))["evicted_keys"]
    await admin.config_set("maxmemory", LIMIT)
    for number in range(1000):
        await admin.set(f"filling {number}", bytes(50_000))
        if (await admin.info("stats"))["evicted_keys"] > before:
            await admin.config_set("maxmemory", 0)
            return
    raise AssertionError("nothing was dropped")


async def permit(admin: Redis, url: str, *commands: str) -> str:
    """The URL for a user who may use only these commands."""
    await admin.acl_setuser(
        "app", enabled=True, reset=True, passwords=["+x"], keys=["toto:*"], commands=["+@all", *commands]
    )
    return url.replace("://", "://app:x@")


def logged(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    """The messages of a level about what is dropped."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno == level and record.name == "toto_aio.redis_eviction"
    ]


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-random", "volatile-ttl"])
@pytest.mark.parametrize("refused", ["-config", "-info"])
async def test_a_policy_that_drops_keys(
    admin: Redis, url: str, caplog: pytest.LogCaptureFixture, policy: str, refused: str
) -> None:
    """Opening a store warns once, without any account, even if CONFIG or INFO is not permitted."""
    await admin.config_set("maxmemory-policy", policy)
    async with opened(await permit(admin, url, refused)) as store:
        await store.sweep()
        await store.increment("login", 60)
    (warning,) = logged(caplog, logging.WARNING)
    assert policy in warning
    for word in ("sessions", "counts", "nonces", "records", "write maxmemory-policy noeviction"):
        assert word in warning


async def test_a_policy_that_cannot_be_read(admin: Redis, url: str, caplog: pytest.LogCaptureFixture) -> None:
    """That is a warning too, which says what to write; and everything works."""
    async with opened(await permit(admin, url, "-config", "-info")) as store:
        assert await store.increment("login", 60) == 1
        assert await store.sweep() == 0
    (warning,) = logged(caplog, logging.WARNING)
    assert "cannot read whether Redis drops" in warning
    assert "write maxmemory-policy noeviction in its configuration, or permit INFO" in warning


async def test_a_policy_that_drops_nothing(admin: Redis, url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is logged, until it is changed while the service runs."""
    await admin.config_set("maxmemory-policy", "noeviction")
    async with opened(url) as store:
        await store.sweep()
        assert caplog.messages == []
        await admin.config_set("maxmemory-policy", "volatile-lru")
        await store.sweep()
        await store.sweep()
        assert len(logged(caplog, logging.WARNING)) == 1


async def test_keys_that_were_dropped(admin: Redis, url: str, caplog: pytest.LogCaptureFixture) -> None:
    """An error names what may have been lost, once for all processes, and again when more is dropped."""
    await overflow(admin)
    async with opened(url) as one, opened(await permit(admin, url, "-config")) as two:
        await one.sweep()
        await two.sweep()
        assert logged(caplog, logging.ERROR) == []  # what was dropped before is past
        for times in (1, 2):
            await overflow(admin)
            for store in (one, two, one):
                await store.sweep()
            assert len(logged(caplog, logging.ERROR)) == times
    for word in ("has dropped", "keys", "sessions", "counts", "nonces", "signed requests"):
        assert word in logged(caplog, logging.ERROR)[0]


async def test_what_the_processes_share_may_be_dropped_too(
    admin: Redis, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Then each process reports what it has not seen itself."""
    async with opened(url) as store:
        await store.sweep()
        await overflow(admin)
        await admin.flushall()
        await store.sweep()
        assert len(logged(caplog, logging.ERROR)) == 1


async def test_a_server_that_restarts(
    server: Server, admin: Redis, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its count begins again, and so does what is reported."""
    async with opened(url) as store:
        await overflow(admin)
        await store.sweep()
        caplog.clear()
        server.stop()
        server.start()
        await store.sweep()
        assert logged(caplog, logging.ERROR) == []
        await overflow(admin)
        await store.sweep()
        assert len(logged(caplog, logging.ERROR)) == 1


@pytest.mark.parametrize("setting", ["database", "session_store"])
async def test_a_service(
    serve: Serve,
    admin: Redis,
    url: str,
    setting: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It looks periodically at each Redis that it keeps something in, also at that of accounts alone."""
    monkeypatch.setattr(sweep, "SWEEP_INTERVAL", 0.05)
    options: dict[str, Any] = {"database": "memory://", "session_store": "memory://", setting: url}
    await serve(**options)
    assert len(logged(caplog, logging.WARNING)) == 1
    await overflow(admin)
    await eventually(lambda: len(logged(caplog, logging.ERROR)) >= 1)


async def test_events(
    admin: Redis, url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claims of events for one process are looked after as well."""
    monkeypatch.setattr(redis_broker, "EVICTION_INTERVAL", 0.05)
    broker = RedisBroker(url)
    await broker.start(Receiver(lambda payload: None))
    try:
        await eventually(lambda: len(logged(caplog, logging.WARNING)) == 1)
        assert "broadcast=False" in logged(caplog, logging.WARNING)[0]
        await overflow(admin)
        await eventually(lambda: len(logged(caplog, logging.ERROR)) == 1)
        assert "claims may be among them" in logged(caplog, logging.ERROR)[0]
    finally:
        await broker.close()
