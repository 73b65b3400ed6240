"""What is written into Redis about a channel, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis

import tests.support.servers.redis
from tests.brokers.conftest import running
from tests.support.servers import Server
from toto_aio.channels import Channel, Position

RULES = Channel("room:{room}", history=10)
KEY = "toto:count:{room:1}"


async def test_a_name_without_publications(servers: Callable[[str], Server]) -> None:
    """It leaves one key, which is small, and expires within ten minutes unless something is published."""
    url = tests.support.servers.redis.fresh_url(servers("redis"))
    async with Redis.from_url(url) as admin, running(url) as broker:
        await broker.read("room:1", RULES, None)
        assert await admin.keys() == [KEY.encode()]
        assert await admin.object("encoding", KEY) in {b"listpack", b"ziplist"}
        assert 0 < await admin.pttl(KEY) <= 600_000
        await broker.publish_to("room:1", b"", RULES, "")
        await broker.read("room:1", RULES, None)
        assert await admin.pttl(KEY) > 24 * 3_600_000


async def test_a_quiet_channel_that_is_followed(servers: Callable[[str], Server]) -> None:
    """Its epoch doesn't end, however long nothing is published; a read that comes soon writes nothing."""
    url = tests.support.servers.redis.fresh_url(servers("redis"))
    async with Redis.from_url(url) as admin, running(url) as broker:
        begun = await broker.read("room:1", RULES, None)
        for position in (begun.position, Position(begun.position.epoch, 1)):
            if position.offset:
                assert await broker.publish_to("room:1", b"", RULES, "") == position
            whole = await admin.pttl(KEY)
            for left, renewed in ((whole // 2, True), (whole - whole // 15, False)):
                await admin.pexpire(KEY, left)
                assert await broker.read("room:1", RULES, position) == (position, [])
                assert (await admin.pttl(KEY) > left) == renewed, left


async def test_a_read_that_is_sent_again(servers: Callable[[str], Server]) -> None:
    """It doesn't begin the epoch of the first one again, whose numbers a server may have lost meanwhile."""
    url = tests.support.servers.redis.fresh_url(servers("redis"))
    async with Redis.from_url(url) as admin, running(url) as broker, running(url) as other:
        call = broker._streams._link.call_in_run
        given: list[Position | None] = []

        async def interrupted(*command: Any) -> Any:
            broker._streams._link.call_in_run = call  # type: ignore[method-assign]
            await call(*command)
            given.append(await other.publish_to("room:1", b"first", RULES, ""))
            await admin.flushdb()  # as a server that takes over without the last writes
            raise ConnectionResetError

        await broker.read("room:0", RULES, None)  # so that the server knows the script
        broker._streams._link.call_in_run = interrupted  # type: ignore[method-assign]
        assert (await broker.read("room:1", RULES, None)).position.offset == 0
        given.append(await other.publish_to("room:1", b"second", RULES, ""))
        assert given[0] is not None
        assert given[1] is not None
        assert (given[0].offset, given[1].offset) == (1, 1)
        assert given[0].epoch != given[1].epoch
