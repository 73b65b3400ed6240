"""A Redis that takes over again without a restart, and one whose replication begins anew."""

from __future__ import annotations

import asyncio

from redis.asyncio import Redis

from tests.brokers.conftest import running
from tests.support.limits import WATCHDOG, limits
from tests.support.servers import redis
from toto_aio import redis_connection
from toto_aio.brokers.redis import RedisBroker
from toto_aio.channels import Channel, Position
from toto_aio.redis_target import redis_target

SERVER = {**redis.REPLICATES_AT_ONCE, "appendonly": "no"}
"""With AOF, a replica that has just begun to write one refuses to end."""
RULES = Channel("room:{room}", history=10)


async def test_a_server_that_takes_over_again() -> None:
    """It has lost what it had numbered before it was a replica, and begins a new epoch, for all processes."""
    with redis.server(**SERVER) as one, redis.server(**SERVER) as two:
        url = redis.fresh_url(one)
        async with Redis(port=one.port) as first, Redis(port=two.port) as second:
            await redis.follow(two, one)
            async with running(url) as old, running(url) as former:
                kept = [await publish(old) for _ in range(2)]
                assert await first.wait(1, int(WATCHDOG * 1000)) == 1
                await second.replicaof("NO", "ONE")
                lost = [await publish(old) for _ in range(2)]
                await redis.follow(one, two)
                await first.replicaof("NO", "ONE")
                async with running(url) as new:
                    assert (await new.read("room:1", RULES, lost[1])).payloads is None
                    # The others have the connections from before, and find what this one has begun.
                    again = [await publish(each) for each in (new, old, new, former, old)]
                assert [position.offset for position in again] == [1, 2, 3, 4, 5]
                epochs = [{position.epoch for position in each} for each in (kept, lost, again)]
                assert epochs[0] == epochs[1] != epochs[2]
                assert len(epochs[2]) == 1


async def test_a_connection_that_stays_open() -> None:
    """It learns within seconds that the server has another id: here as the first replica comes."""
    with (
        limits(redis_connection, ROLE_INTERVAL=0.05),
        redis.server(**SERVER) as one,
        redis.server(**SERVER) as two,
    ):
        target = redis_target(redis.fresh_url(one), "events")
        link = target.link(True)
        before = await link.call_in_run("ECHO")
        await redis.follow(two, one)
        async with asyncio.timeout(WATCHDOG):
            while await link.call_in_run("ECHO") == before:
                await asyncio.sleep(0.01)
        async with Redis(port=one.port) as admin:
            facts = await admin.info("server") | await admin.info("replication")
        assert (
            await link.call_in_run("ECHO") == f"{facts['run_id'][:31]}:{facts['master_replid'][:31]}".encode()
        )
        await link.close()
        await target.close()


async def publish(through: RedisBroker) -> Position:
    """Publish something; its position."""
    position = await through.publish_to("room:1", b"x", RULES, "")
    assert position is not None
    return position
