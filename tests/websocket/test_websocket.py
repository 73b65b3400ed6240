"""Methods called over WebSockets: frames, sessions, events, and how a socket is closed."""

from __future__ import annotations

import asyncio
import json
import math
import time
from pathlib import Path
from typing import Any

import aiohttp
import msgpack
import pytest
from aiohttp import WSMsgType

from tests.conftest import server_module
from tests.http.test_session_scheme import client
from tests.server.test_logs import served
from tests.support.limits import WATCHDOG
from tests.support.service import Serve, Service, eventually, memory
from tests.support.sessions import Held
from toto_aio import Handler, TotoException
from toto_aio.brokers import redis as redis_broker
from toto_aio.exceptions import Unavailable
from toto_aio.http import clients
from toto_aio.invocation import (
    anonymous_session,
    asynchronous,
    authenticated,
    authenticated_with_parameter,
    cancellable,
    raw_response,
    requires,
    timeout,
)
from toto_aio.models import Session
from toto_aio.stores.memory import MemoryStore
from toto_aio.websocket import connection, control, receiver, sender, session_watch

ADA = {"user_id": "ada", "password": "correct horse"}
Socket = aiohttp.ClientWebSocketResponse
Parameters = dict[str, Any]


async def echo(handler: Handler, parameters: Parameters) -> Any:
    """Return the parameters."""
    return parameters


async def nap(handler: Handler, parameters: Parameters) -> float:
    """Return after some seconds."""
    await asyncio.sleep(parameters["seconds"])
    return float(parameters["seconds"])


@authenticated
async def who(handler: Handler, parameters: Parameters) -> str:
    """Return the caller's user id."""
    assert handler.session is not None
    return handler.session.user_id


@anonymous_session
async def count(handler: Handler, parameters: Parameters) -> int:
    """Return how often this session has called."""
    assert handler.session is not None
    handler.session["n"] = (handler.session["n"] or 0) + 1
    await handler.session.save()
    return int(handler.session["n"])


async def listen(handler: Handler, parameters: Parameters) -> str:
    """Send each event of a name to the socket."""
    handler.register_event_handler(parameters["name"], handler.send_message)
    return "listening"


async def tell(handler: Handler, parameters: Parameters) -> None:
    """Send an event."""
    await handler.events.send(parameters["name"], parameters["args"])


METHODS = {"echo": echo, "nap": nap, "who": who, "count": count, "listen": listen, "tell": tell}


async def connect(service: Service, path: str = "/websocket", **headers: str) -> Socket:
    """An open socket."""
    return await service.client.ws_connect(f"{service.root}{path}", headers=headers)


async def ask(socket: Socket, method: str, parameters: Any = None, call_id: Any = 1) -> dict[str, Any]:
    """The response to a call; a frame that arrives before it is an error."""
    await socket.send_json({"id": call_id, "method": method, "parameters": parameters or {}})
    return await answer(socket)


async def answer(socket: Socket) -> dict[str, Any]:
    """The next frame."""
    return json.loads(await socket.receive_str(timeout=20))  # type: ignore[no-any-return]


async def end(socket: Socket) -> int | None:
    """The code that the socket is closed with."""
    message = await socket.receive(timeout=20)
    assert message.type in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING), message
    return socket.close_code


async def test_calls_in_both_encodings(serve: Serve) -> None:
    """Text is JSON and binary is MessagePack, each answered in kind; any id is returned."""
    socket = await connect(await serve(METHODS))
    for call_id in (1, "a", [1, {"b": None}], 0, False):
        assert await ask(socket, "echo", {"a": "ü"}, call_id) == {"id": call_id, "result": {"a": "ü"}}
    await socket.send_bytes(msgpack.packb({"id": 7, "method": "echo", "parameters": {"b": b"\xff"}}))
    assert msgpack.unpackb(await socket.receive_bytes(timeout=20)) == {"id": 7, "result": {"b": b"\xff"}}


async def test_answers_come_as_the_calls_finish(serve: Serve) -> None:
    """A slow call does not block a quick one."""
    ends = [asyncio.Event() for _ in range(4)]

    async def wait(handler: Handler, parameters: Parameters) -> None:
        await ends[parameters["n"]].wait()

    socket = await connect(await serve({"wait": wait}))
    for call_id in range(4):
        await socket.send_json({"id": call_id, "method": "wait", "parameters": {"n": call_id}})
    for call_id in (3, 2, 1, 0):
        ends[call_id].set()
        assert (await answer(socket))["id"] == call_id


async def test_calls_at_once_are_bounded(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the maximum is running the next frame waits, and all are answered in the end."""
    running = most = 0
    may_end = asyncio.Event()

    async def work(handler: Handler, parameters: Parameters) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await may_end.wait()
        await asyncio.sleep(0.01)
        running -= 1

    socket = await connect(await serve({"work": work}))
    for call_id in range(200):
        await socket.send_json({"id": call_id, "method": "work"})
    await eventually(lambda: running >= receiver.MAX_CALLS)
    may_end.set()
    assert {(await answer(socket))["id"] for _ in range(200)} == set(range(200))
    assert most == receiver.MAX_CALLS


async def test_a_frame_without_an_id(serve: Serve) -> None:
    """It is answered only by what its method sends, even if there is an error."""

    async def push(handler: Handler, parameters: Parameters) -> str:
        handler.send_message({"n": 1})
        handler.send_message([2], message_id="m")
        return "nobody sees it"

    async def fail(handler: Handler, parameters: Parameters) -> None:
        raise TotoException(2001, "nobody sees it")

    socket = await connect(await serve({"push": push, "fail": fail, "echo": echo}))
    for method in ("push", "fail", "no.such", "echo"):
        await socket.send_json({"method": method})
    assert await answer(socket) == {"n": 1}
    assert await answer(socket) == {"message_id": "m", "data": [2]}
    assert await ask(socket, "echo") == {"id": 1, "result": {}}


async def test_errors(serve: Serve) -> None:
    """They are the same as over HTTP, under the id of their call."""

    @requires("a")
    async def need(handler: Handler, parameters: Parameters) -> None:
        raise ZeroDivisionError

    @timeout(0.01)
    async def slow(handler: Handler, parameters: Parameters) -> None:
        await asyncio.sleep(5)

    @raw_response
    async def raw(handler: Handler, parameters: Parameters) -> bytes:
        return b"x"

    async def leave(handler: Handler, parameters: Parameters) -> None:
        handler.redirect("/")

    async def stream(handler: Handler, parameters: Parameters) -> None:
        handler.respond_raw(b"x", "text/plain", finish=False)

    methods = {**METHODS, "need": need, "slow": slow, "raw": raw, "leave": leave, "stream": stream}
    socket = await connect(await serve(methods))
    for method, parameters, code in (
        ("no.such", {}, 1001),
        ("", {}, 1002),
        ("need", {}, 1003),
        ("need", {"a": 1}, 1000),
        ("echo", [1], 1003),
        ("who", {}, 1004),
        ("account.login", ADA, 1005),
        ("slow", {}, 1013),
        ("raw", {}, 1003),
        ("leave", {}, 1003),
        ("stream", {}, 1003),
    ):
        given = await ask(socket, method, parameters, call_id=method)
        assert (given["id"], given["error"]["code"]) == (method, code)


@pytest.mark.parametrize("frame", ["{", "[]", "1", '{"a": NaN}', '{"a":' * 100 + "1" + "}" * 100, ""])
async def test_frames_that_cannot_be_read(serve: Serve, frame: str) -> None:
    """Each gets an error that names no call, and the next frame is served."""
    socket = await connect(await serve(METHODS))
    await socket.send_str(frame)
    given = await answer(socket)
    assert given["error"]["code"] == 1003
    assert "id" not in given
    await socket.send_bytes(b"\xc1")
    assert msgpack.unpackb(await socket.receive_bytes(timeout=20))["error"]["code"] == 1003
    assert (await ask(socket, "echo"))["result"] == {}


async def test_too_many_frames_that_cannot_be_read(serve: Serve) -> None:
    """Each gets an error, until the socket is closed."""
    socket = await connect(await serve(METHODS))
    for _ in range(connection.MAX_UNREADABLE):
        await socket.send_str("")
        assert (await answer(socket))["error"]["code"] == 1003
    assert await ask(socket, "echo") == {"id": 1, "result": {}}
    await socket.send_str("")
    assert await end(socket) == 1008


def transport_of(socket: Socket) -> asyncio.Transport:
    """The connection of a socket, to which frames can be written together."""
    connected = socket._response.connection
    assert connected is not None
    assert connected.transport is not None
    return connected.transport


async def test_pings(serve: Serve) -> None:
    """Each is answered; of those that arrive together the last."""
    service = await serve(METHODS)
    socket = await service.client.ws_connect("/service/websocket", autoping=False)
    await socket.ping(b"one")
    assert (await socket.receive())[:2] == (WSMsgType.PONG, b"one")
    await socket.pong(b"nobody asked")
    transport = transport_of(socket)
    transport.write(b"".join(b"\x89\x81" + bytes(4) + b"%d" % digit for digit in range(10)))
    assert (await socket.receive())[:2] == (WSMsgType.PONG, b"9")
    assert await ask(socket, "echo") == {"id": 1, "result": {}}


async def test_a_flood_of_pings(serve: Serve) -> None:
    """The socket is closed."""
    socket = await connect(await serve(METHODS))
    transport = transport_of(socket)
    transport.write((b"\x8a\x80" + bytes(4)) * (control.MAX_CONTROLS + 1))
    assert await end(socket) == 1008


async def test_a_large_frame(serve: Serve) -> None:
    """It is decoded in steps, also as the first of a socket, and others are answered meanwhile."""
    service = await serve(METHODS)
    socket, other = await connect(service), await connect(service)
    values = list(range(50_000))
    await socket.send_json({"id": 1, "method": "echo", "parameters": {"a": values}})
    assert await ask(other, "echo") == {"id": 1, "result": {}}
    assert (await answer(socket))["result"]["a"] == values
    await socket.send_json({"id": 2, "method": "echo", "parameters": {"a": [[]] * 40_000}})
    assert "objects and arrays" in (await answer(socket))["error"]["value"]


async def test_a_frame_that_is_too_large(serve: Serve) -> None:
    """The socket is closed with the code for this."""
    socket = await connect(await serve(METHODS, max_body_size=1000))
    await socket.send_json({"id": 1, "method": "echo", "parameters": {"a": "x" * 2000}})
    assert await end(socket) == 1009


async def test_asynchronous_methods(serve: Serve) -> None:
    """They respond when they have something to send, also from an event."""

    @asynchronous
    async def wait(handler: Handler, parameters: Parameters) -> None:
        handler.register_event_handler("e", handler.respond, deregister_on_finish=True)

    socket = await connect(await serve({**METHODS, "wait": wait}))
    await socket.send_json({"id": "w", "method": "wait"})
    await socket.send_json({"id": "t", "method": "tell", "parameters": {"name": "e", "args": [5]}})
    frames = [await answer(socket) for _ in range(2)]
    assert sorted(frames, key=lambda frame: frame["id"]) == [
        {"id": "t", "result": None},
        {"id": "w", "result": [5]},
    ]


async def test_events(serve: Serve) -> None:
    """Each event reaches the socket until it is closed, whoever sends it, and no other socket."""
    service = await serve(METHODS)
    socket, other = await connect(service), await connect(service)
    assert (await ask(socket, "listen", {"name": "e"}))["result"] == "listening"
    for n in range(5):
        await service.result("tell", {"name": "e", "args": {"n": n}})
        await service.result("tell", {"name": "f", "args": 0})
    assert [await answer(socket) for _ in range(5)] == [{"n": n} for n in range(5)]
    await socket.close()
    await service.result("tell", {"name": "e", "args": {"n": 9}})
    assert (await ask(other, "echo"))["result"] == {}


async def test_an_event_handler_can_be_removed(serve: Serve) -> None:
    """Explicitly, or with the end of its call."""

    async def brief(handler: Handler, parameters: Parameters) -> None:
        handler.register_event_handler("e", handler.send_message, deregister_on_finish=True)
        handler.deregister_event_handler(handler.register_event_handler("e", handler.send_message))

    service = await serve({**METHODS, "brief": brief})
    socket = await connect(service)
    await ask(socket, "brief")
    await service.result("tell", {"name": "e", "args": 1})
    assert (await ask(socket, "echo"))["result"] == {}


async def test_a_slow_client_is_told_what_it_missed(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events wait for it in a bounded queue; dropped events are counted, and others are not blocked."""
    monkeypatch.setattr(sender, "QUEUE_BYTES", 200_000)
    monkeypatch.setattr(clients, "STALL_LIMIT", math.inf)  # it may take long
    service = await serve(METHODS)
    slow, quick = await connect(service), await connect(service)
    await ask(slow, "listen", {"name": "e"})
    await ask(quick, "listen", {"name": "f"})
    slow._response.connection.transport.pause_reading()  # type: ignore[union-attr]
    for n in range(1500):
        await service.result("tell", {"name": "e", "args": [n, "x" * 20_000]})
    await service.result("tell", {"name": "f", "args": "quick"})
    assert json.loads((await quick.receive(timeout=20)).data) == "quick"
    slow._response.connection.transport.resume_reading()  # type: ignore[union-attr]
    lost, last, got = 0, -1, 0
    while last != 1499:
        frame = json.loads((await slow.receive(timeout=20)).data)
        if isinstance(frame, dict):
            assert frame["lagged"]["event"] == "e"
            lost += frame["lagged"]["count"]
        else:
            assert frame[0] > last
            last, got = frame[0], got + 1
    assert lost > 0
    assert got + lost == 1500


async def test_too_much_for_a_slow_client(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A method that sends endlessly gets BufferError."""
    monkeypatch.setattr(sender, "QUEUE_BYTES", 100_000)

    async def flood(handler: Handler, parameters: Parameters) -> int:
        for n in range(1000):
            try:
                handler.send_message("x" * 10_000)
            except BufferError:
                return n
        return -1

    socket = await connect(await serve({"flood": flood}))
    await socket.send_json({"id": 1, "method": "flood"})
    sent = 0
    while not isinstance(frame := json.loads(await socket.receive_str(timeout=20)), dict):
        sent += 1
    assert frame["result"] == sent > 0


async def test_send_message_over_http(serve: Serve) -> None:
    """There is no socket to send it to."""

    async def push(handler: Handler, parameters: Parameters) -> None:
        with pytest.raises(RuntimeError, match="WebSockets"):
            handler.send_message(1)

    assert await (await serve({"push": push})).result("push") is None


# Sessions


@pytest.mark.parametrize("way", ["header", "url", "url without a slash", "first frame"])
async def test_a_session(serve: Serve, way: str) -> None:
    """It is shown once, and applies to all calls of the socket, with its newest state."""
    service = await serve(METHODS)
    session = await service.create()
    if way == "header":
        socket = await connect(service, **{"x-toto-session-id": session})
    elif way == "first frame":
        socket = await connect(service)
        await socket.send_json({"session_id": session, "id": "s"})
        shown = await answer(socket)
        assert (shown["id"], shown["result"]["user_id"]) == ("s", "ada")
    else:
        socket = await connect(service, f"/websocket{'/' if way == 'url' else ''}{session}")
    assert (await ask(socket, "who"))["result"] == "ada"
    assert (await ask(socket, "count"))["result"] == 1
    assert (await service.call("count", session=session))["result"] == 2
    assert (await ask(socket, "count"))["result"] == 3


async def test_a_login_over_the_socket(serve: Serve) -> None:
    """It applies to later calls; so does an anonymous session."""
    service = await serve(METHODS)
    await service.create()
    socket = await connect(service)
    assert (await ask(socket, "who"))["error"]["code"] == 1004
    assert (await ask(socket, "count"))["result"] == 1
    assert (await ask(socket, "count"))["result"] == 2
    given = await ask(socket, "account.login", ADA)
    assert given["session"]["session_id"] == given["result"]["session_id"]
    assert (await ask(socket, "who"))["result"] == "ada"
    assert (await ask(socket, "count"))["result"] == 1


async def test_unknown_sessions(serve: Serve) -> None:
    """They count as no session, as over HTTP."""
    service = await serve(METHODS)
    for socket in (
        await connect(service, **{"x-toto-session-id": "x" * 43}),
        await connect(service, f"/websocket/{'x' * 43}"),
    ):
        assert (await ask(socket, "who"))["error"]["code"] == 1004
    socket = await connect(service)
    await socket.send_json({"session_id": "x" * 43, "id": 1})
    assert await answer(socket) == {"id": 1, "result": None}


async def test_a_session_by_cookie(serve: Serve) -> None:
    """It counts for pages of the service itself; a foreign page cannot open a socket at all."""
    service = await serve(METHODS, use_cookies=True)
    session = await service.create()
    cookie = f"__Host-toto-session={session}"
    own = f"http://127.0.0.1:{service.client.port}"
    assert (await ask(await connect(service, Cookie=cookie, Origin=own), "who"))["result"] == "ada"
    assert (await ask(await connect(service, Cookie=cookie), "who"))["error"]["code"] == 1004
    for origin in ("https://evil.example", "null", own + "0"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await connect(service, Cookie=cookie, Origin=origin)
        assert refused.value.status == 403


async def test_a_session_that_cannot_be_loaded(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """No socket is opened while the database cannot be reached, and the log gives the reason."""

    class Unreachable(MemoryStore):
        async def get_session(self, key: str) -> Session | None:
            raise Unavailable from OSError("disk on fire")

    service = await serve(METHODS, session_store=Unreachable())
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await connect(service, **{"x-toto-session-id": "x"})
    assert refused.value.status == 503
    assert "a socket was not opened: OSError('disk on fire')" in caplog.text


async def test_origins(serve: Serve) -> None:
    """Pages of allowed origins may open one, and so may programs, which have no origin."""
    service = await serve(METHODS, allow_origin=["https://app.example"])
    for headers in ({}, {"Origin": "https://app.example"}):
        assert (await ask(await connect(service, **headers), "echo"))["result"] == {}
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await connect(service, Origin="https://evil.example")
    service = await serve(METHODS, allow_origin="*")
    assert (await ask(await connect(service, Origin="https://evil.example"), "echo"))["result"] == {}


async def ended_by(service: Service, session: str, way: str) -> None:
    """End a session over HTTP."""
    parameters: Parameters = {}
    if way == "account.update":
        parameters = {"password": ADA["password"], "new_password": "battery staple"}
    if way == "account.revoke":
        listed = (await service.result("account.sessions", session=session))["sessions"]
        parameters = {"handle": listed[0]["handle"]}
    if way != "account.logout":
        session = (await service.call("account.login", ADA))["result"]["session_id"]
    await service.result(way, parameters, session=session)


@pytest.mark.parametrize("events", ["memory://", "off"])
@pytest.mark.parametrize("way", ["account.logout", "account.revoke", "account.revoke_all", "account.update"])
async def test_the_session_is_ended_elsewhere(serve: Serve, way: str, events: str) -> None:
    """The socket is closed, and those of others are not."""
    service = await serve(METHODS, events=events)
    session = await service.create()
    eve = await service.create("eve")
    socket = await connect(service, **{"x-toto-session-id": session})
    other = await connect(service, **{"x-toto-session-id": eve})
    assert (await ask(socket, "who"))["result"] == "ada"
    await ended_by(service, session, way)
    assert await end(socket) == 1008
    assert (await ask(other, "who"))["result"] == "eve"


async def test_what_an_author_ends(serve: Serve, servers: Any) -> None:
    """A deletion, a password that is set, and the end of all sessions close sockets in every process."""
    url = server_module("redis").fresh_url(servers("redis"))

    async def manage(handler: Handler, parameters: Parameters) -> Any:
        if parameters["act"] == "end_all":
            return await handler.sessions.end_all(parameters["user_id"])
        if parameters["act"] == "set_password":
            return await handler.accounts.set_password(parameters["user_id"], "battery staple")
        return await handler.accounts.delete(parameters["user_id"])

    methods = {**METHODS, "manage": manage}
    here = await serve(methods, database=url, events=url)
    there = await serve(methods, database=url, events=url)
    eve = await here.create("eve")
    others = [await connect(service, **{"x-toto-session-id": eve}) for service in (here, there)]
    for act, result in {"end_all": 1, "set_password": None, "delete": True}.items():
        session = await here.create(act)
        sockets = [await connect(service, **{"x-toto-session-id": session}) for service in (here, there)]
        for socket in sockets:
            assert (await ask(socket, "who"))["result"] == act
        ends = [asyncio.create_task(end(socket)) for socket in sockets]
        assert await here.result("manage", {"act": act, "user_id": act}) == result
        assert await asyncio.gather(*ends) == [1008, 1008], act
        assert (await there.call("who", session=session))["error"]["code"] == 1004
    for socket in others:
        assert (await ask(socket, "who"))["result"] == "eve"


async def test_across_services(serve: Serve, servers: Any) -> None:
    """Through Redis, events reach the sockets of another service, and so does the end of a session."""
    url = server_module("redis").fresh_url(servers("redis"))
    here = await serve(METHODS, database=url, events=url)
    there = await serve(METHODS, database=url, events=url)
    session = await here.create()
    socket = await connect(there, **{"x-toto-session-id": session})
    assert (await ask(socket, "listen", {"name": "e"}))["result"] == "listening"
    await here.result("tell", {"name": "e", "args": "hello"})
    assert json.loads((await socket.receive(timeout=20)).data) == "hello"
    await here.result("account.logout", session=session)
    assert await end(socket) == 1008


async def test_an_end_while_the_broker_is_away(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is answered without waiting, closes the sockets here, and those elsewhere when it is back."""
    monkeypatch.setattr(session_watch, "LOOKUP_INTERVAL", WATCHDOG * 10)
    monkeypatch.setattr(redis_broker, "PUBLISH_LIMIT", WATCHDOG * 10)
    module = server_module("redis")
    with module.server() as server:
        store, url = MemoryStore(), module.fresh_url(server)
        here = await serve(METHODS, database=store, events=url)
        there = await serve(METHODS, database=store, events=url)
        session = await here.create()
        sockets = [await connect(service, **{"x-toto-session-id": session}) for service in (here, there)]
        for socket in sockets:
            assert (await ask(socket, "who"))["result"] == "ada"
        server.kill()
        async with asyncio.timeout(WATCHDOG):
            await ended_by(here, session, "account.update")
            assert await end(sockets[0]) == 1008
        session = (await here.call("account.login", {**ADA, "password": "battery staple"}))["result"]
        later = await connect(there, **{"x-toto-session-id": session["session_id"]})
        server.start()
        assert await end(sockets[1]) == 1008
        assert (await ask(later, "who"))["result"] == "ada"


async def test_a_logout_over_the_socket(serve: Serve) -> None:
    """It is answered, and then the socket is closed."""
    service = await serve(METHODS)
    socket = await connect(service, **{"x-toto-session-id": await service.create()})
    assert (await ask(socket, "account.logout"))["result"] == {"authenticated": False}
    assert await end(socket) == 1008


async def test_the_session_expires(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The socket is closed soon after; it stays open if another client renews the session."""
    monkeypatch.setattr(session_watch, "POLL_INTERVAL", 0.05)
    service = await serve(METHODS, session_ttl=1000, session_renew=900)
    ada, eve = await service.create(), await service.create("eve")
    socket = await connect(service, **{"x-toto-session-id": ada})
    kept = await connect(service, **{"x-toto-session-id": eve})
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 600)
    renewed = (await service.call("who", session=eve))["session"]["expires"]
    assert renewed > now() + 1500
    monkeypatch.setattr(time, "time", lambda: now() + 1100)
    assert await end(socket) == 1008
    assert (await ask(kept, "who"))["result"] == "eve"


async def test_an_end_that_nobody_told_of(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is detected by polling."""
    from toto_aio.stores.memory import MemoryStore

    monkeypatch.setattr(session_watch, "POLL_INTERVAL", 0.02)
    monkeypatch.setattr(session_watch, "LOOKUP_INTERVAL", 0.1)
    store = MemoryStore()
    service = await serve(METHODS, database=store)
    socket = await connect(service, **{"x-toto-session-id": await service.create()})
    await asyncio.sleep(0.3)
    assert (await ask(socket, "who"))["result"] == "ada"
    await store.remove_sessions("ada")
    assert await end(socket) == 1008


# Opening and closing


async def test_methods_at_its_opening_and_closing(serve: Serve) -> None:
    """They are called with the socket's session, and the first may send."""
    called: list[tuple[str, str]] = []

    @authenticated
    async def opened(handler: Handler, parameters: Parameters) -> None:
        assert handler.session is not None
        called.append(("opened", handler.session.user_id))
        handler.send_message("welcome")

    @authenticated
    async def closed(handler: Handler, parameters: Parameters) -> None:
        assert handler.session is not None
        called.append(("closed", handler.session.user_id))
        handler.send_message("nobody reads it")

    options = {"socket_opened_method": "opened", "socket_closed_method": "closed"}
    service = await serve({"opened": opened, "closed": closed}, **options)
    socket = await connect(service, **{"x-toto-session-id": await service.create()})
    assert json.loads((await socket.receive(timeout=20)).data) == "welcome"
    await socket.close()
    await eventually(lambda: len(called) == 2)
    assert called == [("opened", "ada"), ("closed", "ada")]


async def test_a_client_that_leaves(serve: Serve) -> None:
    """Running calls finish; @cancellable ones are cancelled, and watchers are notified."""
    ends: list[str] = []

    begun: list[str] = []
    left = asyncio.Event()

    async def work(handler: Handler, parameters: Parameters) -> None:
        begun.append("work")
        await left.wait()
        ends.append("work")

    @cancellable
    async def leave(handler: Handler, parameters: Parameters) -> None:
        begun.append("leave")
        try:
            await asyncio.sleep(30)
        finally:
            ends.append("leave")
            left.set()

    @asynchronous
    async def wait(handler: Handler, parameters: Parameters) -> None:
        """Never respond."""
        begun.append("wait")

    service = await serve({"work": work, "leave": leave, "wait": wait})
    socket = await connect(service)
    for method in ("work", "leave", "wait"):
        await socket.send_json({"id": method, "method": method})
    await eventually(lambda: len(begun) == 3)
    await socket.close()
    await eventually(lambda: len(ends) == 2)
    assert ends == ["leave", "work"]


async def test_shutdown(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """Sockets are closed with 1001, those that take no part too, and nobody waits long for these."""
    service = await serve({**METHODS})
    polite, deaf = await connect(service), await connect(service)
    await ask(polite, "listen", {"name": "e"})
    await ask(deaf, "echo")
    transport: Any = deaf._response.connection.transport  # type: ignore[union-attr]
    transport.pause_reading()
    closing = asyncio.create_task(service.client.server.close())
    assert await end(polite) == 1001
    await asyncio.wait_for(closing, WATCHDOG)  # less than the server has
    assert "ERROR" not in caplog.text
    transport.resume_reading()


async def test_a_socket_that_opens_during_a_shutdown(serve: Serve) -> None:
    """It is closed with 1001 like the others, though its session was being loaded when the shutdown began."""
    store = MemoryStore()
    service = await serve(METHODS, database=store)
    session = await service.create()
    loading = Held(store, "get_session")
    opening = asyncio.create_task(connect(service, **{"x-toto-session-id": session}))
    await asyncio.wait_for(loading.reached.wait(), WATCHDOG)
    await service.client.app.shutdown()
    loading.go.set()
    assert await end(await opening) == 1001


async def test_what_is_no_socket(serve: Serve) -> None:
    """A GET there gets an error that says so; a POST is a call; the path can be changed or turned off."""
    service = await serve(METHODS)
    response = await service.client.get("/service/websocket")
    assert (response.status, response.headers["Upgrade"]) == (426, "websocket")
    assert (await (await service.post("/websocket", json={})).json())["error"]["code"] == 1001
    service = await serve(METHODS, socket_path="/live")
    service.root = ""
    assert (await ask(await connect(service, "/live"), "echo"))["result"] == {}
    service = await serve(METHODS, use_web_sockets=False)
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await connect(service)


async def test_guesses_over_a_socket(serve: Serve) -> None:
    """They count together with all others."""
    service = await serve(METHODS, login_attempts=3)
    await service.create()
    socket = await connect(service)
    wrong = {**ADA, "password": "wrong horse"}
    codes = [(await ask(socket, "account.login", wrong))["error"]["code"] for _ in range(4)]
    assert codes == [1005, 1005, 1005, 1012]
    assert (await service.call("account.login", ADA))["error"]["code"] == 1012


async def test_a_session_that_a_parameter_shows(serve: Serve) -> None:
    """It applies to the call that shows it, and to no other call of the socket."""

    @authenticated_with_parameter
    async def by_parameter(handler: Handler, parameters: Parameters) -> str:
        assert handler.session is not None
        return handler.session.user_id

    service = await serve({**METHODS, "by_parameter": by_parameter})
    session = await service.create()
    socket = await connect(service)
    assert (await ask(socket, "by_parameter", {"session_id": session}))["result"] == "ada"
    assert (await ask(socket, "who"))["error"]["code"] == 1004


async def test_a_client_that_leaves_while_nothing_is_read(serve: Serve) -> None:
    """So many calls wait that its close frame is not seen, but the end of the connection is."""
    left = 0

    @asynchronous
    async def wait(handler: Handler, parameters: Parameters) -> None:
        """Never respond."""

    async def count_ends(handler: Handler, parameters: Parameters) -> None:
        nonlocal left
        left += 1

    service = await serve({"wait": wait, "ended": count_ends}, socket_closed_method="ended")
    socket = await connect(service)
    for number in range(receiver.MAX_CALLS + 5):
        await socket.send_json({"id": number, "method": "wait"})
    await asyncio.sleep(0.1)
    socket._response.connection.transport.abort()  # type: ignore[union-attr]
    await eventually(lambda: left == 1)


async def test_answers_wait_for_a_slow_client(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not lost: all arrive when it reads again."""
    monkeypatch.setattr(sender, "QUEUE_BYTES", 100_000)

    async def much(handler: Handler, parameters: Parameters) -> str:
        return "x" * 400_000

    socket = await connect(await serve({"much": much}))
    socket._response.connection.transport.pause_reading()  # type: ignore[union-attr]
    for number in range(30):
        await socket.send_json({"id": number, "method": "much"})
    await asyncio.sleep(0.5)
    socket._response.connection.transport.resume_reading()  # type: ignore[union-attr]
    answers = [await answer(socket) for _ in range(30)]
    assert {given["id"] for given in answers} == set(range(30))
    assert all(len(given["result"]) == 400_000 for given in answers)


# Signatures


async def signed_service(serve: Serve) -> tuple[Service, str, str]:
    """A service that requires signatures, and a session with its key."""
    service = await serve(METHODS, signing="session")
    result = await service.result("account.create", ADA)
    return service, result["session_id"], result["key"]


def first_frame(session: str, key: str, path: str = "/service/websocket") -> Parameters:
    """A signed first frame that shows a session."""
    headers = client.signed_headers(session, key, "GET", path, "", b"")
    names = {"session_id": "session-id", "timestamp": "timestamp", "nonce": "nonce", "signature": "hmac"}
    return {name: headers[f"x-toto-{header}"] for name, header in names.items()}


async def test_a_signed_first_frame(serve: Serve) -> None:
    """It shows the session; later frames are not signed."""
    service, session, key = await signed_service(serve)
    socket = await connect(service)
    await socket.send_json({**first_frame(session, key), "id": 0})
    assert (await answer(socket))["result"]["user_id"] == "ada"
    assert (await ask(socket, "who"))["result"] == "ada"


@pytest.mark.parametrize(
    "change",
    [
        {"signature": None},
        {"signature": "x"},
        {"signature": 1},
        {"nonce": "other"},
        {"timestamp": "1"},
        {"session_id": "x" * 43},
    ],
    ids=lambda change: "-".join(f"{name} {value}"[:20] for name, value in change.items()),
)
async def test_a_first_frame_that_is_signed_wrongly(serve: Serve, change: Parameters) -> None:
    """It shows no session."""
    service, session, key = await signed_service(serve)
    socket = await connect(service)
    await socket.send_json({**first_frame(session, key), **change, "id": 0})
    assert (await answer(socket)).get("result") is None
    assert (await ask(socket, "who"))["error"]["code"] == 1004


async def test_a_first_frame_counts_once(serve: Serve) -> None:
    """A copy of it opens nothing."""
    service, session, key = await signed_service(serve)
    frame = {**first_frame(session, key), "id": 0}
    for code in (None, 1008):
        socket = await connect(service)
        await socket.send_json(frame)
        assert (await answer(socket)).get("error", {}).get("code") == code


async def test_a_signed_opening(serve: Serve) -> None:
    """A program signs the request that opens the socket; an id by itself, or in the URL, opens nothing."""
    service, session, key = await signed_service(serve)
    headers = client.signed_headers(session, key, "GET", "/service/websocket", "", b"")
    headers.pop("content-type")
    assert (await ask(await connect(service, **headers), "who"))["result"] == "ada"
    for path, given in (("", {"x-toto-session-id": session}), ("", headers), (f"/{session}", {})):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await connect(service, f"/websocket{path}", **given)
        assert refused.value.status == 403


# Many sockets


async def test_idle_sockets_cost_little(tmp_path: Path) -> None:
    """A thousand cost bounded memory each, and calls are served as before."""
    count = 1000
    connector = aiohttp.TCPConnector(limit=0)
    async with served(tmp_path) as service, aiohttp.ClientSession(connector=connector) as session:
        url = f"{service.url}/websocket"
        first = await session.ws_connect(url)
        await ask(first, "divide", {"a": 1, "b": 2})
        before = memory(service.pid)
        opened = [await session.ws_connect(url, compress=0) for _ in range(count)]
        cost = (memory(service.pid) - before) / count
        assert cost < 64 * 1024, f"{cost} bytes for each socket"
        assert (await ask(first, "divide", {"a": 1, "b": 2}))["result"] == 0.5
        await asyncio.gather(*(socket.close() for socket in opened))
