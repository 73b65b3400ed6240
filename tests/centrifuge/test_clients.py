"""The unmodified libraries ``centrifuge`` (npm) and ``centrifuge-python`` against a service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import centrifuge
import tests.support.servers.redis
from tests.centrifuge.stage import Stage, directed, on_stage
from tests.support.limits import WATCHDOG, limits
from tests.support.service import eventually
from toto_aio.centrifuge import heartbeat, replies

if TYPE_CHECKING:
    from tests.support.node import Node

pytest_plugins = ["tests.support.node"]

SCENARIOS = Path(__file__).with_name("scenarios.mjs")
SCENES = ("calls", "channels", "presence", "page", "recovery", "sessions")
LIMIT = 300.0
"""Seconds that a program may take on a busy machine."""


async def test_npm(node: Node, servers: Any) -> None:
    """Calls, channels, recovery after cuts and a restart, and the ends of sessions, with the npm package."""
    url = tests.support.servers.redis.fresh_url(servers("redis"))
    async with on_stage(url) as stage, directed(stage) as direct:
        patient = {"CONNECT_LIMIT": LIMIT, "PONG_LIMIT": LIMIT}
        with limits(replies, TTL_SHARE=0.0), limits(heartbeat, **patient):
            for wire in ("json", "protobuf"):
                command = node.program(str(SCENARIOS), stage.address, direct, str(node.folder), wire)
                output = await printed(command)
                assert output.split("\n") == [*(f"{wire}: {name}" for name in SCENES), ""]


async def printed(command: Sequence[str]) -> str:
    """What a program prints. It must succeed."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(LIMIT):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, output.decode()
    return output.decode()


class Seen(centrifuge.ClientEventHandler, centrifuge.SubscriptionEventHandler):
    """What a client and its subscription were told."""

    def __init__(self) -> None:
        self.codes: list[int] = []
        self.got: list[str] = []
        self.recovered: list[bool] = []
        self.tokens: list[str] = []
        self.came: list[str] = []

    async def on_connecting(self, context: Any) -> None:
        self.codes.append(context.code)

    async def on_disconnected(self, context: Any) -> None:
        self.codes.append(context.code)

    async def on_subscribed(self, context: Any) -> None:
        self.recovered.append(context.recovered)

    async def on_join(self, context: Any) -> None:
        self.came.append(context.info.user)

    async def on_publication(self, context: Any) -> None:
        self.got.append(context.pub.data["text"])


@asynccontextmanager
async def client_of(
    stage: Stage, seen: Seen, user_id: str = "ada", **options: Any
) -> AsyncIterator[centrifuge.Client]:
    """A connected client in Python."""

    async def get_token() -> str:
        seen.tokens.append(await stage.token(user_id))
        return seen.tokens[-1]

    client = centrifuge.Client(
        stage.address,
        events=seen,
        token=await stage.token(user_id),
        get_token=get_token,
        min_reconnect_delay=0.01,
        max_reconnect_delay=0.1,
        timeout=LIMIT,
        **options,
    )
    await client.connect()
    try:
        await client.ready()
        yield client
    finally:
        await client.disconnect()


def renewed_until(client: centrifuge.Client) -> float:
    """The seconds until a client in Python renews its session."""
    timer = client._refresh_timer
    return timer.when() - asyncio.get_running_loop().time() if timer else 0.0


async def test_python_and_protobuf(servers: Any) -> None:
    """Its data are JSON as bytes."""
    url = tests.support.servers.redis.fresh_url(servers("redis"))
    got: list[Any] = []
    heard = centrifuge.SubscriptionEventHandler()

    async def on_publication(context: Any) -> None:
        got.append(json.loads(context.pub.data))

    heard.on_publication = on_publication
    async with on_stage(url) as stage, client_of(stage, Seen(), use_protobuf=True) as client:
        assert (await client.rpc("add", b'{"a": 2, "b": 3}')).data == b"5"
        for method, data, code in (("add", b"{", 1003), ("nothing", b"{}", 1001), ("add", b"\xff", 1003)):
            with pytest.raises(centrifuge.ReplyError) as caught:
                await client.rpc(method, data)
            assert caught.value.code == code, data
        room = client.new_subscription("room:7", events=heard)
        await room.subscribe()
        await room.ready()
        await room.publish(b'{"text": "a"}')
        await stage.publish(1)
        await stage.cut()
        await stage.publish(2)
        await eventually(lambda: len(got) == 3)
        assert got == [{"text": "a"}, {"text": "1"}, {"text": "2"}]
        found = await room.history(limit=1, reverse=True)
        assert [(each.offset, each.data) for each in found.publications] == [(3, b'{"text":"2"}')]
        (present,) = (await room.presence()).clients.values()
        assert (present.user, json.loads(present.chan_info)) == ("ada", {"colour": "green"})


async def test_python(servers: Any) -> None:
    """The same with the package of PyPI, while another process publishes and ends the session."""
    url = tests.support.servers.redis.fresh_url(servers("redis"))
    seen = Seen()
    async with on_stage(url) as stage, on_stage(url) as other, client_of(stage, seen) as client:
        assert (await client.rpc("add", {"a": 2, "b": 3})).data == 5
        with pytest.raises(centrifuge.ReplyError) as caught:
            await client.rpc("nothing", {})
        assert (caught.value.code, caught.value.message) == (1001, "Cannot call 'nothing'.")
        room = client.new_subscription("room:7", events=seen)
        await room.subscribe()
        await room.ready()
        await room.publish({"text": "a"})
        await eventually(lambda: seen.got == ["a"])
        found = await room.history(limit=10)
        assert [each.data for each in found.publications] == [{"text": "a"}]
        present = (await room.presence()).clients.values()
        assert [(each.user, each.chan_info) for each in present] == [("ada", {"colour": "green"})]
        stats = await room.presence_stats()
        assert (stats.num_clients, stats.num_users) == (1, 1)
        await eventually(lambda: "ada" in seen.came)
        await other.publish(1)
        await stage.cut()
        await other.publish(2)
        await eventually(lambda: seen.got == ["a", "1", "2"])
        await stage.stop()
        await eventually(lambda: 3001 in seen.codes)
        await other.publish(3)
        await stage.start()
        await eventually(lambda: seen.got == ["a", "1", "2", "3"])
        assert seen.recovered == [False, True, True]
        with limits(replies, TTL_SHARE=0.0):  # a life of a second is told
            await stage.cut()
            await eventually(lambda: len(seen.tokens) >= 2)
        await eventually(lambda: renewed_until(client) > WATCHDOG)  # a renewal would replace what ends now
        assert client._token == seen.tokens[-1]
        await other.end(seen.tokens[-1])
        await eventually(lambda: seen.codes[-1] == 3503)
