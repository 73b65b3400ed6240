"""Presence over sockets: who is there, who comes and goes, and who may know it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgpack

from tests.support.service import Serve, eventually
from tests.websocket.test_channels import frame, subscribe
from tests.websocket.test_websocket import answer, connect
from toto_aio import Handler
from toto_aio.channels import Admission, PresenceStats
from toto_aio.invocation import channel
from toto_aio.websocket.endpoint import SOCKETS


@channel("room:{room}", history=5, presence=True, join_leave=True)
async def room(handler: Handler, room: str) -> Any:
    """Admit everybody; users are shown with a name."""
    user = handler.session.user_id if handler.session else ""
    if room == "large":
        return Admission(info="x" * 2001)
    if room == "odd":
        return Admission(info=object())
    return Admission({"topic": room}, info={"name": user.title()}) if user else None


@channel("quiet:{room}", presence=True)
async def quiet(room: str) -> None:
    """Admit everybody, and tell nobody who comes."""


@channel("plain:{room}")
async def plain(room: str) -> None:
    """Admit everybody."""


async def who(handler: Handler, parameters: Any) -> Any:
    """Who is there, as the service sees it."""
    found = await handler.events.presence(parameters["channel"])
    stats = await handler.events.presence_stats(parameters["channel"])
    assert stats == PresenceStats(len(found), len({each.user for each in found}))
    return [[each.user, each.info] for each in found]


def who_in_thread(handler: Handler, parameters: Any) -> Any:
    """The same from a thread."""
    found: Any = handler.events.presence("room:1")
    stats: Any = handler.events.presence_stats("room:1")
    return [len(found), stats.clients, stats.users]


METHODS: dict[str, Any] = {each.__name__: each for each in (room, quiet, plain, who, who_in_thread)}


async def test_who_is_there(serve: Serve) -> None:
    """Subscribers see each other, with what the function tells, and who comes and goes."""
    service = await serve(METHODS)
    ada = await service.create()
    socket = await connect(service, **{"x-toto-session-id": ada})
    begun = await subscribe(socket, "room:1")
    own = {"client": begun["client"], "user": "ada", "info": {"name": "Ada"}}
    assert begun["data"] == {"topic": "1"}
    assert await answer(socket) == {"channel": "room:1", "joined": own}
    assert (await subscribe(socket, "quiet:1"))["client"] == begun["client"]
    packed = await connect(service)
    await packed.send_bytes(msgpack.packb({"id": 1, "subscribe": "room:1"}))
    other = {
        "client": msgpack.unpackb(await packed.receive_bytes())["result"]["client"],
        "user": "",
        "info": None,
    }
    assert msgpack.unpackb(await packed.receive_bytes()) == {"channel": "room:1", "joined": other}
    assert await answer(socket) == {"channel": "room:1", "joined": other}
    found = await frame(socket, {"id": 5, "presence": "room:1"})
    assert found == {"id": 5, "result": {"channel": "room:1", "members": [own, other]}}
    found = await frame(socket, {"id": 6, "presence_stats": "room:1"})
    assert found == {"id": 6, "result": {"channel": "room:1", "clients": 2, "users": 2}}
    assert await service.result("who", {"channel": "room:1"}) == [["ada", {"name": "Ada"}], ["", None]]
    assert await service.result("who_in_thread") == [2, 2, 2]
    assert len(await service.result("who", {"channel": "quiet:1"})) == 1
    await packed.close()
    assert await answer(socket) == {"channel": "room:1", "left": other}
    await frame(socket, {"id": 7, "unsubscribe": "room:1"})
    assert await service.result("who", {"channel": "room:1"}) == []
    again = await subscribe(socket, "room:1")
    assert again["client"] == begun["client"]
    await service.call("account.logout", session=ada)
    await eventually(lambda: not service.client.app[SOCKETS].open)
    for name in ("room:1", "quiet:1"):
        assert await service.result("who", {"channel": name}) == [], name


async def test_a_client_that_changes_its_mind(serve: Serve) -> None:
    """It is present if it subscribes again before it was admitted, and not while its last call finishes."""
    deciding: list[asyncio.Event] = []

    @channel("hall", presence=True, join_leave=True)
    async def hall(handler: Handler, parameters: Any) -> None:
        deciding.append(asyncio.Event())
        await deciding[-1].wait()

    may_end = asyncio.Event()

    async def wait(handler: Handler, parameters: Any) -> None:
        await may_end.wait()

    service = await serve({**METHODS, "hall": hall, "wait": wait})
    socket = await connect(service)
    await socket.send_json({"id": 1, "subscribe": "hall"})
    await eventually(lambda: len(deciding) == 1)
    await frame(socket, {"id": 2, "unsubscribe": "hall"})
    await socket.send_json({"id": 3, "subscribe": "hall"})
    await eventually(lambda: len(deciding) == 2)
    deciding[1].set()
    begun = await answer(socket)
    assert begun["id"] == 3
    me = {"client": begun["result"]["client"], "user": "", "info": None}
    assert await answer(socket) == {"channel": "hall", "joined": me}
    deciding[0].set()
    assert (await answer(socket))["id"] == 1
    found = await frame(socket, {"id": 4, "presence": "hall"})
    assert found["result"]["members"] == [me]
    await socket.send_json({"id": 5, "method": "wait"})
    await frame(socket, {"id": 6, "presence": "hall"})
    await socket.close()
    (left,) = service.client.app[SOCKETS].open
    await eventually(left.is_over)
    await eventually(lambda: "hall" not in left.subscriptions)
    assert await service.result("who", {"channel": "hall"}) == []
    may_end.set()


async def test_who_may_ask(serve: Serve) -> None:
    """Subscribers of a channel with presence, and nobody else."""
    service = await serve(METHODS)
    socket = await connect(service)
    first = "Subscribe to 'room:1' first: its subscribers see who is present."
    for kind in ("presence", "presence_stats"):
        refused = {"id": 1, "error": {"code": 1004, "value": first}}
        assert await frame(socket, {"id": 1, kind: "room:1"}) == refused
        wrong = await frame(socket, {"id": 1, kind: 5})
        assert wrong["error"] == {"code": 1003, "value": f"{kind}: write the name of a channel"}
    assert "client" not in await subscribe(socket, "plain:1")
    unknown = "Who is present in 'plain:1' is not known: declare it with presence=True."
    for kind in ("presence", "presence_stats"):
        found = await frame(socket, {"id": 1, kind: "plain:1"})
        assert found["error"] == {"code": 1003, "value": unknown}
    assert (await service.call("who", {"channel": "plain:1"}))["error"]["value"] == unknown
    assert (await service.call("who", {"channel": "x"}))["error"]["code"] == 1003
    await socket.send_json({"presence": "room:1"})  # without an id there is no response
    for name in ("room:large", "room:odd"):
        assert (await subscribe(socket, name))["code"] == 1000, name
        assert await service.result("who", {"channel": name}) == [], name
    assert (await subscribe(socket, "room:1"))["data"] is None
