"""The ACL of docs/channels.md is enough for events and channels, and no more than they need."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis

import tests.support.servers.redis
import toto_aio
from tests.support import ROOT
from tests.support.limits import limits
from tests.support.servers import Server
from tests.support.service import eventually
from toto_aio import redis_connection
from toto_aio.brokers import Receiver, redis_listener, redis_processes
from toto_aio.brokers import redis as redis_broker
from toto_aio.brokers.redis import RedisBroker
from toto_aio.channels import Channel, Position

ROOM = Channel("room:{room}", history=10, presence=True, join_leave=True)
PLAIN = Channel("plain")
PLACES = ("brokers/redis*.py", "redis_connection.py", "redis_eviction.py", "redis_script.py")
"""Where the commands stand, in this package."""


def documented() -> list[str]:
    """The words of the command on the page."""
    (found,) = re.findall(
        r"^ +(ACL SETUSER .*(?:\n +\+.*)+)", (ROOT / "docs/channels.md").read_text(), re.MULTILINE
    )
    return str(found).split()


def test_the_page_names_what_is_used() -> None:
    """Each command of the scripts is on the page, and each that is there is used."""
    folder = ROOT / "src" / toto_aio.__name__
    text = "\n".join(path.read_text() for place in PLACES for path in sorted(folder.glob(place)))
    allowed = {word[1:].upper() for word in documented() if word[0] == "+"}
    assert set(re.findall(r"redis\.call\('([A-Z]+)'", text)) <= allowed
    assert allowed == {each for each in allowed if re.search(rf"""["']{each}["']""", text)}


async def test_it_is_enough(servers: Callable[[str], Server]) -> None:
    """Such a user can do all that a broker does, and Redis refuses nothing."""
    address = tests.support.servers.redis.fresh_url(servers("redis"))
    words = documented()
    user, secret = words[2], words[4].removeprefix(">")
    heard: list[tuple[str, bytes]] = []
    receiver = Receiver(
        lambda payload: heard.append(("event", payload)),
        published=lambda name, position, payload: heard.append((name, payload)),
        joined=lambda name, member: heard.append(("joined", member)),
        left=lambda name, member: heard.append(("left", member)),
    )
    often = limits(redis_processes, BEAT=0.05), limits(redis_connection, ROLE_INTERVAL=0.05)
    rarely = limits(redis_listener, HEARTBEAT=0.05), limits(redis_broker, EVICTION_INTERVAL=0.05)
    async with Redis.from_url(address) as admin:
        await admin.execute_command(*words)  # type: ignore[no-untyped-call]
        before = await refused(admin, user)
        with often[0], often[1], rarely[0], rarely[1]:
            broker = RedisBroker(address.replace("://", f"://{user}:{secret}@"))
            await broker.start(receiver)
            try:
                for name, rules in (("room:1", ROOM), ("plain", PLAIN)):
                    await broker.follow(name)
                    for key in ("", "key"):
                        position = await broker.publish_to(name, b"x", rules, key)
                assert position is None
                start = Position((await broker.read("room:1", ROOM, None)).position.epoch, 0)
                assert (await broker.read("room:1", ROOM, start)).payloads == [b"x", b"x"]
                for newest in (True, False):
                    assert len((await broker.kept("room:1", ROOM, 1, newest=newest)).entries) == 1
                await broker.enter("room:1", "a", b"A", ROOM)
                assert await broker.present("room:1") == [b"A"]
                broker.leave("room:1", "a")
                assert await broker.present("room:1") == []
                await broker.publish(b"all", broadcast=True)
                await broker.publish(b"one", broadcast=False)
                await broker.check()
                await asyncio.sleep(0.3)  # for what is done now and then
                broker.unfollow("plain")
                expected = [("room:1", b"x"), ("plain", b"x"), ("joined", b"A"), ("left", b"A")]
                expected += [("event", b"all"), ("event", b"one")]
                await eventually(lambda: set(heard) >= set(expected))
            finally:
                await broker.close()
        assert await refused(admin, user) == before
        await admin.acl_deluser(user)


async def refused(admin: Redis, user: str) -> list[tuple[Any, Any]]:
    """What Redis has refused a user, and how often."""
    return [(each["object"], each["count"]) for each in await admin.acl_log() if each["username"] == user]
