"""JSON-RPC over HTTP: sessions, signatures, limits and errors are those of every call."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import msgpack
import pjrpc
import pytest
from aiohttp import web
from pjrpc.client.backend.aiohttp import Client

from tests.http.test_session_scheme import client, log_in
from tests.support.limits import WATCHDOG
from tests.support.service import Serve, Service
from toto_aio import Handler, TotoException, create_app
from toto_aio.invocation import (
    anonymous_session,
    asynchronous,
    authenticated,
    authenticated_with_parameter,
    raw_response,
    requires,
)
from toto_aio.settings import SettingsError

ADA = {"user_id": "ada", "password": "correct horse"}
JSON = "application/json"


@authenticated
async def who(handler: Handler) -> str:
    """Return the user."""
    assert handler.session is not None
    return handler.session.user_id


@authenticated_with_parameter
async def who_else(handler: Handler) -> str:
    """Return the user whose session a parameter names."""
    assert handler.session is not None
    return handler.session.user_id


@anonymous_session
async def visit(handler: Handler, parameters: Any) -> str:
    """Have an anonymous session."""
    return "visited"


@requires("a")
async def echo(handler: Handler, parameters: Any) -> Any:
    """Return the parameters."""
    return parameters


async def note(handler: Handler, title: str, tags: list[str] = [], *, limit: int = 10) -> Any:  # noqa: B006
    """Return the values."""
    return [title, tags, limit]


async def fail(handler: Handler, parameters: Any) -> None:
    """Raise what the parameters say."""
    if parameters["code"]:
        raise TotoException(parameters["code"], parameters.get("value", "no"), status=418)
    raise OSError("secret")


async def strange(handler: Handler, parameters: Any) -> Any:
    """Return what can't be encoded."""
    return object()


@raw_response
async def raw(handler: Handler, parameters: Any) -> bytes:
    """Return bytes."""
    return b"raw"


async def away(handler: Handler, parameters: Any) -> None:
    """Redirect."""
    handler.redirect("/elsewhere")


async def forbid(handler: Handler, parameters: Any) -> None:
    """Raise an exception of aiohttp's."""
    raise web.HTTPForbidden


async def shape(handler: Handler, parameters: Any) -> str:
    """Shape the response."""
    handler.set_status(503)
    handler.set_header("x-own", "1")
    handler.set_cookie("a", "b")
    return "shaped"


async def stream(handler: Handler, parameters: Any) -> None:
    """Send pieces."""
    handler.respond_raw(b"piece", "text/plain", finish=False)


@asynchronous
async def later(handler: Handler, parameters: Any) -> None:
    """Respond later."""
    asyncio.get_running_loop().call_later(0.01, handler.respond, "later")


METHODS = {
    each.__name__: each
    for each in (who, who_else, visit, echo, note, fail, strange, raw, away, forbid, shape, stream, later)
}


def request(method: str, params: Any = None, number: Any = 1) -> dict[str, Any]:
    """A request."""
    shown = {} if params is None else {"params": params}
    return {"jsonrpc": "2.0", "method": method, **shown, "id": number}


async def call(service: Service, message: Any, **headers: str) -> Any:
    """The response to a message."""
    body = json.dumps(message)
    response = await service.post("/rpc", data=body, headers={"Content-Type": JSON, **headers})
    assert response.status == 200, await response.text()
    return await response.json()


async def test_a_client_of_others(serve: Serve) -> None:
    """A public client library makes single calls, batches and notifications, and gets errors."""
    service = await serve(METHODS)
    url = str(service.client.make_url("/service/rpc"))
    async with Client(url) as remote:
        assert await remote("note", "milk", ["a"]) == ["milk", ["a"], 10]
        assert await remote.proxy.note(title="milk", limit=3) == ["milk", [], 3]
        await remote.notify("note", "milk")
        async with remote.batch() as batch:
            batch("note", "one")
            batch.notify("note", "two")
            batch("later")
        assert list(batch.get_results()) == [["one", [], 10], "later"]
        with pytest.raises(pjrpc.client.exceptions.JsonRpcError) as caught:
            await remote("nobody.knows", a=1)
        data: Any = caught.value.data
        assert (caught.value.code, data["code"]) == (-32601, 1001)
        with pytest.raises(pjrpc.client.exceptions.JsonRpcError) as caught:
            await remote("note", titel=1)
        assert caught.value.code == -32602
        data = caught.value.data
        kinds = {problem["kind"] for problem in data["problems"]}
        assert kinds == {"missing", "unknown"}
        session: Any = await remote("account.create", **ADA)
        headers = {"x-toto-session-id": str(session["session_id"])}
    async with aiohttp.ClientSession(headers=headers) as own, Client(url, session=own) as remote:
        assert await remote("who") == "ada"


async def test_errors(serve: Serve, errors: Any) -> None:
    """Errors have the codes of JSON-RPC or their own, and Toto's error is their data; the status is 200."""
    for error_status in ("toto", "http"):
        service = await serve(METHODS, error_status=error_status)
        for message, code, data in (
            (request("nobody"), -32601, {"code": 1001, "value": "Cannot call 'nobody'."}),
            (request("echo", {}), -32602, {"code": 1003, "value": "Missing parameters: a"}),
            (request("who"), 1004, {"code": 1004, "value": "Not authorized"}),
            (request("account.login", {**ADA, "password": "x"}), 1005, None),
            (request("account.login", {**ADA, "password": 1}), -32602, None),
            (request("fail", {"code": 7}), 7, {"code": 7, "value": "no"}),
            (request("fail", {"code": 7, "value": [1]}), 7, {"code": 7, "value": [1]}),
            (request("fail", {"code": -32601}), -32000, {"code": -32601, "value": "no"}),
            (request("fail", {"code": 0}), -32603, None),
            (request("strange"), -32603, None),
            (request("raw"), -32602, None),
            (request("away"), -32602, None),
            (request("forbid"), -32602, None),
            (request("stream"), -32602, None),
            (request(""), -32600, {"code": 1002, "value": "Missing method."}),
            (request("echo", [1]), -32602, None),
            (request("note", ["a", [], 3]), -32602, None),
            (request("note", [1]), -32602, None),
            (request("rpc.nothing"), -32601, None),
        ):
            found = await call(service, message)
            assert (found["error"]["code"], found["id"]) == (code, 1), message
            assert isinstance(found["error"]["message"], str)
            assert data is None or found["error"]["data"] == data
            assert "secret" not in json.dumps(found)
            batch = await call(service, [message, request("later", [], 2)])
            assert (batch[0]["error"]["code"], batch[0]["id"]) == (code, 1), message
            assert batch[1] == {"jsonrpc": "2.0", "result": "later", "id": 2}
    assert errors()


async def test_what_is_no_request(serve: Serve) -> None:
    """It gets an error with the id that could be read, and without one no notification is answered."""
    service = await serve(METHODS)
    for change, number in (
        ({"jsonrpc": "1.0"}, 1),
        ({"jsonrpc": 2.0}, 1),
        ({"jsonrpc": None}, 1),
        ({"method": None}, 1),
        ({"method": ["later"]}, 1),
        ({"params": None}, 1),
        ({"params": "x"}, 1),
        ({"params": 1}, 1),
        ({"id": True}, None),
        ({"id": [1]}, None),
        ({"id": {}}, None),
    ):
        found = await call(service, {**request("later"), **change})
        assert (found["error"]["code"], found["id"]) == (-32600, number), change
        assert found["error"]["data"]["code"] == 1003
    for message in (1, "x", None, True, 1.5):
        assert (await call(service, message))["error"]["code"] == -32600
    numbers: list[Any] = ["", "a", 0, -1, 1.5, 2**53, None]
    for each in numbers:
        expected = {"jsonrpc": "2.0", "result": "later", "id": each}
        assert await call(service, request("later", {}, each)) == expected
    for wrong in ("nobody", "fail", "who", "raw", "strange"):
        notification = {"jsonrpc": "2.0", "method": wrong, "params": {"code": 0}}
        response = await service.post("/rpc", json=notification)
        assert (response.status, await response.read()) == (204, b"")


async def test_bodies(serve: Serve) -> None:
    """Bodies that can't be read are parse errors or invalid requests; what HTTP refuses has its status."""
    service = await serve(METHODS, max_body_size=10_000, batch_limit=3, allow_origin="*")
    many = [request("later", {}, number) for number in range(4)]
    for body, kind, status, code in (
        (b"", JSON, 200, -32700),
        (b"{", JSON, 200, -32700),
        (b'{"a": NaN}', JSON, 200, -32700),
        (b"\xff", JSON, 200, -32700),
        (b"[" * 100 + b"]" * 100, JSON, 200, -32600),
        (json.dumps(many).encode(), JSON, 200, -32600),
        (b"x" * 20_000, JSON, 413, -32600),
        (b"a=1", "application/x-www-form-urlencoded", 415, -32600),
        (b"a", "text/plain", 415, -32600),
        (b"a", "multipart/form-data; boundary=x", 415, -32600),
        (b"\xc1", "application/msgpack", 200, -32700),
    ):
        for path in ("/rpc", "/rpc/"):
            response = await service.post(path, data=body, headers={"Content-Type": kind})
            assert response.status == status, body[:20]
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            decode = msgpack.unpackb if response.content_type == "application/msgpack" else json.loads
            found = decode(await response.read())
            assert found["error"]["code"] == code, body[:20]
            assert (found["jsonrpc"], found["id"]) == ("2.0", None)
    assert len(await call(service, many[:3])) == 3
    response = await service.client.put("/service/rpc", json=request("later"))
    assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD, OPTIONS, POST")
    packed = msgpack.packb([request("note", ["x"]), request("later", {}, b"x")])
    response = await service.post("/rpc", data=packed, headers={"Content-Type": "application/msgpack"})
    first, second = msgpack.unpackb(await response.read())
    assert first == {"jsonrpc": "2.0", "result": ["x", [], 10], "id": 1}
    assert (second["error"]["code"], second["id"]) == (-32600, None)


async def test_sessions(serve: Serve) -> None:
    """They are shown by the header; in a batch a login serves the calls behind it, and a new one is told."""
    service = await serve(METHODS)
    created = await call(service, request("account.create", ADA))
    assert created["session"] == created["result"]
    shown = {"x-toto-session-id": created["result"]["session_id"]}
    response = await service.post("/rpc", json=request("who"), headers=shown)
    assert await response.json() == {"jsonrpc": "2.0", "result": "ada", "id": 1}
    assert response.headers["Cache-Control"] == "no-store"
    batch = [request("who"), request("account.login", ADA, 2), request("who", [], 3), request("who", {}, 4)]
    before, login, *after = await call(service, batch)
    assert (before["error"]["code"], [each["result"] for each in after]) == (1004, ["ada", "ada"])
    assert login["session"] == login["result"] != created["result"]
    assert "session" not in after[0]
    anonymous = await call(service, request("visit", {}))
    assert (anonymous["result"], anonymous["session"]["user_id"]) == ("visited", "")
    other = {"session_id": login["result"]["session_id"]}
    both = await call(service, [request("who_else", other), request("who", {}, 2)])
    assert (both[0]["result"], both[1]["error"]["code"]) == ("ada", 1004)
    ended = await call(service, [request("account.logout"), request("who", {}, 2)], **shown)
    assert (ended[0]["result"], ended[1]["error"]["code"]) == ({"authenticated": False}, 1004)
    wrong = [request("account.login", {**ADA, "password": "x"}, number) for number in range(11)]
    last = (await call(service, wrong))[-1]["error"]
    assert (last["code"], last["data"]["retry_after"] > 0) == (1012, True)


async def test_cookies_and_origins(serve: Serve) -> None:
    """A page's session is in its cookie, and counts for pages of the service only."""
    service = await serve(METHODS, use_cookies=True)
    await service.create()
    own = {"Origin": f"http://127.0.0.1:{service.client.port}"}
    response = await service.post("/rpc", json=request("account.login", ADA), headers=own)
    cookie = response.headers["Set-Cookie"].partition(";")[0]
    assert cookie.partition("=")[2] not in await response.text()
    for origin, code in ((own["Origin"], None), ("https://evil.example", 1004), (None, 1004)):
        headers = {"Cookie": cookie, **({} if origin is None else {"Origin": origin})}
        found = await call(service, request("who"), **headers)
        assert found.get("error", {}).get("code") == code


async def test_signatures(serve: Serve) -> None:
    """The bytes of the message are signed as every body, and so are those of the response."""
    service = await serve(METHODS, signing="session")
    session, key = await log_in(service)
    for message, status in ((request("who"), 200), ([request("who")], 200), ([{**request("who")}], 200)):
        for part in (message, {"jsonrpc": "2.0", "method": "who"}):
            body = json.dumps(part).encode()
            headers = client.signed_headers(session, key, "POST", "/service/rpc", JSON, body)
            response = await service.post("/rpc", data=body, headers=headers)
            sent = await response.read()
            assert response.status == (204 if part is not message else status)
            signature = response.headers["x-toto-hmac"]
            assert client.response_is_genuine(session, key, headers["x-toto-nonce"], sent, signature)
            again = await service.post("/rpc", data=body, headers=headers)
            refused = await again.json()
            assert (again.status, refused["error"]["code"], refused["id"]) == (200, 1008, None)
    login = await call(service, request("account.login", {"user_id": "ada", "password": ADA["password"]}))
    assert login["result"]["key"]


async def test_what_methods_shape(serve: Serve) -> None:
    """Headers and cookies of a method are sent; the status is that of JSON-RPC."""
    service = await serve(METHODS)
    for message in (request("shape"), [request("shape"), request("shape", {}, 2)]):
        response = await service.post("/rpc", json=message)
        assert (response.status, response.headers["x-own"]) == (200, "1")
        assert response.headers["Set-Cookie"].startswith("a=b")


async def test_results_that_cannot_be_encoded(serve: Serve, errors: Any) -> None:
    """They are errors of their own calls only; generators are read."""

    async def count(handler: Handler, parameters: Any) -> Any:
        return iter(range(3))

    service = await serve({**METHODS, "count": count})
    found = await call(service, [request("count"), request("strange", {}, 2), request("later", {}, 3)])
    assert [each.get("result") for each in found] == [[0, 1, 2], None, "later"]
    assert (found[1]["error"]["code"], found[1]["id"]) == (-32603, 2)
    assert (await call(service, request("count")))["result"] == [0, 1, 2]
    assert len(errors()) == 1


async def test_several_at_once(serve: Serve) -> None:
    """``batch_concurrency`` runs calls of a batch at the same time, and the responses keep their order."""
    arrived = asyncio.Event()

    async def first(handler: Handler, parameters: Any) -> str:
        await asyncio.wait_for(arrived.wait(), WATCHDOG)
        return "first"

    async def second(handler: Handler, parameters: Any) -> str:
        arrived.set()
        return "second"

    service = await serve({"first": first, "second": second}, batch_concurrency=2)
    found = await call(service, [request("first"), request("second", {}, 2)])
    assert [each["result"] for each in found] == ["first", "second"]


async def test_a_method_of_that_name(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """It keeps its path, which the start warns of; the option refuses it, and turns JSON-RPC off."""

    async def rpc(handler: Handler, parameters: Any) -> str:
        return "own"

    for options in ({}, {"json_rpc": "off"}):
        caplog.clear()
        service = await serve({"rpc": rpc}, **options)
        response = await service.post("/rpc", json=request("rpc"))
        assert await response.json() == {"result": "own"}
        assert ("no JSON-RPC over HTTP" in caplog.text) is not bool(options)
    off = await serve(METHODS, json_rpc="off")
    assert (await (await off.post("/rpc", json=request("later"))).json())["error"]["code"] == 1001
    by_parameter = await serve({"rpc": rpc}, method_select="parameter")
    assert (await call(by_parameter, request("rpc")))["result"] == "own"
    refused: list[dict[str, Any]] = [
        {"method_module": {"rpc": rpc}},
        {"method_module": METHODS, "method_select": "url"},
    ]
    for wrong in refused:
        with pytest.raises(SettingsError, match=r"json_rpc: .*: write json_rpc=off"):
            create_app(database="memory://", json_rpc="on", **wrong)
    by_url = await serve(METHODS, method_select="url")
    assert (await (await by_url.post("/rpc", json=request("later"))).json())["error"]["code"] == 1001
