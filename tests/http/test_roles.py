"""``@roles``: who may call a method, on every way in, and when a change counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.limits import WATCHDOG
from tests.support.service import Serve, Service
from toto_aio import Handler
from toto_aio.exceptions import NotAuthorized
from toto_aio.invocation import anonymous_session, authenticated_with_parameter, jsonp, roles, safe, timeout
from toto_aio.lifespan import LIFESPAN
from toto_aio.settings import SettingsError
from toto_aio.testing import calling

Parameters = dict[str, Any]


@roles("admin")
async def rule(handler: Handler, parameters: Parameters) -> str:
    """Return what is only for admins."""
    return "ruled"


@safe
@roles("editor", "admin")
def edit(handler: Handler, title: str = "") -> str:
    """Return what is for editors, and for admins: typed, by GET, and in a thread."""
    return "edited"


@timeout(60)
@authenticated_with_parameter
@roles("admin")
async def named(handler: Handler, parameters: Parameters) -> str:
    """Return what is for an admin whose session is a parameter."""
    return "named"


@anonymous_session
async def visit(handler: Handler, parameters: Parameters) -> str:
    """Return the id of an anonymous session."""
    assert handler.session is not None
    return handler.session.session_id


@roles("admin")
async def grant(handler: Handler, parameters: Parameters) -> None:
    """Set the roles of an account."""
    await handler.accounts.set_roles(parameters["user_id"], parameters["roles"])


METHODS = {"rule": rule, "edit": edit, "named": named, "visit": visit, "grant": grant}


async def set_roles(service: Service, *names: str, user_id: str = "ada") -> None:
    """Set the roles of an account as an author does."""
    assert service.client.app is not None
    await service.client.app[LIFESPAN].runtime.connection.accounts.set_roles(user_id, names)


async def outcomes(service: Service, session: str) -> dict[str, Any]:
    """What the method for admins gives on every way in: its result, or the code of its error."""
    headers = {"x-toto-session-id": session}
    call = {"method": "rule", "parameters": {}}
    rpc = {"jsonrpc": "2.0", "id": 1, "method": "rule"}
    responses = {
        "call": await service.post(json=call, headers=headers),
        "url": await service.post("/rule", json={}, headers=headers),
        "form": await service.post("/rule", data={"a": "b"}, headers=headers),
        "bearer": await service.post("/rule", json={}, headers={"authorization": f"Bearer {session}"}),
        "get": await service.client.get("/service/edit?title=x", headers=headers),
        "parameter": await service.post("/named", json={"session_id": session}),
        "rpc": await service.post("/rpc", json=rpc, headers=headers),
    }
    answers = {name: await response.json() for name, response in responses.items()}
    batch = await service.post(json={"batch": {"a": call, "b": call}}, headers=headers)
    answers |= {f"batch {name}": answer for name, answer in (await batch.json())["batch"].items()}
    async with service.client.ws_connect("/service/websocket") as socket:
        await socket.send_json({"id": 0, "session_id": session})
        await socket.receive_json(timeout=WATCHDOG)
        await socket.send_json({"id": 1, "method": "rule"})
        answers["socket"] = await socket.receive_json(timeout=WATCHDOG)
        await socket.send_json(rpc)
        answers["socket rpc"] = await socket.receive_json(timeout=WATCHDOG)
    return {
        name: answer.get("result", answer.get("error", {}).get("data", answer.get("error", {})).get("code"))
        for name, answer in answers.items()
    }


async def test_every_way_in(serve: Serve) -> None:
    """One of the roles is needed whichever way a call comes, and a session alone is not enough."""
    service = await serve(METHODS, error_status="http")
    ada = await service.create()
    refused = await outcomes(service, ada)
    assert len(refused) == 11
    assert set(refused.values()) == {1004}, refused
    await set_roles(service, "editor")
    assert await outcomes(service, ada) == {**refused, "get": "edited"}
    await set_roles(service, "admin", "other")
    admitted = dict.fromkeys(refused, "ruled")
    assert await outcomes(service, ada) == {**admitted, "get": "edited", "parameter": "named"}
    for session in (await service.result("visit"), await service.create("eve"), "unknown"):
        assert await outcomes(service, session) == refused, session


@pytest.mark.parametrize(("mode", "statuses"), [("toto", (200, 200)), ("http", (401, 403))])
async def test_statuses(serve: Serve, mode: str, statuses: tuple[int, int]) -> None:
    """Under error_status=http it is 403 for a user, and 401 for who is none, as is an anonymous session."""
    service = await serve(METHODS, error_status=mode)
    anonymous, ada = await service.result("visit"), await service.create()
    for session, status in ((None, statuses[0]), (anonymous, statuses[0]), (ada, statuses[1])):
        headers = {} if session is None else {"x-toto-session-id": session}
        response = await service.post("/rule", json={}, headers=headers)
        assert response.status == status, session
        assert (await response.json())["error"] == {"code": 1004, "value": "Not authorized"}
        assert ("WWW-Authenticate" in response.headers) == (status == 401)


async def test_a_change_counts_from_the_next_call_on(serve: Serve, tmp_path: Path) -> None:
    """It does in another process on the database, on a socket that was open before, and within a batch."""
    database = f"sqlite:///{tmp_path}/toto.db"
    service, other = [await serve(METHODS, database=database) for _ in range(2)]
    ada, eve = await service.create(), await service.create("eve")
    await set_roles(service, "admin")
    async with other.client.ws_connect("/service/websocket") as socket:

        async def answer() -> Any:
            await socket.send_json({"id": 1, "method": "rule"})
            return (await socket.receive_json(timeout=WATCHDOG)).get("result")

        await socket.send_json({"id": 0, "session_id": eve})
        assert (await socket.receive_json(timeout=WATCHDOG))["result"]["user_id"] == "eve"
        assert await answer() is None
        for granted in (["admin"], ["other"], ["other", "admin"], []):
            await service.result("grant", {"user_id": "Eve", "roles": granted}, session=ada)
            expected = "ruled" if "admin" in granted else None
            assert await answer() == expected, granted
            assert (await other.call("rule", session=eve)).get("result") == expected
    calls = {
        name: {"method": "grant", "parameters": {"user_id": "ada", "roles": []}}
        for name in ("first", "second")
    }
    response = await service.post(json={"batch": calls}, headers={"x-toto-session-id": ada})
    codes = [answer.get("error", {}).get("code") for answer in (await response.json())["batch"].values()]
    assert sorted(codes, key=str) == [1004, None]


async def test_no_client_gives_itself_a_role(serve: Serve) -> None:
    """Neither with a new account nor with a change of one's own."""
    service = await serve(METHODS, account_fields=["name"])
    ada = await service.create()
    for name in ("roles", "toto_aio.roles", "toto_aio.birth"):
        new = {"user_id": "eve", "password": "correct horse", name: ["admin"]}
        for method, parameters in (("create", new), ("update", {"name": "x", name: ["admin"]})):
            answer = await service.call(f"account.{method}", parameters, session=ada)
            assert answer["error"] == {"code": 1003, "value": f"Unknown account fields: {name}"}
    assert (await service.call("rule", session=ada))["error"]["code"] == 1004
    answer = await service.call("account.login", {"user_id": "eve", "password": "correct horse"})
    assert answer["error"]["code"] == 1005


async def test_an_account_that_is_gone(serve: Serve) -> None:
    """A session without its account, which a store may have lost, has no role."""
    service = await serve(METHODS)
    ada = await service.create()
    await set_roles(service, "admin")
    assert await service.result("rule", session=ada) == "ruled"
    assert service.client.app is not None
    await service.client.app[LIFESPAN].runtime.connection.accounts._store.remove_account("ada")
    assert (await service.call("rule", session=ada))["error"]["code"] == 1004


async def test_an_administrators_mistake(serve: Serve) -> None:
    """Wrong names are error 1003, which says what to write."""
    service = await serve(METHODS)
    ada = await service.create()
    await set_roles(service, "admin")
    for wrong in ("admin", ["a b"], {"admin": 1}, None):
        answer = await service.call("grant", {"user_id": "ada", "roles": wrong}, session=ada)
        assert answer["error"]["code"] == 1003, wrong
        assert answer["error"]["value"].startswith("roles: write ")
    assert await service.result("rule", session=ada) == "ruled"


async def test_in_process() -> None:
    """Calls without HTTP ask for the role as well."""
    async with calling() as call:
        with pytest.raises(NotAuthorized):
            await call(rule)
        with pytest.raises(NotAuthorized):
            await call(rule, user_id="ada")
        await call.accounts.set_roles("ada", ["admin"])
        assert await call(rule, user_id="ada") == "ruled"


async def test_what_is_refused_at_the_start(serve: Serve) -> None:
    """Names that are none, no names at all, the decorator twice, and what has no session or no account."""
    for wrong in (("",), ("a b",), ("x" * 65,)):
        with pytest.raises(ValueError, match="roles: write a name"):
            roles(*wrong)
    for bare in ((), (rule,), (["admin"],)):
        with pytest.raises(TypeError, match='write @roles\\("admin"\\)'):
            roles(*bare)
    with pytest.raises(ValueError, match="@roles: write it once"):
        roles("editor")(rule)
    script = jsonp(roles("admin")(safe(lambda handler, parameters: 1)))
    with pytest.raises(SettingsError, match="@jsonp cannot serve a method that needs a session"):
        await serve({"script": script})
    with pytest.raises(SettingsError):
        await serve(METHODS, database="none")


async def test_openapi(serve: Serve) -> None:
    """The document names the roles; one for users has only the methods that its reader may call."""
    public, service = await serve(METHODS), await serve(METHODS, openapi="authenticated", error_status="http")
    paths = (await (await public.client.get("/service/openapi.json")).json())["paths"]
    assert paths["/service/edit"]["get"]["x-roles"] == ["admin", "editor"]
    assert "*Requires the role* ``admin``." in paths["/service/rule"]["post"]["description"]
    assert "x-roles" not in paths["/service/visit"]["post"]
    ada = {"x-toto-session-id": await service.create()}
    tags = set()
    all_of_them = {"edit", "rule", "named", "grant"}
    for names, seen in (
        ((), set()),
        (("editor", "other"), {"edit"}),
        (("admin",), all_of_them),
        (("other",), set()),
    ):
        await set_roles(service, *names)
        response = await service.client.get("/service/openapi.json", headers=ada)
        text = await response.text()
        tags.add(response.headers["ETag"])
        shown = {path.removeprefix("/service/") for path in json.loads(text)["paths"]}
        assert shown & all_of_them == seen, names
        assert "visit" in shown
        assert ("only for admins" in text) == ("admin" in names)
    assert len(tags) == 3
