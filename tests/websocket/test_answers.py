"""What is answered over a WebSocket: exceptions of aiohttp's, and calls that end its session."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.support.limits import WATCHDOG
from tests.support.service import Serve


@pytest.mark.parametrize("kind", [web.HTTPPaymentRequired, web.HTTPNotFound, web.HTTPOk, web.HTTPNoContent])
async def test_like_in_a_batch(serve: Serve, errors: Any, kind: type[web.HTTPException]) -> None:
    """They are an error 1003 that says to call by HTTP, and no error of the service."""

    async def away(handler: Any, parameters: Any) -> None:
        raise kind

    async def redirect(handler: Any, parameters: Any) -> None:
        raise web.HTTPFound("/elsewhere")

    service = await serve({"away": away, "redirect": redirect})
    async with service.client.ws_connect("/service/websocket") as socket:
        for name in ("away", "redirect"):
            batch = {"batch": {"a": {"method": name}}}
            in_batch = (await (await service.post(json=batch)).json())["batch"]["a"]["error"]
            await socket.send_json({"id": 1, "method": name})
            answer = json.loads(await socket.receive_str(timeout=WATCHDOG))
            assert answer["id"] == 1
            assert answer["error"]["code"] == in_batch["code"] == 1003
            assert answer["error"]["value"] == f"'{name}' answers with bytes of its own: call it by HTTP."
            await socket.send_json({"method": name})  # without an id nothing is sent
    assert not errors()


async def test_a_logout_without_events(serve: Serve) -> None:
    """The call that ends the session of its socket has its response before the socket is closed."""
    for events in ("off", "memory://"):
        service = await serve(events=events)
        for number in range(5):
            session_id = await service.create(f"ada{number}")
            headers = {"x-toto-session-id": session_id}
            async with service.client.ws_connect("/service/websocket", headers=headers) as socket:
                await socket.send_json({"id": 1, "method": "account.logout"})
                assert (await socket.receive_json())["result"] == {"authenticated": False}
                assert (await socket.receive()).data == aiohttp.WSCloseCode.POLICY_VIOLATION


async def test_a_password_change_beside_another_session(serve: Serve) -> None:
    """The socket keeps its new session, though the end of the user's other sessions may be heard late."""
    for events in ("off", "memory://"):
        service = await serve(events=events)
        await service.create()
        user = {"user_id": "ada", "password": "correct horse"}
        async with service.client.ws_connect("/service/websocket") as socket:
            for method, parameters in (
                ("account.login", user),
                ("account.update", {"password": user["password"], "new_password": "a new password"}),
                ("account.sessions", {}),
            ):
                await socket.send_json({"id": 1, "method": method, "parameters": parameters})
                assert "result" in await socket.receive_json(timeout=WATCHDOG)
