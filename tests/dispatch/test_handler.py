"""What a method can do with its handler."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import msgpack
import pytest

from tests.support.limits import WATCHDOG
from tests.support.service import Serve
from toto_aio import Handler, TotoException
from toto_aio.events.manager import EventManager
from toto_aio.invocation import anonymous_session, asynchronous, authenticated, safe

Parameters = dict[str, Any]


async def test_none_is_a_null_result(serve: Serve) -> None:
    """A method that returns None without having responded returns null."""

    async def nothing(handler: Handler, parameters: Parameters) -> None:
        pass

    service = await serve({"nothing": nothing})
    assert await service.call("nothing") == {"result": None}


async def test_respond_before_the_return(serve: Serve) -> None:
    """Of several responses the first counts; an exception after it is logged and changes nothing."""

    async def early(handler: Handler, parameters: Parameters) -> str:
        handler.respond("first")
        handler.respond("second")
        if parameters:
            raise ZeroDivisionError
        return "third"

    service = await serve({"early": early})
    assert await service.result("early") == "first"
    assert await service.result("early", {"fail": True}) == "first"


async def test_own_settings(serve: Serve) -> None:
    """``handler.settings`` has what was given, deeply read-only; an object of the author's is that object."""
    client = object()

    async def read(handler: Handler, parameters: Parameters) -> Any:
        settings: Any = handler.settings
        assert settings["client"] is client
        for table in (settings, settings["mail"]):
            with pytest.raises(TypeError):
                table["x"] = 1
        with pytest.raises(AttributeError):
            settings["mail"]["to"].append("b")
        return [settings["limit"], settings["mail"]["to"], "x" in settings, settings.get("no", 0)]

    given = {"limit": 5, "mail": {"to": ["a"]}, "client": client}
    service = await serve({"read": read}, app=given)
    given["limit"], given["mail"] = 6, {}
    assert await service.result("read") == [5, ["a"], False, 0]


async def test_no_settings(serve: Serve) -> None:
    """Without any, it is empty."""

    async def read(handler: Handler, parameters: Parameters) -> Any:
        return dict(handler.settings)

    assert await (await serve({"read": read})).result("read") == {}


@pytest.mark.parametrize("error", [TotoException(2001, "x"), {"code": 2001, "value": "x"}])
async def test_respond_with_an_error(serve: Serve, error: Any) -> None:
    """An error is an exception, or a dict with a code and a value."""

    async def refuse(handler: Handler, parameters: Parameters) -> None:
        handler.respond(error=error)

    service = await serve({"refuse": refuse})
    assert await service.call("refuse") == {"error": {"code": 2001, "value": "x"}}


async def test_respond_with_an_unexpected_error(serve: Serve) -> None:
    """Any other exception is an internal error, as if it had been raised."""

    @asynchronous
    async def refuse(handler: Handler, parameters: Parameters) -> None:
        handler.respond(error=ValueError("secret"))

    service = await serve({"refuse": refuse})
    error = (await service.call("refuse"))["error"]
    assert error["code"] == 1000
    assert "secret" not in error["value"]


async def test_respond_later(serve: Serve) -> None:
    """An asynchronous method responds when something else triggers it."""

    @asynchronous
    async def later(handler: Handler, parameters: Parameters) -> None:
        asyncio.get_running_loop().call_later(0.05, handler.respond, {"later": True})

    @asynchronous
    async def at_once(handler: Handler, parameters: Parameters) -> Any:
        return "at once"

    service = await serve({"later": later, "at_once": at_once})
    assert await service.result("later") == {"later": True}
    assert await service.result("at_once") == "at once"
    batch = await (await service.post(json={"batch": {"a": {"method": "later"}}})).json()
    assert batch == {"batch": {"a": {"result": {"later": True}}}}


async def test_respond_from_another_thread(serve: Serve) -> None:
    """respond and respond_raw work in any thread."""

    @asynchronous
    async def later(handler: Handler, parameters: Parameters) -> None:
        answer = (
            (lambda: handler.respond_raw(b"raw", "text/plain"))
            if parameters
            else (lambda: handler.respond(threading.current_thread().name))
        )
        threading.Timer(0.02, answer).start()

    service = await serve({"later": later})
    assert (await service.result("later")).startswith("Thread-")
    assert await (await service.post("/later", json={"raw": 1})).text() == "raw"


async def test_plain_def_runs_in_a_thread(serve: Serve) -> None:
    """It does not block the loop, and handler.wait gives it the results of coroutines."""

    @authenticated
    def plain(handler: Handler, parameters: Parameters) -> Any:
        assert handler.session is not None
        together.wait(WATCHDOG)  # for another call: on the loop it would wait for ever
        handler.session["x"] = 1
        handler.wait(handler.session.save())
        account = handler.wait(handler.session.get_account())
        assert account is not None
        return [
            account["user_id"],
            threading.current_thread().name,
            EventManager.instance() is handler.events,
        ]

    together = threading.Barrier(2)
    service = await serve({"plain": plain})
    session = await service.create("ada")
    answers = await asyncio.gather(*(service.result("plain", session=session) for _ in range(8)))
    assert all(user_id == "ada" and "toto-aio-method" in name and same for user_id, name, same in answers)


async def test_plain_def_that_responds(serve: Serve) -> None:
    """A plain method may respond instead of returning."""

    def plain(handler: Handler, parameters: Parameters) -> None:
        handler.respond("responded")

    service = await serve({"plain": plain})
    assert await service.result("plain") == "responded"


async def test_wait_is_refused_on_the_loop(serve: Serve) -> None:
    """On the loop it would wait for itself; the error says what to write."""

    async def wrong(handler: Handler, parameters: Parameters) -> Any:
        try:
            handler.wait(asyncio.sleep(0))
        except RuntimeError as exc:
            return str(exc)

    service = await serve({"wrong": wrong})
    assert "await" in await service.result("wrong")


async def test_the_head_of_the_response(serve: Serve) -> None:
    """A method can set status, headers and cookies, also in a batch."""

    async def shape(handler: Handler, parameters: Parameters) -> str:
        handler.set_status(201)
        handler.set_header("X-Own", "1")
        handler.set_cookie("crumb", "c", max_age=60, httponly=True, samesite="Lax")
        if parameters.get("fail"):
            raise TotoException(2001, "x")
        return "x"

    service = await serve({"shape": shape})
    batch = {"batch": {"a": {"method": "shape"}}}
    for body in (
        {"method": "shape", "parameters": {}},
        {"method": "shape", "parameters": {"fail": 1}},
        batch,
    ):
        response = await service.post(json=body)
        assert (response.status, response.headers["X-Own"]) == (201, "1")
        assert (
            response.cookies["crumb"].OutputString() == "crumb=c; HttpOnly; Max-Age=60; Path=/; SameSite=Lax"
        )


async def test_response_type(serve: Serve) -> None:
    """response_type selects the encoding if it is a known one, and is kept as it is otherwise."""

    async def typed(handler: Handler, parameters: Parameters) -> Any:
        assert handler.response_type == "application/json"
        handler.response_type = parameters["type"]
        return b"x"

    service = await serve({"typed": typed})
    response = await service.post("/typed", json={"type": "application/msgpack"})
    assert response.content_type == "application/msgpack"
    assert msgpack.unpackb(await response.read()) == {"result": b"x"}
    response = await service.post("/typed", json={"type": "text/x-json"})
    assert (response.content_type, await response.text()) == ("text/x-json", '{"result":"eA=="}')


async def test_redirect(serve: Serve) -> None:
    """redirect sends the client elsewhere, and is refused in a batch."""

    async def away(handler: Handler, parameters: Parameters) -> None:
        handler.redirect("/elsewhere", 303)

    service = await serve({"away": away})
    response = await service.client.post("/service/away", json={}, allow_redirects=False)
    assert (response.status, response.headers["Location"]) == (303, "/elsewhere")
    batch = await (await service.post(json={"batch": {"a": {"method": "away"}}})).json()
    assert batch["batch"]["a"]["error"]["code"] == 1003


async def test_respond_raw(serve: Serve) -> None:
    """A method can send its own bytes or text, without an envelope; this is refused in a batch."""

    async def raw(handler: Handler, parameters: Parameters) -> None:
        body: bytes | str = parameters.get("text", b"\x00\xff")
        handler.respond_raw(body, "text/plain" if "text" in parameters else "image/x")

    service = await serve({"raw": raw})
    response = await service.post("/raw", json={})
    assert (response.content_type, await response.read()) == ("image/x", b"\x00\xff")
    response = await service.post("/raw", json={"text": "é"})
    assert (response.content_type, await response.read()) == ("text/plain", "é".encode())
    batch = await (await service.post(json={"batch": {"a": {"method": "raw"}}})).json()
    assert batch["batch"]["a"]["error"]["code"] == 1003


async def test_headers_only(serve: Serve) -> None:
    """A method can see that a HEAD request wants no body, and its stream sends none."""

    @safe
    async def stream(handler: Handler, parameters: Parameters) -> None:
        handler.set_header("X-Only", str(handler.headers_only))
        handler.respond_raw(b"piece", "text/plain", finish=False)

    service = await serve({"stream": stream})
    response = await service.client.head("/service/stream")
    assert (response.headers["X-Only"], await response.read()) == ("True", b"")
    response = await service.client.get("/service/stream")
    assert (response.headers["X-Only"], await response.read()) == ("False", b"piece")


async def test_request_and_transaction_id(serve: Serve) -> None:
    """The request is aiohttp's; each call has its own transaction id."""

    async def show(handler: Handler, parameters: Parameters) -> Any:
        return [handler.request.headers["x-mark"], handler.transaction_id, handler.transaction_id]

    service = await serve({"show": show})
    first = (await service.call("show", **{"x-mark": "m"}))["result"]
    second = (await service.call("show", **{"x-mark": "m"}))["result"]
    assert first[0] == "m"
    assert first[1] == first[2] != second[1]
    assert len(first[1]) == 16


async def test_sessions_of_a_handler(serve: Serve) -> None:
    """A method may create sessions and retrieve them, its own or another one."""

    async def make(handler: Handler, parameters: Parameters) -> Any:
        session = await handler.create_session(**parameters)
        assert handler.session is session
        return session.user_id

    async def show(handler: Handler, parameters: Parameters) -> Any:
        session = await handler.retrieve_session(parameters.get("id"))
        assert handler.session is session
        return None if session is None else session.user_id

    service = await serve({"make": make, "show": show})
    mine = await service.create("ada")
    other = await service.create("bob")
    assert await service.result("show", session=mine) == "ada"
    assert await service.result("show", {"id": other}, session=mine) == "bob"
    assert await service.result("show", {"id": "unknown"}) is None
    assert await service.result("show") is None
    assert await service.result("make") == ""
    assert await service.result("make", {"user_id": "Ada", "password": "correct horse"}) == "ada"
    assert await service.result("make", {"user_id": "ada", "verify_password": False}) == "ada"
    assert (await service.call("make", {"user_id": "ada", "password": "wrong"}))["error"]["code"] == 1005
    assert (await service.call("make", {"user_id": "eve", "verify_password": False}))["error"]["code"] == 1005


async def test_the_session_in_the_answer(serve: Serve) -> None:
    """The response, also of an error, has the session whenever one was loaded or created."""

    @anonymous_session
    async def anonymous(handler: Handler, parameters: Parameters) -> Any:
        assert handler.session is not None
        handler.session["n"] = (handler.session["n"] or 0) + 1
        await handler.session.save_state()
        if parameters.get("fail"):
            raise TotoException(2001, "x")
        return handler.session["n"]

    async def plain(handler: Handler, parameters: Parameters) -> Any:
        return handler.session

    service = await serve({"anonymous": anonymous, "plain": plain})
    answer = await service.call("anonymous")
    session = answer["session"]
    assert session["user_id"] == ""
    assert 0 < session["expires"] - time.time() <= 86400
    answer = await service.call("anonymous", {"fail": True}, session=session["session_id"])
    assert (answer["error"]["code"], answer["session"]["session_id"]) == (2001, session["session_id"])
    assert (await service.call("anonymous", session=session["session_id"]))["result"] == 3
    assert "session" not in await service.call("plain", session=session["session_id"])


async def test_long_polling(serve: Serve) -> None:
    """A waiting request is answered by another request's event, once."""

    @asynchronous
    async def receive(handler: Handler, parameters: Parameters) -> None:
        handler.register_event_handler("message", handler.respond, deregister_on_finish=True)

    async def send(handler: Handler, parameters: Parameters) -> None:
        await handler.events.send("message", parameters)

    service = await serve({"receive": receive, "send": send})
    waiting = [asyncio.create_task(service.result("receive")) for _ in range(5)]
    while not all(task.done() for task in waiting):
        await service.result("send", {"text": "hello"})
    assert [await task for task in waiting] == [{"text": "hello"}] * 5


async def test_event_handlers_end_with_their_call(serve: Serve) -> None:
    """A handler registered in a call is not called after it, and none is left."""
    called: list[Any] = []

    async def register(handler: Handler, parameters: Parameters) -> None:
        handler.register_event_handler("message", called.append)
        kept = handler.register_event_handler("message", called.append)
        handler.deregister_event_handler(kept)

    async def send(handler: Handler, parameters: Parameters) -> None:
        await handler.events.send("message", parameters)
        await asyncio.sleep(0.01)

    service = await serve({"register": register, "send": send})
    await service.result("register")
    await service.result("send")
    assert called == []


async def test_events_can_be_off(serve: Serve) -> None:
    """Without events, asking for them raises an error that says how to enable them."""

    async def ask(handler: Handler, parameters: Parameters) -> Any:
        return handler.events

    service = await serve({"ask": ask}, events="off", debug=True)
    assert "events=memory://" in (await service.call("ask"))["error"]["value"]


async def test_the_database_of_a_method(serve: Serve, tmp_path: Any) -> None:
    """connection.db is the driver's own, separate from what the store uses."""

    async def query(handler: Handler, parameters: Parameters) -> Any:
        rows = await handler.connection.db.execute_fetchall("SELECT count(*) FROM toto_accounts")
        return next(iter(rows))[0]

    service = await serve({"query": query}, database=f"sqlite:///{tmp_path}/x.db")
    await service.create("ada")
    assert await service.result("query") == 1
