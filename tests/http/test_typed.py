"""Typed methods over every way in: the same parameters, problems, guards and errors."""

# ruff: noqa: B006, D103, E501
from __future__ import annotations

import datetime
import decimal
import json
import logging
from typing import Annotated, Any

import aiohttp
import bson
import msgpack
import pytest
from msgspec import Meta, Struct

from tests.support.service import ENCODINGS, Serve
from toto_aio import File, Handler, TotoException
from toto_aio.client import Client
from toto_aio.exceptions import InvalidParameters
from toto_aio.in_process import open_service
from toto_aio.invocation import (
    anonymous_session,
    asynchronous,
    authenticated,
    authenticated_with_parameter,
    error_redirect,
    jsonp,
    raw_response,
    safe,
)

SECRET = "s3cret"


class Part(Struct):
    """A part of a note."""

    a: int


@safe
async def add(
    title: str,
    tags: list[str] = [],
    limit: Annotated[int, Meta(ge=1)] = 10,
    done: bool = False,
    parts: list[Part] = [],
) -> list[Any]:
    return [title, tags, limit, done, [part.a for part in parts]]


@safe
def plain(handler: Handler, method: str = "", x: int = 0) -> list[Any]:
    assert handler.transaction_id
    return [method, x]


async def rich(due: datetime.datetime, price: decimal.Decimal, data: bytes = b"") -> list[Any]:
    assert due.tzinfo is not None
    return [due.timestamp(), str(price), len(data)]


async def upload(file: File, more: list[File] = [], data: bytes = b"", note: str = "") -> list[Any]:
    return [file.name, file.content_type, file.data.decode(), [each.name for each in more], len(data), note]


@authenticated
async def private(x: int) -> int:
    return x


@authenticated_with_parameter
async def shown(handler: Handler, x: int) -> list[Any]:
    assert handler.session is not None
    return [handler.session.user_id, x]


@anonymous_session
async def in_a_session(handler: Handler, x: int) -> int:
    assert handler.session is not None
    return x


@jsonp("back")
async def script(x: int) -> int:
    return x


@safe
@raw_response
async def raw(handler: Handler, x: int) -> str:
    handler.response_type = "text/plain"
    return "x" * x


@asynchronous
async def later(handler: Handler, x: int) -> None:
    handler.respond(x + 1)


@safe
@error_redirect({1003: "/wrong"})
async def redirected(x: int) -> int:
    return x


async def classic(handler: Handler, parameters: dict[str, Any]) -> Any:
    return parameters


METHODS: dict[str, Any] = {
    each.__name__: each
    for each in (
        *(add, plain, rich, upload, private, shown, in_a_session, script, raw, later, redirected, classic),
    )
}
WRONG = {"titel": SECRET, "limit": 0, "parts": [{"a": 1}, {"a": SECRET}]}
VALUE = (
    "title is missing; limit: expected a whole number of at least 1; parts[1].a: expected int, got str; "
    "titel is unknown, did you mean title?"
)
PROBLEMS = [
    {"path": "title", "kind": "missing", "expected": "str"},
    {"path": "limit", "kind": "value", "expected": "a whole number of at least 1"},
    {"path": "parts[1].a", "kind": "type", "expected": "int", "got": "str"},
    {"path": "titel", "kind": "unknown", "nearest": "title"},
]
ERROR = {"code": 1003, "value": VALUE, "problems": PROBLEMS}
RIGHT = {"title": "x", "tags": ["a,b"], "parts": [{"a": 5}]}
RESULT = ["x", ["a,b"], 10, False, [5]]


@pytest.mark.parametrize(("content_type", "encode", "decode"), ENCODINGS)
async def test_each_codec(serve: Serve, content_type: str, encode: Any, decode: Any) -> None:
    """At the root, below it and in a batch, plainly or under ``parameters``, a call is the same."""
    service = await serve(METHODS)
    headers = {"content-type": content_type}

    async def post(path: str, body: Any) -> Any:
        response = await service.post(path, data=encode(body), headers=headers)
        assert response.status == 200
        return decode(await response.read())

    body: dict[str, Any]
    for body in ({"parameters": RIGHT}, RIGHT):
        assert await post("/add", body) == {"result": RESULT}
        assert await post("", {"method": "add", **body}) == {"result": RESULT}
    for body in ({"parameters": WRONG}, WRONG):
        assert await post("/add", body) == {"error": ERROR}
        assert await post("", {"method": "add", **body}) == {"error": ERROR}
    entries = {
        "a": {"method": "add", "parameters": RIGHT},
        "b": {"method": "add", **RIGHT},
        "c": {"method": "add", "parameters": WRONG},
        "d": {"method": "add", **WRONG},
        "e": {"method": "classic", "x": 1},
    }
    assert await post("", {"batch": entries}) == {
        "batch": {
            "a": {"result": RESULT},
            "b": {"result": RESULT},
            "c": {"error": ERROR},
            "d": {"error": ERROR},
            "e": {"result": {"method": "classic", "x": 1}},
        }
    }
    # A parameter with the name ``method`` is one where something else has named the call.
    assert await post("/plain", {"method": "x", "x": 1}) == {"result": ["x", 1]}
    assert await post("", {"method": "plain", "parameters": {"method": "x"}}) == {"result": ["x", 0]}
    assert await post("", {"method": "plain", "x": 1}) == {"result": ["", 1]}
    assert await post("", {"method": "classic", "x": 1}) == {"result": {"method": "classic", "x": 1}}
    wrong: Any
    for wrong in (None, [], {}):  # nothing is what no parameters are, as ever
        answer = await post("/add", {"parameters": wrong})
        assert answer["error"]["code"] == 1003


async def test_dates_decimals_and_bytes(serve: Serve) -> None:
    """Each codec has its own: dates and bytes in BSON and MessagePack, text in JSON."""
    service = await serve(METHODS)
    due = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    result = [due.timestamp(), "1.10", 2]
    bodies: list[tuple[str, bytes]] = [
        ("json", json.dumps({"due": due.isoformat(), "price": "1.10", "data": "aGk="}).encode()),
        ("msgpack", msgpack.packb({"due": due, "price": "1.10", "data": b"hi"}, datetime=True)),
        ("bson", bson.encode({"due": due, "price": bson.Decimal128("1.10"), "data": b"hi"})),
    ]
    for name, body in bodies:
        headers = {"content-type": f"application/{name}"}
        response = await service.post("/rich", data=body, headers=headers)
        answer = msgpack.unpackb(await response.read()) if name == "msgpack" else None
        answer = bson.decode(await response.read()) if name == "bson" else answer or await response.json()
        assert answer == {"result": result}, name
    for price in (1.1, 1):
        answer = await service.call("rich", {"due": due.isoformat(), "price": price})
        assert answer["error"]["problems"][0]["path"] == "price"


async def test_get_and_forms(serve: Serve) -> None:
    """Text is read as the types say: by GET, and in a form with or without files."""
    service = await serve(METHODS)
    fields = [("title", "x"), ("tags", "a,b"), ("limit", ""), ("done", "on"), ("_", "17")]
    result = {"result": ["x", ["a,b"], 10, True, []]}
    get = await service.client.get("/service/add", params=fields)
    assert await get.json() == result
    assert await (await service.post("/add", data=dict(fields))).json() == result
    form = aiohttp.FormData(fields)
    form.add_field("tags", "c")
    assert await (await service.post("/add", data=form())).json() == {
        "result": ["x", ["a,b", "c"], 10, True, []]
    }
    multipart = aiohttp.FormData(fields, quote_fields=True, default_to_multipart=True)
    assert await (await service.post("/add", data=multipart)).json() == result

    wrong = [("title", "x"), ("title", "y"), ("limit", SECRET), ("parts", "{}"), ("titel", SECRET)]
    multipart = aiohttp.FormData(wrong, default_to_multipart=True)
    multipart.add_field("done", SECRET, filename=SECRET)
    for response in (
        await service.client.get("/service/add", params=wrong),
        await service.post("/add", data=aiohttp.FormData(wrong)()),
        await service.post("/add", data=multipart),
    ):
        text = await response.text()
        assert SECRET not in text
        error = json.loads(text)["error"]
        assert error["code"] == 1003
        found = {each["path"]: each["kind"] for each in error["problems"]}
        assert found.pop("done", "type") == "type"
        assert found == {"title": "type", "limit": "type", "parts[0]": "type", "titel": "unknown"}


async def test_files(serve: Serve) -> None:
    """A file goes to ``File`` or ``bytes``; fields and files are one set of names; JSON sends an object."""
    service = await serve(METHODS)
    form = aiohttp.FormData()
    form.add_field("file", b"hi", filename="a.txt", content_type="text/plain")
    form.add_field("more", b"", filename="b.txt")
    form.add_field("more", b"1", filename="c.txt")
    form.add_field("data", b"12345", filename="d.bin")
    form.add_field("note", "é")
    response = await service.post("/upload", data=form)
    result = ["a.txt", "text/plain", "hi", ["b.txt", "c.txt"], 5, "é"]
    assert await response.json() == {"result": result}

    file = {"name": "a.txt", "content_type": "text/plain", "data": "aGk="}
    sent = {"file": file, "more": [{"name": "b.txt"}, {"name": "c.txt"}], "data": "MTIzNDU=", "note": "é"}
    assert await service.result("upload", sent) == result

    form = aiohttp.FormData()
    form.add_field("file", "text")
    form.add_field("note", b"x", filename="note.txt")
    error = (await (await service.post("/upload", data=form)).json())["error"]
    assert error["value"] == "note: expected text, got file; file: expected file, got str"


async def test_guards_come_first(serve: Serve) -> None:
    """Who may not call a method learns nothing of its parameters; whose session is shown by one, may be in a form."""
    service = await serve(METHODS)
    assert (await service.call("private", {"x": SECRET}))["error"] == {
        "code": 1004,
        "value": "Not authorized",
    }
    session = await service.create()
    assert await service.result("private", {"x": 5}, session=session) == 5
    answer = await service.call("private", {"y": 5}, session=session)
    assert [each["path"] for each in answer["error"]["problems"]] == ["x", "y"]
    assert (await service.call("shown", {"x": 5}))["error"]["code"] == 1004
    assert await service.result("shown", {"x": 5, "session_id": session}) == ["ada", 5]
    for multipart in (False, True):
        form = aiohttp.FormData({"x": "5", "session_id": session}, default_to_multipart=multipart)
        answer = await (await service.post("/shown", data=form)).json()
        assert answer["result"] == ["ada", 5]
    assert (await service.call("in_a_session", {"x": 5}))["result"] == 5


async def test_other_decorators(serve: Serve) -> None:
    """JSONP, raw responses, later ones and redirects are as in classic methods, and so are their errors."""
    service = await serve(METHODS)
    get = service.client.get
    assert await (await get("/service/script?x=5&back=f&_=1")).text() == "/**/f(5)"
    assert (await (await get("/service/script?x=a&back=f")).json())["error"]["code"] == 1003
    assert await (await get("/service/raw?x=3")).text() == "xxx"
    assert (await (await get("/service/raw?x=a")).json())["error"]["problems"][0]["path"] == "x"
    assert await service.result("later", {"x": 1}) == 2
    response = await get("/service/redirected?x=a", allow_redirects=False)
    assert (response.status, response.headers["location"]) == (302, "/wrong")
    assert (await get("/service/private?x=5")).status == 405


async def test_frames(serve: Serve) -> None:
    """A frame of a WebSocket has the same parameters and problems, in JSON and in MessagePack."""
    service = await serve(METHODS, use_web_sockets=True)
    async with service.client.ws_connect("/service/websocket") as socket:
        await socket.send_json({"id": 1, "method": "add", "parameters": RIGHT})
        assert await socket.receive_json() == {"id": 1, "result": RESULT}
        await socket.send_json({"id": 2, "method": "add", "parameters": WRONG})
        assert await socket.receive_json() == {"id": 2, "error": ERROR}
        await socket.send_json({"id": 3, "method": "plain"})
        assert await socket.receive_json() == {"id": 3, "result": ["", 0]}
        sent = {"due": datetime.datetime.now(datetime.UTC), "price": "1", "data": "aGk="}
        await socket.send_bytes(msgpack.packb({"id": 4, "method": "rich", "parameters": sent}, datetime=True))
        answer = msgpack.unpackb((await socket.receive()).data)
        assert answer["error"]["value"] == "data: expected bytes, got str"


async def test_the_client_and_in_process(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """The Python client and calls in process get the problems too; the log has no name or value of a client."""
    caplog.set_level(logging.INFO, "toto_aio")
    service = await serve(METHODS)
    async with Client(str(service.client.make_url("/service"))) as client:
        with pytest.raises(InvalidParameters) as error:
            await client.call("add", WRONG)
        assert (error.value.value, error.value.problems) == (VALUE, PROBLEMS)
        answers = await client.batch({"a": {"method": "add", "parameters": WRONG}})
        assert answers["a"].problems == PROBLEMS
    async with open_service(method_module=METHODS, database="memory://") as opened:
        assert await opened.call("add", RIGHT) == RESULT
        assert await opened.call("add", {"title": "x", "parts": [Part(5)]}) == ["x", [], 10, False, [5]]
        with pytest.raises(InvalidParameters) as error:
            await opened.call("add", WRONG)
        assert error.value.problems == PROBLEMS
        with pytest.raises(TotoException):
            await opened.call("private", {"x": 5})
    assert SECRET not in caplog.text
    assert "titel" not in caplog.text
    assert "call failed: add with 1003" in caplog.text


async def test_large_bodies(serve: Serve) -> None:
    """They are decoded in steps, and converted; a wrong one is refused as others are."""
    service = await serve(METHODS)
    parts = [{"a": number} for number in range(20_000)]
    assert await service.result("add", {"title": "x", "parts": parts}) == [
        "x",
        [],
        10,
        False,
        [*range(20_000)],
    ]
    parts[3]["a"] = SECRET  # type: ignore[assignment]
    answer = await service.call("add", {"title": "x", "parts": parts})
    assert answer["error"]["value"] == "parts[3].a: expected int, got str"
