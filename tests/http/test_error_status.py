"""The HTTP statuses of errors, by the option ``error_status``: the same errors, on every way in."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import bson
import msgpack
import pytest

from tests.support.service import Serve, Service
from toto_aio import Handler, TotoException
from toto_aio.client import Client
from toto_aio.client.protocol import error_of
from toto_aio.exceptions import InvalidCredentials, InvalidParameters, NotAuthorized
from toto_aio.invocation import (
    anonymous_session,
    asynchronous,
    authenticated,
    authenticated_with_parameter,
    jsonp,
    optionally_authenticated,
    raw_response,
    requires,
    safe,
)

Parameters = dict[str, Any]
CHALLENGE = 'Bearer realm="/service"'
MODES = ["toto", "http"]


class Gone(TotoException):
    """An author's error whose class has a status."""

    status = 410


class Fine(Gone):
    """An author's error that is to come with 200, although the class above has another status."""

    status = 200


class Denied(NotAuthorized):
    """An author's kind of one of the service's errors."""


ERRORS: dict[str, tuple[Callable[[], Exception], int, int, int]] = {
    "1000": (lambda: error_of({"code": 1000, "value": "x"}), 1000, 200, 500),
    "crash": (lambda: ZeroDivisionError("x"), 1000, 200, 500),
    "unsendable": (lambda: TotoException(2001, object()), 1000, 200, 500),
    "status 99": (lambda: TotoException(2001, "x", status=99), 1000, 200, 500),
    "1001": (lambda: error_of({"code": 1001, "value": "x"}), 1001, 200, 404),
    "1002": (lambda: error_of({"code": 1002, "value": "x"}), 1002, 200, 400),
    "1003": (lambda: error_of({"code": 1003, "value": "x"}), 1003, 200, 400),
    "1003 with 422": (lambda: InvalidParameters("x", status=422), 1003, 422, 422),
    "1004": (lambda: error_of({"code": 1004, "value": "x"}), 1004, 200, 401),
    "1004 of an author's class": (lambda: Denied("x"), 1004, 200, 401),
    "1005": (lambda: error_of({"code": 1005, "value": "x"}), 1005, 200, 401),
    "1005 with 200": (lambda: InvalidCredentials("x", status=200), 1005, 200, 200),
    "1006": (lambda: error_of({"code": 1006, "value": "x"}), 1006, 200, 409),
    "1007": (lambda: error_of({"code": 1007, "value": "x"}), 1007, 200, 401),
    "1008": (lambda: error_of({"code": 1008, "value": "x"}), 1008, 200, 401),
    "1009": (lambda: error_of({"code": 1009, "value": "x"}), 1009, 200, 502),
    "1010": (lambda: error_of({"code": 1010, "value": "x"}), 1010, 200, 400),
    "1011": (lambda: error_of({"code": 1011, "value": "x"}), 1011, 503, 503),
    "1012": (lambda: error_of({"code": 1012, "value": "x"}), 1012, 429, 429),
    "1013": (lambda: error_of({"code": 1013, "value": "x"}), 1013, 504, 504),
    "own": (lambda: TotoException(2001, "x"), 2001, 200, 400),
    "own with 404": (lambda: TotoException(2001, "x", status=404), 2001, 404, 404),
    "own with 401": (lambda: TotoException(2001, "x", status=401), 2001, 401, 401),
    "own with 200": (lambda: TotoException(2001, "x", status=200), 2001, 200, 200),
    "class with 410": (lambda: Gone(2001, "x"), 2001, 410, 410),
    "class with 410, instance with 409": (lambda: Gone(2001, "x", status=409), 2001, 409, 409),
    "class with 200": (lambda: Fine(2001, "x"), 2001, 200, 200),
}
"""Each error: how it is made, the code that the client gets, and the statuses under ``toto`` and ``http``."""


@safe
async def fail(handler: Handler, parameters: Parameters) -> None:
    """Raise the error that the parameter ``error`` names."""
    given = parameters.get("arguments", parameters)["error"]
    raise ERRORS[given[0] if isinstance(given, list) else given][0]()


@asynchronous
async def later(handler: Handler, parameters: Parameters) -> None:
    """Respond with the error."""
    handler.respond(error=ERRORS[parameters["error"]][0]())


async def chosen(handler: Handler, parameters: Parameters) -> None:
    """Set a status, and raise the error."""
    handler.set_status(parameters["status"])
    raise ERRORS[parameters["error"]][0]()


def denied(handler: Handler, parameters: Parameters) -> None:
    """Refuse whoever calls, in a thread."""
    raise NotAuthorized


METHODS = {
    "fail": fail,
    "raw": raw_response(lambda handler, parameters: fail(handler, parameters)),
    "script": jsonp(lambda handler, parameters: fail(handler, parameters)),
    "later": later,
    "chosen": chosen,
    "needs": requires("name")(lambda handler, parameters: None),
    "member": authenticated(lambda handler, parameters: "in"),
    "by_parameter": authenticated_with_parameter(lambda handler, parameters: "in"),
    "denied": optionally_authenticated(denied),
    "denied_visitor": anonymous_session(denied),
}
Answer = tuple[aiohttp.ClientResponse, dict[str, Any]]
Way = Callable[[Service, str], Awaitable[Answer]]


def by_post(method: str) -> Way:
    """POST to the root, with the method in the body."""

    async def call(service: Service, error: str) -> Answer:
        response = await service.post(json={"method": method, "parameters": {"error": error}})
        return response, await response.json()

    return call


async def by_url(service: Service, error: str) -> Answer:
    """POST to the method's URL."""
    response = await service.post("/fail", json={"error": error})
    return response, await response.json()


async def by_get(service: Service, error: str) -> Answer:
    """GET."""
    response = await service.client.get("/service/fail", params={"error": error})
    return response, await response.json()


async def by_form(service: Service, error: str) -> Answer:
    """A form."""
    response = await service.post("/fail", data={"error": error})
    return response, await response.json()


async def by_multipart(service: Service, error: str) -> Answer:
    """A form that could have files."""
    with aiohttp.MultipartWriter("form-data") as form:
        form.append(error).set_content_disposition("form-data", name="error")
        response = await service.post("/fail", data=form)
    return response, await response.json()


def encoded(content_type: str, encode: Callable[[Any], bytes], decode: Callable[[bytes], Any]) -> Way:
    """POST in another encoding."""

    async def call(service: Service, error: str) -> Answer:
        headers = {"Content-Type": content_type}
        response = await service.post("/fail", data=encode({"error": error}), headers=headers)
        assert response.content_type == content_type
        return response, decode(await response.read())

    return call


WAYS: dict[str, Way] = {
    "post": by_post("fail"),
    "url": by_url,
    "get": by_get,
    "form": by_form,
    "multipart": by_multipart,
    "bson": encoded("application/bson", bson.encode, bson.decode),
    "msgpack": encoded("application/msgpack", msgpack.packb, msgpack.unpackb),
    "raw": by_post("raw"),
    "jsonp": by_post("script"),
    "later": by_post("later"),
}


def expected_value(error: str, answer: dict[str, Any]) -> dict[str, Any]:
    """The body of an error: only the id of an internal one differs from call to call."""
    code = ERRORS[error][1]
    value = answer["error"]["value"] if code == 1000 and error != "1000" else "x"
    assert code != 1000 or error == "1000" or value.startswith("Internal error "), answer
    return {"error": {"code": code, "value": value}}


@pytest.mark.parametrize("mode", MODES)
async def test_every_error_by_every_way(serve: Serve, mode: str) -> None:
    """An error has the status of the option; its body is the same, and a 401 says how to log in."""
    service = await serve(METHODS, error_status=mode)
    for way, call in WAYS.items():
        for error in ERRORS:
            status = ERRORS[error][2 + MODES.index(mode)]
            response, answer = await call(service, error)
            where = (way, error)
            assert (response.status, where) == (status, where)
            assert answer == expected_value(error, answer), where
            challenge = CHALLENGE if status == 401 else None
            assert response.headers.get("WWW-Authenticate") == challenge, where
            assert ("Retry-After" in response.headers) == (error == "1012"), where


@pytest.mark.parametrize("mode", MODES)
async def test_only_the_code_counts_in_a_batch_and_on_a_socket(serve: Serve, mode: str) -> None:
    """They have no status of an error, whatever the option."""
    service = await serve(METHODS, error_status=mode)
    errors = [error for error in ERRORS if error != "status 99"]  # which is no status, and isn't looked at
    calls = {error: {"method": "fail", "parameters": {"error": error}} for error in errors}
    response = await service.post(json={"batch": calls})
    assert response.status == 200
    answers = (await response.json())["batch"]
    async with service.client.ws_connect("/service/websocket") as socket:
        for error, call in calls.items():
            assert answers[error] == expected_value(error, answers[error])
            await socket.send_json({"id": error, **call})
            frame = await socket.receive_json()
            assert frame == {"id": error, **expected_value(error, frame)}


@pytest.mark.parametrize("mode", MODES)
async def test_what_never_reaches_a_method(serve: Serve, mode: str) -> None:
    """Unknown and missing methods, missing parameters, and what can't be read."""
    service = await serve(METHODS, error_status=mode)
    is_http = mode == "http"
    for path, body, status, code in (
        ("/nothing", "{}", 404 if is_http else 200, 1001),
        ("", "{}", 400 if is_http else 200, 1002),
        ("/needs", "{}", 400 if is_http else 200, 1003),
        ("/needs", '{"parameters": 1}', 400 if is_http else 200, 1003),
        ("/needs", "[]", 400, 1003),
        ("", '{"batch": 1}', 400, 1003),
    ):
        response = await service.post(path, data=body, headers={"Content-Type": "application/json"})
        answer = await response.json()
        assert (response.status, answer["error"]["code"]) == (status, code), path
        assert "Allow" not in response.headers
    for verb, path, status, code, allow in (
        ("GET", "/later", 405, 1001, "POST, OPTIONS"),
        ("GET", "/nothing", 404 if is_http else 200, 1001, None),
        ("GET", "", 400 if is_http else 200, 1002, None),
        ("PUT", "/fail", 405, 1003, "GET, HEAD, OPTIONS, POST"),
    ):
        response = await service.client.request(verb, f"/service{path}")
        answer = await response.json()
        assert (response.status, answer["error"]["code"]) == (status, code), (verb, path)
        assert response.headers.get("Allow") == allow
    head = await service.client.head("/service/nothing")
    assert (head.status, await head.read()) == (404 if is_http else 200, b"")


@pytest.mark.parametrize("mode", MODES)
async def test_who_is_not_authorized(serve: Serve, mode: str) -> None:
    """Without a user's session 1004 is 401, and 403 for a user; an anonymous session counts as none."""
    service = await serve(METHODS, error_status=mode)
    ada = await service.create()
    visitor = (await service.call("denied_visitor"))["session"]["session_id"]
    for method, session, parameters, status in (
        ("member", None, {}, 401),
        ("member", "unknown", {}, 401),
        ("member", visitor, {}, 401),
        ("by_parameter", ada, {"session_id": "unknown"}, 401),
        ("by_parameter", ada, {}, 401),
        ("denied", None, {}, 401),
        ("denied", visitor, {}, 401),
        ("denied", ada, {}, 403),
        ("denied_visitor", None, {}, 401),
        ("denied_visitor", ada, {}, 403),
    ):
        headers = {"x-toto-session-id": session} if session else {}
        response = await service.post(json={"method": method, "parameters": parameters}, headers=headers)
        answer = await response.json()
        assert answer["error"] == {"code": 1004, "value": "Not authorized"}, (method, session)
        assert response.status == (200 if mode == "toto" else status), (method, session)
        assert ("WWW-Authenticate" in response.headers) == (response.status == 401)
        assert ("session" in answer) == (response.headers.get("Cache-Control") == "no-store")


async def test_a_status_that_the_method_has_set(serve: Serve) -> None:
    """It counts for an error of the author's own, if it is one of an error, and never for the service's."""
    service = await serve(METHODS, error_status="http")
    for status, error, expected in (
        (404, "own", 404),
        (201, "own", 400),
        (404, "crash", 500),
        (204, "1003", 400),
        (404, "own with 401", 401),
    ):
        parameters = {"status": status, "error": error}
        response = await service.post("/chosen", json=parameters)
        assert (response.status, parameters) == (expected, parameters)
        assert await response.json() == expected_value(error, await response.json())


async def test_pages_may_read_how_to_log_in(serve: Serve) -> None:
    """A page of another origin may read the error, and the header of a 401."""
    origin = "https://app.example"
    service = await serve(METHODS, error_status="http", allow_origin=origin)
    response = await service.post("/member", json={}, headers={"Origin": origin})
    assert response.status == 401
    assert response.headers["Access-Control-Allow-Origin"] == origin
    assert "WWW-Authenticate" in response.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize("mode", MODES)
async def test_the_client_reads_errors_of_any_status(serve: Serve, mode: str) -> None:
    """It raises the error of the envelope, and verifies the signature of an answer that is an error."""
    service = await serve(METHODS, error_status=mode, signing="session")
    url = service.client.make_url("/service")
    async with Client(url, signing="session") as client:
        await client.create_account("ada", "correct horse")
        for error in ERRORS:
            with pytest.raises(TotoException) as raised:
                await client.call("fail", {"error": error})
            assert raised.value.code == ERRORS[error][1], error
            assert not raised.value.unsigned
        with pytest.raises(NotAuthorized) as refused:
            await client.call("denied")
        assert not refused.value.unsigned
        with pytest.raises(InvalidCredentials):
            await client.login("ada", "wrong password")
        outcomes = await client.batch({"a": {"method": "fail", "parameters": {"error": "own"}}})
        assert str(outcomes["a"]) == "2001: x"


async def test_an_error_is_signed_with_its_status(serve: Serve) -> None:
    """The signature covers the body, and stands on a response with another status than 200 too."""
    service = await serve(METHODS, error_status="http")
    session = await service.create()
    response = await service.post("/denied", json={}, headers={"x-toto-session-id": session})
    assert response.status == 403
    assert "x-toto-hmac" in response.headers
    assert json.loads(await response.read())["session"]["user_id"] == "ada"
