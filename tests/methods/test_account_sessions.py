"""The sessions of a user, listed and ended by the user."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.support.service import Serve, Service
from toto_aio.invocation import authenticated

ADA = {"user_id": "ada", "password": "correct horse"}
NOT_AUTHORIZED = {"code": 1004, "value": "Not authorized"}


@authenticated
async def who(handler: Any, parameters: dict[str, Any]) -> str:
    """Return the caller's user id."""
    return str(handler.session.user_id)


async def logged_in(service: Service, agent: str) -> str:
    """The id of a new session of ada in a browser of this name."""
    answer = await service.call("account.login", ADA, **{"User-Agent": agent})
    return str(answer["result"]["session_id"])


async def listed(service: Service, session: str) -> list[dict[str, Any]]:
    """The sessions of the user, as a client sees them."""
    return list((await service.result("account.sessions", session=session))["sessions"])


@pytest.mark.parametrize("database", ["memory", "sqlite"])
async def test_the_list(serve: Serve, database: str, tmp_path: Any) -> None:
    """When and by which client each was created and last used, and which is the caller's; never an id."""
    url = "memory://" if database == "memory" else f"sqlite:///{tmp_path}/toto.db"
    service = await serve({"who": who}, database=url, trusted_proxies=["127.0.0.1"])
    before = time.time()
    first = await service.create()
    phone = await service.call(
        "account.login", ADA, **{"User-Agent": "phone" * 100, "X-Forwarded-For": "2001:db8::7"}
    )
    sessions = await listed(service, first)
    assert [set(session) for session in sessions] == [
        {"handle", "created", "seen", "expires", "address", "agent", "current"}
    ] * 2
    assert [session["current"] for session in sessions] == [True, False]
    assert [session["address"] for session in sessions] == ["127.0.0.1", "2001:db8::7"]
    assert sessions[0]["agent"].startswith("Python/")
    assert sessions[1]["agent"] == ("phone" * 100)[:200]
    for session in sessions:
        assert before <= session["created"] <= session["seen"] <= time.time() < session["expires"]
    assert len({session["handle"] for session in sessions}) == 2
    for session_id in (first, phone["result"]["session_id"]):
        assert session_id not in str(sessions)
        assert not any(session["handle"] in session_id for session in sessions)


async def test_one_is_ended(serve: Serve) -> None:
    """It is no longer valid, and the others are."""
    service = await serve({"who": who})
    mine = await service.create()
    phone, tablet = await logged_in(service, "phone"), await logged_in(service, "tablet")
    [handle] = [session["handle"] for session in await listed(service, mine) if session["agent"] == "phone"]
    assert await service.result("account.revoke", {"handle": handle}, session=mine) == {"revoked": True}
    assert (await service.call("who", session=phone))["error"] == NOT_AUTHORIZED
    assert await service.result("who", session=tablet) == "ada"
    assert await service.result("account.revoke", {"handle": handle}, session=mine) == {"revoked": False}


async def test_the_own_one_is_ended(serve: Serve) -> None:
    """This is a logout, and removes a browser's cookie."""
    service = await serve({"who": who}, use_cookies=True)
    await service.create()
    origin = {"Origin": f"http://127.0.0.1:{service.client.port}"}
    body = {"method": "account.login", "parameters": ADA}
    cookie = (await service.post(json=body, headers=origin)).headers["Set-Cookie"].partition(";")[0]
    headers = {**origin, "Cookie": cookie}
    response = await service.post(json={"method": "account.sessions"}, headers=headers)
    [handle] = [
        session["handle"] for session in (await response.json())["result"]["sessions"] if session["current"]
    ]
    body = {"method": "account.revoke", "parameters": {"handle": handle}}
    response = await service.post(json=body, headers=headers)
    assert await response.json() == {"result": {"revoked": True}}
    assert "Max-Age=0" in response.headers["Set-Cookie"]
    response = await service.post(json={"method": "who"}, headers=headers)
    assert (await response.json())["error"] == NOT_AUTHORIZED


async def test_all_others_are_ended(serve: Serve) -> None:
    """All others of the user, and none of another user."""
    service = await serve({"who": who})
    mine = await service.create()
    others = [await logged_in(service, "phone") for _ in range(3)]
    eve = await service.create("eve")
    assert await service.result("account.revoke_all", session=mine) == {"revoked": 3}
    for other in others:
        assert (await service.call("who", session=other))["error"] == NOT_AUTHORIZED
    assert await service.result("who", session=mine) == "ada"
    assert await service.result("who", session=eve) == "eve"
    assert await service.result("account.revoke_all", session=mine) == {"revoked": 0}


async def test_sessions_of_others(serve: Serve) -> None:
    """A handle ends only one of the caller's own sessions."""
    service = await serve({"who": who})
    ada, eve = await service.create("ada"), await service.create("eve")
    [session] = await listed(service, ada)
    result = await service.result("account.revoke", {"handle": session["handle"]}, session=eve)
    assert result == {"revoked": False}
    assert await service.result("who", session=ada) == "ada"


@pytest.mark.parametrize("handle", ["", "x", "%", "_" * 16, "0" * 5000])
async def test_unknown_handles(serve: Serve, handle: str) -> None:
    """They end nothing."""
    service = await serve({"who": who})
    mine = await service.create()
    await logged_in(service, "phone")
    assert await service.result("account.revoke", {"handle": handle}, session=mine) == {"revoked": False}
    assert len(await listed(service, mine)) == 2


@pytest.mark.parametrize("handle", [None, 0, True, {"$gt": ""}, ["x"]])
async def test_what_is_no_handle(serve: Serve, handle: Any) -> None:
    """It must be text."""
    service = await serve({})
    mine = await service.create()
    assert (await service.call("account.revoke", {"handle": handle}, session=mine))["error"]["code"] == 1003


@pytest.mark.parametrize("method", ["account.sessions", "account.revoke", "account.revoke_all"])
async def test_they_need_a_login(serve: Serve, method: str) -> None:
    """Without a login no sessions are shown, and GET reaches none of the methods."""
    service = await serve({}, get_methods="all")
    assert (await service.call(method, {"handle": "x"}))["error"] == NOT_AUTHORIZED
    path = method.replace(".", "/")
    assert (await service.client.get(f"/service/{path}")).status == 405
