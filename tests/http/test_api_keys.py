"""API keys, which ``Authorization: Bearer`` shows on every way in."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import bson
import msgpack
import pytest
from aiohttp import web
from multidict import CIMultiDict
from pytest_aiohttp.plugin import AiohttpClient

import toto_aio.methods.account.api_keys
from tests.conftest import server_module
from tests.support.limits import WATCHDOG
from tests.support.service import PlainServer, Serve, Service
from tests.support.site import PASSWORD, Site, make_site
from toto_aio import Handler
from toto_aio.auth import api_key, api_keys, confirmation
from toto_aio.client import Client
from toto_aio.exceptions import NotAuthorized
from toto_aio.invocation import (
    anonymous_session,
    authenticated,
    authenticated_with_parameter,
    fresh,
    optionally_authenticated,
    roles,
    safe,
)
from toto_aio.middleware import get_session, log_in, log_out, require
from toto_aio.models import Record
from toto_aio.stores.memory import MemoryStore

Parameters = dict[str, Any]
FORBIDDEN = 1004
GONE = "The API key is wrong, expired or revoked."


@safe
@authenticated
async def who(handler: Handler, parameters: Parameters) -> str:
    """Return the caller's user id."""
    assert handler.session is not None
    return handler.session.user_id


async def open_to_all(handler: Handler, parameters: Parameters) -> str:
    """Return the user of the session, which nothing asks for."""
    session = await handler.retrieve_session()
    return "" if session is None else session.user_id


@anonymous_session
async def anonymous(handler: Handler, parameters: Parameters) -> str:
    """Return the user of the session, or of a new one."""
    assert handler.session is not None
    return handler.session.user_id


@roles("admin")
async def admin(handler: Handler, parameters: Parameters) -> list[str]:
    """Return the roles of the caller."""
    assert handler.session is not None
    account = await handler.session.get_account()
    assert account is not None
    return list(account.roles)


@authenticated_with_parameter
async def named(handler: Handler, parameters: Parameters) -> str:
    """Return the user of the session that a parameter names."""
    assert handler.session is not None
    return handler.session.user_id


@optionally_authenticated
async def keep(handler: Handler, parameters: Parameters) -> Any:
    """Do to the session what a parameter says."""
    session = handler.session
    assert session is not None
    session["a"] = 1
    acts: dict[str, Callable[[], Awaitable[Any]]] = {
        "save": session.save,
        "update": lambda: session.update(lambda state: None),
        "create": lambda: handler.create_session("ada", verify_password=False),
        "refresh": session.refresh,
    }
    await acts[parameters["act"]]()
    return session.state, session.session_id


@fresh(600)
async def just_logged_in(handler: Handler, parameters: Parameters) -> str:
    """Return the user, who has just logged in."""
    assert handler.session is not None
    return handler.session.user_id


KEYS = {"account.api_keys": toto_aio.methods.account.api_keys}
METHODS = {
    **KEYS,
    "who": who,
    "notes.who": who,
    "notes.deep.who": who,
    "notesx": who,
    "open": open_to_all,
    "anonymous": anonymous,
    "admin": admin,
    "named": named,
    "keep": keep,
    "fresh": just_logged_in,
}


def bearer(key: str) -> dict[str, str]:
    """The header that shows a key."""
    return {"Authorization": f"Bearer {key}"}


async def make_key(service: Service, session: str, *scopes: str, **more: Any) -> str:
    """A new key of a session's user."""
    parameters = {"name": "a program", "scopes": scopes or ("*",), **more}
    return str((await service.result("account.api_keys.create", parameters, session=session))["key"])


async def outcome(service: Service, key: str, method: str, parameters: Any = None) -> Any:
    """The result of a call with a key, or the code of its error."""
    body = {"method": method, "parameters": parameters or {}}
    answer = await (await service.post(json=body, headers=bearer(key))).json()
    return answer["error"]["code"] if "error" in answer else answer["result"]


async def test_every_way_in(serve: Serve) -> None:
    """Each takes a key for a method of its scopes, and refuses it for another, as it does a wrong one."""
    service = await serve(METHODS, error_status="http", batch_concurrency=2)
    session = await service.create()
    key = await make_key(service, session, "notes.*")
    root = "/service"

    async def of(response: aiohttp.ClientResponse, decode: Callable[[bytes], Any] = json.loads) -> Any:
        answer = decode(await response.read())
        expected = {"ada": {200}, FORBIDDEN: {401, 403}}
        found = answer["result"] if "result" in answer else answer["error"]["code"]
        assert response.status in expected[found]
        assert "session" not in answer or "session_id" not in answer["session"]
        assert response.headers["Cache-Control" if found == "ada" else "Vary"]
        assert "x-toto-hmac" not in response.headers
        return found

    async def plain(method: str, headers: Any) -> Any:
        return await of(await service.post(json={"method": method}, headers=headers))

    async def by_url(method: str, headers: Any) -> Any:
        path = "/" + method.replace(".", "/")
        outcomes = [
            await of(await service.post(path, json={}, headers=headers)),
            await of(await service.post(path, data={"x": "y"}, headers=headers)),
            await of(await service.client.get(root + path, headers=headers)),
        ]
        assert len({*outcomes}) == 1
        return outcomes[0]

    async def encoded(method: str, headers: Any) -> Any:
        body: dict[str, Any] = {"method": method, "parameters": {}}
        codecs: list[Any] = [("msgpack", msgpack.packb, msgpack.unpackb), ("bson", bson.encode, bson.decode)]
        outcomes = []
        for name, encode, decode in codecs:
            head = {**headers, "Content-Type": f"application/{name}"}
            outcomes.append(await of(await service.post(data=encode(body), headers=head), decode))
        assert len({*outcomes}) == 1
        return outcomes[0]

    async def batch(method: str, headers: Any) -> Any:
        entries = {"a": {"method": "notes.who"}, "b": {"method": method}, "c": {"method": "open"}}
        answer = await (await service.post(json={"batch": entries}, headers=headers)).json()
        found = {
            name: each.get("result", each.get("error", {}).get("code"))
            for name, each in answer["batch"].items()
        }
        assert found["a"] == ("ada" if headers == bearer(key) and is_valid else FORBIDDEN)
        assert found["c"] == FORBIDDEN, "each entry is compared with the scopes, whatever came before it"
        return found["b"]

    async def rpc(method: str, headers: Any) -> Any:
        message = [{"jsonrpc": "2.0", "method": each, "id": 1} for each in (method, "open")]
        answers = await (await service.post("/rpc", json=message, headers=headers)).json()
        assert answers[1]["error"]["data"]["code"] == FORBIDDEN
        return answers[0]["result"] if "result" in answers[0] else answers[0]["error"]["data"]["code"]

    async def socket(method: str, headers: Any) -> Any:
        if headers != bearer(key) or not is_valid:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await service.client.ws_connect(f"{root}/websocket", headers=headers)
            assert refused.value.status == 401
            assert refused.value.headers is not None
            assert refused.value.headers["WWW-Authenticate"] == 'Bearer realm="/service"'
            return FORBIDDEN
        async with service.client.ws_connect(f"{root}/websocket", headers=headers) as opened:
            answers = []
            for frame in ({"id": 1, "method": method}, {"id": 2, "method": "open"}):
                await opened.send_json(frame)
                answers.append(await opened.receive_json())
            await opened.send_json({"jsonrpc": "2.0", "id": 3, "method": method})
            third = await opened.receive_json()
        assert answers[1]["error"]["code"] == FORBIDDEN
        assert ("result" in answers[0]) == ("result" in third)
        return answers[0]["result"] if "result" in answers[0] else answers[0]["error"]["code"]

    async def client(method: str, headers: Any) -> Any:
        shown = headers["Authorization"].removeprefix("Bearer ")
        async with Client(service.client.make_url(root), api_key=shown) as own:
            try:
                found = await own.call(method)
            except NotAuthorized as exc:
                return exc.code
            assert own.session is None
            async with own.socket() as opened:
                assert await opened.call(method) == found
            return found

    ways = (plain, by_url, encoded, batch, rpc, socket, client)
    is_valid = True
    for way in ways:
        assert await way("notes.who", bearer(key)) == "ada", way
        assert await way("notes.deep.who", bearer(key)) == "ada", way
        for method in ("who", "notesx"):
            assert await way(method, bearer(key)) == FORBIDDEN, (way, method)
        assert await way("notes.who", bearer(api_key.new_api_key())) == FORBIDDEN, way
    [kept] = (await service.result("account.api_keys.list", session=session))["api_keys"]
    assert (await service.result("account.api_keys.revoke", {"handle": kept["handle"]}, session=session)) == {
        "revoked": True
    }
    is_valid = False
    for way in ways:
        assert await way("notes.who", bearer(key)) == FORBIDDEN, way


async def test_what_a_key_stands_for(serve: Serve) -> None:
    """Its account with its roles as they are now, in all methods but those of accounts, and no session."""
    service = await serve({**METHODS, "give": give}, error_status="http")
    session, other = await service.create(), await service.create("eve")
    key = await make_key(service, session, "*")
    assert await service.result("fresh", session=session) == "ada"
    allowed = {"who": "ada", "open": "ada", "anonymous": "ada", "admin": FORBIDDEN, "fresh": FORBIDDEN}
    for method, expected in allowed.items():
        assert await outcome(service, key, method) == expected, method
    await service.result("give", {"user_id": "ada"})
    assert await outcome(service, key, "admin") == ["admin"]
    assert await outcome(service, key, "named", {"session_id": other}) == "eve"
    assert await outcome(service, key, "named", {"session_id": key}) == FORBIDDEN
    assert await outcome(service, key, "keep", {"act": "refresh"}) == [{"a": 1}, ""]
    for act in ("save", "update", "create"):
        assert await outcome(service, key, "keep", {"act": act}) == FORBIDDEN, act
    ada = {"user_id": "ada", "password": "correct horse"}
    of_accounts: dict[str, Parameters] = {
        "account.api_keys.create": {"name": "another", "scopes": ["*"]},
        "account.api_keys.list": {},
        "account.api_keys.revoke": {"handle": "x"},
        "account.update": {"password": "correct horse", "new_password": "battery staple"},
        "account.sessions": {},
        "account.revoke_all": {},
        "account.login": ada,
        "account.logout": {},
        "account.create": {"user_id": "bob", "password": "correct horse"},
    }
    for method, parameters in of_accounts.items():
        response = await service.post(json={"method": method, "parameters": parameters}, headers=bearer(key))
        assert (response.status, (await response.json())["error"]["code"]) == (403, FORBIDDEN), method
    assert await service.result("who", session=session) == "ada"


async def test_a_call_that_asks_for_another_session(serve: Serve) -> None:
    """The calls of a batch behind it have what the key stands for all the same."""

    async def ask(handler: Handler, parameters: Parameters) -> str:
        session = await handler.retrieve_session(parameters["session_id"])
        assert session is not None
        assert session is handler.session
        return session.user_id

    service = await serve({**METHODS, "ask": ask})
    session, other = await service.create(), await service.create("eve")
    key = await make_key(service, session)
    batch = {
        "1": {"method": "ask", "parameters": {"session_id": other}},
        "2": {"method": "who", "parameters": {}},
        "3": {"method": "open", "parameters": {}},
    }
    answer = await (await service.post(json={"batch": batch}, headers=bearer(key))).json()
    assert [answer["batch"][n]["result"] for n in batch] == ["eve", "ada", "ada"]


async def give(handler: Handler, parameters: Parameters) -> None:
    """Make a user an admin."""
    await handler.accounts.set_roles(parameters["user_id"], ["admin"])


async def test_headers(serve: Serve) -> None:
    """A key counts as a bearer token only; beside a session it is refused, and a cookie doesn't count."""
    service = await serve(METHODS, use_cookies=True, secure_cookies=False)
    session = await service.create()
    key = await make_key(service, session)
    origin = ("Origin", f"{service.client.make_url('/').origin()}")
    shown = ("Authorization", f"Bearer {key}")
    table: list[tuple[Any, Any]] = [
        ([shown, ("x-toto-session-id", key)], "ada"),
        ([shown, ("Cookie", f"toto-session={await service.create('eve')}"), origin], "ada"),
        ([("Authorization", f"bearer  {key} ")], "ada"),
        ([shown, ("x-toto-session-id", session)], 1003),
        ([shown, shown], 1003),
        ([("x-toto-session-id", key)], FORBIDDEN),
        ([("x-toto-session-id", key), ("Authorization", "Basic eDp5")], FORBIDDEN),
        ([("Authorization", f"Basic {key}")], FORBIDDEN),
        ([("Authorization", f"Bearer {key}x")], FORBIDDEN),
        ([("Authorization", f"Bearer {key[:-1]}")], FORBIDDEN),
        ([("Authorization", f"Bearer {key.upper()}")], FORBIDDEN),
        ([("Authorization", "Bearer ghp_" + key.removeprefix("toto_"))], FORBIDDEN),
        ([("Cookie", f"toto-session={key}"), origin], FORBIDDEN),
    ]
    for headers, expected in table:
        response = await service.post(json={"method": "who"}, headers=CIMultiDict(headers))
        answer = await response.json()
        assert answer.get("result", answer.get("error", {}).get("code")) == expected, headers
        assert "Set-Cookie" not in response.headers
    async with service.client.ws_connect(f"/service/websocket/{key}") as socket:
        await socket.send_json({"id": 0, "session_id": key})
        assert (await socket.receive_json())["result"] is None
        await socket.send_json({"id": 1, "method": "who"})
        assert (await socket.receive_json())["error"]["code"] == FORBIDDEN


@pytest.mark.parametrize("signing", ["session", "toto1", "user_id", "off"])
async def test_a_key_is_not_signed(serve: Serve, signing: str) -> None:
    """Whatever the scheme: a key works alone, and neither it nor the response has a signature."""
    service = await serve(METHODS, signing=signing)
    async with Client(service.client.make_url("/service"), signing=signing) as client:
        await client.create_account("ada", "correct horse")
        made = await client.call("account.api_keys.create", {"name": "a", "scopes": ["who"]})
    for headers in (bearer(made["key"]), {**bearer(made["key"]), "x-toto-hmac": "wrong"}):
        response = await service.post("/who", json={}, headers=headers)
        assert (await response.json())["result"] == "ada"
        assert "x-toto-hmac" not in response.headers
    async with Client(service.client.make_url("/service"), signing=signing, api_key=made["key"]) as client:
        assert await client.call("who") == "ada"
        assert await client.get("who") == "ada"
        assert await client.batch({"a": {"method": "who"}}) == {"a": "ada"}
        async with client.socket() as socket:
            assert await socket.call("who") == "ada"


async def test_the_end_of_a_key_closes_its_sockets(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its revocation does, and the end of its time; other keys stay, whatever becomes of sessions."""
    service = await serve(METHODS)
    session = await service.create()
    keys = [await make_key(service, session) for _ in range(2)]
    now = time.time
    brief = await make_key(service, session, expires=now() + 1000)
    sockets = [
        await service.client.ws_connect("/service/websocket", headers=bearer(key)) for key in (*keys, brief)
    ]
    for socket in sockets:
        await socket.send_json({"id": 1, "method": "who"})
        assert (await socket.receive_json())["result"] == "ada"
    first = (await service.result("account.api_keys.list", session=session))["api_keys"][0]
    await service.result("account.api_keys.revoke", {"handle": first["handle"]}, session=session)
    assert (await sockets[0].receive(WATCHDOG)).data == 1008
    monkeypatch.setattr(time, "time", lambda: now() + 1000)
    assert (await sockets[2].receive(WATCHDOG)).data == 1008
    assert await outcome(service, brief, "who") == FORBIDDEN
    assert (await service.result("account.logout", session=session)) == {"authenticated": False}
    await sockets[1].send_json({"id": 2, "method": "who"})
    assert (await sockets[1].receive_json())["result"] == "ada"


async def test_guesses(serve: Serve) -> None:
    """Wrong keys count for their address, as wrong passwords do; right ones and logins go on."""
    service = await serve(METHODS, login_attempts=1)
    session = await service.create()
    key = await make_key(service, session)
    wrong = [await outcome(service, api_key.new_api_key(), "who") for _ in range(12)]
    assert wrong == [FORBIDDEN] * 10 + [1012] * 2
    response = await service.post("/who", json={}, headers=bearer(api_key.new_api_key()))
    assert response.status == 429
    assert 0 < int(response.headers["Retry-After"]) <= 900
    with pytest.raises(aiohttp.WSServerHandshakeError, match="429"):
        await service.client.ws_connect("/service/websocket", headers=bearer(api_key.new_api_key()))
    assert await outcome(service, key, "who") == "ada"
    await service.result("account.login", {"user_id": "ada", "password": "correct horse"})


class Reads(MemoryStore):
    """Counts the operations on the store by their names."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if asyncio.iscoroutinefunction(value):
            self.names.append(name)
        return value


async def test_what_a_look_up_costs(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """One read, also for a whole batch; when a key was used is written once an hour; a typo costs nothing."""
    store = Reads()
    service = await serve(METHODS, database=store)
    session = await service.create()
    key = await make_key(service, session)
    listed = await service.result("account.api_keys.list", session=session)
    assert [each["seen"] for each in listed["api_keys"]] == [None]
    assert await outcome(service, key, "who") == "ada"
    store.names.clear()
    assert await outcome(service, key, "who") == "ada"
    assert store.names == ["get_record"]
    entries = {name: {"method": "who"} for name in "abc"}
    await service.post(json={"batch": entries}, headers=bearer(key))
    assert store.names == ["get_record"] * 2
    store.names.clear()
    assert await outcome(service, key[:-1] + ("a" if key[-1] != "a" else "b"), "who") == FORBIDDEN
    assert [name for name in store.names if "record" in name] == []
    [seen] = (await service.result("account.api_keys.list", session=session))["api_keys"]
    assert seen["created"] <= seen["seen"] <= time.time()
    monkeypatch.setattr(api_keys, "SEEN_EVERY", 0.0)
    assert await outcome(service, key, "who") == "ada"
    [later] = (await service.result("account.api_keys.list", session=session))["api_keys"]
    assert later["seen"] > seen["seen"]


async def test_what_is_shown_once(serve: Serve) -> None:
    """The key is in the response that makes it, and nowhere else: not in lists, nor in the store."""
    store = MemoryStore()
    service = await serve(METHODS, database=store)
    session = await service.create()
    until = time.time() + 1000
    made = await service.result(
        "account.api_keys.create",
        {"name": " CI  é ", "scopes": ["notes.*", "who", "who"], "expires": until},
        session=session,
    )
    key = made.pop("key")
    assert api_key.is_api_key(key)
    assert key.startswith("toto_")
    [listed] = (await service.result("account.api_keys.list", session=session))["api_keys"]
    assert listed == made
    assert (made["name"], made["scopes"], made["ending"]) == ("CI  é", ["notes.*", "who"], key[-4:])
    assert made["expires"] == pytest.approx(until, abs=0.01)
    [record] = await store.list_records("ada", "api_key")
    assert key not in repr(record)
    assert key[5:-4].encode() not in record.value
    eve = await service.create("eve")
    assert await service.result("account.api_keys.list", session=eve) == {"api_keys": []}
    revoked = await service.result("account.api_keys.revoke", {"handle": made["handle"]}, session=eve)
    assert revoked == {"revoked": False}


async def test_an_older_session_gives_the_password(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that somebody has stolen makes no key that would outlive it."""
    monkeypatch.setattr(confirmation, "FRESH", 0.0)
    service = await serve(METHODS)
    session = await service.create()
    for password, code in ((None, FORBIDDEN), ("wrong", 1005)):
        parameters = {"name": "a", "scopes": ["*"], "password": password}
        answer = await service.call("account.api_keys.create", parameters, session=session)
        assert answer["error"]["code"] == code, password
    assert await service.result("account.api_keys.list", session=session) == {"api_keys": []}
    key = await make_key(service, session, password="correct horse")
    assert await outcome(service, key, "who") == "ada"


async def test_a_session_that_ends_meanwhile(serve: Serve) -> None:
    """It makes no key: its user has ended it, or the account is somebody else's by now."""

    class Ending(MemoryStore):
        async def add_record(self, record: Record) -> bool:
            if record.kind == "api_key":
                await self.remove_sessions(record.owner)
            return await super().add_record(record)

    store = Ending()
    service = await serve(METHODS, database=store)
    parameters = {"name": "a", "scopes": ["*"]}
    answer = await service.call("account.api_keys.create", parameters, session=await service.create())
    assert answer["error"]["code"] == FORBIDDEN
    assert await store.list_records("ada", "api_key") == []


async def test_wrong_parameters(serve: Serve) -> None:
    """What is no name, no scope and no time is refused, and says what to write; anonymous callers are too."""
    service = await serve(METHODS)
    session = await service.create()
    right = {"name": "a", "scopes": ["*"]}
    many = [f"a{number}" for number in range(65)]
    names: list[Any] = ["", " ", "x" * 101, "a\nb", 1, None, ["a"], "\ud800"]
    lists: list[Any] = [[], "", {}, None, 1, many, [1], [""]]
    scopes = ["**", "*.a", "a*", "a..b", ".*", "a.", "a b", "x" * 129]
    times: list[Any] = [0, -1, time.time() - 1, True, "soon", [], 1e300, "nan"]
    wrong: list[Parameters] = [
        {"scopes": ["*"]},
        {"name": "a"},
        *({**right, "name": name} for name in names),
        *({**right, "scopes": each} for each in lists),
        *({**right, "scopes": [scope]} for scope in scopes),
        *({**right, "expires": when} for when in times),
        {**right, "ttl": 5},
    ]
    for parameters in wrong:
        answer = await service.call("account.api_keys.create", parameters, session=session)
        assert answer["error"]["code"] == 1003, parameters
    assert await service.result("account.api_keys.list", session=session) == {"api_keys": []}
    for name in ("create", "list", "revoke"):
        answer = await service.call(f"account.api_keys.{name}", {**right, "handle": "x"})
        assert answer["error"]["code"] == FORBIDDEN
    got = await service.client.get("/service/account/api_keys/list", headers={"x-toto-session-id": session})
    assert got.status == 405


async def test_a_form(serve: Serve) -> None:
    """A form gives the scopes in one field, and the time as text."""
    service = await serve(METHODS)
    session = await service.create()
    fields = {"name": "a", "scopes": "notes.* who", "expires": str(time.time() + 60)}
    response = await service.post(
        "/account/api_keys/create", data=fields, headers={"x-toto-session-id": session}
    )
    made = (await response.json())["result"]
    assert made["scopes"] == ["notes.*", "who"]
    assert await outcome(service, made["key"], "who") == "ada"


async def test_too_many_keys(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """An account has a limited number, and another one after one was revoked."""
    monkeypatch.setattr(api_keys, "MAX_KEYS", 2)
    service = await serve(METHODS)
    session = await service.create()
    for _ in range(2):
        await make_key(service, session)
    answer = await service.call("account.api_keys.create", {"name": "a", "scopes": ["*"]}, session=session)
    assert answer["error"]["code"] == 1003
    handle = (await service.result("account.api_keys.list", session=session))["api_keys"][0]["handle"]
    await service.result("account.api_keys.revoke", {"handle": handle}, session=session)
    await make_key(service, session)


async def test_on_a_page(aiohttp_client: AiohttpClient) -> None:
    """Pages of the application around the service take a key for everything, which logs nobody in or out."""

    async def page(request: web.Request) -> web.Response:
        session = await get_session(request)
        return web.Response(text="nobody" if session is None else session.user_id)

    async def own(request: web.Request) -> web.Response:
        return web.Response(text=(await require(request)).user_id)

    async def enter(request: web.Request) -> web.Response:
        await log_in(request, "ada")
        return web.Response()

    async def leave(request: web.Request) -> web.Response:
        await log_out(request)
        return web.Response()

    pages = {"/page": page, "/own": own, "/enter": enter, "/leave": leave}
    application, _ = make_site(pages, methods=KEYS)
    site = Site(await aiohttp_client(PlainServer(application)))
    session = await site.service.create("ada", PASSWORD)
    keys = {scope: await make_key(site.service, session, scope) for scope in ("*", "notes.*")}
    keys["wrong"] = api_key.new_api_key()
    expected = {
        "*": {"/page": 200, "/own": 200, "/enter": 401, "/leave": 401},
        "notes.*": {"/page": 403, "/own": 403, "/enter": 401, "/leave": 401},
        "wrong": {"/page": 401, "/own": 401, "/enter": 401, "/leave": 401},
    }
    for scope, statuses in expected.items():
        for path, status in statuses.items():
            response = await site.client.get(path, headers=bearer(keys[scope]), allow_redirects=False)
            assert response.status == status, (scope, path)
            assert await response.text() == "ada" or response.status != 200
            assert "Set-Cookie" not in response.headers


async def test_processes_share_keys(serve: Serve, servers: Any) -> None:
    """A key is made here and used there, and its end here closes its sockets there, through Redis."""
    url = server_module("redis").fresh_url(servers("redis"))
    here, there = [await serve(METHODS, database=url, events=url) for _ in range(2)]
    session = await here.create()
    key, other = await make_key(here, session), await make_key(here, session)
    assert await outcome(there, key, "who") == "ada"
    sockets = [
        await there.client.ws_connect("/service/websocket", headers=bearer(each)) for each in (key, other)
    ]
    first = (await there.result("account.api_keys.list", session=session))["api_keys"][0]
    await here.result("account.api_keys.revoke", {"handle": first["handle"]}, session=session)
    assert (await sockets[0].receive(30)).data == 1008
    assert await outcome(there, key, "who") == FORBIDDEN
    await sockets[1].send_json({"id": 1, "method": "who"})
    assert (await sockets[1].receive_json())["result"] == "ada"
