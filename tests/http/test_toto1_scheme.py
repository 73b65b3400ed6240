"""The scheme ``toto1`` over HTTP, with a client that signs as those of Toto 1.0 did."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from tests.support.service import ENCODINGS, Serve, Service
from toto_aio import Handler, TotoException
from toto_aio.exceptions import InvalidHMAC
from toto_aio.invocation import (
    anonymous_session,
    authenticated,
    authenticated_with_parameter,
    raw_response,
    safe,
)
from toto_aio.signing import SCHEMES, SignedRequest, Signer

Parameters = dict[str, Any]
PASSWORD = "correct horse"
JSON = "application/json"
INVALID = {"error": {"code": 1008, "value": "Invalid HMAC"}}
BODY = b'{"method":"who"}'


def signature(key: str, *parts: str | bytes) -> str:
    """The base64 of an HMAC-SHA1 over the parts, keyed with the text of a session's key."""
    message = b"".join(part.encode() if isinstance(part, str) else part for part in parts)
    return base64.b64encode(hmac.new(key.encode(), message, hashlib.sha1).digest()).decode()


@safe
@authenticated
async def who(handler: Handler, parameters: Parameters) -> Any:
    """Return the session's user."""
    assert handler.session is not None
    return handler.session.user_id


async def echo(handler: Handler, parameters: Parameters) -> Parameters:
    """Return the parameters, and ask for no session."""
    return parameters


async def log_in(service: Service, user_id: str = "ada") -> tuple[str, str]:
    """Create an account; return the id and the key of its session."""
    result = await service.result("account.create", {"user_id": user_id, "password": PASSWORD})
    return result["session_id"], result["key"]


async def post(
    service: Service, session: tuple[str, str], body: bytes, path: str = "", content_type: str = JSON
) -> aiohttp.ClientResponse:
    """A signed POST to a path below the root."""
    session_id, key = session
    headers = {
        "x-toto-session-id": session_id,
        "x-toto-hmac": signature(key, "POST", service.root, path, body),
        "content-type": content_type,
    }
    return await service.post(path, data=body, headers=headers)


async def signed_by(response: aiohttp.ClientResponse, session: tuple[str, str]) -> bool:
    """Whether a session has signed a response."""
    session_id, key = session
    return response.headers.get("x-toto-hmac") == signature(key, session_id, await response.read())


def test_the_bytes() -> None:
    """Known answers: the key is the base64 of 32 bytes, and nothing stands between the parts."""
    scheme, signer = SCHEMES["toto1"], Signer("session-1", "ada", bytes(range(32)))
    assert scheme is not None
    assert signer.key_text == "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    request = SignedRequest(b'{"method": "count"}', "Ju6Qaf2I5+GLh6f8JYaqyiGPTwc=", "POST", "/service?a=1")
    assert signature(signer.key_text, 'POST/service?a=1{"method": "count"}') == request.signature
    scheme.verify(request, signer)
    assert scheme.sign(request, signer, b'{"result":1}') == "02sgpf+d2baPFkEsDYM+7eI2AW0="
    keyless = Signer("session-1", "ada", b"")
    assert scheme.sign(request, keyless, b"") is None
    with pytest.raises(InvalidHMAC):
        scheme.verify(request, keyless)


@pytest.mark.parametrize(("content_type", "encode", "decode"), ENCODINGS)
async def test_a_signed_call(
    serve: Serve, content_type: str, encode: Callable[[Any], bytes], decode: Callable[[bytes], Any]
) -> None:
    """A login gives a key, a call signed with it is done, and the same session signs the response."""
    service = await serve({"who": who}, signing="toto1")
    body = encode({"method": "account.create", "parameters": {"user_id": "Ada", "password": PASSWORD}})
    created = await service.post(data=body, headers={"content-type": content_type})
    result = decode(await created.read())["result"]
    session = result["session_id"], result["key"]
    assert await signed_by(created, session)
    called = await post(service, session, encode({"method": "who", "parameters": {}}), "", content_type)
    answer = decode(await called.read())
    assert answer["result"] == "ada"
    assert "key" not in answer["session"]
    assert await signed_by(called, session)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/who", b"{}"),
        ("/who", b""),
        ("/who?a=%20b&c=%C3%A9", b"{}"),
        ("/", BODY),
    ],
)
async def test_the_target_as_it_was_sent(serve: Serve, path: str, body: bytes) -> None:
    """The path and the query are signed, with their escapes."""
    service = await serve({"who": who}, signing="toto1")
    response = await post(service, await log_in(service), body, path)
    assert (await response.json())["result"] == "ada"


async def test_get_and_forms(serve: Serve) -> None:
    """A GET is signed over method and target, a form over its body too."""
    service = await serve({"who": who}, signing="toto1")
    session = await log_in(service)
    for method in ("GET", "HEAD"):
        headers = {
            "x-toto-session-id": session[0],
            "x-toto-hmac": signature(session[1], method, "/service/who?a=1"),
        }
        response = await service.client.request(method, "/service/who?a=1", headers=headers)
        assert response.status == 200
        if method == "GET":
            assert (await response.json())["result"] == "ada"
            assert await signed_by(response, session)
        else:
            assert "x-toto-hmac" not in response.headers
    response = await post(service, session, b"a=1&b=2", "/who", "application/x-www-form-urlencoded")
    assert (await response.json())["result"] == "ada"
    assert await signed_by(response, session)


async def test_what_is_refused(serve: Serve) -> None:
    """A signature that is missing, or over other bytes, is error 1008, and nothing is called."""
    ran: list[int] = []

    @authenticated
    async def run(handler: Handler, parameters: Parameters) -> None:
        ran.append(1)

    service = await serve({"run": run}, signing="toto1")
    (session_id, key), (_, other) = await log_in(service), await log_in(service, "bob")
    body = b'{"method":"run"}'
    decoded = base64.b64decode(key)  # the key of the HMAC is its text
    for wrong in (
        None,
        "",
        "\xff",
        signature(other, "POST", "/service", body),
        signature("ada", body),
        signature(key, "GET", "/service", body),
        signature(key, "POST", "/service/", body),
        signature(key, "POST", "/service", body, "x"),
        signature(key, body),
        base64.b64encode(hmac.digest(decoded, b"POST/service" + body, "sha1")).decode(),
    ):
        headers = {"x-toto-session-id": session_id, "content-type": JSON}
        if wrong is not None:
            headers["x-toto-hmac"] = wrong
        response = await service.post(data=body, headers=headers)
        assert (await response.json(), "x-toto-hmac" in response.headers) == (INVALID, False)
    assert ran == []
    await post(service, (session_id, key), body)
    assert ran == [1]


async def test_a_copied_request(serve: Serve) -> None:
    """It is accepted again, as in Toto 1.0: nothing in it counts. It ends with its session."""
    service = await serve({"who": who}, signing="toto1")
    session = await log_in(service)
    for _ in range(2):
        assert (await (await post(service, session, BODY)).json())["result"] == "ada"
    await post(service, session, b'{"method":"account.logout"}')
    assert (await (await post(service, session, BODY)).json())["error"]["code"] == 1004


async def test_which_session_signs_the_response(serve: Serve) -> None:
    """That of the response, even if it is new; without one, that of the request."""

    async def fail(handler: Handler, parameters: Parameters) -> None:
        raise TotoException(4242, "no")

    @raw_response
    async def picture(handler: Handler, parameters: Parameters) -> bytes:
        return b"\x89PNG"

    service = await serve({"echo": echo, "fail": fail, "picture": picture}, signing="toto1")
    first = await log_in(service)
    for method in ("echo", "fail", "picture", "no.such.method"):
        response = await post(service, first, b'{"method":"%s"}' % method.encode())
        assert await signed_by(response, first), method
    change = b'{"method":"account.update","parameters":{"password":"%s","new_password":"battery staple"}}'
    response = await post(service, first, change % PASSWORD.encode())
    result = (await response.json())["result"]
    second = result["session_id"], result["key"]
    assert second != first
    assert await signed_by(response, second)
    login = b'{"method":"account.login","parameters":{"user_id":"ada","password":"battery staple"}}'
    response = await post(service, second, login)
    result = (await response.json())["result"]
    third = result["session_id"], result["key"]
    assert await signed_by(response, third)
    response = await post(service, third, b'{"method":"account.logout"}')
    assert (await response.json())["result"] == {"authenticated": False}
    assert await signed_by(response, third)


async def test_an_anonymous_session(serve: Serve) -> None:
    """It is signed as well; its key comes with the response that creates it, and not again."""

    @anonymous_session
    async def visit(handler: Handler, parameters: Parameters) -> Any:
        assert handler.session is not None
        await handler.session.update(lambda state: state.update(visits=state.get("visits", 0) + 1))
        return handler.session["visits"]

    service = await serve({"visit": visit}, signing="toto1")
    body = b'{"method":"visit"}'
    response = await service.post(data=body, headers={"content-type": JSON})
    shown = (await response.json())["session"]
    session = shown["session_id"], shown["key"]
    assert await signed_by(response, session)
    response = await post(service, session, body)
    answer = await response.json()
    assert (answer["result"], "key" in answer["session"]) == (2, False)
    assert await signed_by(response, session)
    unsigned = await service.call("visit", session=session[0])
    assert unsigned == INVALID


async def test_a_batch(serve: Serve) -> None:
    """One signature covers all of its calls; a login in it serves those behind it, and signs the response."""
    service = await serve({"who": who}, signing="toto1")
    session = await log_in(service)
    response = await post(service, session, b'{"batch":{"a":{"method":"who"},"b":{"method":"who"}}}')
    assert (await response.json())["batch"] == {"a": {"result": "ada"}, "b": {"result": "ada"}}
    assert await signed_by(response, session)
    login = b'{"method":"account.login","parameters":{"user_id":"ada","password":"correct horse"}}'
    body = b'{"batch":{"a":%s,"b":{"method":"who"}}}' % login
    response = await service.post(data=body, headers={"content-type": JSON})
    batch = (await response.json())["batch"]
    assert batch["b"] == {"result": "ada"}
    result = batch["a"]["result"]
    assert await signed_by(response, (result["session_id"], result["key"]))


async def test_a_session_as_a_parameter(serve: Serve) -> None:
    """It is used for its call alone, and signs nothing."""

    @authenticated_with_parameter
    async def by_parameter(handler: Handler, parameters: Parameters) -> Any:
        assert handler.session is not None
        return handler.session.user_id

    service = await serve({"by_parameter": by_parameter}, signing="toto1")
    session_id, _ = await log_in(service)
    body = b'{"method":"by_parameter","parameters":{"session_id":"%s"}}' % session_id.encode()
    response = await service.post(data=body, headers={"content-type": JSON})
    assert ((await response.json())["result"], "x-toto-hmac" in response.headers) == ("ada", False)


async def test_sockets(serve: Serve) -> None:
    """The request that opens a socket is signed, or the first frame is; an id in the URL is refused."""
    service = await serve({"who": who}, signing="toto1")
    session_id, key = await log_in(service)
    signed = signature(key, "GET", "/service/websocket")
    headers = {"x-toto-session-id": session_id, "x-toto-hmac": signed}
    async with service.client.ws_connect("/service/websocket", headers=headers) as socket:
        await socket.send_json({"id": 1, "method": "who"})
        assert (await socket.receive_json())["result"] == "ada"
    async with service.client.ws_connect("/service/websocket") as socket:
        await socket.send_json({"id": 1, "session_id": session_id, "signature": signed})
        assert (await socket.receive_json())["result"]["user_id"] == "ada"
        await socket.send_json({"id": 2, "method": "who"})
        assert (await socket.receive_json())["result"] == "ada"
    async with service.client.ws_connect("/service/websocket") as socket:
        await socket.send_json({"session_id": session_id, "signature": signature(key, "GET", "/service")})
        assert (await socket.receive_json())["error"]["code"] == 1008
        await socket.send_json({"id": 2, "method": "who"})
        assert (await socket.receive_json())["error"]["code"] == 1004
    for path, shown in (
        (f"/service/websocket/{session_id}", {}),
        ("/service/websocket", {"x-toto-session-id": session_id}),
    ):
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await service.client.ws_connect(path, headers=shown)
