"""The methods ``account.delete`` and ``account.export``."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

import toto_aio.methods.account.api_keys
import toto_aio.methods.account.delete
import toto_aio.methods.account.export
import toto_aio.methods.account.totp
from tests.support.authenticator import SECRET_KEY, code_of, enrol, rewind
from tests.support.service import Serve, Service
from toto_aio import Handler
from toto_aio.auth import confirmation
from toto_aio.exceptions import Unavailable
from toto_aio.invocation import authenticated
from toto_aio.models import NEVER, Account, Record
from toto_aio.stores.memory import MemoryStore

PASSWORD = "correct horse"
Parameters = dict[str, Any]


@authenticated
async def who(handler: Handler, parameters: Parameters) -> str:
    """Return the caller's user id."""
    assert handler.session is not None
    return handler.session.user_id


async def remove(handler: Handler, parameters: Parameters) -> bool:
    """Delete an account, as an administrator does."""
    return await handler.accounts.delete(parameters["user_id"])


METHODS = {
    "account.api_keys": toto_aio.methods.account.api_keys,
    "account.delete": toto_aio.methods.account.delete,
    "account.export": toto_aio.methods.account.export,
    "account.totp": toto_aio.methods.account.totp,
    "remove": remove,
    "who": who,
}


async def served(serve: Serve, **options: Any) -> tuple[Service, MemoryStore, str, str]:
    """A service, its store, a session of ada's, and an API key of hers."""
    store = options.pop("store", None) or MemoryStore()
    service = await serve(METHODS, database=store, secret_key=[SECRET_KEY], **options)
    session = await service.create()
    key = {"name": "a program", "scopes": ["*"], "password": PASSWORD}
    made = await service.result("account.api_keys.create", key, session=session)
    return service, store, session, str(made["key"])


async def by_key(service: Service, key: str) -> Any:
    """The response to a call with an API key."""
    response = await service.post("/who", json={}, headers={"Authorization": f"Bearer {key}"})
    return await response.json()


async def test_everything_goes(serve: Serve) -> None:
    """The account, sessions, keys, second factor and devices; sockets of sessions and keys are closed."""
    service, store, session, key = await served(serve)
    _, codes = await enrol(service, session)
    login = {"user_id": "ada", "password": PASSWORD}
    ticket = (await service.call("account.login", login))["error"]["ticket"]
    parameters = {"ticket": ticket, "code": codes[0], "remember": True}
    other = (await service.result("account.totp.login", parameters))["session_id"]
    eve = await service.create("eve")
    headers = ({"x-toto-session-id": other}, {"Authorization": f"Bearer {key}"})
    sockets = [await service.client.ws_connect("/service/websocket", headers=each) for each in headers]
    for socket in sockets:
        await socket.send_json({"id": 1, "method": "who"})
        assert (await socket.receive_json())["result"] == "ada"
    answer = await service.call("account.delete", session=session)
    assert answer == {"result": {"deleted": True}}
    for socket in sockets:
        assert (await socket.receive(30)).data == 1008
    assert [code_of(await service.call("who", session=each)) for each in (session, other)] == [1004, 1004]
    assert code_of(await by_key(service, key)) == 1004
    assert code_of(await service.call("account.login", login)) == 1005
    kinds = ("api_key", "totp", "totp_enrolment", "device", "login_ticket")
    assert [await store.list_records("ada", kind) for kind in kinds] == [[]] * 5
    again = await service.create("ada")
    assert await service.result("who", session=again) == "ada"
    assert "result" in await service.call("account.login", login)
    assert code_of(await by_key(service, key)) == 1004
    assert await service.result("who", session=eve) == "eve"


async def test_it_needs_the_password_or_a_new_login(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older session gives the password, whose wrong ones are counted; an API key and nobody may not."""
    monkeypatch.setattr(confirmation, "FRESH", 0.0)
    service, _, session, key = await served(serve, login_attempts=2)
    assert code_of(await service.call("account.delete")) == 1004
    for method in ("account.delete", "account.export"):
        body = {"method": method, "parameters": {"password": PASSWORD}}
        response = await service.post(json=body, headers={"Authorization": f"Bearer {key}"})
        assert code_of(await response.json()) == 1004, method
    table: list[tuple[Parameters, int]] = [
        ({}, 1004),
        ({"password": None}, 1004),
        ({"password": 1}, 1003),
        ({"password": "wrong horse"}, 1005),
        ({"password": "wrong horse"}, 1005),
        ({"password": PASSWORD}, 1012),
    ]
    for parameters, expected in table:
        answer = await service.call("account.delete", parameters, session=session)
        assert code_of(answer) == expected, parameters
    assert await service.result("who", session=session) == "ada"
    got = await service.client.get("/service/account/delete", headers={"x-toto-session-id": session})
    assert got.status == 405
    eve = await service.create("eve")
    assert await service.result("account.delete", {"password": PASSWORD}, session=eve) == {"deleted": True}


async def test_sockets_of_keys_alone(serve: Serve) -> None:
    """They are closed too if the account has no session."""
    service, _, session, key = await served(serve)
    await service.result("account.logout", session=session)
    headers = {"Authorization": f"Bearer {key}"}
    async with service.client.ws_connect("/service/websocket", headers=headers) as socket:
        await service.result("remove", {"user_id": "ada"})
        assert (await socket.receive(30)).data == 1008


async def test_over_a_socket(serve: Serve, tmp_path: Path) -> None:
    """The response comes before the socket is closed, in a frame and in JSON-RPC."""
    service, _, session, _ = await served(serve, store=f"sqlite:///{tmp_path}/toto.db")
    frames: list[Parameters] = [
        {"id": 1, "method": "account.delete"},
        {"id": 1, "jsonrpc": "2.0", "method": "account.delete"},
    ]
    for frame in frames:
        headers = {"x-toto-session-id": session}
        async with service.client.ws_connect("/service/websocket", headers=headers) as socket:
            await socket.send_json(frame)
            assert (await socket.receive_json(timeout=30))["result"] == {"deleted": True}
            closed = await socket.receive(30)
            assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, 1008)
        session = await service.create("ada")


async def test_a_database_that_fails(serve: Serve) -> None:
    """The call is unavailable, the socket stays, and the deletion can be repeated."""

    class Failing(MemoryStore):
        fails = True

        async def remove_account(self, user_id: str) -> bool:
            if self.fails:
                raise Unavailable
            return await super().remove_account(user_id)

    store = Failing()
    service, _, session, key = await served(serve, store=store)
    answer = await service.call("account.delete", session=session)
    assert code_of(answer) == 1011
    assert code_of(await by_key(service, key)) == 1004  # it has ended before
    store.fails = False
    store._sessions.clear()  # with the marker, which keeps logins out for a minute
    login = await service.result("account.login", {"user_id": "ada", "password": PASSWORD})
    assert await service.result("account.delete", session=login["session_id"]) == {"deleted": True}


async def test_a_form_with_a_cookie(serve: Serve) -> None:
    """The browser goes where the form says, without the cookie."""
    service, _, _, _ = await served(serve, use_cookies=True, secure_cookies=False)
    headers = {"Origin": f"{service.client.make_url('/').origin()}"}
    login = {"user_id": "ada", "password": PASSWORD, "redirect_to": "/"}
    await service.post("/account/login", data=login, headers=headers, allow_redirects=False)
    fields = {"password": PASSWORD, "redirect_to": "/bye"}
    response = await service.post("/account/delete", data=fields, headers=headers, allow_redirects=False)
    assert (response.status, response.headers["Location"]) == (303, "/bye")
    assert 'toto-session=""' in response.headers["Set-Cookie"]


async def test_an_export(serve: Serve) -> None:
    """It has everything about the user, nothing of others, and no secret."""
    service, store, session, key = await served(serve, account_fields=["name"])
    await service.result("account.update", {"name": "Ada \u00e9"}, session=session)
    app, codes = await enrol(service, session)
    await rewind(store)
    ticket = (await service.call("account.login", {"user_id": "ada", "password": PASSWORD}))["error"][
        "ticket"
    ]
    parameters = {"ticket": ticket, "code": app.code(), "remember": True}
    device = (await service.result("account.totp.login", parameters))["device"]
    for number in range(150):
        value = msgspec.msgpack.encode((f"ada{number}@example.org", 1.5))
        await store.add_record(Record("address", f"{number:03}", "ada", value, NEVER if number else 9e9))
    await service.create("eve")
    answer = await service.call("account.export", session=session)
    found = answer["result"]
    assert (found["user_id"], found["roles"], found["fields"]) == ("ada", [], {"name": "Ada \u00e9"})
    counts = {name: len(found[name]) for name in ("sessions", "api_keys", "devices", "addresses")}
    assert counts == {"sessions": 2, "api_keys": 1, "devices": 1, "addresses": 150}
    assert found["second_factor"]["recovery_codes"] == 10
    assert found["has_password"] is True
    assert found["addresses"][0] == {"address": "ada0@example.org", "verified": 1.5, "expires": 9e9}
    assert found["addresses"][149] == {"address": "ada149@example.org", "verified": 1.5}
    text = json.dumps(found)
    [totp] = await store.list_records("ada", "totp")
    account = await store.get_account("ada")
    assert account is not None
    for secret in (session, key, device, account.password, *codes, totp.key):
        assert secret not in text
    assert "eve" not in text
    assert code_of(await service.call("account.export")) == 1004


async def test_a_batch_that_logs_out_meanwhile(serve: Serve) -> None:
    """The account whose password was given is deleted, and not that of a login in the same batch."""
    gone_on = asyncio.Event()

    class Slow(MemoryStore):
        async def get_account(self, user_id: str) -> Account | None:
            if user_id == "ada":
                await gone_on.wait()
            return await super().get_account(user_id)

    async def go_on(handler: Handler, parameters: Parameters) -> None:
        gone_on.set()

    methods = {"account.delete": toto_aio.methods.account.delete, "go_on": go_on}
    others = {"account.logout": {}, "account.login": {"user_id": "eve", "password": PASSWORD}}
    for method, parameters in others.items():
        store = Slow()
        gone_on.set()
        service = await serve(methods, database=store, batch_concurrency=2)
        ada, _ = [await service.create(user_id) for user_id in ("ada", "eve")]
        gone_on.clear()
        batch = {
            "1": {"method": "account.delete", "parameters": {"password": PASSWORD}},
            "2": {"method": method, "parameters": parameters},
            "3": {"method": "go_on", "parameters": {}},
        }
        response = await service.post(json={"batch": batch}, headers={"x-toto-session-id": ada})
        assert (await response.json())["batch"]["1"] == {"result": {"deleted": True}}, method
        assert [account.user_id for account in await store.list_accounts("", 10)] == ["eve"], method
