"""``account.update`` and ``account.create`` while the store of the sessions, or a client, goes away."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from tests.auth.test_password_change import Around
from tests.conftest import server_module
from tests.support.limits import PATIENCE, WATCHDOG
from tests.support.servers import Server
from tests.support.service import Serve, Service
from tests.support.stores import once_available, opened
from toto_aio import redis_connection
from toto_aio.auth import change_marker
from toto_aio.exceptions import Unavailable
from toto_aio.stores import Store
from toto_aio.stores.memory import MemoryStore

KIND = "redis"
OLD, NEW = "correct horse", "battery staple"
CHANGE = {"password": OLD, "new_password": NEW}
NOT_AUTHORIZED = {"code": 1004, "value": "Not authorized"}


async def log_in(service: Service, user_id: str, password: str) -> str | None:
    """The id of a new session, or None if the password is wrong; waits until logins are served."""
    async with asyncio.timeout(WATCHDOG):
        while True:
            answer = await service.call("account.login", {"user_id": user_id, "password": password})
            code = answer.get("error", {"code": 0})["code"]
            if code not in (1011, 1012):
                assert code in (0, 1005)
                return None if code else str(answer["result"]["session_id"])
            await asyncio.sleep(0.05)


async def is_valid(service: Service, session: str) -> bool:
    """Whether a session is valid; anything but an answer with it or 1004 is an error."""
    answer = await service.call("account.sessions", session=session)
    assert "result" in answer or answer["error"] == NOT_AUTHORIZED
    return "result" in answer


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_redis_stops_at_any_step(
    serve: Serve, own_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """When it is back, either the old password is right, or the new one and every other session is ended."""
    monkeypatch.setattr(change_marker, "MARKER_TTL", 1.0)
    url = server_module(KIND).fresh_url(own_server)
    stops_at, seen = -1, set()

    async def run(name: str, operation: Callable[[], Any]) -> Any:
        if stops_at == next(count):
            await asyncio.to_thread(own_server.kill if how == "killed" else own_server.freeze)
            if how == "frozen":
                monkeypatch.setattr(redis_connection, "OPERATION_LIMIT", 0.1)
        return await operation()

    async with opened(url) as store:
        around = cast(Store, Around(store, run))
        count = itertools.count()
        service = await serve(
            database=f"sqlite:///{tmp_path}/toto.db", session_store=around, login_attempts=1000
        )
        for step in itertools.count(2):  # after the session was loaded, by the call and to count its attempt
            user_id = f"ada{step}"
            own = await service.create(user_id)
            others = [await log_in(service, user_id, OLD) for _ in range(2)]
            stops_at, count = step, itertools.count()
            answer = await service.call("account.update", CHANGE, session=own)
            monkeypatch.setattr(redis_connection, "OPERATION_LIMIT", PATIENCE)
            stopped = next(count) > step
            stops_at = -1
            if stopped:
                own_server.start() if how == "killed" else own_server.thaw()
                await once_available(lambda: store.get_session("none"))
            else:
                assert "result" in answer
            changed = await log_in(service, user_id, NEW) is not None
            assert (await log_in(service, user_id, OLD) is None) is changed
            seen.add((changed, "result" in answer))
            if changed:
                for other in others:
                    assert other is not None
                    assert not await is_valid(service, other)
            if "result" in answer:
                assert await is_valid(service, answer["result"]["session_id"])
                assert not await is_valid(service, own)
            else:
                assert answer["error"]["code"] == 1011
            if not stopped:
                break
    assert step > 8
    assert seen == {(False, False), (True, False), (True, True)}


async def test_what_the_client_is_told(serve: Serve) -> None:
    """After half of the work is done, the error says what holds now, and what to do."""
    store, failing = MemoryStore(), ""

    async def run(name: str, operation: Callable[[], Any]) -> Any:
        if name == failing:
            raise Unavailable
        return await operation()

    service = await serve(session_store=cast(Store, Around(store, run)))
    session = await service.create()
    ended = asyncio.Event()
    original = store.remove_sessions

    async def remove_sessions(user_id: str, keep: str | None = None) -> int:
        if ended.is_set():  # this is the second ending
            raise Unavailable
        ended.set()
        return await original(user_id, keep)

    store.remove_sessions = remove_sessions  # type: ignore[method-assign]
    answer = await service.call("account.update", CHANGE, session=session)
    assert answer["error"] == {"code": 1011, "value": "The password is changed: log in with the new one."}
    assert await is_valid(service, answer["session"]["session_id"])
    failing = "add_session"
    answer = await service.call("account.create", {"user_id": "eve", "password": OLD})
    message = "The account is created, but there is no session: log in to it."
    assert answer["error"] == {"code": 1011, "value": message}
    failing = ""
    assert await log_in(service, "eve", OLD) is not None


@pytest.mark.parametrize("events", ["memory://", "off", "redis"])
async def test_a_change_over_a_socket(serve: Serve, own_server: Server, events: str) -> None:
    """It is answered, and the socket stays open with the new session; those of the other sessions close."""
    url = server_module(KIND).fresh_url(own_server)
    service = await serve(database=url, events=url if events == "redis" else events)
    session = await service.create()
    other = await log_in(service, "ada", OLD)
    headers = {"x-toto-session-id": session}
    socket = await service.client.ws_connect("/service/websocket", headers=headers)
    shared = await service.client.ws_connect("/service/websocket", headers=headers)
    others = await service.client.ws_connect("/service/websocket", headers={"x-toto-session-id": str(other)})
    for number, method in enumerate(("account.update", "account.sessions")):
        await socket.send_json({"id": number, "method": method, "parameters": {} if number else CHANGE})
        answer = json.loads(await socket.receive_str(timeout=WATCHDOG))
        assert (answer["id"], "result" in answer) == (number, True)
    assert [each["current"] for each in answer["result"]["sessions"]] == [True]
    for closed in (shared, others):
        assert (await closed.receive(timeout=WATCHDOG)).data == 1008
    await socket.close()
