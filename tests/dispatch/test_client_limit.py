"""The time limit that a client asks for, whichever way its calls come."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import bson
import msgpack

from tests.support.limits import WATCHDOG
from tests.support.service import Serve
from toto_aio.invocation import asynchronous, safe, timeout

SHORT = {"x-toto-timeout": "0.1"}
"""A limit that ends a call long before the method's own, which no test waits for."""


@safe
async def wait(handler: Any, parameters: dict[str, Any]) -> None:
    """Never end."""
    await asyncio.Event().wait()


@asynchronous
async def later(handler: Any, parameters: dict[str, Any]) -> None:
    """Never respond."""


@timeout(0.1)
async def brief(handler: Any, parameters: dict[str, Any]) -> None:
    """Never end, but for a limit of its own."""
    await asyncio.Event().wait()


@safe
async def echo(handler: Any, parameters: dict[str, Any]) -> Any:
    """Return the parameters."""
    return parameters


METHODS = {"wait": wait, "later": later, "brief": brief, "echo": echo}


async def test_every_way_in(serve: Serve) -> None:
    """It ends a call by POST, URL, GET and form, in a batch, in a frame and in JSON-RPC."""
    service = await serve(METHODS)
    call = {"method": "wait", "parameters": {}}
    request = {"jsonrpc": "2.0", "method": "wait", "id": 1}
    packed = msgpack.packb({**request, "timeout": 0.1})
    found = await asyncio.gather(
        service.post(json=call, headers=SHORT),
        service.post("/later", json={}, headers=SHORT),
        service.client.get("/service/wait", headers=SHORT),
        service.post("/wait", data={"a": "b"}, headers=SHORT),
        service.post(json={"batch": {"a": call}}, headers=SHORT),
        service.post(json={"batch": {"a": {**call, "timeout": 0.1}}}),
        service.post("/rpc", json=request, headers=SHORT),
        service.post("/rpc", json=[{**request, "timeout": 0.1}]),
        service.post("/rpc", data=packed, headers={"content-type": "application/msgpack"}),
    )
    assert [response.status for response in found] == [504] * 4 + [200] * 5
    bodies = [await response.read() for response in found]
    assert all(b"1013" in body or struct.pack(">BH", 0xCD, 1013) in body for body in bodies), bodies
    async with service.client.ws_connect("/service/websocket") as socket:
        await socket.send_json({"id": 1, "method": "wait", "timeout": 0.1})
        await socket.send_json({**request, "id": 2, "timeout": 0.1})
        frames = [await socket.receive_json(timeout=WATCHDOG) for _ in range(2)]
        assert sorted(frame["error"]["code"] for frame in frames) == [1013, 1013]


async def test_it_never_lengthens(serve: Serve) -> None:
    """A method keeps its own limit; a long one is no error, and null is none."""
    service = await serve(METHODS)
    call = {"method": "brief", "parameters": {}}
    for seconds in ("1000", "099999999.5"):
        response = await service.post(json=call, headers={"x-toto-timeout": seconds})
        assert response.status == 504
    entries = {"a": {**call, "timeout": 1e300}, "b": {"method": "echo", "parameters": {}, "timeout": None}}
    response = await service.post(json={"batch": entries})
    batch = (await response.json())["batch"]
    assert (batch["a"]["error"]["code"], batch["b"]) == (1013, {"result": {}})


async def test_consecutive_requests(serve: Serve) -> None:
    """Requests that differ in nothing else have each its own limit."""
    service = await serve(METHODS)
    for seconds, status in [("0.1", 504), ("0.2", 504), ("x", 400), ("0.1", 504)]:
        response = await service.post("/wait", json={}, headers={"x-toto-timeout": seconds})
        assert response.status == status, seconds
    assert await service.result("echo", {"a": 1}) == {"a": 1}


async def test_the_rest_of_a_batch(serve: Serve) -> None:
    """The header is for the whole request: what has not begun by then is not called."""
    calls: list[str] = []

    async def once(handler: Any, parameters: dict[str, Any]) -> None:
        calls.append(parameters["name"])
        await asyncio.Event().wait()

    service = await serve({"once": once})
    entries = {name: {"method": "once", "parameters": {"name": name}} for name in "abc"}
    response = await service.post(json={"batch": entries}, headers=SHORT)
    batch = (await response.json())["batch"]
    assert [each["error"]["code"] for each in batch.values()] == [1013] * 3
    requests = [{"jsonrpc": "2.0", "method": "once", "params": {"name": name}, "id": name} for name in "def"]
    response = await service.post("/rpc", json=requests, headers=SHORT)
    assert [each["error"]["code"] for each in await response.json()] == [1013] * 3
    assert calls == ["a", "d"]


async def test_what_is_no_limit(serve: Serve) -> None:
    """It is refused before anything is called, and the error says what to write."""
    service = await serve(METHODS)
    call = {"method": "echo", "parameters": {}}
    for value in ("", "soon", "0", "0.0", "-1", "1e3", "nan", "inf", "1,2", "\u0661", "1" * 12):
        for path in ("", "/rpc"):
            response = await service.post(path, json=call, headers={"x-toto-timeout": value})
            error = (await response.json())["error"]
            error = error.get("data", error)
            assert (error["code"], "x-toto-timeout: write" in error["value"]) == (1003, True), (path, value)
            assert response.status == (200 if path else 400)
        response = await service.client.get("/service/echo", headers={"x-toto-timeout": value})
        assert response.status == 400
    repeated = [("x-toto-timeout", "1"), ("x-toto-timeout", "2")]
    assert (await service.post(json=call, headers=repeated)).status == 400
    wrong: Any
    for wrong in ("5", True, 0, -1, [], {}):
        response = await service.post(json={"batch": {"a": {**call, "timeout": wrong}, "b": call}})
        batch = (await response.json())["batch"]
        assert (batch["a"]["error"]["code"], batch["b"]) == (1003, {"result": {}}), wrong
        request = {"jsonrpc": "2.0", "method": "echo", "id": 1, "timeout": wrong}
        answer = await (await service.post("/rpc", json=request)).json()
        assert (answer["error"]["code"], answer["id"]) == (-32600, 1), wrong
        async with service.client.ws_connect("/service/websocket") as socket:
            await socket.send_json({"id": 7, "method": "echo", "timeout": wrong})
            frame = await socket.receive_json(timeout=WATCHDOG)
            assert (frame["id"], frame["error"]["code"]) == (7, 1003), wrong
            assert frame["error"]["value"] == "timeout: write a number of seconds, such as 2.5."


async def test_integers_of_bson(serve: Serve) -> None:
    """A limit, and the id of a request, may have 64 bits, as which some drivers send all integers."""
    service = await serve(METHODS)
    bson_type = {"content-type": "application/bson"}
    call = {"method": "echo", "parameters": {}, "timeout": bson.Int64(5)}
    response = await service.post(data=bson.encode({"batch": {"a": call}}), headers=bson_type)
    assert bson.decode(await response.read()) == {"batch": {"a": {"result": {}}}}
    request = {"jsonrpc": "2.0", "method": "echo", "id": bson.Int64(7), "timeout": bson.Int64(5)}
    for wrong in ({}, {"timeout": bson.Int64(-5)}):
        response = await service.post("/rpc", data=bson.encode({**request, **wrong}), headers=bson_type)
        answer = bson.decode(await response.read())
        assert (answer["id"], "error" in answer) == (7, bool(wrong))


async def test_a_parameter_of_that_name(serve: Serve) -> None:
    """Without the key ``parameters`` the whole entry has them, as in Toto."""
    service = await serve(METHODS)
    response = await service.post(json={"batch": {"a": {"method": "echo", "timeout": "5"}}})
    assert (await response.json())["batch"]["a"]["result"]["timeout"] == "5"
