"""Tests of the client, against services that are honest and some that are not."""

from __future__ import annotations

import ast
import asyncio
import base64
import datetime
import hashlib
import hmac
import json
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

import toto_aio.methods
from tests.support import ROOT
from tests.support.limits import WATCHDOG
from tests.support.servers import free_port
from tests.support.service import eventually
from toto_aio import Handler, TotoException, create_app
from toto_aio.client import Client, Response, SessionCredentials, UnreadableResponseError
from toto_aio.codecs import encode_bson
from toto_aio.exceptions import (
    InvalidCredentials,
    InvalidHMAC,
    InvalidParameters,
    InvalidResponseHMAC,
    MethodNotFound,
    NotAuthorized,
    TimedOut,
    TooManyAttempts,
    Unavailable,
)
from toto_aio.invocation import (
    anonymous_session,
    authenticated,
    authenticated_with_parameter,
    raw_response,
    safe,
)
from toto_aio.registry import find_methods
from toto_aio.testing import serving

Parameters = dict[str, Any]
JSON = "application/json"
PASSWORD = "correct horse"
SCHEMES = ["user_id", "toto1", "session", "off"]


async def echo(handler: Handler, parameters: Parameters) -> Any:
    """Return the parameters."""
    return parameters


@safe
@authenticated
async def who(handler: Handler, parameters: Parameters) -> Any:
    """Return the session's user, and the parameters."""
    assert handler.session is not None
    return [handler.session.user_id, parameters]


@anonymous_session
async def visit(handler: Handler, parameters: Parameters) -> Any:
    """Count the visits of a session."""
    assert handler.session is not None
    return await handler.session.update(lambda state: state.update(n=state.get("n", 0) + 1) or state["n"])


@authenticated_with_parameter
async def by_parameter(handler: Handler, parameters: Parameters) -> Any:
    """Return the user of the session that a parameter names."""
    assert handler.session is not None
    return handler.session.user_id


@raw_response
@authenticated
async def picture(handler: Handler, parameters: Parameters) -> Any:
    """Return bytes."""
    handler.response_type = "image/png"
    return b"\x89PNG"


async def elsewhere(handler: Handler, parameters: Parameters) -> Any:
    """Redirect the client."""
    handler.redirect("http://other.example/")


async def pieces(handler: Handler, parameters: Parameters) -> Any:
    """Send a stream."""
    handler.respond_raw("one", "text/plain", finish=False)
    handler.respond_raw("two", "text/plain")


async def refuse(handler: Handler, parameters: Parameters) -> Any:
    """Fail with its own error."""
    raise TotoException(2001, {"why": "é"})


async def busy(handler: Handler, parameters: Parameters) -> Any:
    """Refuse the call for now."""
    raise TooManyAttempts(retry_after=7)


async def slow(handler: Handler, parameters: Parameters) -> Any:
    """Take some time."""
    await asyncio.sleep(parameters.get("seconds", 5))
    return "slept"


async def push(handler: Handler, parameters: Parameters) -> Any:
    """Send messages over the socket."""
    for number in range(parameters["count"]):
        handler.send_message({"result": number})
    return "pushed"


KEYED = ("toto1", "session")
"""The schemes in which each session has a key."""
METHODS: dict[str, Any] = {
    **{name: method.invoke for name, method in find_methods(toto_aio.methods, 60).items()},
    **{
        function.__name__: function
        for function in (echo, who, visit, by_parameter, picture, elsewhere, pieces, refuse, slow, push)
    },
}


def session_of(client: Client) -> SessionCredentials:
    """The session that a client must have."""
    assert client.session is not None
    return client.session


@pytest.mark.parametrize("encoding", ["json", "msgpack", "bson"])
@pytest.mark.parametrize("signing", SCHEMES)
async def test_a_user(signing: str, encoding: str) -> None:
    """An account is created, calls use its session, and after the logout they no longer do."""
    async with serving(METHODS, signing=signing, encoding=encoding) as client:
        assert await client.call("echo", {"ä": [1, None, 0.5]}) == {"ä": [1, None, 0.5]}
        with pytest.raises(NotAuthorized):
            await client.call("who")
        await client.create_account("Ädä", PASSWORD)
        first = session_of(client)
        assert first.user_id == "ädä"
        assert bool(first.key) == (signing in KEYED)
        assert await client.call("who", {"x": "é"}) == ["ädä", {"x": "é"}]
        assert await client.get("who", {"x": "é &", "y": [1, 2]}) == ["ädä", {"x": "é &", "y": ["1", "2"]}]
        await client.logout()
        with pytest.raises(NotAuthorized):
            await client.call("who")
        await client.login("ÄDÄ", PASSWORD)
        assert session_of(client).session_id != first.session_id
        assert await client.call("who") == ["ädä", {}]


@pytest.mark.parametrize("signing", SCHEMES)
async def test_several_users(signing: str) -> None:
    """Each client has its session; a stored one works in another client."""
    async with serving(METHODS, signing=signing) as ada:
        bob = ada.another()
        await ada.create_account("ada", PASSWORD)
        await bob.create_account("bob", PASSWORD)
        assert [(await client.call("who"))[0] for client in (ada, bob)] == ["ada", "bob"]
        kept = session_of(ada)
        assert kept.session_id not in repr(kept)
        assert not kept.key or kept.key not in repr(kept)
        async with Client(ada.url, signing=signing, session=kept) as later:
            assert (await later.call("who"))[0] == "ada"


@pytest.mark.parametrize("signing", SCHEMES)
async def test_a_new_password(signing: str) -> None:
    """It gives a new session, which the client uses from then on, and ends the others."""
    async with serving(METHODS, signing=signing) as client:
        await client.create_account("ada", PASSWORD)
        other = client.another()
        await other.login("ada", PASSWORD)
        before = session_of(client)
        await client.call("account.update", {"password": PASSWORD, "new_password": "battery staple"})
        assert session_of(client).session_id != before.session_id
        assert await client.call("who") == ["ada", {}]
        with pytest.raises(NotAuthorized):
            await other.call("who")


@pytest.mark.parametrize("signing", SCHEMES)
async def test_an_anonymous_session(signing: str) -> None:
    """It is adopted from the response, and kept."""
    async with serving(METHODS, signing=signing) as client:
        assert [await client.call("visit") for _ in range(3)] == [1, 2, 3]
        assert session_of(client).user_id == ""
        assert await client.another().call("visit") == 1


@pytest.mark.parametrize("signing", SCHEMES)
async def test_a_session_as_a_parameter(signing: str) -> None:
    """It is not signed, and the client does not adopt it."""
    async with serving(METHODS, signing=signing) as ada:
        bob = ada.another()
        await ada.create_account("ada", PASSWORD)
        session_id = session_of(ada).session_id
        assert await bob.call("by_parameter", {"session_id": session_id}) == "ada"
        assert bob.session is None
        call = {"method": "by_parameter", "parameters": {"session_id": session_id}}
        assert await bob.batch({"a": call}) == {"a": "ada"}
        assert bob.session is None
        assert await ada.call("by_parameter", {"session_id": session_id}) == "ada"


@pytest.mark.parametrize("signing", SCHEMES)
async def test_batch(signing: str) -> None:
    """Results and errors by their ids; a login among them applies to the calls after it."""
    async with serving(METHODS, signing=signing) as client:
        account = {"user_id": "ada", "password": PASSWORD}
        answers = await client.batch(
            {
                "b": {"method": "who"},
                "a": {"method": "account.create", "parameters": account},
                "c": {"method": "refuse"},
            }
        )
        assert list(answers) == ["b", "a", "c"]
        assert answers["b"] == ["ada", {}]
        assert isinstance(answers["c"], TotoException)
        assert (answers["c"].code, answers["c"].value) == (2001, {"why": "é"})
        assert await client.call("who") == ["ada", {}]


async def test_a_short_limit_is_told_to_the_service() -> None:
    """A call that its client gives up ends in the service too, over a socket as well."""
    begun: list[str] = []
    ended: list[str] = []

    async def wait(handler: Handler, parameters: dict[str, Any]) -> None:
        begun.append(parameters["way"])
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(parameters["way"])

    async with (
        serving({"wait": wait}) as service,
        Client(service.url, timeout=0.5) as client,
        AsyncExitStack() as sockets,
        asyncio.timeout(WATCHDOG),
    ):
        way: Any = client
        for name in ("http", "socket"):
            while name not in begun:  # the time may be over before the call has arrived
                with pytest.raises((TimeoutError, TimedOut)):
                    if name == "socket":
                        way = await sockets.enter_async_context(client.socket())
                    await way.call("wait", {"way": name})
        await eventually(lambda: sorted(ended) == sorted(begun))


async def test_errors() -> None:
    """Each is an exception with code and value, of the class for its code if there is one."""
    async with serving(METHODS, login_attempts=1) as client:
        with pytest.raises(TotoException, match="2001") as error:
            await client.call("refuse")
        assert error.value.value == {"why": "é"}
        with pytest.raises(MethodNotFound, match=r"no\.such"):
            await client.call("no.such")
        with pytest.raises(MethodNotFound):
            await client.get("echo")
        await client.create_account("ada", PASSWORD)
        with pytest.raises(InvalidCredentials):
            await client.login("ada", "wrong")
        with pytest.raises(TooManyAttempts) as refused:
            await client.login("ada", "wrong")
        assert refused.value.retry_after > 0
        with pytest.raises(TypeError):
            await client.call("echo", {"x": object()})


@pytest.mark.parametrize("signing", SCHEMES)
async def test_bytes_of_a_method_s_own(signing: str) -> None:
    """``fetch`` returns them, verified, and follows no redirect; ``call`` says so."""
    async with serving(METHODS, signing=signing) as client:
        with pytest.raises(NotAuthorized):
            await client.fetch("picture")
        await client.create_account("ada", PASSWORD)
        answer = await client.fetch("picture")
        assert (answer.status, answer.content_type, answer.body) == (200, "image/png", b"\x89PNG")
        with pytest.raises(UnreadableResponseError, match="fetch"):
            await client.call("picture")
        away = await client.fetch("elsewhere", unsigned=True)
        assert (away.status, away.headers["Location"]) == (302, "http://other.example/")
        pieces = await client.fetch("pieces", unsigned=True)
        assert (pieces.content_type, pieces.body) == ("text/plain", b"onetwo")
        if signing in KEYED:
            for method in ("elsewhere", "pieces"):
                with pytest.raises(InvalidResponseHMAC, match="unsigned=True"):
                    await client.fetch(method)


@pytest.mark.parametrize("options", [{"method_select": "url"}, {"method_select": "parameter"}, {"root": "/"}])
async def test_where_a_service_is(options: dict[str, str]) -> None:
    """However a service expects its methods to be named, and whatever its root."""
    methods = {**METHODS, "a.b": echo}
    async with serving(methods, signing="session", **options) as client:
        await client.create_account("ada", PASSWORD)
        assert await client.call("a.b", {"x": 1}) == {"x": 1}
        if options.get("method_select") != "parameter":
            assert await client.get("who") == ["ada", {}]
        if options.get("method_select") != "url":
            assert await client.batch({"a": {"method": "echo"}}) == {"a": {}}
        async with client.socket() as socket:
            assert await socket.call("who") == ["ada", {}]
    async with serving({"é?%": echo}) as client:
        assert await client.call("é?%") == {}


Change = Callable[[web.Request, web.Response], None]


@asynccontextmanager
async def dishonest(change: Change, **options: Any) -> AsyncIterator[Client]:
    """A client of a service behind an attacker who changes its responses."""

    @web.middleware
    async def middle(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        response = await handler(request)
        assert isinstance(response, web.Response)
        change(request, response)
        return response

    parent = web.Application(middlewares=[middle])
    parent.add_subapp("/api", create_app(database="memory://", method_module=METHODS, **options))
    async with TestServer(parent) as server, Client(server.make_url("/api/service"), **options) as client:
        yield client


def cut(request: web.Request, response: web.Response) -> None:
    """Change a letter."""
    response.body = response.body.replace(b"ada", b"eve")  # type: ignore[union-attr]


def strip(request: web.Request, response: web.Response) -> None:
    """Remove the signature."""
    response.headers.popall("x-toto-hmac", None)


def garble(request: web.Request, response: web.Response) -> None:
    """Replace the signature with another one."""
    response.headers["x-toto-hmac"] = "ö"


@pytest.mark.parametrize("signing", ["user_id", "toto1", "session"])
@pytest.mark.parametrize("change", [cut, strip, garble])
async def test_a_changed_answer(signing: str, change: Change) -> None:
    """It is refused, if a session has signed it."""
    changes: list[Change] = []

    def sometimes(request: web.Request, response: web.Response) -> None:
        for change in changes:
            change(request, response)

    async with dishonest(sometimes, signing=signing) as client:
        await client.create_account("ada", PASSWORD)
        assert (await client.call("who"))[0] == "ada"
        changes.append(change)
        before = client.session
        with pytest.raises(InvalidResponseHMAC):
            await client.call("who")
        with pytest.raises(InvalidResponseHMAC):
            await client.batch({"a": {"method": "who"}})
        assert client.session == before
        if signing in KEYED and change is not cut:  # a call that asks for no session is signed as well
            with pytest.raises(InvalidResponseHMAC):
                await client.call("echo")
        elif change is not garble:
            assert await client.call("echo") == {}


Attack = Callable[[web.Request, web.Response], Any]


def without_anything(request: web.Request, response: web.Response) -> Any:
    """A result without a signature and a session."""
    strip(request, response)
    return {"result": "forged"}


def with_another_session(request: web.Request, response: web.Response) -> Any:
    """A result that is signed by a session of the attacker, which is to become the client's."""
    key, session = base64.b64encode(bytes(32)).decode(), {"session_id": "x" * 43, "user_id": "eve"}
    message = {"result": "forged", "batch": {"a": {"result": "forged"}}, "session": {**session, "key": key}}
    nonce = request.headers.get("x-toto-nonce", "")
    digest = hashlib.sha256(json.dumps(message).encode()).hexdigest()
    parts = "".join(f"{len(part)}:{part}" for part in (nonce, session["session_id"], digest)).encode()
    signature = base64.b64encode(hmac.digest(bytes(32), parts, "sha256")).decode()
    response.headers["x-toto-hmac"] = signature
    return message


def with_an_error_too(request: web.Request, response: web.Response) -> Any:
    """A result beside an error that is accepted without a signature."""
    strip(request, response)
    return {"result": "forged", "batch": {"a": {"result": "forged"}}, "error": {"code": 1004, "value": ""}}


@pytest.mark.parametrize("attack", [without_anything, with_another_session, with_an_error_too])
async def test_a_forged_answer(attack: Attack) -> None:
    """Whatever a signed call was, no result is accepted that its session has not signed, nor a session."""
    attacks: list[Attack] = []

    def forge(request: web.Request, response: web.Response) -> None:
        for attack in attacks:
            response.body = json.dumps(attack(request, response)).encode()
            response.headers["Content-Type"] = "application/json"

    async with dishonest(forge, signing="session") as client:
        await client.create_account("ada", PASSWORD)
        kept = session_of(client)
        calls: list[Callable[[], Awaitable[Any]]] = [
            lambda: client.call("who"),
            lambda: client.call("echo"),
            lambda: client.get("who"),
            lambda: client.batch({"a": {"method": "echo"}}),
            lambda: client.fetch("picture"),
            lambda: client.fetch("picture", unsigned=True),
            lambda: client.call("by_parameter", {"session_id": kept.session_id}),
            client.logout,
        ]
        for call in calls:
            attacks.append(attack)
            with pytest.raises(InvalidResponseHMAC):
                await call()
            attacks.clear()
            assert client.session == kept
        attacks.append(without_anything)
        with pytest.raises(InvalidResponseHMAC):
            await client.login("bob", PASSWORD)
        client.session = None
        with pytest.raises(UnreadableResponseError, match="without a session"):
            await client.login("bob", PASSWORD)


UNSIGNED_ERRORS: list[Any] = [
    (200, 1004, NotAuthorized),
    (200, 1008, InvalidHMAC),
    (503, 1011, Unavailable),
    (413, 1003, InvalidParameters),
    (408, 1003, InvalidParameters),
    (400, 1003, InvalidParameters),
    (200, 1003, None),
    (200, 1000, None),
    (200, 1001, None),
    (200, 1005, None),
    (200, 1007, None),
    (429, 1012, None),
    (504, 1013, None),
    (200, 2001, None),
    (200, None, UnreadableResponseError),
    (502, "a page", UnreadableResponseError),
    (302, "a page", InvalidResponseHMAC),
]


@pytest.mark.parametrize(("status", "code", "expected"), UNSIGNED_ERRORS)
async def test_an_error_without_a_signature(status: int, code: Any, expected: type[Exception] | None) -> None:
    """It is raised, and marked, if a service cannot sign it; the session is kept. Others are refused."""
    changes: list[Change] = []

    def forge(request: web.Request, response: web.Response) -> None:
        for _ in changes:
            strip(request, response)
            error = {"code": code, "value": "forged"}
            session = {"session_id": "x" * 43, "expires": 1.0, "user_id": "eve"}
            page = b"<h1>" if code == "a page" else json.dumps({"error": error, "session": session}).encode()
            response.set_status(status)
            response.body, response.content_type = page, "text/html" if code == "a page" else JSON

    async with dishonest(forge, signing="session") as client:
        await client.create_account("ada", PASSWORD)
        kept = client.session
        changes.append(strip)
        with pytest.raises(expected or InvalidResponseHMAC) as refused:
            await client.call("echo")
        if expected is None:
            assert isinstance(refused.value.__cause__, TotoException)
            assert refused.value.__cause__.code == code
            assert f"error {code}" in str(refused.value)
        elif issubclass(expected, TotoException) and expected is not InvalidResponseHMAC:
            assert isinstance(refused.value, TotoException)
            assert (refused.value.unsigned, refused.value.value) == (True, "forged")
        assert client.session == kept
        if expected is None:
            with pytest.raises(TotoException, match=str(code)) as login:
                await client.login("bob", PASSWORD)
            assert login.value.unsigned


async def test_an_ended_session() -> None:
    """Its errors are not signed, its results are refused, and it can be left by a login."""
    async with serving(METHODS, signing="session") as client:
        await client.create_account("ada", PASSWORD)
        with pytest.raises(TotoException, match="2001") as signed:
            await client.call("refuse")
        assert not signed.value.unsigned
        other = client.another()
        await other.login("ada", PASSWORD)
        await other.call("account.update", {"password": PASSWORD, "new_password": "battery staple"})
        ended = session_of(client)
        with pytest.raises(NotAuthorized) as unsigned:
            await client.call("who")
        assert unsigned.value.unsigned
        for call in (client.call("echo"), client.logout()):
            with pytest.raises(InvalidResponseHMAC, match=r"client\.login"):
                await call
        with pytest.raises(InvalidCredentials) as wrong:
            await client.login("ada", PASSWORD)
        assert wrong.value.unsigned
        assert client.session == ended
        await client.login("ada", "battery staple")
        assert await client.call("who") == ["ada", {}]
        await client.login("ada", "battery staple")
        await client.call("account.login", {"user_id": "ada", "password": "battery staple"})
        assert await client.call("who") == ["ada", {}]


async def test_an_answer_to_another_request() -> None:
    """A recorded response that is sent again has another nonce."""
    kept: list[Any] = []

    def replay(request: web.Request, response: web.Response) -> None:
        kept.append((response.body, response.headers["x-toto-hmac"]))
        response.body, response.headers["x-toto-hmac"] = kept[min(len(kept) - 1, 1)]

    async with dishonest(replay, signing="session") as client:
        await client.create_account("ada", PASSWORD)
        assert await client.call("who") == ["ada", {}]
        with pytest.raises(InvalidResponseHMAC):
            await client.call("who")


async def test_a_service_that_signs_otherwise() -> None:
    """Each side notices."""
    async with serving(METHODS, signing="session") as service:
        await service.create_account("ada", PASSWORD)
        async with Client(service.url, signing="off") as unsigned:
            await unsigned.login("ada", PASSWORD)
            with pytest.raises(InvalidHMAC) as error:
                await unsigned.call("who")
            assert "write its signing, as signing='session', not 'off'" in error.value.__notes__[0]
        async with Client(service.url, signing="user_id") as otherwise:
            with pytest.raises(InvalidResponseHMAC, match="as signing='session', not 'user_id'"):
                await otherwise.login("ada", PASSWORD)
    async with serving(METHODS, signing="off") as service, Client(service.url) as client:
        with pytest.raises(InvalidResponseHMAC, match="write the service's signing, as signing='off'"):
            await client.create_account("ada", PASSWORD)


@pytest.mark.parametrize(
    ("status", "content_type", "body"),
    [
        (502, "text/html", b"<h1>Bad Gateway</h1>"),
        (200, "application/json", b"{"),
        (200, "application/json", b"[" * 100_000),
        (200, "application/json", b"[]"),
        (200, "application/json", b'{"batch": {}}'),
        (200, "application/json", b'{"error": "no"}'),
        (200, "application/json", b'{"result": 1, "session": {}}'),
        (200, "application/json", b'{"result": 1, "session": {"session_id": "x", "key": "x"}}'),
        (200, "application/bson", b"x"),
        (200, "application/msgpack", b""),
    ],
)
async def test_what_is_no_service(status: int, content_type: str, body: bytes) -> None:
    """The error says so."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, content_type=content_type, body=body)

    app = web.Application()
    app.router.add_post("/service/{path:.*}", answer)
    async with TestServer(app) as server, Client(server.make_url("/service")) as client:
        with pytest.raises(UnreadableResponseError):
            await client.call("hello")


async def test_a_wrong_url() -> None:
    """The error asks whether the URL is right, and says how it ends."""
    async with serving(METHODS, signing="session") as service:
        await service.create_account("ada", PASSWORD)
        for signing, session in (("off", None), ("session", service.session)):
            async with Client(service.url.parent / "elsewhere", signing=signing, session=session) as client:
                for call in (client.call("who"), client.get("who"), client.login("ada", PASSWORD)):
                    with pytest.raises(UnreadableResponseError, match=r"404 .* Is the URL right\?"):
                        await call


async def test_a_batch_that_is_not_answered() -> None:
    """A response that is not one of a service is not a result."""

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"batch": {"b": {"result": 1}}})

    app = web.Application()
    app.router.add_post("/service", answer)
    async with TestServer(app) as server, Client(server.make_url("/service/")) as client:
        with pytest.raises(UnreadableResponseError):
            await client.batch({"a": {"method": "hello"}})


async def test_a_service_that_is_away_or_slow() -> None:
    """A call ends."""
    async with Client(f"http://127.0.0.1:{free_port()}/service") as client:
        with pytest.raises(aiohttp.ClientConnectorError):
            await client.call("hello")
        with pytest.raises(aiohttp.ClientConnectorError):
            async with client.socket():
                pass
    async with serving(METHODS) as service, Client(service.url, timeout=1) as client:
        with pytest.raises(TimeoutError):
            await client.call("slow", {"seconds": 5})
        async with client.socket() as socket:
            with pytest.raises(TimeoutError):
                await socket.call("slow", {"seconds": 5})
            with pytest.raises(TimeoutError):
                await socket.receive()
            assert await socket.call("echo") == {}


async def test_a_client_that_is_not_open() -> None:
    """It says what to write instead; so do wrong options."""
    client = Client("http://127.0.0.1:1/service")
    with pytest.raises(RuntimeError, match="async with Client"):
        await client.call("hello")
    with pytest.raises(ValueError, match="one of user_id, toto1, session, off"):
        Client("http://127.0.0.1:1", signing="hmac")
    with pytest.raises(ValueError, match="json, msgpack or bson"):
        Client("http://127.0.0.1:1", encoding="xml")
    await client.close()


async def test_the_documentation() -> None:
    """Its code blocks do what the page says."""
    text = (ROOT / "docs" / "client.md").read_text()
    blocks = re.findall(r"^```python\n(?!# )(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3

    @safe
    async def hello(handler: Handler, parameters: Parameters) -> Any:
        return {"hello": parameters["name"]}

    async with serving({**METHODS, "hello": hello, "count": visit}) as client:
        names = {"client": client, "Client": Client}
        for block in blocks:
            code = compile(block, "docs/client.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            await eval(code, names)  # noqa: S307  # our own documentation


async def test_somebody_elses_connections() -> None:
    """They are used, and stay open."""
    async with serving(METHODS) as service, aiohttp.ClientSession() as http:
        async with Client(service.url, http=http) as client:
            assert await client.call("echo") == {}
        assert not http.closed
        assert await client.call("echo") == {}


async def test_an_answer_that_comes_late() -> None:
    """It does not bring back a session that the client has left."""

    @authenticated
    async def wait(handler: Handler, parameters: Parameters) -> Any:
        return await slow(handler, {"seconds": 0.2})

    async with serving({**METHODS, "wait": wait}) as client:
        await client.create_account("ada", PASSWORD)
        late = asyncio.create_task(client.call("wait"))
        await asyncio.sleep(0.05)
        await client.create_account("bob", PASSWORD)
        assert await late == "slept"
        assert session_of(client).user_id == "bob"


@pytest.mark.parametrize("encoding", ["json", "msgpack", "bson"])
@pytest.mark.parametrize("signing", SCHEMES)
async def test_a_socket(signing: str, encoding: str) -> None:
    """Calls in the client's session, and messages between them."""
    async with serving(METHODS, signing=signing, encoding=encoding) as client:
        await client.create_account("ada", PASSWORD)
        async with client.socket() as socket:
            answers = await asyncio.gather(*[socket.call("who", {"n": n}) for n in range(40)])
            assert answers == [["ada", {"n": n}] for n in range(40)]
            assert await socket.call("push", {"count": 2}) == "pushed"
            assert [await socket.receive(), await socket.receive()] == [{"result": 0}, {"result": 1}]
            await socket.send("push", {"count": 1})
            assert await socket.receive() == {"result": 0}
            with pytest.raises(TotoException, match="2001"):
                await socket.call("refuse")
            await client.logout()
            assert [message async for message in socket] == []
            assert socket.close_code == 1008
            for waiting in (socket.call("who"), socket.receive(), socket.send("who")):
                with pytest.raises(ConnectionError, match="1008"):
                    await waiting


@pytest.mark.parametrize("signing", SCHEMES)
async def test_a_login_over_a_socket(signing: str) -> None:
    """Its session becomes the client's; a session in a parameter does not."""
    async with serving(METHODS, signing=signing) as client, client.socket() as socket:
        await socket.call("account.create", {"user_id": "ada", "password": PASSWORD})
        assert await socket.call("who") == ["ada", {}]
        assert await client.call("who") == ["ada", {}]
        other = client.another()
        await other.create_account("bob", PASSWORD)
        named = {"session_id": session_of(other).session_id}
        assert await socket.call("by_parameter", named) == "bob"
        assert await client.call("who") == ["ada", {}]
        await client.login("ada", PASSWORD)
        now = client.session
        assert await socket.call("who") == ["ada", {}]
        assert client.session == now
        await socket.call("account.login", {"user_id": "bob", "password": PASSWORD})
        assert await socket.call("who") == ["bob", {}]
        kept = signing in KEYED  # frames are not signed, and replace no session that is
        assert await client.call("who") == ["ada" if kept else "bob", {}]
        assert socket.close_code is None


async def test_a_frame_that_the_service_cannot_read() -> None:
    """Its call gets the error; if several wait, nobody knows which it was; if none does, it is a message."""
    deep: Any = []
    for _ in range(80):
        deep = [deep]
    async with serving(METHODS) as client, client.socket() as socket:
        with pytest.raises(InvalidParameters, match="Nested deeper"):
            await socket.call("echo", {"x": deep})
        waiting = asyncio.create_task(socket.call("slow", {"seconds": 60}))
        await asyncio.sleep(0)
        both = await asyncio.gather(waiting, socket.call("echo", {"x": deep}), return_exceptions=True)
        assert [type(each) for each in both] == [ConnectionError, ConnectionError]
        assert "could not read a frame" in str(both[0])
        assert await socket.call("echo") == {}
        await socket.send("echo", {"x": deep})
        assert (await socket.receive())["error"]["code"] == 1003


async def test_seconds_to_wait() -> None:
    """An error 1012 has them, however the call was made."""
    async with serving({**METHODS, "busy": busy}) as client, client.socket() as socket:
        batch = await client.batch({"1": {"method": "busy"}})
        found = [
            batch["1"],
            *await asyncio.gather(client.call("busy"), socket.call("busy"), return_exceptions=True),
        ]
        assert [(each.code, each.retry_after) for each in found] == [(1012, 7)] * 3


async def test_a_socket_that_is_refused() -> None:
    """With an unknown session that cannot sign, no socket is opened."""
    async with serving(METHODS, signing="session") as client:
        await client.create_account("ada", PASSWORD)
        client.session = SessionCredentials(session_of(client).session_id, "ada", key="AAAA")
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            async with client.socket():
                pass


async def test_a_socket_elsewhere() -> None:
    """At ``socket_path``."""
    async with serving(METHODS, socket_path="/ws") as client, client.socket("/ws") as socket:
        assert await socket.call("echo") == {}


async def test_messages_that_nobody_reads() -> None:
    """The oldest are dropped and counted, and calls continue."""
    async with serving(METHODS) as client, client.socket() as socket:
        assert await socket.call("push", {"count": 1002}) == "pushed"
        assert await socket.call("echo") == {}
        assert socket.dropped == 2
        assert await socket.receive() == {"result": 2}


@pytest.mark.parametrize("frame", ["{", "[" * 100_000])
async def test_a_socket_that_sends_nonsense(frame: str) -> None:
    """What waits ends, and says why."""

    async def serve(request: web.Request) -> web.WebSocketResponse:
        response = web.WebSocketResponse()
        await response.prepare(request)
        await response.receive()
        await response.send_str('{"id": ["call 1"], "result": 1}')
        await response.send_str(frame)
        async for _ in response:
            pass
        return response

    app = web.Application()
    app.router.add_get("/service/websocket", serve)
    async with TestServer(app) as server, Client(server.make_url("/service")) as client:
        async with client.socket() as socket:
            with pytest.raises(ConnectionError, match="cannot be read"):
                await socket.call("hello")
            assert await socket.receive() == {"id": ["call 1"], "result": 1}


async def test_a_service_that_ends() -> None:
    """A call that waits on a socket ends with it."""
    async with AsyncExitStack() as later:
        async with serving(METHODS) as service:
            client = await later.enter_async_context(Client(service.url))
            socket = await later.enter_async_context(client.socket())
            waiting = asyncio.create_task(socket.call("slow", {"seconds": 30}))
            await asyncio.sleep(0.05)
        with pytest.raises(ConnectionError, match="1001"):
            await waiting


def test_results_have_no_limits() -> None:
    """A response in BSON is read whatever it holds, as one in another encoding: limits are for requests."""
    moment = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
    for result in (math.inf, [moment] * 5000, list(range(2**17))):
        response = Response(200, "application/bson", {}, encode_bson({"result": result}))
        assert response.message == {"result": result}
