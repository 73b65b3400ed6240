"""Signatures over HTTP, as Toto's clients create and verify them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from tests.support.service import ENCODINGS, Serve, Service
from toto_aio import Handler
from toto_aio.invocation import (
    anonymous_session,
    authenticated,
    authenticated_with_parameter,
    optionally_authenticated,
    raw_response,
    safe,
)

Parameters = dict[str, Any]


def signature(user_id: str, body: bytes) -> str:
    """The signature from Toto's README: base64 of an HMAC-SHA1 with the user id as the key."""
    return base64.b64encode(hmac.new(user_id.encode(), body, hashlib.sha1).digest()).decode()


@authenticated
async def who(handler: Handler, parameters: Parameters) -> Any:
    """Return the session's user."""
    assert handler.session is not None
    return handler.session.user_id


async def send(
    service: Service, session: str, body: bytes, signed: str | None, content_type: str = "application/json"
) -> aiohttp.ClientResponse:
    """A request with a session and a signature."""
    headers = {"x-toto-session-id": session, "content-type": content_type}
    if signed is not None:
        headers["x-toto-hmac"] = signed
    return await service.post(data=body, headers=headers)


@pytest.mark.parametrize(("content_type", "encode", "decode"), ENCODINGS)
async def test_a_signed_call(
    serve: Serve, content_type: str, encode: Callable[[Any], bytes], decode: Callable[[bytes], Any]
) -> None:
    """A correct signature is accepted and the response is signed; a wrong one is 1008 and changes nothing."""
    ran = []

    @authenticated
    async def run(handler: Handler, parameters: Parameters) -> str:
        ran.append(1)
        return "x"

    service = await serve({"run": run})
    session = await service.create("Ada")
    body = encode({"method": "run", "parameters": {"x": 1}})
    response = await send(service, session, body, signature("ada", body), content_type)
    raw = await response.read()
    assert decode(raw)["result"] == "x"
    assert response.headers["x-toto-hmac"] == signature("ada", raw)
    for wrong in (signature("bob", body), signature("ada", body + b"x"), "nonsense", "", "\xff"):
        response = await send(service, session, body, wrong, content_type)
        assert decode(await response.read()) == {"error": {"code": 1008, "value": "Invalid HMAC"}}
        assert "x-toto-hmac" not in response.headers
    assert len(ran) == 1


async def test_an_unsigned_call(serve: Serve) -> None:
    """No signature is required, as Toto's clients sign only when told to; the response is signed."""
    service = await serve({"who": who})
    session = await service.create("ada")
    response = await send(service, session, b'{"method":"who"}', None)
    assert response.headers["x-toto-hmac"] == signature("ada", await response.read())


async def test_creation_and_login_are_signed(serve: Serve) -> None:
    """The responses of account.create and account.login are signed with the user id in lower case."""
    service = await serve()
    for method in ("account.create", "account.login"):
        call = {"method": method, "parameters": {"user_id": "ADA", "password": "correct horse"}}
        response = await service.post(json=call)
        assert response.headers["x-toto-hmac"] == signature("ada", await response.read())
    session = (await response.json())["result"]["session_id"]
    response = await send(service, session, b'{"method":"account.logout"}', None)
    assert "x-toto-hmac" not in response.headers


async def test_bodies_that_are_not_ascii(serve: Serve) -> None:
    """Both signatures of Toto's clients are accepted, and the response is ASCII so both can verify it."""
    service = await serve({"who": who})
    session = await service.create("ada")
    text = '{"method":"who","parameters":{"x":"\u20ac\U0001f600é"}}'
    units = text.encode("utf-16-le")
    for message in (text.encode(), bytes(units[::2])):
        response = await send(service, session, text.encode(), signature("ada", message))
        assert (await response.json())["result"] == "ada"
        assert (await response.read()).isascii()
    response = await send(service, session, text.encode(), signature("ada", text.encode("utf-16-le")))
    assert (await response.json())["error"]["code"] == 1008


async def test_errors_are_signed(serve: Serve) -> None:
    """An error of a call with a session is signed like any response."""

    @authenticated
    async def fail(handler: Handler, parameters: Parameters) -> None:
        raise ValueError

    service = await serve({"fail": fail})
    session = await service.create("ada")
    response = await send(service, session, b'{"method":"fail"}', None)
    assert response.headers["x-toto-hmac"] == signature("ada", await response.read())


async def test_a_batch(serve: Serve) -> None:
    """A batch is signed with the request's own session, or with the one that it created."""
    service = await serve({"who": who})
    session = await service.create("ada")
    login = {"method": "account.login", "parameters": {"user_id": "ada", "password": "correct horse"}}
    for entries in ({"a": {"method": "who"}}, {"a": login, "b": {"method": "who"}}):
        body = json.dumps({"batch": entries}).encode()
        response = await send(service, session, body, signature("ada", body))
        assert response.headers["x-toto-hmac"] == signature("ada", await response.read())
    body = json.dumps({"batch": {"a": {"method": "who"}, "b": {"method": "nothing"}}}).encode()
    response = await send(service, session, body, "wrong")
    batch = (await response.json())["batch"]
    assert (batch["a"]["error"]["code"], batch["b"]["error"]["code"]) == (1008, 1001)


async def test_what_is_not_signed(serve: Serve) -> None:
    """Anonymous sessions, calls without a session, session parameters, streams, redirects and HEAD."""

    async def stream(handler: Handler, parameters: Parameters) -> None:
        handler.respond_raw(b"x", "text/plain", finish=False)

    async def away(handler: Handler, parameters: Parameters) -> None:
        handler.redirect("/elsewhere")

    async def plain(handler: Handler, parameters: Parameters) -> Any:
        return None if handler.session is None else handler.session.user_id

    service = await serve(
        {
            "anonymous": anonymous_session(plain),
            "unasked": lambda handler, parameters: 1,
            "parameter": authenticated_with_parameter(lambda handler, parameters: handler.session.user_id),
            "stream": authenticated(stream),
            "away": authenticated(away),
            "head": safe(authenticated(lambda handler, parameters: 1)),
        }
    )
    session = await service.create("ada")
    headers = {"x-toto-session-id": session}
    for name in ("unasked", "parameter", "stream", "away"):
        call = {"parameters": {"session_id": session}}
        response = await service.client.post(
            f"/service/{name}", json=call, headers=headers, allow_redirects=False
        )
        assert "x-toto-hmac" not in response.headers, name
    response = await service.post("/anonymous", json={})
    assert "x-toto-hmac" not in response.headers
    response = await service.client.head("/service/head", headers=headers)
    assert (response.status, "x-toto-hmac" in response.headers) == (200, False)
    response = await service.client.get("/service/head", headers=headers)
    assert response.headers["x-toto-hmac"] == signature("ada", await response.read())


async def test_a_signature_without_a_body(serve: Serve) -> None:
    """Toto's iOS client signs query calls over a body that it never sends, and is still accepted."""
    service = await serve({"who": safe(authenticated(lambda handler, parameters: handler.session.user_id))})
    headers = {"x-toto-session-id": await service.create("ada"), "x-toto-hmac": "of something else"}
    assert (await (await service.client.get("/service/who", headers=headers)).json())["result"] == "ada"
    assert (await (await service.post("/who", headers=headers)).json())["result"] == "ada"


async def test_raw_answers_are_signed(serve: Serve) -> None:
    """The bytes of a method's own response are known before its headers are sent."""
    service = await serve({"raw": raw_response(authenticated(lambda handler, parameters: b"\x00raw"))})
    headers = {"x-toto-session-id": await service.create("ada")}
    response = await service.post("/raw", headers=headers)
    assert response.headers["x-toto-hmac"] == signature("ada", b"\x00raw")


async def test_signing_off(serve: Serve) -> None:
    """Nothing is signed, and no signature is checked."""
    service = await serve({"who": who}, signing="off")
    response = await send(service, await service.create("ada"), b'{"method":"who"}', "nonsense")
    assert (await response.json())["result"] == "ada"
    assert "x-toto-hmac" not in response.headers


async def test_a_scheme_of_ones_own(serve: Serve) -> None:
    """An app can pass its own scheme as an object with verify and sign."""

    class Reversed:
        keyed = False
        nonce_ttl = 0

        def verify(self, request: Any, signer: Any) -> None:
            assert request.signature == signer.user_id[::-1]

        def sign(self, request: Any, signer: Any, body: bytes) -> str:
            return f"{signer.user_id}:{len(body)}"

    service = await serve({"who": optionally_authenticated(who)}, signing=Reversed())
    response = await send(service, await service.create("ada"), b'{"method":"who"}', "ada"[::-1])
    assert response.headers["x-toto-hmac"] == f"ada:{len(await response.read())}"
