"""Channels over sockets: who may subscribe, what arrives, recovery, limits, and the ends of subscriptions."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgpack
import pytest

import tests.support.servers.redis
from tests.support.limits import limits
from tests.support.packages import Package
from tests.support.rooms import ROOMS, publish, room
from tests.support.service import Serve, Service, eventually
from tests.websocket.test_websocket import Socket, answer, ask, connect
from toto_aio import Handler, create_app
from toto_aio.channels import Position
from toto_aio.events import EventManager
from toto_aio.invocation import (
    asynchronous,
    authenticated_with_parameter,
    channel,
    jsonp,
    method,
    rate,
    raw_response,
    requires,
    roles,
)
from toto_aio.lifespan import LIFESPAN, Lifespan
from toto_aio.settings import SettingsError
from toto_aio.websocket import subscriptions
from toto_aio.websocket.endpoint import SOCKETS


@method
@channel("both:{n}")
async def both(n: int) -> int:
    """Also be a method."""
    return n + 1


@channel("admin")
@roles("admin")
async def admin() -> None:
    """Admit administrators."""


@channel("some:{n}", history=5)
@rate(2, per="1d", by="address")
async def some(n: int) -> None:
    """Admit to two of them."""


@channel("slow")
async def slow() -> None:
    """Admit a little later."""
    await asyncio.sleep(0.05)


def publish_in_thread(handler: Handler, parameters: Any) -> Any:
    """Publish from a thread."""
    return handler.events.publish("room:1", "from a thread")


METHODS = ROOMS | {each.__name__: each for each in (both, admin, some, slow, publish_in_thread)}


async def frame(socket: Socket, message: dict[str, Any]) -> Any:
    """The next frame, after one was sent."""
    await socket.send_json(message)
    return await answer(socket)


async def subscribe(socket: Socket, name: Any, since: Any = None) -> Any:
    """The result of a subscription, or its error."""
    found = await frame(socket, {"id": 1, "subscribe": name, **({} if since is None else {"since": since})})
    assert found.pop("id") == 1, found
    return found.get("result") or found["error"]


def manager_of(service: Service) -> EventManager:
    """The events of a service."""
    app = service.client.app
    assert app is not None
    lifespan: Lifespan = app[LIFESPAN]
    return lifespan.runtime.needed_events()


async def test_a_subscription(serve: Serve) -> None:
    """It begins with what the function returns, and gets every publication with its number."""
    service = await serve(METHODS)
    socket = await connect(service)
    begun = await subscribe(socket, "room:7")
    epoch = begun["position"]["epoch"]
    assert begun == {
        "channel": "room:7",
        "position": {"epoch": epoch, "offset": 0},
        "recovered": False,
        "publications": [],
        "data": {"topic": "room 7", "user": None},
    }
    position = await service.result("publish", {"channel": "room:7", "data": {"text": "hello"}})
    assert position == {"epoch": epoch, "offset": 1}
    assert await answer(socket) == {"channel": "room:7", "data": {"text": "hello"}, "offset": 1}
    assert await frame(socket, {"id": [2], "unsubscribe": "room:7"}) == {
        "id": [2],
        "result": {"channel": "room:7"},
    }
    assert await frame(socket, {"id": 3, "unsubscribe": "room:7"}) == {
        "id": 3,
        "result": {"channel": "room:7"},
    }
    for n in (2, 3):
        await service.result("publish", {"channel": "room:7", "data": n})
    again = await subscribe(socket, "room:7", {"epoch": epoch, "offset": 1})
    assert again["recovered"] is True
    assert again["publications"] == [{"data": 2, "offset": 2}, {"data": 3, "offset": 3}]
    assert again["position"] == {"epoch": epoch, "offset": 3}
    packed = await connect(service)
    await packed.send_bytes(
        msgpack.packb({"id": 1, "subscribe": "room:7", "since": {"epoch": "x", "offset": 3}})
    )
    found = msgpack.unpackb(await packed.receive_bytes())["result"]
    assert (found["recovered"], found["publications"]) == (False, [])
    await socket.send_json({"subscribe": "plain"})  # without an id there is no response
    assert (await ask(socket, "publish", {"channel": "plain", "data": 1}))["result"] is None
    assert await answer(socket) == {"channel": "plain", "data": 1}
    assert (await service.result("publish_in_thread"))["offset"] == 1
    await service.result("publish", {"channel": "room:7", "data": b"x".decode()})
    assert await answer(socket) == {"channel": "room:7", "data": "x", "offset": 4}
    assert msgpack.unpackb(await packed.receive_bytes()) == {"channel": "room:7", "data": "x", "offset": 4}


async def test_who_may_subscribe(serve: Serve) -> None:
    """The function decides, as the caller, with every guard; a name that no pattern matches is refused."""
    service = await serve(METHODS)
    ada = await service.create()
    anonymous = await connect(service)
    socket = await connect(service, **{"x-toto-session-id": ada})
    assert (await subscribe(socket, "own:ada"))["data"] is None
    assert (await subscribe(socket, "room:1"))["data"] == {"topic": "room 1", "user": "ada"}
    unknown = {"code": 1001, "value": "There is no channel 'x'."}
    since = 'since: write the last position, as in {"epoch": "...", "offset": 5}'
    for who, name, error in [
        (socket, "own:eve", {"code": 1004, "value": "Not authorized"}),
        (anonymous, "own:ada", {"code": 1004, "value": "Not authorized"}),
        (socket, "admin", {"code": 1004, "value": "Not authorized"}),
        (socket, "room:100", {"code": 1004, "value": "No such room."}),
        (socket, "room:1", {"code": 1003, "value": "This socket has subscribed to 'room:1' already."}),
        (socket, "x", unknown),
        (socket, "room", {**unknown, "value": "There is no channel 'room'."}),
        (socket, 5, {**unknown, "value": "There is no channel '5'."}),
        (socket, ["x"], {**unknown, "value": "There is no channel '['x']'."}),
    ]:
        assert await subscribe(who, name) == error, name
    wrong = await subscribe(socket, "room:x")
    assert (wrong["code"], wrong["problems"][0]["path"]) == (1003, "room")
    for position in (
        5,
        {"epoch": 5, "offset": 1},
        {"epoch": "x"},
        {"epoch": "x", "offset": -1},
        {"epoch": 65 * "x", "offset": 1},
    ):
        assert await subscribe(socket, "room:2", position) == {"code": 1003, "value": since}, position
    assert (await frame(socket, {"id": 1, "unsubscribe": 5}))["error"]["code"] == 1003
    assert (await subscribe(socket, "room:2"))["recovered"] is False  # what was refused counts for nothing


async def test_it_is_no_method(serve: Serve) -> None:
    """Clients cannot call what only admits to channels, unless it is marked so."""
    service = await serve(METHODS)
    told = "Cannot call 'room': it admits to channels: subscribe to 'room:{room}'."
    assert (await service.call("room", {"room": 1}))["error"] == {"code": 1001, "value": told}
    unhashable = await service.post(json={"method": ["room"], "parameters": {}})
    assert (await unhashable.json())["error"]["code"] == 1001
    assert await service.result("both", {"n": 1}) == 2
    socket = await connect(service)
    assert (await subscribe(socket, "both:1"))["data"] == 2
    assert (await subscribe(socket, "plain"))["position"] is None


async def test_a_service_without_channels(serve: Serve) -> None:
    """A frame that subscribes is one without a method, and publishing says what to write."""
    service = await serve({"publish": publish})
    socket = await connect(service)
    assert await frame(socket, {"id": 1, "subscribe": "x"}) == {
        "id": 1,
        "error": {"code": 1002, "value": "Missing method."},
    }
    error = (await service.call("publish", {"channel": "x", "data": 1}))["error"]
    assert error["code"] == 1003
    assert error["value"].startswith("There is no channel 'x': declare it")


async def test_limits(serve: Serve) -> None:
    """A socket and a session have so many subscriptions, and what has ended counts no more.

    A function with a rate admits no more often, also to those who leave again.
    """
    service = await serve(METHODS, socket_channels=2, session_channels=3)
    ada = await service.create()
    sockets = [await connect(service, **{"x-toto-session-id": ada}) for _ in range(2)]
    for n in range(2):
        await subscribe(sockets[0], f"room:{n}")
    of_socket = {"code": 1003, "value": "A socket has at most 2 subscriptions (socket_channels)."}
    of_session = {
        "code": 1003,
        "value": "The sockets of a session have at most 3 subscriptions (session_channels).",
    }
    assert await subscribe(sockets[0], "room:3") == of_socket
    await subscribe(sockets[1], "room:3")
    assert await subscribe(sockets[1], "room:4") == of_session
    await frame(sockets[0], {"id": 1, "unsubscribe": "room:0"})
    assert "data" in await subscribe(sockets[1], "room:4")
    await sockets[1].close()
    await eventually(lambda: len(service.client.app[SOCKETS].open) == 1)
    assert "data" in await subscribe(sockets[0], "room:5")
    await frame(sockets[0], {"id": 1, "unsubscribe": "room:5"})
    for n, error in enumerate((None, None, 1012)):
        assert (await subscribe(sockets[0], f"some:{n}")).get("code") == error
        await frame(sockets[0], {"id": 1, "unsubscribe": f"some:{n}"})


async def test_the_end_of_a_session(serve: Serve) -> None:
    """It ends the subscriptions that were made under it, and the socket that was opened with it."""
    service = await serve(METHODS)
    ada = await service.create()
    eve = await service.create("eve")
    socket = await connect(service, **{"x-toto-session-id": ada})
    await subscribe(socket, "own:ada")
    login = await ask(socket, "account.login", {"user_id": "eve", "password": "correct horse"})
    told = {"channel": "own:ada", "unsubscribed": {"code": 2000, "reason": "The session has ended"}}
    assert "result" in login
    assert await answer(socket) == told
    await service.result("publish", {"channel": "own:ada", "data": "secret"})
    assert (await subscribe(socket, "own:eve"))["recovered"] is False
    other = await connect(service, **{"x-toto-session-id": eve})
    await subscribe(other, "own:eve")
    await service.call("account.logout", session=eve)
    assert (await other.receive()).data == 1008
    await service.result("publish", {"channel": "own:eve", "data": "hello"})
    assert await answer(socket) == {"channel": "own:eve", "data": "hello", "offset": 1}


async def test_a_session_that_ends_meanwhile(serve: Serve) -> None:
    """Nobody is admitted under a session that has ended, or left the socket, while the function decided."""
    deciding: list[asyncio.Event] = []

    @channel("gate:{n}", history=5)
    async def gate(handler: Handler, n: int) -> str | None:
        user_id = None if handler.session is None else handler.session.user_id
        deciding.append(asyncio.Event())
        await deciding[-1].wait()
        return user_id

    service = await serve({**METHODS, "gate": gate})
    channels = manager_of(service).channels
    assert channels is not None
    ada, eve = await service.create(), await service.create("eve")
    login = {"user_id": "eve", "password": "correct horse"}
    for session in (ada, None, eve):
        socket = await connect(service, **({} if session is None else {"x-toto-session-id": session}))
        await socket.send_json({"id": 1, "subscribe": "gate:1"})
        await eventually(lambda: len(deciding) == 1)
        if session == ada:  # another user logs in on the socket
            await socket.send_json({"id": 2, "method": "account.login", "parameters": login})
            told = {"code": 2000, "reason": "The session has ended"}
            found = [await answer(socket) for _ in range(2)]
            assert {"channel": "gate:1", "unsubscribed": told} in found
            deciding.pop().set()
            assert (await answer(socket))["error"]["code"] == 1004
            await socket.send_json({"id": 3, "subscribe": "gate:1"})
            await eventually(lambda: len(deciding) == 1)
            deciding.pop().set()
            assert (await answer(socket))["result"]["data"] == "eve"
        elif session is None:  # who was nobody stays that for this subscription
            await ask(socket, "account.login", login)
            deciding.pop().set()
            assert (await answer(socket))["result"]["data"] is None
        else:
            await service.call("account.logout", session=eve)
            assert (await socket.receive()).data == 1008
            deciding.pop().set()
        await socket.close()
        await eventually(lambda: channels.counts() == (0, 0))


async def test_a_slow_client(serve: Serve) -> None:
    """It loses its subscription, is told so, and recovers what it has missed."""
    service = await serve(METHODS)
    socket = await connect(service)
    begun = await subscribe(socket, "room:1")
    with limits(subscriptions, QUEUE_BYTES=300):
        manager = manager_of(service)
        for n in range(4):
            await manager.publish("room:1", n * "x" * 100)
        frames = [await answer(socket) for _ in range(3)]
    told = {"code": 2500, "reason": "Publications may have been missed: subscribe again"}
    assert frames[-1] == {"channel": "room:1", "unsubscribed": told}
    last = frames[-2]["offset"]
    again = await subscribe(socket, "room:1", {**begun["position"], "offset": last})
    assert again["recovered"] is True
    assert [each["offset"] for each in again["publications"]] == list(range(last + 1, 5))


async def test_a_client_that_leaves(serve: Serve) -> None:
    """Nothing of its subscriptions is left, not even of one that is still being admitted."""
    service = await serve(METHODS)
    channels = manager_of(service).channels
    assert channels is not None
    socket = await connect(service)
    await subscribe(socket, "room:1")
    await socket.send_json({"id": 1, "subscribe": "slow"})
    await socket.close()
    await eventually(lambda: not service.client.app[SOCKETS].open)
    await eventually(lambda: channels.counts() == (0, 0))


async def test_other_programs(servers: Any, serve: Serve) -> None:
    """A program of its own publishes to the channels of a service."""
    url = tests.support.servers.redis.fresh_url(servers("redis"))
    service = await serve(METHODS, events=url)
    socket = await connect(service)
    await subscribe(socket, "room:1")
    async with EventManager(url, channels=[room.__toto_aio_rules__.channel]) as events:  # type: ignore[attr-defined]
        position = await events.publish("room:1", "hello")
    assert type(position) is Position
    assert await answer(socket) == {"channel": "room:1", "data": "hello", "offset": 1}


def refused(functions: dict[str, Any], **options: Any) -> str:
    """What a start says that is refused."""
    with pytest.raises(SettingsError) as found:
        create_app(database="memory://", method_module=functions, **options)
    return str(found.value)


def test_what_stops_the_start(package: Package) -> None:
    """Patterns that share names, parameters that are not in them, and nothing that carries channels."""

    async def lacks(handler: Handler) -> None: ...
    async def more(handler: Handler, room: str, other: str) -> None: ...
    async def classic(handler: Handler, parameters: Any) -> None: ...

    def fresh() -> Any:
        async def invoke(handler: Handler, parameters: Any) -> None: ...

        return invoke

    one = channel("room:{room}")
    wrong_ones: list[tuple[dict[str, Any], str]] = [
        ({"a": one(lacks)}, "a: room is in the pattern: write it as a parameter"),
        ({"a": one(more)}, "a: other is not in the pattern 'room:{room}': give it a default"),
        ({"a": channel("{a}:b")(fresh()), "b": channel("a:{b}")(fresh())}, "share names"),
        ({"a": channel("a:{b}")(fresh()), "b": channel("a:{c}")(fresh())}, "is there twice"),
        ({"a": one(raw_response(fresh()))}, "leave out @raw_response"),
        ({"a": one(jsonp(fresh()))}, "leave out @jsonp"),
        ({"a": one(asynchronous(fresh()))}, "leave out @asynchronous"),
        ({"a": one(authenticated_with_parameter(fresh()))}, "leave out @authenticated_with_parameter"),
    ]
    for functions, text in wrong_ones:
        assert text in refused(functions), text
    assert "events: 'a' has channels: write events=memory://" in refused({"a": one(classic)}, events="off")
    apart = refused({"a": channel("a")(fresh())}, processes=2)
    assert "keeps those of each process apart" in apart
    for wrong in ("", "a b", "a::b", "{a}{b}", "{a}:{a}", "{A}", "a{b", 201 * "a", ":a"):
        with pytest.raises(ValueError, match="channel: "):
            channel(wrong)
    for options in (
        {"history": -1},
        {"history": 1.5},
        {"history": 10_001},
        {"ttl": 0},
        {"ttl": float("nan")},
    ):
        with pytest.raises(ValueError, match="write"):
            channel("a", **options)
    with pytest.raises(TypeError, match="needs the pattern"):
        channel(fresh())
    with pytest.raises(ValueError, match="write it once"):
        channel("b")(channel("a")(fresh()))
    create_app(
        database="memory://", method_module={"a": channel("{a}:b")(fresh()), "b": channel("x:b")(fresh())}
    )


async def test_channels_of_a_package(package: Package, serve: Serve) -> None:
    """A module's ``invoke`` and its other functions admit to channels; only methods can be called."""
    name = package(
        {
            "rooms.py": (
                "from toto_aio.invocation import channel, method\n\n\n"
                "@channel('room:{room}')\nasync def invoke(room: str): return room\n\n\n"
                "@channel('room:lobby')\nasync def lobby(): return 'the lobby'\n\n\n"
                "@method\nasync def list_(): return ['lobby']\n"
            )
        }
    )
    service = await serve(method_module=name)
    socket = await connect(service)
    assert (await subscribe(socket, "room:x"))["data"] == "x"
    assert (await subscribe(socket, "room:lobby"))["data"] == "the lobby"
    assert await service.result("rooms.list") == ["lobby"]
    for method_name in ("rooms", "rooms.invoke", "rooms.lobby"):
        assert (await service.call(method_name))["error"]["code"] == 1001, method_name


async def test_classic_decorators(serve: Serve) -> None:
    """A classic function has the variables as its parameters, which are text."""

    @channel("a:{x}:b-{y}")
    @requires("x", "y")
    async def invoke(handler: Handler, parameters: Any) -> Any:
        return parameters

    service = await serve({"a": invoke})
    socket = await connect(service)
    assert (await subscribe(socket, "a:1:b-2.@$"))["data"] == {"x": "1", "y": "2.@$"}


async def test_several_processes(servers: Any, serve: Serve, tmp_path: Path) -> None:
    """A client of one is sent what another publishes, comes back to either, and leaves with its session."""
    options = {
        "events": tests.support.servers.redis.fresh_url(servers("redis")),
        "database": f"sqlite:///{tmp_path}/toto.db",
    }
    one, other = await serve(METHODS, **options), await serve(METHODS, **options)
    ada = await one.create()
    socket = await connect(one, **{"x-toto-session-id": ada})
    begun = await subscribe(socket, "own:ada")
    for n in range(3):
        await other.result("publish", {"channel": "own:ada", "data": n})
    assert [(await answer(socket))["data"] for _ in range(3)] == [0, 1, 2]
    again = await connect(other, **{"x-toto-session-id": ada})
    found = await subscribe(again, "own:ada", {**begun["position"], "offset": 1})
    assert [each["data"] for each in found["publications"]] == [1, 2]
    await one.result("publish", {"channel": "own:ada", "data": 3})
    assert [(await answer(each))["data"] for each in (socket, again)] == [3, 3]
    await other.call("account.logout", session=ada)
    for each in (socket, again):
        assert (await each.receive()).data == 1008
    for service in (one, other):
        channels = manager_of(service).channels
        assert channels is not None
        await eventually(lambda channels=channels: channels.counts() == (0, 0))  # type: ignore[misc]
