"""Roles that are given and taken in another process: by the next call, whatever is open meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from tests.support.limits import WATCHDOG, limits
from tests.support.service import PlainServer, Serve, Service
from toto_aio import Handler, create_app, middleware
from toto_aio.auth.accounts import Accounts
from toto_aio.invocation import authenticated, roles
from toto_aio.lifespan import LIFESPAN
from toto_aio.methods.account import api_keys
from toto_aio.websocket import session_watch


@roles("admin")
async def rule(handler: Handler, parameters: dict[str, Any]) -> str:
    """Return what is only for admins."""
    return "ruled"


@roles("admin")
async def abdicate(handler: Handler, parameters: dict[str, Any]) -> str:
    """Take the caller's own role."""
    assert handler.session is not None
    await handler.accounts.set_roles(handler.session.user_id, [])
    return "gone"


@authenticated
async def visit(handler: Handler, parameters: dict[str, Any]) -> str:
    """Return what is for users."""
    return "seen"


METHODS = {"rule": rule, "abdicate": abdicate, "visit": visit, "keys.create": api_keys.create}


def accounts_of(service: Service) -> Accounts:
    """The accounts, as an author has them in this process."""
    assert service.client.app is not None
    accounts: Accounts = service.client.app[LIFESPAN].runtime.connection.accounts
    return accounts


async def rpc_batch(service: Service, session: str, *methods: str) -> list[Any]:
    """What the calls of a batch of JSON-RPC give, in their order: results, or codes of errors."""
    calls = [{"jsonrpc": "2.0", "id": number, "method": name} for number, name in enumerate(methods)]
    response = await service.post("/rpc", json=calls, headers={"x-toto-session-id": session})
    return [each.get("result") or each["error"]["data"]["code"] for each in await response.json()]


async def on(socket: aiohttp.ClientWebSocketResponse, method: str = "rule", *, rpc: bool = False) -> Any:
    """What a call on a socket gives: its result, or the code of its error."""
    await socket.send_json({"id": 1, "method": method, **({"jsonrpc": "2.0"} if rpc else {})})
    answer = await socket.receive_json(timeout=WATCHDOG)
    return answer.get("result") or answer["error"].get("data", answer["error"])["code"]


async def test_what_is_open_elsewhere(serve: Serve, aiohttp_client: Any, tmp_path: Path) -> None:
    """Sockets, keys, batches and pages of another process have the role from the next call on, or lose it."""
    database = f"sqlite:///{tmp_path}/toto.db"
    service, other = [await serve(METHODS, database=database) for _ in range(2)]
    ada = await service.create()
    key = (await service.result("keys.create", {"name": "x", "scopes": ["*"]}, session=ada))["key"]
    around = web.Application()
    embedded = create_app(database=database, method_module=METHODS)
    middleware.setup(around, embedded)

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=(await middleware.require(request, role="admin")).user_id)

    around.router.add_get("/page", page)
    around.add_subapp("/api", embedded)
    pages = await aiohttp_client(PlainServer(around))
    shown = {"x-toto-session-id": ada}
    bearer = {"authorization": f"Bearer {key}"}
    by_session = await other.client.ws_connect("/service/websocket", headers=shown)
    by_key = await other.client.ws_connect("/service/websocket", headers=bearer)
    for number in range(4):
        is_admin = number % 2 == 1
        await accounts_of(service).set_roles("ada", ["admin", "other"] if is_admin else ["other"])
        expected = "ruled" if is_admin else 1004
        assert await on(by_session) == expected, number
        assert await on(by_session, rpc=True) == expected, number
        assert await on(by_key) == expected, number
        assert await rpc_batch(other, ada, "rule", "rule") == [expected] * 2, number
        answer = await other.call("rule", authorization=f"Bearer {key}")
        assert answer.get("result") == ("ruled" if is_admin else None), number
        assert (await pages.get("/page", headers=shown)).status == (200 if is_admin else 403), number
    assert await rpc_batch(other, ada, "rule", "abdicate", "rule") == ["ruled", "gone", 1004]
    assert await on(by_session) == 1004


async def test_an_account_that_is_deleted_elsewhere(serve: Serve, tmp_path: Path) -> None:
    """An open socket has nothing left, even if another account gets the user id, and a role.

    No event has told its process, and it hasn't looked the session up.
    """
    database = f"sqlite:///{tmp_path}/toto.db"
    with limits(session_watch, LOOKUP_INTERVAL=WATCHDOG * 10):
        service, other = [await serve(METHODS, database=database) for _ in range(2)]
        ada = await service.create()
        key = (await service.result("keys.create", {"name": "x", "scopes": ["*"]}, session=ada))["key"]
        await accounts_of(service).set_roles("ada", ["admin"])
        heads = {"x-toto-session-id": ada}, {"authorization": f"Bearer {key}"}
        for before in heads:
            assert (await other.call("rule", **before))["result"] == "ruled"
        sockets = [await other.client.ws_connect("/service/websocket", headers=head) for head in heads]
        for socket in sockets:
            assert [await on(socket), await on(socket, "visit")] == ["ruled", "seen"]
        for again in (False, True):
            await accounts_of(service).delete("ada")
            if again:
                await accounts_of(service).create("ada", None)
                await accounts_of(service).set_roles("ada", ["admin"])
            for socket in sockets:
                for method in ("rule", "visit"):
                    assert await gone(socket, method), (again, method)
            for head in heads:
                assert (await other.call("rule", **head))["error"]["code"] == 1004, again


async def gone(socket: aiohttp.ClientWebSocketResponse, method: str) -> bool:
    """Whether a socket refuses a call, or has been closed."""
    if socket.closed:
        return True
    await socket.send_json({"id": 1, "method": method})
    message = await socket.receive(timeout=WATCHDOG)
    if message.type is not aiohttp.WSMsgType.TEXT:
        return message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING)
    return bool(message.json()["error"]["code"] == 1004)
