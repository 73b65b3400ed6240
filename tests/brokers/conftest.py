"""Every broker, for the contract: a new broker is a function here and a row in ``BROKERS``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

import tests.support.servers.redis
import tests.support.servers.redis_cluster
from toto_aio.brokers import Broker, Receiver

if TYPE_CHECKING:
    from toto_aio.brokers.redis import RedisBroker


def memory(request: pytest.FixtureRequest) -> Broker:
    """``memory://``."""
    from toto_aio.brokers.memory import MemoryBroker

    return MemoryBroker("memory://")


def redis(request: pytest.FixtureRequest) -> Broker:
    """``redis://``, with a database of its own."""
    from toto_aio.brokers.redis import RedisBroker

    return RedisBroker(tests.support.servers.redis.fresh_url(request.getfixturevalue("servers")("redis")))


def redis_cluster(request: pytest.FixtureRequest) -> Broker:
    """``redis+cluster://``, with a prefix of its own."""
    from toto_aio.brokers.redis import RedisBroker

    cluster = request.getfixturevalue("servers")("redis_cluster")
    return RedisBroker(tests.support.servers.redis_cluster.fresh_url(cluster))


BROKERS: dict[str, Callable[[pytest.FixtureRequest], Broker]] = {
    "memory": memory,
    "redis": redis,
    "redis_cluster": redis_cluster,
}


@pytest.fixture(params=list(BROKERS.values()), ids=list(BROKERS))
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[Broker]:
    """A broker of each kind, not started yet. It is closed at the end, whether or not it was started."""
    opened: Broker = request.param(request)
    try:
        yield opened
    finally:
        await opened.close()


@asynccontextmanager
async def running(url: str) -> AsyncIterator[RedisBroker]:
    """A broker on Redis that is running, and that nobody listens to."""
    from toto_aio.brokers.redis import RedisBroker

    broker = RedisBroker(url)
    await broker.start(Receiver(lambda payload: None))
    try:
        yield broker
    finally:
        await broker.close()
