"""Connections of clients of Centrifuge: commands, errors, sessions, and what is no command."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

import tests.support.servers.redis
import toto_aio.methods.account.api_keys
from tests.centrifuge.raw import PATH, connected, opened
from tests.support.limits import limits
from tests.support.service import Serve, Service, eventually
from tests.websocket.test_channels import METHODS as CHANNELS
from tests.websocket.test_channels import manager_of
from tests.websocket.test_websocket import first_frame
from toto_aio import Handler, TotoException
from toto_aio.centrifuge import heartbeat, replies
from toto_aio.centrifuge.codes import BAD_REQUEST, DisconnectError
from toto_aio.exceptions import NotAuthorized, Unavailable
from toto_aio.invocation import asynchronous, authenticated, channel, idempotent, raw_response, roles
from toto_aio.lifespan import LIFESPAN
from toto_aio.members import Admission
from toto_aio.settings import SettingsError
from toto_aio.websocket import receiver, sender, session_watch, subscriptions
from toto_aio.websocket.endpoint import SOCKETS
from toto_aio.websocket.open_socket import OpenSocket

ADA = {"user_id": "ada", "password": "correct horse"}


async def echo(handler: Handler, parameters: Any) -> Any:
    """Return the parameters."""
    return parameters


async def who(handler: Handler, parameters: Any) -> Any:
    """Return the user id."""
    return None if handler.session is None else handler.session.user_id


@authenticated
async def me(handler: Handler, parameters: Any) -> Any:
    """Return the user id of a user."""
    assert handler.session is not None
    return handler.session.user_id


async def tell(handler: Handler, parameters: Any) -> None:
    """Send a frame, and every event."""
    handler.send_message({"hello": 1})
    handler.register_event_handler("news", handler.send_message)


async def fail(handler: Handler, parameters: Any) -> None:
    """Fail."""
    raise ZeroDivisionError


async def refuse(handler: Handler, parameters: Any) -> None:
    """Raise an error of its own."""
    raise TotoException(parameters["code"], parameters["value"])


@raw_response
async def picture(handler: Handler, parameters: Any) -> bytes:
    """Return bytes."""
    return b"png"


QUERY = "echo?...: write idempotency_key=..., timeout=2.5, or both joined by &"
counted: list[Any] = []


@idempotent
@authenticated
async def count(handler: Handler, n: int) -> int:
    """Count a call."""
    counted.append(n)
    return len(counted)


@channel("desk:{room}", history=3, publish="say")
async def desk(room: int) -> None:
    """Admit everybody."""


may_decide = asyncio.Event()


@channel("late:{room}", history=3, presence=True)
async def late(room: str) -> None:
    """Refuse, after a while."""
    await may_decide.wait()
    raise NotAuthorized


@channel("hall", presence=True, join_leave=True)
async def hall(handler: Handler) -> Admission:
    """Admit everybody."""
    assert handler.session is None or handler.session.user_id == "ada"
    return Admission({"size": 1}, {"name": "Ada"} if handler.session else None)


@channel("board:{room}", publish="pin")
async def board(room: str) -> None:
    """Admit everybody."""


async def say(handler: Handler, room: int, text: str) -> None:
    """Publish to a room."""
    if text == "bad":
        raise NotAuthorized("Mind your language.")
    await handler.events.publish(f"desk:{room}", {"room": room, "text": text})


@roles("editor")
async def pin(handler: Handler, parameters: Any) -> None:
    """Publish to a board."""
    await handler.events.publish(f"board:{parameters['room']}", parameters)


METHODS: dict[str, Any] = {
    **CHANNELS,
    **{each.__name__: each for each in (echo, who, me, tell, fail, refuse, picture, count)},
    **{each.__name__: each for each in (desk, board, say, pin, late, hall)},
    "account.api_keys": toto_aio.methods.account.api_keys,
}


def only_socket(service: Service) -> OpenSocket:
    """The only open socket of a service."""
    assert service.client.app is not None
    sockets: set[OpenSocket] = service.client.app[SOCKETS].open
    (socket,) = sockets
    return socket


async def test_connect(serve: Serve) -> None:
    """A token shows a session, headers are as everywhere, and what is wrong has its code."""
    service = await serve(METHODS)
    ada = await service.create()
    anonymous = await opened(service)
    told = await anonymous.ask("connect")
    assert told == {"client": told["client"], "ping": 25, "pong": True, "data": None}
    assert await anonymous.ask("rpc", {"method": "who"}) == {"data": None}
    assert (await anonymous.ask("rpc", {"method": "me"}))["code"] == 1004
    by_token = await opened(service)
    told = await by_token.ask(
        "connect", {"token": ada, "data": {"x": 1}, "name": "js", "subs": {}, "flag": 1}
    )
    assert told["expires"] is True
    assert 0 < told["ttl"] < 30 * 86400
    assert told["data"]["user_id"] == "ada"
    assert await by_token.ask("rpc", {"method": "me"}) == {"data": "ada"}
    for shown in ({"x-toto-session-id": ada}, {"authorization": f"Bearer {ada}"}):
        by_header = await opened(service, **shown)
        told = await by_header.ask("connect")
        assert ("expires" in told, told["data"]["user_id"]) == (False, "ada"), shown
        assert await by_header.ask("rpc", {"method": "me"}) == {"data": "ada"}
    for token, code in (("short", 3500), ("x" * 257, 3500), ("é" * 40, 3500), ("toto_" + 49 * "a", None)):
        wrong = await opened(service)
        if code is not None:
            await wrong.send({"id": 1, "connect": {"token": token}})
            assert (await wrong.end())[0] == code, token
        else:
            assert (await wrong.ask("connect", {"token": token}))["code"] == 109
            await wrong.send(
                {"id": 2, "rpc": {"method": "echo"}}
            )  # nothing is done before a session is shown
    gone = await opened(service)
    await service.call("account.logout", session=ada)
    expired = {"code": 109, "message": "token expired"}
    assert await gone.ask("connect", {"token": ada}) == expired


async def test_api_keys(serve: Serve) -> None:
    """A key is a token too: its scopes count, and a connection ends with it."""
    service = await serve(METHODS)
    ada = await service.create()
    made = await service.result(
        "account.api_keys.create", {"name": "x", "scopes": ["echo", "me"]}, session=ada
    )
    key = made["key"]
    connection = await connected(service, key)
    assert await connection.ask("rpc", {"method": "me"}) == {"data": "ada"}
    assert (await connection.ask("rpc", {"method": "who"}))["code"] == 1004
    refused = await connection.ask("subscribe", {"channel": "plain"})
    assert refused == {"code": 103, "message": "The API key may not call this method."}
    await service.result("account.api_keys.revoke", {"handle": made["handle"]}, session=ada)
    assert (await connection.end())[0] == 3503
    again = await opened(service)
    await again.send({"id": 1, "connect": {"token": key}})
    assert (await again.end())[0] == 3500


async def test_calls(serve: Serve) -> None:
    """Results and errors are those of every other way in; errors that are more than text are JSON."""
    service = await serve(METHODS)
    connection = await connected(service)
    told = "Cannot call 'desk': it admits to channels: subscribe to 'desk:{room}'."
    for data, result in (({"a": "ü"}, {"a": "ü"}), (None, {}), ({}, {})):
        assert await connection.ask("rpc", {"method": "echo", "data": data}) == {"data": result}
    problems = [{"path": "n", "kind": "type", "expected": "int", "got": "str"}]
    refusals: list[tuple[str, Any, int, Any]] = [
        ("echo", [1], 1003, "Parameters must be an object."),
        ("nothing", {}, 1001, "Cannot call 'nothing'."),
        ("", {}, 1002, "Missing method."),
        ("desk", {"room": 1}, 1001, told),
        ("picture", {}, 1003, "'picture' answers with bytes of its own: call it alone."),
        ("refuse", {"code": 5001, "value": "no"}, 5001, "no"),
        ("refuse", {"code": 5001, "value": {"a": 1}}, 5001, {"value": {"a": 1}}),
        ("refuse", {"code": -1, "value": "no"}, 1000, {"value": "no", "code": -1}),
        ("both", {"n": "x"}, 1003, {"value": "n: expected int, got str", "problems": problems}),
        ("echo?", {}, 1003, QUERY),
        ("echo?timeout=1&timeout=2", {}, 1003, QUERY),
        ("echo?a=1", {}, 1003, QUERY),
        ("echo?timeout=soon", {}, 1003, "x-toto-timeout: write a number of seconds, such as 2.5."),
    ]
    for method, data, code, message in refusals:
        error = await connection.ask("rpc", {"method": method, "data": data})
        told = json.loads(error["message"]) if isinstance(message, dict) else error["message"]
        assert (error["code"], told) == (code, message), (method, data)
    internal = await connection.ask("rpc", {"method": "fail"})
    assert internal["code"] == 1000
    assert internal["message"].startswith("Internal error ")
    assert await connection.ask("ping") == {}
    await connection.send({"send": {"data": {"method": "tell"}}})
    assert await connection.push() == {"message": {"data": {"hello": 1}}}
    await manager_of(service).send("news", [1])
    assert await connection.push() == {"message": {"data": [1]}}


async def test_idempotency_and_time_limits(serve: Serve) -> None:
    """What other ways in have beside the parameters is a query of the method's name."""
    service = await serve(METHODS)
    connection = await connected(service, await service.create())
    counted.clear()
    for n, result in ((1, 1), (1, 1)):
        asked = {"method": "count?idempotency_key=a%20b&timeout=60", "data": {"n": n}}
        assert await connection.ask("rpc", asked) == {"data": result}
    assert (await connection.ask("rpc", {**asked, "data": {"n": 2}}))["code"] == 1015
    assert await connection.ask("rpc", {"method": "count?idempotency_key=b", "data": {"n": 1}}) == {"data": 2}
    slow = await connection.ask("rpc", {"method": "echo?timeout=0.000001"})
    assert slow in ({"data": {}}, {"code": 1013, "message": "Timed out"})


async def test_sessions_of_calls(serve: Serve) -> None:
    """A connection follows a login and a password change, and its own logout is answered before it ends."""
    service = await serve(METHODS)
    await service.create()
    connection = await connected(service)
    assert (await connection.ask("rpc", {"method": "account.login", "data": ADA}))["data"]["user_id"] == "ada"
    assert await connection.ask("rpc", {"method": "me"}) == {"data": "ada"}
    assert "error" not in await connection.ask("subscribe", {"channel": "own:ada"})
    change = {
        "method": "account.update",
        "data": {"password": ADA["password"], "new_password": "correct horses"},
    }
    assert "data" in await connection.ask("rpc", change)
    assert await connection.push() == {
        "channel": "own:ada",
        "unsubscribe": {"code": 2000, "reason": "The session has ended"},
    }
    assert await connection.ask("rpc", {"method": "me"}) == {"data": "ada"}
    await connection.ask("rpc", {"method": "account.logout"})
    assert await connection.end() == (3503, "the session has ended")


async def test_the_end_of_a_session(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A logout elsewhere is 3503, upon which no client comes back; an expired session is 3005."""
    monkeypatch.setattr(session_watch, "POLL_INTERVAL", 0.05)
    service = await serve(METHODS)
    for expire, code in ((False, 3503), (True, 3005)):
        token = await service.create(f"user{code}")
        connection = await connected(service, token)
        if expire:
            (session,) = only_socket(service).sessions()
            await session._sessions.store.remove_session(session.record.key)
            session.record.expires = time.time() - 1
        else:
            await service.call("account.logout", session=token)
        assert (await connection.end())[0] == code
        await eventually(lambda: not service.client.app[SOCKETS].open)


async def test_refresh(serve: Serve) -> None:
    """The same session or a new one of the same user goes on; too late is 3005.

    An API key takes over from none: what was subscribed to may be nothing that its scopes name.
    """
    service = await serve(METHODS)
    ada = await service.create()
    connection = await connected(service, ada)
    await connection.ask("subscribe", {"channel": "own:ada"})
    told = await connection.ask("refresh", {"token": ada})
    assert (told["expires"], told["ttl"] > 0) == (True, True)
    new = (await service.call("account.login", ADA))["result"]["session_id"]
    assert (await connection.ask("refresh", {"token": new}))["client"] == told["client"]
    await service.call("account.logout", session=ada)
    await manager_of(service).publish("own:ada", "still here")
    assert (await connection.push())["pub"] == {"data": "still here", "offset": 1}
    assert (await connection.ask("refresh", {}))["code"] == 107
    made = {"name": "x", "scopes": ["echo"]}
    key, second = [
        (await service.result("account.api_keys.create", made, session=new))["key"] for _ in range(2)
    ]
    refused = [("", 3500), ("short", 3500), (await service.create("eve"), 3500), (ada, 3005), (key, 3500)]
    for shown, token, code in [*((new, *each) for each in refused), (key, second, 3500)]:
        other = await connected(service, shown)
        await other.send({"id": 9, "refresh": {"token": token}})
        assert (await other.end())[0] == code, token
    by_key = await connected(service, key)
    for token in (key, new):
        assert "client" in await by_key.ask("refresh", {"token": token})
    with limits(replies, TTL_SHARE=0.0):
        assert (await connection.ask("refresh", {"token": new}))["ttl"] == 1


async def test_what_runs_during_a_refresh(serve: Serve) -> None:
    """Subscriptions, handlers and calls that began under the session before it end with the new one."""
    may_go_on, entered = asyncio.Event(), asyncio.Event()

    @channel("gate:{n}", history=3)
    @authenticated
    async def gate(handler: Handler, n: int) -> None:
        entered.set()
        await may_go_on.wait()

    @asynchronous
    @authenticated
    async def wait(handler: Handler, parameters: Any) -> None:
        handler.register_event_handler("news", handler.respond)

    service = await serve({**METHODS, "gate": gate, "wait": wait}, session_channels=2)
    sessions = [await service.create()]
    sessions += [(await service.call("account.login", ADA))["result"]["session_id"] for _ in range(3)]
    connection = await connected(service, sessions[0])
    assert await connection.ask("rpc", {"method": "tell"}) == {"data": None}
    assert (await connection.push())["message"] == {"data": {"hello": 1}}
    await connection.send({"id": 50, "rpc": {"method": "wait"}})
    await connection.send({"id": 51, "subscribe": {"channel": "gate:1"}})
    await eventually(entered.is_set)
    for after, before in ((1, 0), (0, 1), (2, 0), (3, 2)):
        assert "client" in await connection.ask("refresh", {"token": sessions[after]})
        if before != 0 or after == 2:
            await service.call("account.logout", session=sessions[before])
        if after == 2:  # the function decides when the session that asked has ended
            may_go_on.set()
            assert (await connection.receive())["subscribe"]["recoverable"] is True
    shown = {each.session_id for each in only_socket(service).sessions()}
    assert shown == {sessions[3]}
    assert "error" not in await connection.ask("subscribe", {"channel": "room:1"})
    assert (await connection.ask("subscribe", {"channel": "room:2"}))["code"] == 106  # all count for it
    await manager_of(service).publish("gate:1", "here")
    assert (await connection.push())["pub"] == {"data": "here", "offset": 1}
    await manager_of(service).send("news", "late")
    found = [await connection.receive() for _ in range(2)]
    assert {"push": {"message": {"data": "late"}}} in found
    assert {"id": 50, "rpc": {"data": "late"}} in found
    await service.call("account.logout", session=sessions[3])
    assert (await connection.end())[0] == 3503
    channels = manager_of(service).channels
    assert channels is not None
    await eventually(lambda: channels.counts() == (0, 0))


async def test_signatures(serve: Serve) -> None:
    """With ``signing=session`` the data of ``connect`` sign the session; a refresh of it needs nothing."""
    service = await serve(METHODS, signing="session")
    created = await service.result("account.create", ADA)
    data = first_frame(created["session_id"], created["key"], f"{service.root}{PATH}")
    connection = await connected(service, created["session_id"], data)
    assert await connection.ask("rpc", {"method": "me"}) == {"data": "ada"}
    assert (await connection.ask("refresh", {"token": created["session_id"]}))["expires"] is True
    for wrong in (None, data, {**data, "signature": 5}, {**data, "timestamp": "0"}):  # a nonce counts once
        refused = await opened(service)
        await refused.send({"id": 1, "connect": {"token": created["session_id"], "data": wrong}})
        assert (await refused.end())[0] == 3500, wrong
    other = await service.result("account.create", {**ADA, "user_id": "eve"})
    await connection.send({"id": 9, "refresh": {"token": other["session_id"]}})
    assert (await connection.end())[0] == 3005  # it has to connect, and to sign


async def test_cookies(serve: Serve) -> None:
    """The cookie of a page counts by the rule of origins; what it shows is not refreshed by tokens."""
    service = await serve(METHODS, use_cookies=True, allow_origin=["https://app.example"])
    own = str(service.client.make_url("/")).rstrip("/")
    await service.create()
    response = await service.post(
        json={"method": "account.login", "parameters": ADA}, headers={"Origin": own}
    )
    cookie = response.headers["Set-Cookie"].partition(";")[0]
    service.client.session.cookie_jar.clear()
    for origin, user_id in ((own, "ada"), ("https://app.example", "ada"), (None, None)):
        headers = {"Cookie": cookie, **({} if origin is None else {"Origin": origin})}
        connection = await opened(service, **headers)
        told = await connection.ask("connect")
        shown = {} if told["data"] is None else told["data"]
        assert (shown.get("user_id"), "session_id" in shown) == (user_id, False), origin
        assert "expires" not in told
    with pytest.raises(Exception, match="403"):
        await opened(service, Cookie=cookie, Origin="https://evil.example")


async def test_subscriptions(serve: Serve) -> None:
    """They recover by themselves, are refused with the codes of the protocol, and count within the limits."""
    service = await serve(METHODS, socket_channels=2)
    connection = await connected(service)
    begun = await connection.ask("subscribe", {"channel": "desk:7", "flag": 1, "delta": "fossil"})
    epoch = begun["epoch"]
    assert begun == {"data": None, "recoverable": True, "positioned": True, "epoch": epoch, "offset": 0}
    assert await connection.ask("publish", {"channel": "desk:7", "data": {"text": "a", "room": 9}}) == {}
    assert await connection.push() == {
        "channel": "desk:7",
        "pub": {"data": {"room": 7, "text": "a"}, "offset": 1},
    }
    assert await connection.ask("subscribe", {"channel": "plain"}) == {"data": None}
    await manager_of(service).publish("plain", 5)
    assert await connection.push() == {"channel": "plain", "pub": {"data": 5}}
    full = {"code": 106, "message": "A socket has at most 2 subscriptions (socket_channels)."}
    refusals: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"channel": "desk:7"}, {"code": 105, "message": "already subscribed"}),
        ({"channel": "room:1"}, full),
        ({"channel": "x"}, {"code": 102, "message": "There is no channel 'x'."}),
        ({"channel": "room:1", "type": 1}, {"code": 108, "message": "not available"}),
        ({"channel": "room:1", "tf": {}}, {"code": 107, "message": "tf: publications have no tags"}),
    ]
    for request, error in refusals:
        assert await connection.ask("subscribe", request) == error
    for request in (
        {},
        {"channel": 5},
        {"channel": "room:1", "offset": -1},
        {"channel": "x", "epoch": 65 * "x"},
    ):
        assert (await connection.ask("subscribe", request))["code"] == 107, request
    assert await connection.ask("unsubscribe", {"channel": "plain"}) == {}
    assert await connection.ask("unsubscribe", {"channel": "plain"}) == {}
    for name, error in (
        ("room:100", {"code": 103, "message": "No such room."}),
        ("own:ada", {"code": 103, "message": "Not authorized"}),
        ("room:x", {"code": 107, "message": "room: expected int, got str"}),
    ):
        assert await connection.ask("subscribe", {"channel": name}) == error
    assert (await connection.ask("sub_refresh", {"channel": "desk:7", "token": "x"}))["code"] == 108
    for n in "bcd":
        await connection.ask("publish", {"channel": "desk:7", "data": {"text": n}})
    for offset, recovered, found in (
        (4, True, ""),
        (2, True, "cd"),
        (1, True, "bcd"),
        (0, False, ""),
        (5, False, ""),
    ):
        await connection.ask("unsubscribe", {"channel": "desk:7"})
        asked = {"channel": "desk:7", "recover": True, "epoch": epoch, "offset": offset}
        again = await connection.ask("subscribe", asked)
        assert (again["was_recovering"], again["recovered"], again["offset"]) == (True, recovered, 4), offset
        assert [each["data"]["text"] for each in again.get("publications", ())] == list(found), offset


def wrong(message: str) -> dict[str, Any]:
    """The error of a request that is wrong."""
    return {"code": 107, "message": message}


async def test_publishing(serve: Serve) -> None:
    """A client publishes through the method that the channel names, as its caller; without one it doesn't."""
    service = await serve(METHODS)
    connection = await connected(service)
    for request, error in (
        ({"channel": "room:1", "data": {}}, {"code": 103, "message": "Clients do not publish to 'room:1'."}),
        ({"channel": "x", "data": {}}, {"code": 102, "message": "There is no channel 'x'."}),
        (
            {"channel": "desk:1", "data": "hi"},
            {"code": 107, "message": "What a client publishes must be an object."},
        ),
        ({"channel": "desk:1", "data": {"text": 5}}, {"code": 107, "message": "text: expected str, got int"}),
        (
            {"channel": "desk:x", "data": {"text": "a"}},
            {"code": 107, "message": "room: expected int, got str"},
        ),
        ({"channel": "desk:1", "data": {"text": "bad"}}, {"code": 103, "message": "Mind your language."}),
        ({"channel": "board:1", "data": {}}, {"code": 103, "message": "Not authorized"}),
        ({"channel": "desk:1", "data": {"text": "a"}, "type": 1}, {"code": 108, "message": "not available"}),
    ):
        assert await connection.ask("publish", request) == error
    for publish, problem in (
        ("nothing", "there is no method 'nothing'"),
        ("room", "there is no method 'room'"),
    ):
        wrong = channel("wrong:{n}", publish=publish)(lambda n: None)
        with pytest.raises(SettingsError, match=f"wrong: publish: {problem}"):
            await serve({**METHODS, "wrong": wrong})
    without = await connected(await serve({"echo": echo}))
    for kind in ("subscribe", "publish", "history", "presence"):
        assert await without.ask(kind, {"channel": "x"}) == {"code": 102, "message": "unknown channel"}
    assert await without.ask("unsubscribe", {"channel": "x"}) == {}


async def test_history(serve: Serve) -> None:
    """Subscribers read what is kept: from either end, or from a position, which may be lost."""
    service = await serve(METHODS)
    connection = await connected(service)
    denied = {"code": 103, "message": "Subscribe to the channel first"}
    assert await connection.ask("history", {"channel": "desk:7", "limit": -1}) == denied
    may_decide.clear()
    await connection.send({"id": 90, "subscribe": {"channel": "late:7"}})
    for kind in ("history", "presence"):  # its function hasn't decided
        assert await connection.ask(kind, {"channel": "late:7"}) == denied
    may_decide.set()
    assert (await connection.receive())["error"]["code"] == 103
    epoch = (await connection.ask("subscribe", {"channel": "desk:7"}))["epoch"]
    for n in range(5):
        await manager_of(service).publish("desk:7", n)
    for request, found in (
        ({}, []),
        ({"limit": -1}, [2, 3, 4]),
        ({"limit": 2}, [2, 3]),
        ({"limit": 9}, [2, 3, 4]),
        ({"limit": 2, "reverse": True}, [4, 3]),
        ({"limit": -1, "since": {"offset": 4, "epoch": epoch}}, [4]),
        ({"limit": 1, "since": {"offset": 3, "epoch": epoch}}, [3]),
        ({"limit": 1, "since": {"offset": 5, "epoch": epoch}, "reverse": True}, [3]),
    ):
        told = await connection.ask("history", {"channel": "desk:7", **request})
        publications = [{"data": n, "offset": n + 1} for n in found]
        assert told == {"publications": publications, "epoch": epoch, "offset": 5}, request
    for since in ({"offset": 1, "epoch": epoch}, {"offset": 5, "epoch": "x"}):
        lost = await connection.ask("history", {"channel": "desk:7", "limit": -1, "since": since})
        assert lost == {"code": 112, "message": "unrecoverable position"}
    since = {"offset": 5, "epoch": "x"}
    lost = await connection.ask("history", {"channel": "desk:7", "limit": 1, "since": since, "reverse": True})
    assert lost["code"] == 112
    await connection.ask("subscribe", {"channel": "plain"})
    assert (await connection.ask("history", {"channel": "plain", "limit": 1}))["code"] == 108


async def test_presence(serve: Serve) -> None:
    """Subscribers see who is there, and who comes and goes, by the id that ``connect`` has told."""
    service = await serve(METHODS)
    ada, anyone = await opened(service), await opened(service)
    me = (await ada.ask("connect", {"token": await service.create()}))["client"]
    assert await ada.ask("subscribe", {"channel": "hall"}) == {"data": {"size": 1}}
    shown = {"client": me, "user": "ada", "chan_info": {"name": "Ada"}}
    other = {"client": (await anyone.ask("connect"))["client"], "user": ""}
    assert await ada.ask("presence", {"channel": "hall"}) == {"presence": {me: shown}}
    denied = {"code": 103, "message": "Subscribe to the channel first"}
    assert await anyone.ask("presence", {"channel": "hall"}) == denied
    await anyone.ask("subscribe", {"channel": "hall"})
    assert await ada.ask("presence_stats", {"channel": "hall"}) == {"num_clients": 2, "num_users": 2}
    found = (await ada.ask("presence", {"channel": "hall"}))["presence"]
    assert found == {me: shown, other["client"]: other}
    await anyone.socket.close()
    while (push := await ada.push()) != {"channel": "hall", "leave": {"info": other}}:
        assert push in [{"channel": "hall", "join": {"info": info}} for info in (shown, other)]
    await ada.ask("subscribe", {"channel": "plain"})
    for kind in ("presence", "presence_stats"):
        assert (await ada.ask(kind, {"channel": "plain"}))["code"] == 108


async def test_several_commands(serve: Serve) -> None:
    """A client that comes back sends all in one frame, and is answered in order; too many are refused."""
    service = await serve(METHODS)
    connection = await opened(service)
    await connection.send(
        {"id": 1, "connect": {}},
        {"id": 2, "subscribe": {"channel": "plain"}},
        {"id": 3, "rpc": {"method": "echo", "data": {"a": 1}}},
        {"id": 4, "unsubscribe": {"channel": "plain"}},
        {"id": 5, "subscribe": {"channel": "plain"}},
    )
    assert [(await connection.receive())["id"] for _ in range(5)] == [1, 2, 3, 4, 5]
    await connection.socket.send_str('\n{"id":6,"ping":{}}\n\n{"id":7,"ping":{}}\n')
    assert [(await connection.receive())["id"] for _ in range(2)] == [6, 7]
    await connection.send(*({"id": n, "ping": {}} for n in range(1, 152)))
    assert [(await connection.receive())["id"] for _ in range(151)] == list(range(1, 152))
    await connection.send(*({"id": n, "ping": {}} for n in range(1, 153)))
    assert await connection.end() == (3501, "A frame has at most 151 commands")
    at_once = await opened(await serve(METHODS, batch_concurrency=4))
    await at_once.send({"id": 1, "connect": {}}, *({"id": n, "rpc": {"method": "echo"}} for n in range(2, 9)))
    assert sorted([(await at_once.receive())["id"] for _ in range(8)]) == list(range(1, 9))


async def test_what_is_no_command(serve: Serve) -> None:
    """What nobody could be told about ends the connection with 3501; other mistakes are errors."""
    service = await serve(METHODS)
    frames: tuple[Any, ...] = (
        "",
        "\n\n",
        "{",
        '{"id":1,"connect":{}',
        "5",
        "[]",
        '"x"',
        "nonsense",
        '{"id":1,"rpc":{}}',  # before connect
        "{}",
        '{"id":4294967296,"connect":{}}',
        '{"id":-1,"connect":{}}',
        '{"id":1.5,"connect":{}}',
        '{"id":"1","connect":{}}',
        '{"id":' + 30 * "9" + ',"connect":{}}',
        '{"connect":{}}',
        "\n" * 1000,
        '{"id":1,"ping":{}}\n' * 50_000,
        b"\xff\xfe",
        b"\x00",
    )
    for frame in frames:
        connection = await opened(service)
        if isinstance(frame, bytes):
            await connection.socket.send_bytes(frame)
        else:
            await connection.socket.send_str(frame)
        assert (await connection.end())[0] == 3501, frame[:50]
    connection = await connected(service)
    for kind, request, code in (
        ("nothing", {}, 104),
        ("rpc", 5, 107),
        ("rpc", {"method": 5}, 107),
        ("history", {"channel": "x", "limit": "a"}, 107),
        ("publish", {"channel": "x", "type": {}}, 107),
    ):
        await connection.send({"id": 9, kind: request})
        assert (await connection.receive())["error"]["code"] == code, (kind, request)
    deep: Any = 1
    for _ in range(70):
        deep = [deep]
    too_deep = {"code": 1003, "message": "Nested deeper than 64 levels."}
    assert await connection.ask("rpc", {"method": "echo", "data": {"a": deep}}) == too_deep
    assert (await connection.ask("publish", {"channel": "x", "data": {"a": deep}})) == {
        **too_deep,
        "code": 107,
    }
    half = {"text": "half of \ud83d"}
    for kind, request, code in (
        ("rpc", {"method": "echo", "data": half}, 1003),
        ("publish", {"channel": "desk:1", "data": half}, 107),
        ("subscribe", {"channel": "\\\udc00"}, 107),
    ):
        refused = await connection.ask(kind, request)
        assert (refused["code"], refused["message"][:9]) == (code, "Not JSON:"), kind
    large = {"method": "echo", "data": {"a": 300_000 * "x"}}
    assert await connection.ask("rpc", large) == {"data": large["data"]}
    for again in ({"id": 9, "connect": {}}, {}, {"send": {"data": 5}}, {"rpc": {"method": "echo"}}):
        ending = await connected(service)
        await ending.send(again)
        assert (await ending.end())[0] == (3508 if "send" in again else 3501), again
    with pytest.raises(AssertionError):
        await connection.socket.send_str(json.dumps({"id": 1, "rpc": {"method": 2**20 * "x"}}))
        await connection.receive()
    assert connection.socket.close_code == 1009


async def test_pings(serve: Serve) -> None:
    """A client that answers pings stays; one that does not is closed with 3012, or 3502 before connect."""
    service = await serve(METHODS)
    with limits(heartbeat, PING_INTERVAL=0.02):
        connection = await connected(service)
        for _ in range(3):
            assert await connection.receive() == {}
            await connection.send({})
        assert await connection.receive() == {}
    with limits(heartbeat, PING_INTERVAL=0.02, PONG_LIMIT=0.02):
        silent = await connected(service)
        assert await silent.end() == (3012, "no pong")
    with limits(heartbeat, CONNECT_LIMIT=0.02):
        late = await opened(service)
        assert await late.end() == (3502, "stale")


async def test_pongs_behind_calls(serve: Serve) -> None:
    """A client whose pong isn't read yet, as enough of its calls are running, stays."""
    may_end = asyncio.Event()

    async def hold(handler: Handler, parameters: Any) -> None:
        await may_end.wait()

    service = await serve({"hold": hold})
    with limits(receiver, MAX_CALLS=2):
        connection = await connected(service)
        for number in (1, 2):
            await connection.send({"id": number, "rpc": {"method": "hold"}})
        socket: Any = only_socket(service)
        await eventually(lambda: socket._receiver.is_full)
        with limits(heartbeat, PONG_LIMIT=0.02):
            socket._heartbeat._ping()
            first = socket._heartbeat._timer
        assert await connection.receive() == {}
        await connection.send({})
        await eventually(lambda: socket._heartbeat._timer is not first)
        may_end.set()
        assert [(await connection.receive()).get("rpc") for _ in range(2)] == 2 * [{"data": None}]
        await eventually(lambda: not socket._heartbeat._awaits_pong)
        assert await connection.ask("ping") == {}


async def test_slow_clients(serve: Serve) -> None:
    """A client that reads too slowly loses its subscription (2500), and then the connection (3008)."""
    service = await serve(METHODS)
    connection = await connected(service)
    begun = await connection.ask("subscribe", {"channel": "room:1"})
    with limits(subscriptions, QUEUE_BYTES=300):
        for n in range(4):
            await manager_of(service).publish("room:1", n * "x" * 100)
        found = [await connection.push() for _ in range(3)]
    told = {"code": 2500, "reason": "Publications may have been missed: subscribe again"}
    assert found[-1] == {"channel": "room:1", "unsubscribe": told}
    last = found[-2]["pub"]["offset"]
    asked = {"channel": "room:1", "recover": True, "epoch": begun["epoch"], "offset": last}
    again = await connection.ask("subscribe", asked)
    assert again["recovered"] is True
    assert [each["offset"] for each in again["publications"]] == list(range(last + 1, 5))
    with limits(sender, QUEUE_BYTES=-1):
        socket = only_socket(service)
        socket.sender.put(socket._wire.frame({}))  # type: ignore[attr-defined]
        socket._add(socket._wire.frame({"id": 1, "ping": {}}))  # type: ignore[attr-defined]
        assert await connection.end() == (3008, "slow")


async def test_a_lost_broker(servers: Any, serve: Serve) -> None:
    """While Redis is away a subscription is refused for now, and a client tries again."""
    server = servers("redis")
    service = await serve(METHODS, events=tests.support.servers.redis.fresh_url(server))
    connection = await connected(service)
    await connection.ask("subscribe", {"channel": "desk:1"})
    channels = manager_of(service).channels
    assert channels is not None

    class Away:
        def __getattr__(self, name: str) -> Any:
            from toto_aio.exceptions import Unavailable

            async def fail(*_: Any, **__: Any) -> None:
                raise Unavailable

            return fail if name != "unfollow" else lambda _: None

    here, channels._streams = channels._streams, Away()  # type: ignore[assignment]
    away = {"code": 100, "message": "Service unavailable", "temporary": True}
    assert await connection.ask("subscribe", {"channel": "desk:2"}) == away
    assert await connection.ask("publish", {"channel": "desk:1", "data": {"text": "a"}}) == away
    assert await connection.ask("history", {"channel": "desk:1", "limit": 1}) == away
    channels._streams = here
    assert "epoch" in await connection.ask("subscribe", {"channel": "desk:2"})


async def test_a_lost_database(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that cannot be looked up is refused for now, and so is whatever is unexpected."""
    service = await serve(METHODS)
    ada = await service.create()
    connection = await connected(service, ada)
    assert service.client.app is not None
    sessions = service.client.app[LIFESPAN].runtime.connection.sessions
    for exc, message in ((Unavailable(), "Service unavailable"), (ZeroDivisionError(), None)):

        async def load(session_id: str, exc: Exception = exc) -> None:
            raise exc

        with monkeypatch.context() as patch:
            patch.setattr(sessions, "load", load)
            for asked, kind in ((await opened(service), "connect"), (connection, "refresh")):
                error = await asked.ask(kind, {"token": ada})
                assert (error["code"], error["temporary"]) == (100, True), kind
                assert message is None or error["message"] == message
    assert "client" in await connection.ask("refresh", {"token": ada})


async def test_reasons_fit(serve: Serve) -> None:
    """A close frame has 123 bytes for its reason."""
    assert DisconnectError(BAD_REQUEST, 100 * "€").reason == (3501, 41 * "€")


async def test_opened_and_closed(serve: Serve) -> None:
    """The methods for that are called with the session that connect shows, and not without connect."""
    calls: list[Any] = []

    async def on_open(handler: Handler, parameters: Any) -> None:
        session = await handler.retrieve_session()
        calls.append(("open", session and session.user_id))
        handler.send_message("welcome")

    async def on_close(handler: Handler, parameters: Any) -> None:
        calls.append("close")

    service = await serve(
        {"on_open": on_open, "on_close": on_close},
        socket_opened_method="on_open",
        socket_closed_method="on_close",
    )
    await (await opened(service)).socket.close()
    connection = await opened(service)
    await connection.send({"id": 1, "connect": {"token": await service.create()}})
    assert (await connection.push()) == {"message": {"data": "welcome"}}
    assert (await connection.receive())["id"] == 1
    await connection.socket.close()
    await eventually(lambda: calls == [("open", "ada"), "close"])


async def test_shutdown_and_options(serve: Serve) -> None:
    """A service that stops says 3001, upon which clients come back; the option turns the protocol off."""
    service = await serve(METHODS)
    connection = await connected(service)
    assert service.client.app is not None
    await service.client.app[SOCKETS].close()
    assert await connection.end() == (3001, "shutdown")
    response = await service.client.get(f"{service.root}{PATH}")
    assert response.status == 426
    without = await serve(METHODS, centrifuge=False)
    response = await without.client.get(f"{without.root}{PATH}")
    assert (await response.json())["error"]["code"] == 1001


async def test_disconnected_calls(serve: Serve) -> None:
    """A client that leaves in the middle of a call or of connect leaves nothing."""
    service = await serve(METHODS)
    for commands in (
        [{"id": 1, "connect": {}}, {"id": 2, "subscribe": {"channel": "slow"}}],
        [{"id": 1, "connect": {"token": await service.create()}}],
    ):
        connection = await opened(service)
        await connection.send(*commands)
        await connection.socket.close()
        await eventually(lambda: not service.client.app[SOCKETS].open)
    channels = manager_of(service).channels
    assert channels is not None
    await eventually(lambda: channels.counts() == (0, 0))
