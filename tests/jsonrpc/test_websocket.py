"""JSON-RPC over a WebSocket: a frame with ``"jsonrpc"``, or an array of such, is a message of it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import msgpack

from tests.jsonrpc.test_http import ADA, METHODS, request
from tests.support.limits import WATCHDOG
from tests.support.service import Serve
from toto_aio import Handler

Socket = aiohttp.ClientWebSocketResponse


async def call(socket: Socket, message: Any) -> Any:
    """The response to a message."""
    await socket.send_json(message)
    return await socket.receive_json(timeout=WATCHDOG)


async def test_sessions(serve: Serve) -> None:
    """A login gives the socket its session, for later frames of either kind; a logout closes it, answered."""
    service = await serve(METHODS)
    await service.create()
    async with service.client.ws_connect("/service/websocket") as socket:
        assert (await call(socket, request("who")))["error"]["code"] == 1004
        login, user = await call(socket, [request("account.login", ADA), request("who", [], 2)])
        assert (login["session"], user["result"]) == (login["result"], "ada")
        assert (await call(socket, request("who")))["result"] == "ada"
        assert (await call(socket, {"id": 1, "method": "who"}))["result"] == "ada"
        change = {"password": ADA["password"], "new_password": "a new password"}
        changed = await call(socket, request("account.update", change))
        assert changed["session"]["user_id"] == "ada"
        assert (await call(socket, request("who")))["result"] == "ada"
        batch = [request("account.logout"), request("who", {}, 2)]
        ended, refused = await call(socket, batch)
        assert (ended["result"], refused["error"]["code"]) == ({"authenticated": False}, 1004)
        assert (await socket.receive(timeout=WATCHDOG)).data == aiohttp.WSCloseCode.POLICY_VIOLATION


async def test_a_logout_and_a_login_in_one_batch(serve: Serve) -> None:
    """The socket stays open with the new session."""
    service = await serve(METHODS)
    session_id = await service.create()
    headers = {"x-toto-session-id": session_id}
    async with service.client.ws_connect("/service/websocket", headers=headers) as socket:
        bob = {"user_id": "bob", "password": "correct horse"}
        batch = [request("account.logout"), request("account.create", bob, 2), request("who", {}, 3)]
        assert (await call(socket, batch))[2]["result"] == "bob"
        assert (await call(socket, request("who")))["result"] == "bob"


async def test_errors(serve: Serve, errors: Any) -> None:
    """They are those over HTTP; what can't be read is one of JSON-RPC once the client has spoken it."""
    service = await serve(METHODS, batch_limit=2)
    async with service.client.ws_connect("/service/websocket") as socket:
        for unreadable in ("{", "[]", "[1]", '[{"id": 1}]'):
            await socket.send_str(unreadable)
            assert (await socket.receive_json(timeout=WATCHDOG))["error"]["code"] == 1003
        for message, code in (
            (request("nobody"), -32601),
            (request("note"), -32602),
            (request("raw"), -32602),
            (request("forbid"), -32602),
            (request("stream"), -32602),
            (request("strange"), -32603),
            ([request("later")] * 3, -32600),
            ({"jsonrpc": "1.0", "method": "later", "id": 1}, -32600),
        ):
            assert (await call(socket, message))["error"]["code"] == code, message
        await socket.send_str("{")
        assert (await socket.receive_json(timeout=WATCHDOG))["error"]["code"] == -32700
        await socket.send_bytes(msgpack.packb([request("note", [b"x"])]))
        [found] = msgpack.unpackb((await socket.receive(timeout=WATCHDOG)).data)
        assert (found["error"]["code"], found["id"]) == (-32602, 1)
    assert errors()


async def test_calls_that_wait(serve: Serve) -> None:
    """A message that waits holds up none behind it, and notifications get no frame."""
    may_end = asyncio.Event()

    async def wait(handler: Handler, parameters: Any) -> None:
        await may_end.wait()

    service = await serve({**METHODS, "wait": wait})
    async with service.client.ws_connect("/service/websocket") as socket:
        for message in (request("wait", {}), {"jsonrpc": "2.0", "method": "wait"}):
            await socket.send_json(message)
        assert (await call(socket, request("note", ["x"], 2)))["id"] == 2
        may_end.set()
        assert (await socket.receive_json(timeout=WATCHDOG))["id"] == 1
        assert (await call(socket, request("note", ["x"], 3)))["id"] == 3


async def test_off(serve: Serve) -> None:
    """With ``json_rpc=off`` the member means nothing, and arrays are no frames."""
    service = await serve(METHODS, json_rpc="off")
    async with service.client.ws_connect("/service/websocket") as socket:
        await socket.send_str(json.dumps(request("later")))
        assert await socket.receive_json(timeout=WATCHDOG) == {"id": 1, "result": "later"}
        assert (await call(socket, []))["error"]["code"] == 1003
