"""What Toto's methods find under Toto's names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.support.service import ENCODINGS, Serve
from toto_aio import TotoException, create_app
from toto_aio.client import Client
from toto_aio.invocation import anonymous_session, authenticated, optionally_authenticated, safe
from toto_aio.testing import calling

Parameters = dict[str, Any]


@safe
async def body(handler: Any, parameters: Parameters) -> Any:
    """The bytes of the body, as text."""
    return handler.body.decode("latin-1")


@pytest.mark.parametrize(("content_type", "encode", "decode"), ENCODINGS)
async def test_the_body(serve: Serve, content_type: str, encode: Any, decode: Any) -> None:
    """It is what the client has sent, in every encoding."""
    service = await serve({"body": body})
    sent = encode({"parameters": {"a": 1}})
    response = await service.post("/body", data=sent, headers={"content-type": content_type})
    assert decode(await response.read())["result"] == sent.decode("latin-1")


async def test_the_body_of_other_ways_in(serve: Serve) -> None:
    """Of a form, of a form with files, of a batch, of a frame; empty by GET, and in process."""
    service = await serve({"body": body}, use_web_sockets=True)

    async def said(response: aiohttp.ClientResponse) -> Any:
        return (await response.json())["result"]

    assert await said(await service.post("/body", data={"a": "b c"})) == "a=b+c"
    with aiohttp.MultipartWriter("form-data", boundary="xyz") as form:
        form.append("text").set_content_disposition("form-data", name="a")
    sent = await said(await service.post("/body", data=form))
    assert sent.startswith("--xyz\r\n")
    assert sent.endswith("--xyz--\r\n")
    assert await said(await service.client.get("/service/body?a=b")) == ""
    batch = json.dumps({"batch": {"a": {"method": "body"}, "b": {"method": "body"}}})
    headers = {"content-type": "application/json"}
    entries = (await (await service.post(data=batch, headers=headers)).json())["batch"]
    assert entries == {"a": {"result": batch}, "b": {"result": batch}}
    async with service.client.ws_connect("/service/websocket") as socket:
        frame = '{"id": 1, "method": "body"}'
        await socket.send_str(frame)
        assert (await socket.receive_json())["result"] == frame
    async with calling() as call:
        assert await call(body) == ""


async def test_the_bodies_of_two_requests(serve: Serve) -> None:
    """One connection, the same head: each call has its own."""
    service = await serve({"body": body})
    for text in ("a", "b", "c"):
        sent = json.dumps({"method": "body", "parameters": text})
        assert await service.result("body", {"text": text}) == json.dumps(
            {"method": "body", "parameters": {"text": text}}
        ), sent


async def test_names_of_the_connection(serve: Serve, tmp_path: Path) -> None:
    """``db_connection`` and ``db``."""

    async def names(handler: Any, parameters: Parameters) -> Any:
        assert handler.db_connection is handler.connection
        return handler.db is not None and handler.db is handler.connection.db

    service = await serve({"names": names}, database=f"sqlite:///{tmp_path}/x.db")
    assert await service.result("names") is True


@pytest.mark.parametrize("names", [("db_connection", "application"), ("application",), ("connection",), ()])
async def test_arguments_of_the_startup_function(names: tuple[str, ...]) -> None:
    """It gets those that it has parameters for: Toto's, or ours; all of them with ``**kwargs``."""
    seen: dict[str, Any] = {}
    source = f"def start({', '.join(names)}): seen.update(locals())"
    given: dict[str, Any] = {"seen": seen}
    exec(source, given)  # noqa: S102
    await started(given["start"])
    assert sorted(seen) == sorted(names)
    if "application" in seen:
        assert isinstance(seen["application"], web.Application)
    connection = seen.get("connection") or seen.get("db_connection")
    assert connection is None or connection.accounts is not None

    await started(lambda **kwargs: seen.update(kwargs))
    assert {"connection", "db_connection", "application"} <= seen.keys()


async def started(function: Any) -> None:
    """Start a service with a startup function, and end it."""
    runner = web.AppRunner(
        create_app(method_module={"body": body}, database="memory://", startup_function=function)
    )
    await runner.setup()
    await runner.cleanup()


def test_codes_and_exceptions_from_invocation() -> None:
    """``from toto_aio.invocation import *`` gives what Toto's gave."""
    names: dict[str, Any] = {}
    exec("from toto_aio.invocation import *", names)  # noqa: S102
    assert names["TotoException"] is TotoException
    codes = {name: value for name, value in names.items() if name.startswith("ERROR_")}
    assert codes == {
        "ERROR_SERVER": 1000,
        "ERROR_INVALID_METHOD": 1001,
        "ERROR_MISSING_METHOD": 1002,
        "ERROR_MISSING_PARAMS": 1003,
        "ERROR_NOT_AUTHORIZED": 1004,
        "ERROR_USER_NOT_FOUND": 1005,
        "ERROR_USER_ID_EXISTS": 1006,
        "ERROR_INVALID_SESSION_ID": 1007,
        "ERROR_INVALID_HMAC": 1008,
        "ERROR_INVALID_RESPONSE_HMAC": 1009,
        "ERROR_INVALID_USER_ID": 1010,
    }


DETAILED = {"code": 2001, "value": "too long", "field": "title", "most": [1, 2]}


async def test_further_keys_of_an_error(serve: Serve) -> None:
    """All keys of an error's dict reach the client: alone, in a batch, in a frame, and Python's client."""

    async def responded(handler: Any, parameters: Parameters) -> None:
        handler.respond(error=dict(DETAILED))

    async def raised(handler: Any, parameters: Parameters) -> None:
        details = {"field": "title", "most": [1, 2], "code": 1, "value": 2}
        raise TotoException(2001, "too long", details=details)

    async def without_code(handler: Any, parameters: Parameters) -> None:
        handler.respond(error={"field": "title"})

    async def unsendable(handler: Any, parameters: Parameters) -> None:
        handler.respond(error={**DETAILED, "x": object()})

    methods = {"responded": responded, "raised": raised, "odd": without_code, "unsendable": unsendable}
    service = await serve(methods, use_web_sockets=True)
    for name in ("responded", "raised"):
        assert (await service.call(name))["error"] == DETAILED
        batch = await (await service.post(json={"batch": {"a": {"method": name}}})).json()
        assert batch["batch"]["a"]["error"] == DETAILED
        async with service.client.ws_connect("/service/websocket") as socket:
            await socket.send_json({"id": 1, "method": name})
            assert (await socket.receive_json())["error"] == DETAILED
        async with Client(str(service.client.make_url("/service"))) as client:
            with pytest.raises(TotoException) as caught:
                await client.call(name)
            assert caught.value.as_dict() == DETAILED
    assert (await service.call("odd"))["error"] == {"code": 1000, "value": None, "field": "title"}
    assert (await service.call("unsendable"))["error"]["code"] == 1000


async def test_delete_what_a_session_lacks(serve: Serve) -> None:
    """Nothing happens, as in Toto; what it has is removed."""

    @anonymous_session
    async def forget(handler: Any, parameters: Parameters) -> Any:
        del handler.session["missing"]
        handler.session["x"] = 1
        await handler.session.save()
        del handler.session["x"]
        await handler.session.save()
        await handler.session.refresh()
        return "x" in handler.session

    service = await serve({"forget": forget})
    assert await service.result("forget") is False


@pytest.mark.parametrize(
    ("name", "hint"), [("finish", "handler.respond"), ("write", "finish=False"), ("get_argument", "param")]
)
async def test_names_of_tornado(serve: Serve, errors: Any, name: str, hint: str) -> None:
    """What Toto's handlers had from Tornado is no silent success: the error says what to write."""

    async def old(handler: Any, parameters: Parameters) -> None:
        getattr(handler, name)()

    async def has(handler: Any, parameters: Parameters) -> Any:
        return [hasattr(handler, name), hasattr(handler, "session"), hasattr(handler, "nothing")]

    service = await serve({"old": old, "has": has}, debug=True)
    error = (await service.call("old"))["error"]
    assert error["code"] == 1000
    assert f"no attribute '{name}': " in error["value"]
    assert hint in error["value"]
    assert await service.result("has") == [False, True, False]


async def test_the_session_of_a_socket(serve: Serve) -> None:
    """A socket that was opened with a session has it in every call, without a decorator, until it ends."""

    async def whose(handler: Any, parameters: Parameters) -> Any:
        return None if handler.session is None else [handler.session.user_id, handler.session["count"]]

    async def count(handler: Any, parameters: Parameters) -> Any:
        handler.session["count"] = (handler.session["count"] or 0) + 1
        await handler.session.save()
        return handler.session["count"]

    def plain(handler: Any, parameters: Parameters) -> Any:
        handler.session["count"] = (handler.session["count"] or 0) + 1
        handler.session.save()
        return handler.session["count"]

    @authenticated
    async def fresh(handler: Any, parameters: Parameters) -> Any:
        return handler.session["count"]

    @optionally_authenticated
    async def optional(handler: Any, parameters: Parameters) -> Any:
        return None if handler.session is None else handler.session.user_id

    methods = {"whose": whose, "count": count, "plain": plain, "fresh": fresh, "optional": optional}
    service = await serve(methods, use_web_sockets=True, signing="off")
    session = await service.create()

    async def call(socket: Any, name: str) -> Any:
        await socket.send_json({"id": 1, "method": name})
        return (await socket.receive_json())["result"]

    async with service.client.ws_connect(f"/service/websocket/{session}") as socket:
        assert await call(socket, "whose") == ["ada", None]
        assert await call(socket, "count") == 1
        assert await call(socket, "plain") == 2
        assert await call(socket, "fresh") == 2
        assert await call(socket, "whose") == ["ada", 2]
        assert await call(socket, "account.logout") == {"authenticated": False}
    async with service.client.ws_connect("/service/websocket") as socket:
        assert await call(socket, "whose") is None
        assert await call(socket, "optional") is None
    assert await service.result("whose", session=session) is None
