"""The decorators in use, hooks around calls, time limits."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.service import Serve
from toto_aio import Handler, TotoException
from toto_aio.invocation import (
    anonymous_session,
    asynchronous,
    authenticated,
    authenticated_with_parameter,
    default_parameters,
    deprecated,
    error_redirect,
    jsonp,
    optionally_authenticated,
    raw_response,
    requires,
    safe,
    timeout,
)

Parameters = dict[str, Any]


async def echo(handler: Handler, parameters: Parameters) -> Any:
    """Return the parameters."""
    return parameters


async def who(handler: Handler, parameters: Parameters) -> Any:
    """Return the session's user."""
    return None if handler.session is None else handler.session.user_id


def fresh(function: Callable[..., Any]) -> Callable[..., Any]:
    """A copy of the same method as a new function, for decorators to mark."""

    async def invoke(handler: Handler, parameters: Parameters) -> Any:
        return await function(handler, parameters)

    return invoke


async def test_requires(serve: Serve) -> None:
    """Missing parameters are named, in the order of the declaration."""
    service = await serve({"m": requires("a", "b", "c")(fresh(echo))})
    answer = await service.call("m", {"b": 1})
    assert answer == {"error": {"code": 1003, "value": "Missing parameters: a, c"}}
    assert await service.result("m", {"a": None, "b": 0, "c": ""}) == {"a": None, "b": 0, "c": ""}


async def test_deprecated(serve: Serve) -> None:
    """Every response of its own says since when and until when, errors and redirects too; no other does."""
    marked = deprecated(since="2027-01-31", sunset="2027-06-30")
    said = {"Deprecation": "@1801353600", "Sunset": "Wed, 30 Jun 2027 00:00:00 GMT"}
    methods = {
        "m": marked(fresh(echo)),
        "by_get": safe(marked(fresh(echo))),
        "raw": raw_response(marked(fresh(lambda handler, parameters: asyncio.sleep(0, b"x")))),
        "redirects": marked(error_redirect({}, "/sorry")(requires("a")(fresh(echo)))),
        "fails": requires("a")(marked(fresh(echo))),
        "open_end": deprecated(since="2027-01-31")(fresh(echo)),
    }
    service = await serve({**methods, "current": fresh(echo)}, use_web_sockets=True)
    for name in ("m", "raw", "fails", "redirects", "m"):
        response = await service.post(f"/{name}", json={}, allow_redirects=False)
        assert {header: response.headers.get(header) for header in said} == said, name
    got = await service.client.get("/service/by_get")
    assert {header: got.headers.get(header) for header in said} == said
    opened = await service.post("/open_end", json={})
    assert (opened.headers["Deprecation"], "Sunset" in opened.headers) == (said["Deprecation"], False)
    batch = await service.post(json={"batch": {"1": {"method": "m", "parameters": {"a": 1}}}})
    assert await batch.json() == {"batch": {"1": {"result": {"a": 1}}}}
    for response in (batch, await service.post("/current", json={})):
        assert not said.keys() & set(response.headers)
    async with service.client.ws_connect("/service/websocket") as socket:
        await socket.send_json({"id": 1, "method": "m"})
        assert await socket.receive_json() == {"id": 1, "result": {}}


async def test_default_parameters(serve: Serve) -> None:
    """Defaults fill in missing parameters, count for requires, and are fresh for each call."""

    async def add(handler: Handler, parameters: Parameters) -> Any:
        parameters["list"].append(1)
        return parameters

    service = await serve({"m": default_parameters({"list": [], "x": 1})(requires("x")(add))})
    for _ in range(2):
        assert await service.result("m", {"y": 2}) == {"y": 2, "list": [1], "x": 1}
    assert await service.result("m", {"x": 5}) == {"list": [1], "x": 5}


DECORATORS: list[Callable[..., Any]] = [
    authenticated,
    requires("a"),
    default_parameters({"b": 2}),
    timeout(5),
    safe,
]


@pytest.mark.parametrize("order", list(itertools.permutations(range(len(DECORATORS)), 5))[::7])
async def test_decorators_in_any_order(serve: Serve, order: tuple[int, ...]) -> None:
    """The order of decorators makes no difference."""
    method = fresh(echo)
    for index in order:
        method = DECORATORS[index](method)
    service = await serve({"m": method})
    session = await service.create()
    assert (await service.call("m", {"a": 1}))["error"]["code"] == 1004
    assert (await service.call("m", {}, session=session))["error"]["code"] == 1003
    assert await service.result("m", {"a": 1}, session=session) == {"a": 1, "b": 2}
    response = await service.client.get("/service/m?a=1", headers={"x-toto-session-id": session})
    assert (await response.json())["result"] == {"a": "1", "b": 2}


async def test_guards(serve: Serve) -> None:
    """Each decorator of sessions, for callers with no, an anonymous, an unknown or a real session."""
    methods = {
        "authenticated": authenticated(fresh(who)),
        "anonymous": anonymous_session(fresh(who)),
        "optional": optionally_authenticated(fresh(who)),
        "strictest": anonymous_session(authenticated(optionally_authenticated(fresh(who)))),
    }
    service = await serve(methods)
    ada = await service.create("ada")
    anonymous = (await service.call("anonymous"))["session"]["session_id"]
    refused = {"code": 1004, "value": "Not authorized"}
    for name in ("authenticated", "strictest"):
        for session in (None, "unknown", "x" * 5000, anonymous):
            assert (await service.call(name, session=session))["error"] == refused
        assert await service.result(name, session=ada) == "ada"
    assert await service.result("anonymous", session=ada) == "ada"
    assert (await service.call("anonymous", session=anonymous))["session"]["session_id"] == anonymous
    made = (await service.call("anonymous", session="chosen-by-the-client"))["session"]["session_id"]
    assert made not in ("chosen-by-the-client", anonymous)
    assert await service.result("optional", session=ada) == "ada"
    assert await service.result("optional", session="unknown") is None
    assert await service.result("optional") is None


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_the_session_of_a_parameter_is_its_calls_alone(serve: Serve, concurrency: int) -> None:
    """The other calls of a batch, before and after it, have the session of the request, or none."""

    @optionally_authenticated
    async def who(handler: Handler, parameters: Parameters) -> str | None:
        return None if handler.session is None else handler.session.user_id

    @authenticated_with_parameter
    async def by_parameter_(handler: Handler, parameters: Parameters) -> str | None:
        return None if handler.session is None else handler.session.user_id

    methods = {"who": who, "by_parameter": by_parameter_}
    service = await serve(methods, batch_concurrency=concurrency)
    eve, ada = await service.create("eve"), await service.create("ada")
    by_parameter = {"method": "by_parameter", "parameters": {"session_id": eve}}
    batch = {"a": {"method": "who"}, "b": by_parameter, "c": {"method": "who"}}
    for headers, caller in (({"x-toto-session-id": ada}, "ada"), ({}, None)):
        response = await service.post(json={"batch": batch}, headers=headers)
        answer = await response.json()
        assert [answer["batch"][each]["result"] for each in "abc"] == [caller, "eve", caller]
        assert answer.get("session", {}).get("user_id") == caller


async def test_authenticated_with_parameter(serve: Serve) -> None:
    """The session's id is a parameter, which is hidden from the method, and the header does not count."""

    async def both(handler: Handler, parameters: Parameters) -> Any:
        assert handler.session is not None
        return [handler.session.user_id, parameters]

    service = await serve({"m": authenticated_with_parameter(both)})
    ada = await service.create("ada")
    assert await service.result("m", {"session_id": ada, "x": 1}) == ["ada", {"x": 1}]
    for wrong in ("unknown", 5, None, {"$gt": ""}, [ada]):
        assert (await service.call("m", {"session_id": wrong}, session=ada))["error"]["code"] == 1004
    assert (await service.call("m", {}, session=ada))["error"]["code"] == 1004


async def test_raw_response(serve: Serve) -> None:
    """The returned value is the body; errors keep the envelope; a batch refuses before the method runs."""
    ran = []

    @raw_response
    async def raw(handler: Handler, parameters: Parameters) -> Any:
        ran.append(1)
        if "type" in parameters:
            handler.response_type = parameters["type"]
        if "fail" in parameters:
            raise TotoException(2001, "x")
        return {"bytes": b"\x00", "text": "é", "none": None, "wrong": 5}[parameters["return"]]

    service = await serve({"raw": raw})
    response = await service.post("/raw", json={"return": "bytes"})
    assert (response.content_type, await response.read()) == ("application/octet-stream", b"\x00")
    response = await service.post("/raw", json={"return": "text", "type": "text/html; charset=utf-8"})
    assert (response.headers["Content-Type"], await response.text()) == ("text/html; charset=utf-8", "é")
    assert await (await service.post("/raw", json={"return": "none"})).read() == b""
    assert (await (await service.post("/raw", json={"return": "wrong"})).json())["error"]["code"] == 1000
    response = await service.post("/raw", json={"fail": 1})
    assert (response.content_type, (await response.json())["error"]["code"]) == ("application/json", 2001)
    ran.clear()
    batch = await (await service.post(json={"batch": {"a": {"method": "raw"}}})).json()
    assert batch["batch"]["a"]["error"]["code"] == 1003
    assert ran == []


async def test_jsonp(serve: Serve) -> None:
    """The result is sent as a script, by GET, with the callback checked and removed."""
    service = await serve({"m": jsonp(fresh(echo)), "named": jsonp("callback")(fresh(echo))})
    response = await service.client.get("/service/m?jsonp=a.b$_1&x=\u2028")
    assert (response.status, response.content_type) == (200, "application/javascript")
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert await response.text() == '/**/a.b$_1({"x":"\\u2028"})'
    response = await service.client.get("/service/named?callback=f")
    assert await response.text() == "/**/f({})"
    assert await (await service.client.get("/service/m?x=1")).json() == {"result": {"x": "1"}}
    for bad in ("alert(1)//", "1a", "a-b", "a" * 65, "é", ""):
        response = await service.client.get("/service/m", params={"jsonp": bad})
        assert (await response.json())["error"]["code"] == 1003, bad
    batch = await (
        await service.post(json={"batch": {"a": {"method": "m", "parameters": {"jsonp": "f"}}}})
    ).json()
    assert batch["batch"]["a"]["error"]["code"] == 1003


async def test_error_redirect(serve: Serve) -> None:
    """An error redirects by its code or status code, or by default; in a batch it stays an error."""

    class Teapot(Exception):
        status_code = 418

    def fail(handler: Handler, parameters: Parameters) -> Any:
        raise {"own": TotoException(2001, "x"), "status": Teapot(), "other": ValueError()}[parameters["kind"]]

    mapped = error_redirect({"2001": "/own", 418: "/teapot", 1004: "/login"})
    service = await serve(
        {
            "mapped": mapped(lambda handler, parameters: fail(handler, parameters)),
            "default": error_redirect({}, "/default")(lambda handler, parameters: fail(handler, parameters)),
            "guarded": authenticated(mapped(fresh(echo))),
        }
    )

    async def target(method: str, **parameters: Any) -> str | None:
        response = await service.client.post(f"/service/{method}", json=parameters, allow_redirects=False)
        return response.headers.get("Location") if response.status == 302 else None

    assert await target("mapped", kind="own") == "/own"
    assert await target("mapped", kind="status") == "/teapot"
    assert await target("mapped", kind="other") is None
    assert await target("default", kind="other") == "/default"
    assert await target("guarded") == "/login"
    entry = {"method": "mapped", "parameters": {"kind": "own"}}
    batch = await (await service.post(json={"batch": {"a": entry}})).json()
    assert batch["batch"]["a"]["error"]["code"] == 2001


@pytest.mark.parametrize("plain", [False, True], ids=["async", "thread"])
async def test_timeout(serve: Serve, plain: bool) -> None:
    """A method that takes too long is 1013 with status 504; a coroutine is cancelled."""
    ended: list[str] = []

    @timeout(0.05)
    async def slow(handler: Handler, parameters: Parameters) -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    @timeout(0.05)
    def slow_in_thread(handler: Handler, parameters: Parameters) -> None:
        handler.wait(asyncio.sleep(0.2))
        ended.append("finished")

    service = await serve({"slow": slow_in_thread if plain else slow})
    response = await service.post("/slow", json={})
    assert response.status == 504
    assert await response.json() == {"error": {"code": 1013, "value": "Timed out"}}
    if not plain:
        assert ended == ["cancelled"]


async def test_method_timeout(serve: Serve) -> None:
    """The setting limits every method; a method's own TimeoutError is not a time-out of the call."""

    async def slow(handler: Handler, parameters: Parameters) -> None:
        await asyncio.sleep(30)

    async def own(handler: Handler, parameters: Parameters) -> None:
        raise TimeoutError("of its own")

    @asynchronous
    @timeout(0.05)
    async def never(handler: Handler, parameters: Parameters) -> None:
        pass

    service = await serve({"slow": slow, "own": own, "never": never}, method_timeout=0.05)
    assert (await service.call("slow"))["error"]["code"] == 1013
    assert (await service.call("own"))["error"]["code"] == 1000
    assert (await service.call("never"))["error"]["code"] == 1013


async def test_hooks(serve: Serve) -> None:
    """before and after run around each call, also in a batch, with the transaction id and the name."""
    seen: list[tuple[str, str, str]] = []

    async def before(handler: Handler, transaction_id: str, method: str) -> None:
        seen.append(("before", transaction_id, method))

    def after(handler: Handler, transaction_id: str, method: str) -> None:
        seen.append(("after", transaction_id, method))
        raise ValueError("logged, and nothing else")

    async def fail(handler: Handler, parameters: Parameters) -> None:
        seen.append(("call", handler.transaction_id, "fail"))
        raise TotoException(2001, "x")

    service = await serve({"echo": echo, "fail": fail}, before_handler=before, after_handler=after)
    batch = {"batch": {"a": {"method": "fail"}, "b": {"method": "echo"}, "c": {"method": "nothing"}}}
    answer = (await (await service.post(json=batch)).json())["batch"]
    assert (answer["a"]["error"]["code"], "result" in answer["b"]) == (2001, True)
    assert [(when, method) for when, _, method in seen] == [
        ("before", "fail"),
        ("call", "fail"),
        ("after", "fail"),
        ("before", "echo"),
        ("after", "echo"),
    ]
    assert seen[0][1] == seen[1][1] == seen[2][1] != seen[3][1] == seen[4][1]


async def test_before_can_refuse(serve: Serve) -> None:
    """An exception raised by before is the call's error, and the method does not run."""

    def before(handler: Handler, transaction_id: str, method: str) -> None:
        raise TotoException(2001, "closed")

    service = await serve({"echo": echo}, before_handler=before)
    assert await service.call("echo") == {"error": {"code": 2001, "value": "closed"}}


async def test_wrapped_methods(serve: Serve) -> None:
    """A decorator written by the user keeps the rules, whether it is plain or not."""
    import functools

    def own(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(handler: Handler, parameters: Parameters) -> Any:
            return function(handler, {**parameters, "wrapped": True})

        return wrapper

    service = await serve({"m": own(requires("a")(fresh(echo)))})
    assert (await service.call("m"))["error"]["code"] == 1003
    assert await service.result("m", {"a": 1}) == {"a": 1, "wrapped": True}
