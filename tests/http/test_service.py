"""Calls over HTTP, from the point of view of a client."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from redis.exceptions import ResponseError

from tests.support.service import ENCODINGS, Serve
from toto_aio.exceptions import TimedOut, TotoException, Unavailable
from toto_aio.invocation import anonymous_session, authenticated, idempotent, safe

JSON = "application/json"


async def echo(handler: Any, parameters: dict[str, Any]) -> Any:
    """Return the parameters."""
    return parameters


METHODS = {"echo": echo, "a.b.c": echo, "read": safe(lambda handler, parameters: parameters)}


@pytest.mark.parametrize("path", ["", "/"])
async def test_post_to_the_root(serve: Serve, path: str) -> None:
    """A call names its method in the body; a trailing slash makes no difference."""
    service = await serve(METHODS)
    response = await service.post(path, json={"method": "echo", "parameters": {"a": 1}})
    assert (response.status, response.content_type) == (200, JSON)
    assert await response.json() == {"result": {"a": 1}}


@pytest.mark.parametrize("path", ["/a/b/c", "/a.b.c", "/a/b.c", "/a/b/c/"])
@pytest.mark.parametrize("body", [{"parameters": {"x": 1}}, {"x": 1}], ids=["envelope", "plain"])
async def test_post_by_url(serve: Serve, path: str, body: Any) -> None:
    """The URL names the method, and the body may be the parameters."""
    service = await serve(METHODS)
    assert await (await service.post(path, json=body)).json() == {"result": {"x": 1}}


async def test_no_body_means_no_parameters(serve: Serve) -> None:
    """A POST without a body calls the method of the URL, and no method at the root."""
    service = await serve(METHODS)
    assert await (await service.post("/echo")).json() == {"result": {}}
    response = await service.post()
    assert response.status == 200
    assert await response.json() == {"error": {"code": 1002, "value": "Missing method."}}


async def test_the_whole_body_is_the_parameters(serve: Serve) -> None:
    """Without the key parameters a method gets the whole body, including its own name, as in Toto."""
    service = await serve(METHODS)
    assert await (await service.post(json={"method": "echo"})).json() == {"result": {"method": "echo"}}
    assert await service.result("echo", None) == {}


@pytest.mark.parametrize(
    ("select", "by_url", "by_parameter"),
    [("both", True, True), ("url", True, False), ("parameter", False, True)],
)
async def test_method_select(serve: Serve, select: str, by_url: bool, by_parameter: bool) -> None:
    """method_select determines where a call may name its method."""
    service = await serve(METHODS, method_select=select)
    missing = {"error": {"code": 1002, "value": "Missing method."}}
    url = await (await service.post("/echo", json={"parameters": {"x": 1}})).json()
    assert url == ({"result": {"x": 1}} if by_url else missing)
    parameter = await (await service.post(json={"method": "echo", "parameters": {"x": 1}})).json()
    assert parameter == ({"result": {"x": 1}} if by_parameter else missing)


async def test_the_url_comes_before_the_body(serve: Serve) -> None:
    """When both name a method the URL counts, as in Toto."""
    service = await serve(METHODS)
    response = await service.post("/echo", json={"method": "nothing", "parameters": {"x": 1}})
    assert await response.json() == {"result": {"x": 1}}


async def test_get(serve: Serve) -> None:
    """GET gives strings, and a list for a repeated parameter."""
    service = await serve(METHODS)
    response = await service.client.get("/service/read?x=1&y=2&y=3&z=")
    assert await response.json() == {"result": {"x": "1", "y": ["2", "3"], "z": ""}}


async def test_head(serve: Serve) -> None:
    """HEAD has the headers of a GET and no body."""
    service = await serve(METHODS)
    response = await service.client.head("/service/read?x=1")
    assert (response.status, response.headers["Content-Length"]) == (200, str(len('{"result":{"x":"1"}}')))
    assert await response.read() == b""


async def test_get_reaches_safe_methods_only(serve: Serve) -> None:
    """GET of a method that is not marked safe is 405 and 1001."""
    service = await serve(METHODS)
    response = await service.client.get("/service/echo")
    assert (response.status, response.headers["Allow"]) == (405, "POST, OPTIONS")
    value = "Cannot call 'echo' by GET: call it by POST, or mark it @safe."
    assert (await response.json())["error"] == {"code": 1001, "value": value}
    assert (await service.client.head("/service/echo")).status == 405


async def test_get_methods_all(serve: Serve) -> None:
    """get_methods=all is Toto's behaviour, except for the built-in account methods."""
    service = await serve(METHODS, get_methods="all")
    assert await (await service.client.get("/service/echo?x=1")).json() == {"result": {"x": "1"}}
    response = await service.client.get("/service/account/login?user_id=a&password=b")
    assert response.status == 405
    response = await service.client.get("/service/client_error?client_error=a&client_type=b")
    assert await response.json() == {"result": {"logged": False}}


async def test_options(serve: Serve) -> None:
    """OPTIONS states what is allowed, everywhere below the root: by GET only what GET can call."""
    for setting, echo_allows in (("safe", "POST, OPTIONS"), ("all", "GET, HEAD, OPTIONS, POST")):
        service = await serve(METHODS, get_methods=setting)
        for path, allows in (("", None), ("/nothing", None), ("/read", None), ("/a/b/c", echo_allows)):
            response = await service.client.options(f"/service{path}")
            expected = (204, allows or "GET, HEAD, OPTIONS, POST")
            assert (response.status, response.headers["Allow"]) == expected, (setting, path)


@pytest.mark.parametrize("verb", ["PUT", "DELETE", "PATCH"])
async def test_other_verbs(serve: Serve, verb: str) -> None:
    """Any other HTTP method gets 405 and the envelope."""
    service = await serve(METHODS)
    response = await service.client.request(verb, "/service/echo")
    assert (response.status, (await response.json())["error"]["code"]) == (405, 1003)
    assert response.headers["Allow"] == "POST, OPTIONS"
    response = await service.client.request(verb, "/service/read")
    assert response.headers["Allow"] == "GET, HEAD, OPTIONS, POST"


@pytest.mark.parametrize("root", ["/", "", "/api/v1", "api/v1/"])
async def test_root(serve: Serve, root: str) -> None:
    """The service is where root says, even at the very top."""
    service = await serve(METHODS, root=root)
    service.root = "/" + root.strip("/")
    assert await (await service.post(json={"method": "echo", "parameters": {"x": 1}})).json() == {
        "result": {"x": 1}
    }
    url = f"{service.root.rstrip('/')}/echo"
    assert await (await service.client.post(url, json={"x": 1})).json() == {"result": {"x": 1}}


BINARY = {"data": bytes(range(256)), "n": 1, "text": "ü"}
BINARY_ENCODINGS = ENCODINGS[1:]


@pytest.mark.parametrize(("content_type", "encode", "decode"), BINARY_ENCODINGS)
async def test_binary_encodings(
    serve: Serve, content_type: str, encode: Callable[[Any], bytes], decode: Callable[[bytes], Any]
) -> None:
    """BSON and MessagePack are answered in kind, with binary values intact."""
    service = await serve(METHODS)
    body = encode({"method": "echo", "parameters": BINARY})
    response = await service.post(data=body, headers={"content-type": content_type})
    assert response.content_type == content_type
    assert decode(await response.read()) == {"result": BINARY}


@pytest.mark.parametrize(("content_type", "encode", "decode"), BINARY_ENCODINGS)
async def test_errors_come_in_kind(
    serve: Serve, content_type: str, encode: Callable[[Any], bytes], decode: Callable[[bytes], Any]
) -> None:
    """An error of a call or of the body is encoded as the request was."""
    service = await serve(METHODS)
    headers = {"content-type": content_type}
    response = await service.post(data=encode({"method": "nothing"}), headers=headers)
    assert decode(await response.read()) == {"error": {"code": 1001, "value": "Cannot call 'nothing'."}}
    response = await service.post(data=b"\xff\xff", headers=headers)
    assert response.status == 400
    assert decode(await response.read())["error"]["code"] == 1003


@pytest.mark.parametrize(("content_type", "encode", "decode"), BINARY_ENCODINGS)
async def test_encodings_can_be_turned_off(
    serve: Serve, content_type: str, encode: Callable[[Any], bytes], decode: Callable[[bytes], Any]
) -> None:
    """An encoding that is turned off is 415, in JSON."""
    service = await serve(METHODS, bson_enabled=False, msgpack_enabled=False)
    response = await service.post(data=encode({"method": "echo"}), headers={"content-type": content_type})
    assert (response.status, response.content_type) == (415, JSON)
    assert (await response.json())["error"]["code"] == 1003


@pytest.mark.parametrize(
    "content_type", [None, JSON, "application/json; charset=utf-8", "Application/JSON;x=y"]
)
async def test_json_content_types(serve: Serve, content_type: str | None) -> None:
    """A charset is accepted, case does not matter, and no content type means JSON."""
    service = await serve(METHODS)
    response = await service.client.post(
        "/service",
        data=b'{"method": "echo", "parameters": {"x": "\xc3\xa9"}}',
        headers={} if content_type is None else {"content-type": content_type},
        skip_auto_headers=["content-type"],
    )
    assert await response.text() == '{"result":{"x":"\\u00e9"}}'


async def test_an_unknown_content_type(serve: Serve) -> None:
    """Any other content type is 415, and the error names it."""
    service = await serve(METHODS)
    response = await service.post(data=b"<x/>", headers={"content-type": "text/xml"})
    assert response.status == 415
    assert (await response.json())["error"] == {
        "code": 1003,
        "value": "Cannot read 'text/xml': write application/json or application/x-www-form-urlencoded or "
        "multipart/form-data.",
    }


@pytest.mark.parametrize(
    "name",
    [
        "nothing",
        "__class__",
        "account",
        "a..b",
        "a.b",
        ".a.b.c",
        "account.create.invoke",
        "echo.__doc__",
        "échö",
    ],
)
async def test_names_that_are_not_methods(serve: Serve, name: str) -> None:
    """A name that is not a method is just 1001, by body and by URL."""
    service = await serve(METHODS)
    expected = {"error": {"code": 1001, "value": f"Cannot call '{name}'."}}
    assert await service.call(name) == expected
    assert await (await service.post(f"/{name}", json={})).json() == expected


@pytest.mark.parametrize("name", [5, True, ["echo"], {"a": 1}, 1.5])
async def test_names_of_other_types(serve: Serve, name: Any) -> None:
    """A name that is not a string is not a method."""
    service = await serve(METHODS)
    response = await service.post(json={"method": name, "parameters": {}})
    assert (await response.json())["error"]["code"] == 1001


@pytest.mark.parametrize("parameters", [[1], "x", 5, True])
async def test_parameters_of_other_types(serve: Serve, parameters: Any) -> None:
    """Parameters are an object; null means an empty one."""
    service = await serve(METHODS)
    answer = await service.call("echo", parameters)
    assert answer == {"error": {"code": 1003, "value": "Parameters must be an object."}}
    response = await service.post(json={"method": "echo", "parameters": None})
    assert await response.json() == {"result": {}}


@pytest.mark.parametrize("body", ["[1]", '"x"', "5", "null"])
async def test_bodies_of_other_types(serve: Serve, body: str) -> None:
    """A body that is not an object never becomes a call."""
    service = await serve(METHODS)
    response = await service.post(data=body, headers={"content-type": JSON})
    assert response.status == 400
    assert (await response.json())["error"] == {"code": 1003, "value": "The body must be an object."}


async def fail(handler: Any, parameters: dict[str, Any]) -> Any:
    """Fail as the parameters say."""
    kinds: dict[str, Exception] = {
        "own": TotoException(2001, {"why": "because"}),
        "unavailable": Unavailable(),
        "late": TimedOut(),
        "bug": ZeroDivisionError("secret"),
        "unsendable": TotoException(2002, object()),
    }
    raise kinds[parameters["kind"]]


@pytest.mark.parametrize(
    ("kind", "status", "code", "value"),
    [
        ("own", 200, 2001, {"why": "because"}),
        ("unavailable", 503, 1011, "Service unavailable"),
        ("late", 504, 1013, "Timed out"),
    ],
)
async def test_codes_and_statuses(serve: Serve, kind: str, status: int, code: int, value: Any) -> None:
    """The error of a call comes with status 200, except for those in the table."""
    service = await serve({"fail": fail})
    response = await service.post("/fail", json={"kind": kind})
    assert response.status == status
    assert await response.json() == {"error": {"code": code, "value": value}}
    batch = await service.post(json={"batch": {"a": {"method": "fail", "parameters": {"kind": kind}}}})
    assert batch.status == 200
    assert (await batch.json())["batch"]["a"]["error"]["code"] == code


async def test_the_cause_of_an_outage_is_logged(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """The client learns that a database is out of reach, and the log gives the reason."""

    async def read(handler: Any, parameters: dict[str, Any]) -> Any:
        raise Unavailable from OSError("disk on fire")

    service = await serve({"read": read})
    assert (await service.call("read"))["error"] == {"code": 1011, "value": "Service unavailable"}
    assert "disk on fire" in caplog.text
    assert "call failed: read with 1011" in caplog.text


async def test_the_cause_of_an_outage_of_redis(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """The log also gives the reason of a driver whose errors do not show their text."""

    async def write(handler: Any, parameters: dict[str, Any]) -> Any:
        raise Unavailable from ResponseError("OOM command not allowed")

    service = await serve({"write": write})
    assert (await service.call("write"))["error"]["code"] == 1011
    assert "ResponseError('OOM command not allowed')" in caplog.text


@pytest.mark.parametrize("kind", ["bug", "unsendable"])
async def test_an_unexpected_exception(serve: Serve, kind: str, errors: Callable[[], list[str]]) -> None:
    """It is 1000 with an id, under which the log has it in full; its text is not sent to the client."""
    service = await serve({"fail": fail})
    error = (await service.call("fail", {"kind": kind}))["error"]
    assert error["code"] == 1000
    text, _, number = error["value"].rpartition(" ")
    assert (text, len(number)) == ("Internal error", 16)
    assert any(number in message and "failed: fail with 1000" in message for message in errors())
    assert await service.call("fail", {"kind": "own"})


async def test_debug_tells_the_text(serve: Serve) -> None:
    """With debug, the client receives the exception's own text."""
    service = await serve({"fail": fail}, debug=True)
    error = (await service.call("fail", {"kind": "bug"}))["error"]
    assert error["value"].endswith(": ZeroDivisionError: secret")


async def test_a_result_that_cannot_be_sent(serve: Serve, errors: Callable[[], list[str]]) -> None:
    """It is an internal error of its call, and affects no other call in a batch."""

    async def unsendable(handler: Any, parameters: dict[str, Any]) -> Any:
        return {"x": object()}

    service = await serve({"unsendable": unsendable, "echo": echo})
    assert (await service.call("unsendable"))["error"]["code"] == 1000
    entries = {"1": {"method": "unsendable"}, "2": {"method": "echo", "parameters": {"x": 1}}}
    answer = await (await service.post(json={"batch": entries})).json()
    assert answer["batch"]["1"]["error"]["code"] == 1000
    assert answer["batch"]["2"] == {"result": {"x": 1}}
    assert len(errors()) == 2


async def test_aiohttp_exceptions_are_responses(serve: Serve) -> None:
    """A method may respond with aiohttp's exceptions, but not in a batch."""

    async def teapot(handler: Any, parameters: dict[str, Any]) -> Any:
        raise web.HTTPFound("/elsewhere")

    service = await serve({"teapot": teapot})
    response = await service.client.post("/service/teapot", allow_redirects=False)
    assert (response.status, response.headers["Location"]) == (302, "/elsewhere")
    answer = await (await service.post(json={"batch": {"a": {"method": "teapot"}}})).json()
    assert answer["batch"]["a"]["error"]["code"] == 1003


@authenticated
async def count(handler: Any, parameters: dict[str, Any]) -> Any:
    """Count the calls of a session."""

    def add(state: dict[str, Any]) -> int:
        state["n"] = state.get("n", 0) + 1
        return int(state["n"])

    return await handler.session.update(add)


async def test_batch(serve: Serve) -> None:
    """A batch shares its session: a login serves the calls after it, and an error affects only its call."""
    service = await serve({"count": count, "echo": echo})
    await service.create("ada")
    login = {"method": "account.login", "parameters": {"user_id": "ada", "password": "correct horse"}}
    entries = {
        "d": {"method": "count"},
        "b": login,
        "c": {"method": "count"},
        "a": {"method": "count"},
        "e": {},
    }
    response = await service.post(json={"batch": entries})
    answer = await response.json()
    assert response.status == 200
    assert list(answer["batch"]) == ["a", "b", "c", "d", "e"]
    assert answer["batch"]["a"]["error"]["code"] == 1004
    assert [answer["batch"][call_id]["result"] for call_id in "cd"] == [1, 2]
    assert answer["batch"]["e"]["error"]["code"] == 1002
    assert answer["session"]["session_id"] == answer["batch"]["b"]["result"]["session_id"]


async def test_batch_entries_that_are_no_calls(serve: Serve) -> None:
    """An entry that is not an object is an error of that entry; a batch that is not one is a 400."""
    service = await serve(METHODS)
    answer = await (await service.post(json={"batch": {"a": 5, "b": {"method": "echo"}}})).json()
    assert answer["batch"]["a"]["error"]["code"] == 1003
    assert "result" in answer["batch"]["b"]
    bad: list[Any] = [[], 5, None]
    for batch in bad:
        assert (await service.post(json={"batch": batch})).status == 400
    assert await (await service.post(json={"batch": {}})).json() == {"batch": {}}


async def test_batch_limit(serve: Serve) -> None:
    """Fifty calls are accepted; with one more the whole batch is refused."""
    service = await serve(METHODS)
    entries = {str(n): {"method": "echo", "parameters": {"n": n}} for n in range(50)}
    answer = await (await service.post(json={"batch": entries})).json()
    assert answer["batch"]["49"] == {"result": {"n": 49}}
    response = await service.post(json={"batch": {**entries, "50": {"method": "echo"}}})
    assert (response.status, (await response.json())["error"]["code"]) == (400, 1003)


async def test_batch_in_every_encoding(serve: Serve) -> None:
    """A batch is answered in kind."""
    service = await serve(METHODS)
    batch: dict[str, Any] = {"batch": {"a": {"method": "echo", "parameters": BINARY}}}
    for content_type, encode, decode in (parameters.values for parameters in BINARY_ENCODINGS):
        response = await service.post(data=encode(batch), headers={"content-type": content_type})
        assert decode(await response.read()) == {"batch": {"a": {"result": BINARY}}}


async def test_batch_concurrency(serve: Serve) -> None:
    """With batch_concurrency calls run concurrently, and still share one session."""
    import asyncio

    running = 0
    most = 0

    @anonymous_session
    async def busy(handler: Any, parameters: dict[str, Any]) -> Any:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await together.wait()  # for two others, without whom it would wait for ever
        await asyncio.sleep(0.02)
        running -= 1
        return handler.session.session_id

    together = asyncio.Barrier(3)
    service = await serve({"busy": busy}, batch_concurrency=3)
    entries = {str(n): {"method": "busy"} for n in range(9)}
    answer = await (await service.post(json={"batch": entries})).json()
    assert most == 3
    assert answer["batch"].keys() == entries.keys()
    assert len({entry["result"] for entry in answer["batch"].values()}) == 1


async def test_calls_of_a_batch_that_log_in_and_out(serve: Serve) -> None:
    """A call in progress keeps the session that it was admitted with, in JSON-RPC too; so does its key."""
    import asyncio

    gone_on = asyncio.Event()

    @authenticated
    @idempotent
    async def slow(handler: Any, parameters: dict[str, Any]) -> Any:
        before = handler.session.user_id
        await gone_on.wait()
        return [before, handler.session.user_id]

    async def go_on(handler: Any, parameters: dict[str, Any]) -> None:
        gone_on.set()

    service = await serve({"slow": slow, "go_on": go_on}, batch_concurrency=2)
    ada, _ = [await service.create(user_id) for user_id in ("ada", "eve")]
    others = {
        "account.login": {"user_id": "eve", "password": "correct horse"},
        "account.logout": {},
    }
    for key, (method, parameters) in enumerate(others.items()):
        for path in ("", "/rpc"):
            gone_on.clear()
            keyed = {"idempotency_key": f"{key}{path}"}
            calls = [("slow", {}), (method, parameters), ("go_on", {})]
            batch = {str(n): {"method": name, "parameters": given} for n, (name, given) in enumerate(calls)}
            rpc = [
                {"jsonrpc": "2.0", "id": n, "method": name, "params": given}
                for n, (name, given) in enumerate(calls)
            ]
            first = rpc[0] if path else batch["0"]
            first |= keyed
            response = await service.post(
                path, json=rpc if path else {"batch": batch}, headers={"x-toto-session-id": ada}
            )
            answer = await response.json()
            assert (answer[0] if path else answer["batch"]["0"])["result"] == ["ada", "ada"], (method, path)
            if method == "account.logout":
                login = {"user_id": "ada", "password": "correct horse"}
                ada = (await service.result("account.login", login))["session_id"]
            again = await service.post(
                json={"batch": {"a": {"method": "slow", "parameters": {}, **keyed}}},
                headers={"x-toto-session-id": ada},
            )
            assert (await again.json())["batch"]["a"]["idempotent_replayed"], (method, path)


async def test_a_call_that_awaits_what_was_cancelled(serve: Serve, errors: Callable[[], list[str]]) -> None:
    """The call itself was not cancelled: it gets an error, and other calls in a batch do not."""
    import asyncio

    async def gives_up(handler: Any, parameters: dict[str, Any]) -> None:
        task = asyncio.ensure_future(asyncio.sleep(5))
        asyncio.get_running_loop().call_soon(task.cancel)
        await task

    for concurrency in (1, 2):
        service = await serve({"echo": echo, "gives_up": gives_up}, batch_concurrency=concurrency)
        answer = await (await service.post(json={"method": "gives_up"})).json()
        assert answer["error"]["code"] == 1000
        entries: dict[str, Any] = {
            str(n): {"method": "gives_up" if n in (1, 2) else "echo", "parameters": {}} for n in range(6)
        }
        answers = (await (await service.post(json={"batch": entries})).json())["batch"]
        assert [answers[str(n)].get("error", {}).get("code") for n in range(6)] == [
            None,
            1000,
            1000,
            *[None] * 3,
        ]
        assert [answers[str(n)] for n in (0, 3, 4, 5)] == [{"result": {}}] * 4
    assert len(errors()) == 6


async def test_a_parameter_named_batch(serve: Serve) -> None:
    """Below the root, batch is a parameter like any other."""
    service = await serve(METHODS)
    assert await (await service.post("/echo", json={"batch": {}})).json() == {"result": {"batch": {}}}


async def test_duplicated_headers(serve: Serve) -> None:
    """A header that identifies the caller must not be repeated."""
    service = await serve(METHODS)
    for name in ("x-toto-session-id", "x-toto-hmac"):
        response = await service.client.post("/service/echo", json={}, headers=[(name, "a"), (name, "b")])
        assert response.status == 400
        assert (await response.json())["error"]["value"] == f"The header {name} is repeated."
        response = await service.client.get("/service/read", headers=[(name, "a"), (name, "b")])
        assert response.status == 400


async def test_a_body_in_pieces(serve: Serve) -> None:
    """A body without a length is read to its end."""
    service = await serve(METHODS)

    async def pieces() -> Any:
        for piece in (b'{"method":"echo",', b'"parameters":', b'{"x":1}}'):
            yield piece

    response = await service.post(data=pieces(), headers={"content-type": JSON})
    assert await response.json() == {"result": {"x": 1}}


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
async def test_the_limit_of_a_body(serve: Serve, chunked: bool) -> None:
    """A body of the maximum size is served, a byte more is 413, and the next request is served."""
    service = await serve(METHODS, max_body_size=1000)

    async def pieces(body: bytes) -> Any:
        for start in range(0, len(body), 100):
            yield body[start : start + 100]

    for size, status in ((1000, 200), (1001, 413), (50_000, 413), (1000, 200)):
        body = json.dumps({"method": "echo", "parameters": {"x": ""}}).encode()
        body = body.replace(b'""', b'"' + b"x" * (size - len(body)) + b'"')
        assert len(body) == size
        data = pieces(body) if chunked else body
        response = await service.post(data=data, headers={"content-type": JSON})
        assert response.status == status
        assert ("error" in await response.json()) == (status == 413)
