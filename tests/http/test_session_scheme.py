"""The scheme ``session`` over HTTP, with the client of docs/signatures.md."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.documented import documented_client
from tests.support.examples import patient
from tests.support.service import ENCODINGS, Serve, Service
from toto_aio import Handler, TotoException
from toto_aio.clock import Clock
from toto_aio.exceptions import Unavailable
from toto_aio.invocation import (
    anonymous_session,
    authenticated,
    authenticated_with_parameter,
    raw_response,
    safe,
)
from toto_aio.signing import SessionScheme, SignedRequest, message, request_message
from toto_aio.stores.memory import MemoryStore

Parameters = dict[str, Any]
JSON = "application/json"
PASSWORD = "correct horse"


client = documented_client()


@safe
@authenticated
async def who(handler: Handler, parameters: Parameters) -> Any:
    """Return the session's user."""
    assert handler.session is not None
    return handler.session.user_id


async def log_in(service: Service, user_id: str = "ada") -> tuple[str, str]:
    """Create an account; return the id and the key of its session."""
    result = await service.result("account.create", {"user_id": user_id, "password": PASSWORD})
    assert len(base64.b64decode(result["key"])) == 32
    return result["session_id"], result["key"]


async def post(service: Service, headers: dict[str, str], body: bytes) -> aiohttp.ClientResponse:
    """Send a request unchanged."""
    return await service.client.post("/service", data=body, headers=headers)


BODY = b'{"method":"who"}'
INVALID = {"error": {"code": 1008, "value": "Invalid HMAC"}}


async def test_why_a_signature_is_wrong(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """The log says why, and the client only with ``debug``; neither has the signature, the id or the key."""
    caplog.set_level(logging.INFO, logger="toto_aio.calls")
    plain = await serve({"who": who}, signing="session", database="memory://")
    debug = await serve({"who": who}, signing="session", database="memory://", debug=True)
    now = int(time.time())
    changes: list[tuple[dict[str, str | None], str]] = [
        ({"x-toto-hmac": None}, "the request is not signed"),
        ({"x-toto-timestamp": None}, "no timestamp"),
        ({"x-toto-nonce": None}, "no nonce"),
        ({"x-toto-timestamp": "29 November"}, "not the seconds since 1970"),
        ({"x-toto-timestamp": str(now - 3600)}, " s old"),
        ({"x-toto-timestamp": str(now + 7200)}, " s ahead"),
        ({"x-toto-nonce": "n" * 129}, "at most 128 characters"),
        ({"x-toto-nonce": "other"}, "not the one of this request"),
    ]
    for service, shows in ((plain, False), (debug, True)):
        session, key = await log_in(service)
        for change, reason in changes:
            headers = client.signed_headers(session, key, "POST", "/service", JSON, BODY)
            changed = {name: value for name, value in {**headers, **change}.items() if value is not None}
            error = (await (await post(service, changed, BODY)).json())["error"]
            line = caplog.records[-1].getMessage()
            assert f"with 1008 [{caplog.records[-1].transaction_id}]" in line  # type: ignore[attr-defined]
            assert reason in line
            assert not any(secret in line for secret in (session, key, headers["x-toto-hmac"]))
            assert (error["code"], error["value"]) == (1008, "Invalid HMAC")
            assert (reason in error.get("reason", "")) == shows
        headers = client.signed_headers(session, key, "POST", "/service", JSON, BODY)
        assert (await (await post(service, headers, BODY)).json())["result"] == "ada"
        await post(service, headers, BODY)
        assert "the nonce was used before" in caplog.records[-1].getMessage()


@pytest.mark.parametrize(("content_type", "encode", "decode"), ENCODINGS)
@pytest.mark.parametrize("database", ["memory", "sqlite"])
async def test_a_signed_call(
    serve: Serve,
    tmp_path: Path,
    database: str,
    content_type: str,
    encode: Callable[[Any], bytes],
    decode: Callable[[bytes], Any],
) -> None:
    """It is accepted once, its response is signed with its nonce, and the key is not returned again."""
    url = "memory://" if database == "memory" else f"sqlite:///{tmp_path}/toto.db"
    service = await serve({"who": who}, signing="session", database=url)
    session, key = await log_in(service)
    body = encode({"method": "who", "parameters": {"x": "é"}})
    headers = client.signed_headers(session, key, "POST", "/service", content_type, body)
    response = await post(service, headers, body)
    raw = await response.read()
    assert decode(raw)["result"] == "ada"
    assert "key" not in decode(raw)["session"]
    signature = response.headers["x-toto-hmac"]
    assert client.response_is_genuine(session, key, headers["x-toto-nonce"], raw, signature)
    assert not client.response_is_genuine(session, key, "other", raw, signature)
    assert not client.response_is_genuine(session, key, headers["x-toto-nonce"], raw + b" ", signature)
    replayed = await post(service, headers, body)
    assert decode(await replayed.read()) == INVALID
    assert "x-toto-hmac" not in replayed.headers


@pytest.mark.parametrize(
    "change",
    [
        {"x-toto-hmac": None},
        {"x-toto-timestamp": None},
        {"x-toto-nonce": None},
        {"x-toto-hmac": "x"},
        {"x-toto-nonce": "other"},
        {"x-toto-nonce": ""},
        {"x-toto-timestamp": "0"},
        {"x-toto-timestamp": "99999999999999999999"},
        {"x-toto-timestamp": "1e9"},
        {"x-toto-timestamp": "-1"},
        {"content-type": "application/json; charset=utf-8"},
    ],
    ids=str,
)
async def test_whatever_is_changed(serve: Serve, change: dict[str, str | None]) -> None:
    """A request with a part that is missing or differs from what was signed is refused."""
    service = await serve({"who": who}, signing="session")
    headers = client.signed_headers(*await log_in(service), "POST", "/service", JSON, BODY)
    changed = {name: value for name, value in {**headers, **change}.items() if value is not None}
    assert await (await post(service, changed, BODY)).json() == INVALID
    assert (await (await post(service, headers, BODY)).json())["result"] == "ada"


async def test_whatever_else_is_changed(serve: Serve) -> None:
    """A different body, path, query, method or session makes a different request."""
    service = await serve({"who": who}, signing="session")
    session, key = await log_in(service)
    other, other_key = await log_in(service, "bob")

    def headers(*, session: str = session, key: str = key, target: str = "/service") -> dict[str, str]:
        return dict(client.signed_headers(session, key, "POST", target, JSON, BODY))

    assert await (await post(service, headers(), BODY + b" ")).json() == INVALID
    assert await (await service.client.post("/service/", data=BODY, headers=headers())).json() == INVALID
    assert await (await service.client.post("/service?x=1", data=BODY, headers=headers())).json() == INVALID
    assert (
        await (await service.client.get("/service/who", headers=headers(target="/service/who"))).json()
        == INVALID
    )
    assert await (await post(service, headers(session=other), BODY)).json() == INVALID
    assert await (await post(service, headers(key=other_key), BODY)).json() == INVALID
    assert await (await post(service, {**headers(), "x-toto-session-id": other}, BODY)).json() == INVALID
    assert (await (await post(service, headers(session=other, key=other_key), BODY)).json())[
        "result"
    ] == "bob"


@pytest.mark.parametrize(("skew", "accepted"), [(-290, True), (290, True), (-310, False), (310, False)])
async def test_clock_skew(serve: Serve, monkeypatch: pytest.MonkeyPatch, skew: int, accepted: bool) -> None:
    """Five minutes of difference are tolerated, in both directions."""
    now = time.time()
    service = await serve({"who": who}, signing=SessionScheme(Clock(lambda: now)))
    session, key = await log_in(service)
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: now + skew)
        headers = client.signed_headers(session, key, "POST", "/service", JSON, BODY)
    answer = await (await post(service, headers, BODY)).json()
    assert ("result" in answer) is accepted


async def test_a_clock_that_was_ahead(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was signed before it was set back is refused, as its nonce may have been dropped."""
    store, ahead = MemoryStore(), 0.0
    clock = Clock(lambda: time.time() + ahead)
    service = await serve({"who": who}, signing=SessionScheme(clock), database=store)
    session, key = await log_in(service)

    def headers(skew: int) -> dict[str, str]:
        now = time.time() + skew
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda: now)
            return dict(client.signed_headers(session, key, "POST", "/service", JSON, BODY))

    copied = headers(0)
    assert (await (await post(service, copied, BODY)).json())["result"] == "ada"
    ahead = 3600.0
    assert await (await post(service, headers(0), BODY)).json() == INVALID
    assert await store.sweep() == 0
    store._counters.clear()  # as a sweep by the wrong clock
    ahead = 0.0
    assert await (await post(service, copied, BODY)).json() == INVALID
    assert await (await post(service, headers(-20), BODY)).json() == INVALID
    assert (await (await post(service, headers(2), BODY)).json())["result"] == "ada"


async def test_get(serve: Serve) -> None:
    """A GET is signed as well, with its query."""
    service = await serve({"who": who}, signing="session")
    session, key = await log_in(service)
    path = "/service/who?x=%C3%A9"
    headers = client.signed_headers(session, key, "GET", path, JSON, b"")
    response = await service.client.get("/service/who?x=é", headers=headers)
    raw = await response.read()
    assert json.loads(raw)["result"] == "ada"
    assert client.response_is_genuine(
        session, key, headers["x-toto-nonce"], raw, response.headers["x-toto-hmac"]
    )


async def test_a_nonce_counts_once_in_all_processes(serve: Serve, tmp_path: Path) -> None:
    """Of many copies of a request, one is served, whichever of two services on one database they reach."""
    url = f"sqlite:///{tmp_path}/toto.db"
    services = [await serve({"who": who}, signing="session", database=url) for _ in range(2)]
    session, key = await log_in(services[0])
    headers = client.signed_headers(session, key, "POST", "/service", JSON, BODY)
    copies = await asyncio.gather(*(post(services[n % 2], headers, BODY) for n in range(20)))
    answers = [await copy.json() for copy in copies]
    assert sum("result" in answer for answer in answers) == 1
    assert sum(answer == INVALID for answer in answers) == 19


async def test_a_batch(serve: Serve) -> None:
    """It is one request: signed with its own session, or its response with the session that it created."""
    service = await serve({"who": who}, signing="session")
    session, key = await log_in(service)
    body = json.dumps({"batch": {"a": {"method": "who"}, "b": {"method": "who"}}}).encode()
    headers = client.signed_headers(session, key, "POST", "/service", JSON, body)
    answer = await (await post(service, headers, body)).json()
    assert [entry["result"] for entry in answer["batch"].values()] == ["ada", "ada"]
    login = {"method": "account.login", "parameters": {"user_id": "ada", "password": PASSWORD}}
    body = json.dumps({"batch": {"a": login, "b": {"method": "who"}}}).encode()
    response = await post(service, {"content-type": JSON}, body)
    raw = await response.read()
    made = json.loads(raw)["batch"]["a"]["result"]
    assert json.loads(raw)["batch"]["b"]["result"] == "ada"
    assert client.response_is_genuine(
        made["session_id"], made["key"], "", raw, response.headers["x-toto-hmac"]
    )


async def test_anonymous_sessions(serve: Serve) -> None:
    """They have keys and are signed too."""

    @anonymous_session
    async def visit(handler: Handler, parameters: Parameters) -> Any:
        assert handler.session is not None
        return handler.session.user_id

    service = await serve({"visit": visit}, signing="session")
    response = await service.post("/visit")
    raw = await response.read()
    made = json.loads(raw)["session"]
    session, key = made["session_id"], made["key"]
    assert client.response_is_genuine(session, key, "", raw, response.headers["x-toto-hmac"])
    body = b'{"method":"visit"}'
    headers = client.signed_headers(session, key, "POST", "/service", JSON, body)
    answer = await (await post(service, headers, body)).json()
    assert (answer["result"], answer["session"]["session_id"]) == ("", session)
    unsigned = {"content-type": JSON, "x-toto-session-id": session}
    assert await (await post(service, unsigned, body)).json() == INVALID


async def test_a_new_password_gives_a_new_key(serve: Serve) -> None:
    """The old session and its key are no longer valid."""
    service = await serve({"who": who}, signing="session")
    session, key = await log_in(service)
    parameters = {"password": PASSWORD, "new_password": "battery staple"}
    body = json.dumps({"method": "account.update", "parameters": parameters}).encode()
    headers = client.signed_headers(session, key, "POST", "/service", JSON, body)
    result = (await (await post(service, headers, body)).json())["result"]
    assert result["key"] != key
    headers = client.signed_headers(session, key, "POST", "/service", JSON, BODY)
    assert (await (await post(service, headers, BODY)).json())["error"]["code"] == 1004
    headers = client.signed_headers(result["session_id"], result["key"], "POST", "/service", JSON, BODY)
    assert (await (await post(service, headers, BODY)).json())["result"] == "ada"


async def test_what_is_not_signed(serve: Serve) -> None:
    """A method that takes the session's id as a parameter, and calls without a session."""
    service = await serve({"by_parameter": by_parameter}, signing="session")
    session, _ = await log_in(service)
    response = await service.post("/by_parameter", json={"session_id": session})
    assert (await response.json())["result"] == "ada"
    assert "x-toto-hmac" not in response.headers
    assert (await service.call("nothing"))["error"]["code"] == 1001


@safe
async def seen(handler: Handler, parameters: Parameters) -> Any:
    """Ask for nothing, and return the user of the session, if there is one nevertheless."""
    return None if handler.session is None else handler.session.user_id


@raw_response
async def raw(handler: Handler, parameters: Parameters) -> bytes:
    """Return bytes."""
    return b"bytes"


async def refuse(handler: Handler, parameters: Parameters) -> None:
    """Fail with an error of its own."""
    raise TotoException(2001, "no", status=418)


by_parameter = authenticated_with_parameter(lambda handler, parameters: handler.session.user_id)
UNGUARDED = {"seen": seen, "raw": raw, "refuse": refuse, "by_parameter": by_parameter}
LOGIN = {"user_id": "bob", "password": PASSWORD}
NEW = {"password": PASSWORD, "new_password": "battery staple"}


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        (b'{"method":"seen"}', 200, b'{"result":null}'),
        (b'{"method":"raw"}', 200, b"bytes"),
        (b'{"method":"refuse"}', 418, b'"code":2001'),
        (b'{"method":"nothing"}', 200, b'"code":1001'),
        (b"{}", 200, b'"code":1002'),
        (b"", 200, b'"code":1002'),
        (b"{", 400, b'"code":1003'),
        (b"[]", 400, b'"code":1003'),
        (b'{"batch":[]}', 400, b'"code":1003'),
        (b'{"batch":{"a":{"method":"seen"},"b":{"method":"nothing"}}}', 200, b'{"a":{"result":null}'),
        (b'{"method":"by_parameter","parameters":{"session_id":"OTHER"}}', 200, b'{"result":"bob"'),
        (json.dumps({"method": "account.login", "parameters": LOGIN}).encode(), 200, b'"user_id":"bob"'),
        (b'{"method":"account.login","parameters":{"user_id":"bob","password":"no"}}', 200, b'"code":1005'),
        (b'{"method":"account.logout"}', 200, b'{"authenticated":false}'),
        (json.dumps({"method": "account.update", "parameters": NEW}).encode(), 200, b'["password"]'),
    ],
    ids=lambda value: value.decode()[:50] if isinstance(value, bytes) else None,
)
async def test_the_session_of_the_request_signs(
    serve: Serve, body: bytes, status: int, expected: bytes
) -> None:
    """Whatever becomes of a signed request, its own session signs the response, not one that it creates."""
    service = await serve(UNGUARDED, signing="session")
    session, key = await log_in(service)
    other, _ = await log_in(service, "bob")
    body = body.replace(b"OTHER", other.encode())
    headers = client.signed_headers(session, key, "POST", "/service", JSON, body)
    response = await post(service, headers, body)
    answer = await response.read()
    assert (response.status, expected in answer) == (status, True), answer
    nonce, signature = headers["x-toto-nonce"], response.headers["x-toto-hmac"]
    assert client.response_is_genuine(session, key, nonce, answer, signature)
    assert response.headers["Cache-Control"] == "no-store"


async def test_the_session_of_a_get_signs(serve: Serve) -> None:
    """Also if the method asks for no session, or cannot be called by GET; HEAD is not signed."""
    service = await serve(UNGUARDED, signing="session")
    session, key = await log_in(service)
    for path, status in (("/service/seen", 200), ("/service/raw", 405), ("/service/nothing", 200)):
        headers = client.signed_headers(session, key, "GET", path, JSON, b"")
        response = await service.client.get(path, headers=headers)
        answer, signature = await response.read(), response.headers["x-toto-hmac"]
        assert response.status == status
        assert client.response_is_genuine(session, key, headers["x-toto-nonce"], answer, signature)
    headers = client.signed_headers(session, key, "HEAD", "/service/seen", JSON, b"")
    response = await service.client.head("/service/seen", headers=headers)
    assert (response.status, "x-toto-hmac" in response.headers) == (200, False)


async def test_a_signature_is_verified_whatever_is_called(serve: Serve) -> None:
    """A wrong or repeated one calls nothing; an unknown session, or no signature, is the call of nobody."""
    called = []

    async def run(handler: Handler, parameters: Parameters) -> str:
        called.append(handler.session)
        return "ran"

    service = await serve({"run": run}, signing="session")
    session, key = await log_in(service)
    body = b'{"method":"run"}'
    headers = client.signed_headers(session, key, "POST", "/service", JSON, body)
    for wrong in ({"x-toto-hmac": "x"}, {"x-toto-nonce": "other"}, {"x-toto-timestamp": "0"}):
        assert await (await post(service, {**headers, **wrong}, body)).json() == INVALID
    assert not called
    headers = client.signed_headers("A" * 43, key, "POST", "/service", JSON, body)
    for shown in (headers, {"content-type": JSON, "x-toto-session-id": session}):
        response = await post(service, shown, body)
        assert await response.json() == {"result": "ran"}
        assert "x-toto-hmac" not in response.headers
    assert called == [None, None]
    headers = client.signed_headers(session, key, "POST", "/service", JSON, body)
    assert await (await post(service, headers, body)).json() == {"result": "ran"}
    assert await (await post(service, headers, body)).json() == INVALID
    assert len(called) == 3


async def test_a_login_that_fails_in_a_batch(serve: Serve) -> None:
    """The calls behind it still have the session of the request, which a nonce counts for once."""
    service = await serve({"who": who, "seen": seen}, signing="session")
    session, key = await log_in(service)
    entries = {
        "a": {"method": "seen"},
        "b": {"method": "account.login", "parameters": {**LOGIN, "password": "wrong"}},
        "c": {"method": "who"},
        "d": {"method": "seen"},
        "e": {"method": "account.logout"},
        "f": {"method": "who"},
    }
    body = json.dumps({"batch": entries}).encode()
    headers = client.signed_headers(session, key, "POST", "/service", JSON, body)
    response = await post(service, headers, body)
    raw = await response.read()
    batch = json.loads(raw)["batch"]
    outcomes = [entry.get("result", entry.get("error", {}).get("code")) for entry in batch.values()]
    assert outcomes == [None, 1005, "ada", "ada", {"authenticated": False}, 1004]
    signature = response.headers["x-toto-hmac"]
    assert client.response_is_genuine(session, key, headers["x-toto-nonce"], raw, signature)


async def test_a_store_that_fails_before_a_call(serve: Serve, errors: Callable[[], list[str]]) -> None:
    """Without the session of a signed request nothing is called, and the error is not signed."""

    raised: list[Exception] = []

    class Broken(MemoryStore):
        async def get_session(self, key: str) -> Any:
            raise raised[-1]

    service = await serve(UNGUARDED, signing="session", database=Broken())
    session, key = await log_in(service)
    for exc, status, code in ((Unavailable(), 503, 1011), (OSError(), 200, 1000)):
        raised.append(exc)
        headers = client.signed_headers(session, key, "GET", "/service/seen", JSON, b"")
        response = await service.client.get("/service/seen", headers=headers)
        assert (response.status, (await response.json())["error"]["code"]) == (status, code)
        body = b'{"method":"seen"}'
        headers = client.signed_headers(session, key, "POST", "/service", JSON, body)
        response = await post(service, headers, body)
        assert (response.status, (await response.json())["error"]["code"]) == (status, code)
        assert "x-toto-hmac" not in response.headers
    assert len(errors()) == 2


async def test_sessions_from_before(serve: Serve, tmp_path: Path) -> None:
    """A session that was created without a key cannot sign, and is refused."""
    url = f"sqlite:///{tmp_path}/toto.db"
    session = await (await serve({"who": who}, database=url)).create("ada")
    service = await serve({"who": who}, signing="session", database=url)
    key = base64.b64encode(b"").decode()
    headers = client.signed_headers(session, key, "POST", "/service", JSON, BODY)
    assert await (await post(service, headers, BODY)).json() == INVALID


texts = st.text(max_size=8)


@patient
@given(st.lists(texts, max_size=8), st.lists(texts, max_size=8))
def test_no_two_lists_give_one_message(one: list[str], other: list[str]) -> None:
    """The lengths keep the parts apart, however they are split."""
    try:
        encoded = message(*one), message(*other)
    except UnicodeEncodeError:
        return
    assert (encoded[0] == encoded[1]) == (one == other)


requests = st.builds(
    SignedRequest,
    st.binary(max_size=4),
    st.none(),
    *[st.text("aP:1/?", max_size=4) for _ in range(4)],
    st.text("1:", max_size=3),
    st.text("1:a", max_size=3),
)


@patient
@given(requests, requests)
def test_no_two_requests_give_one_message(one: SignedRequest, other: SignedRequest) -> None:
    """If any part differs, the message differs."""
    assert (request_message(one) == request_message(other)) == (one == other)


async def test_an_unsigned_session_serves_no_signed_call(serve: Serve) -> None:
    """A session that a parameter loads is its call's alone; in an unsigned batch no other call has it."""

    async def fetch(handler: Handler, parameters: Parameters) -> Any:
        session = await handler.retrieve_session(parameters["id"])
        return None if session is None else session.user_id

    service = await serve({"by_parameter": by_parameter, "fetch": fetch, "who": who}, signing="session")
    session, key = await log_in(service)
    entries = {
        "a": {"method": "by_parameter", "parameters": {"session_id": session}},
        "b": {"method": "who"},
        "c": {"method": "fetch", "parameters": {"id": session}},
    }
    body = json.dumps({"batch": entries}).encode()
    batch = (await (await post(service, {"content-type": JSON}, body)).json())["batch"]
    unauthorized = {"error": {"code": 1004, "value": "Not authorized"}}
    assert batch == {"a": {"result": "ada"}, "b": unauthorized, "c": INVALID}
    assert await service.call("fetch", {"id": session}) == INVALID
    headers = client.signed_headers(session, key, "POST", "/service", JSON, body)
    batch = (await (await post(service, headers, body)).json())["batch"]
    assert [batch[call_id] for call_id in "abc"] == [{"result": "ada"}] * 3
    other, _ = await log_in(service, "bob")
    entries = {
        "a": {"method": "who"},
        "b": {"method": "fetch", "parameters": {"id": other}},
        "c": {"method": "who"},
    }
    body = json.dumps({"batch": entries}).encode()
    headers = client.signed_headers(session, key, "POST", "/service", JSON, body)
    batch = (await (await post(service, headers, body)).json())["batch"]
    assert batch == {"a": {"result": "ada"}, "b": INVALID, "c": {"result": "ada"}}
