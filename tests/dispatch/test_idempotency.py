"""Idempotency keys: what a repeat gets, over every transport, whatever became of the first call."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from copy import copy
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import bson
import msgspec
import pytest
from aiohttp import web
from msgspec.structs import replace

from tests.support.limits import WATCHDOG
from tests.support.service import Serve, Service
from toto_aio import Handler, TotoException, create_app, open_service
from toto_aio.client import Client
from toto_aio.dispatch.idempotency import KIND
from toto_aio.dispatch.key_entry import State, pack, unpack
from toto_aio.exceptions import (
    CallInProgress,
    InvalidParameters,
    KeyReused,
    NotAuthorized,
    OutcomeUnknown,
    TimedOut,
    TooManyAttempts,
    Unavailable,
)
from toto_aio.invocation import asynchronous, idempotent, jsonp, raw_response, timeout
from toto_aio.lifespan import LIFESPAN
from toto_aio.settings import SettingsError
from toto_aio.stores.memory import MemoryStore

Parameters = dict[str, Any]
runs: list[Any] = []
"""The parameters of each run."""
claims: list[Any] = []
"""What each run had of its key when it began."""
gate = asyncio.Event()

ERRORS: dict[str, Callable[[], Exception]] = {
    "internal": lambda: RuntimeError("secret"),
    "unavailable": Unavailable,
    "limited": TooManyAttempts,
    "late": TimedOut,
    "own": lambda: TotoException(2001, "no", status=418, details={"why": [1]}),
    "wrong": lambda: InvalidParameters("no"),
    "http": web.HTTPGone,
}


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    """No method has run."""
    runs.clear()


@idempotent
async def add(handler: Handler, parameters: Parameters) -> Any:
    """Count the run, and do what the parameters say."""
    runs.append(dict(parameters))
    claims.append(copy(handler.claim))
    if "status" in parameters:
        handler.set_status(parameters["status"])
    if "late" in parameters:
        return await claims[-2].save(replace(claims[-2].entry, state=State.CARRIED_OUT))
    if "error" in parameters:
        raise ERRORS[parameters["error"]]()
    if "respond" in parameters:
        handler.respond(parameters["respond"])
        return None
    if parameters.get("kind") == "generator":
        return (number for number in range(3))
    if parameters.get("kind") == "values":
        return {"at": datetime(2027, 1, 31, tzinfo=UTC), "bytes": b"\xff", "set": {1}}
    if parameters.get("kind") == "rich":
        dates = datetime(2027, 1, 31), datetime(2027, 1, 31, tzinfo=timezone(timedelta(hours=2)))
        return [UUID(int=1), bson.ObjectId("0" * 24), bson.Decimal128("1.50"), *dates, b"b", 1]
    if parameters.get("kind") == "unsendable":
        return object()
    return {"runs": len(runs), **parameters}


@idempotent
async def typed(handler: Handler, n: int, tags: list[str] | None = None) -> list[int]:
    """A typed method."""
    runs.append(n)
    return [n, len(runs)]


@idempotent
def plain(handler: Handler, parameters: Parameters) -> Any:
    """A plain function, in a thread."""
    runs.append(threading.current_thread() is threading.main_thread())
    return len(runs)


@idempotent(secret=True)
async def secret(handler: Handler, parameters: Parameters) -> str:
    """Give something that is shown once."""
    runs.append(1)
    return "the secret"


@idempotent
@timeout(0.2)
async def slow(handler: Handler, parameters: Parameters) -> str:
    """Take too long, unless it is the second run."""
    runs.append(1)
    if len(runs) == 1:
        await asyncio.sleep(WATCHDOG)
    return "done"


@idempotent
async def waits(handler: Handler, parameters: Parameters) -> str:
    """Wait for the test."""
    runs.append(1)
    async with asyncio.timeout(WATCHDOG):
        while not gate.is_set():
            await asyncio.sleep(0.01)
    return "done"


async def unmarked(handler: Handler, parameters: Parameters) -> int:
    """A method that isn't marked."""
    runs.append(1)
    return len(runs)


METHODS = {
    "add": add,
    "typed": typed,
    "plain": plain,
    "secret": secret,
    "slow": slow,
    "waits": waits,
}

Send = Callable[[str, Any, str], Awaitable[tuple[dict[str, Any], bool]]]


@pytest.fixture
async def service(serve: Serve) -> Service:
    """A service with these methods, on each path."""
    return await serve({**METHODS, "unmarked": unmarked}, error_status="http")


def by_post(service: Service, session: str) -> Send:
    """By POST, with the header."""

    async def send(method: str, parameters: Any, key: str) -> tuple[dict[str, Any], bool]:
        headers = {"x-toto-session-id": session, "idempotency-key": key}
        body = {"method": method, "parameters": parameters}
        response = await service.post(json=body, headers=headers)
        return await response.json(), response.headers.get("idempotent-replayed") == "true"

    return send


async def code_of(send: Send, method: str, parameters: Any, key: str) -> Any:
    """The code of the error of a call, or None."""
    answer, _ = await send(method, parameters, key)
    return answer.get("error", {}).get("code")


async def test_over_every_transport(service: Service) -> None:
    """A key is the user's, whatever way a call comes: it runs once, and each other way gets its result."""
    session = await service.create()
    header = {"x-toto-session-id": session}
    message = {"method": "add", "parameters": {"a": 1}}
    keyed = {**message, "idempotency_key": "k"}
    socket = await service.client.ws_connect(f"{service.root}/websocket", headers=header)

    async def post(**arguments: Any) -> Any:
        response = await service.post(headers={**header, "idempotency-key": "k"}, **arguments)
        outcome = await response.json()
        return {**outcome, "idempotent_replayed": response.headers.get("idempotent-replayed") == "true"}

    async def batch() -> Any:
        response = await service.post(json={"batch": {"x": keyed}}, headers=header)
        assert "idempotent-replayed" not in response.headers
        return (await response.json())["batch"]["x"]

    async def frame(frame: Any) -> Any:
        await socket.send_json(frame)
        return await socket.receive_json()

    async def rpc() -> Any:
        called = {"jsonrpc": "2.0", "id": 1, "method": "add", "params": {"a": 1}, "idempotency_key": "k"}
        return await (await service.post("/rpc", json=called, headers=header)).json()

    async def rpc_frame() -> Any:
        called = {"jsonrpc": "2.0", "id": 1, "method": "add", "params": {"a": 1}, "idempotency_key": "k"}
        return await frame(called)

    ways: dict[str, Callable[[], Awaitable[Any]]] = {
        "post": lambda: post(json=message),
        "url": lambda: post(path="/add", json={"a": 1}),
        "batch": batch,
        "frame": lambda: frame({**keyed, "id": 1}),
        "rpc": rpc,
        "rpc frame": rpc_frame,
    }
    for first in ways:
        runs.clear()
        await service.client.app[LIFESPAN].runtime.keys.records.remove_records("ada", KIND)
        outcome = await ways[first]()
        assert (outcome["result"], outcome.get("idempotent_replayed", False)) == ({"runs": 1, "a": 1}, False)
        for way, send in ways.items():
            outcome = await send()
            assert (outcome["result"], outcome["idempotent_replayed"]) == ({"runs": 1, "a": 1}, True), way
    assert len(runs) == 1
    async with Client(str(service.client.make_url(service.root)), http=service.client.session) as client:
        await client.login("ada", "correct horse")
        assert await client.call("add", {"a": 1}, idempotency_key="k") == {"runs": 1, "a": 1}
        fetched = await client.fetch("add", {"a": 1}, idempotency_key="k")
        assert fetched.headers["idempotent-replayed"] == "true"
        with pytest.raises(KeyReused):
            await client.call("add", {"a": 2}, idempotency_key="k")
        async with client.socket() as opened:
            assert await opened.call("add", {"a": 1}, idempotency_key="k") == {"runs": 1, "a": 1}
    await socket.close()
    form = {"n": "3"}
    for replayed in (None, "true"):
        response = await service.post("/typed", data=form, headers={**header, "idempotency-key": "form"})
        assert (await response.json())["result"] == [3, 2]
        assert response.headers.get("idempotent-replayed") == replayed


async def test_in_process() -> None:
    """A call in process may have a key too."""
    async with open_service(method_module=METHODS, database="memory://") as service:
        await service.accounts.create("ada", None)
        for _ in range(2):
            result = await service.call("add", {"a": 1}, user_id="ada", idempotency_key="k")
            assert result == {"runs": 1, "a": 1}
        own = [await service.call("add", {"kind": "unsendable"}, user_id="ada", idempotency_key="own")]
        assert type(own[0]) is object
        with pytest.raises(NotAuthorized):
            await service.call("add", {"a": 1}, idempotency_key="k")
        with pytest.raises(InvalidParameters):
            await service.call("add", {"a": 1}, user_id="ada", idempotency_key="")


async def test_whose_a_key_is(service: Service) -> None:
    """It is that of a user and a method: others may use the same, and without one every call runs."""
    send, other = [by_post(service, await service.create(user_id)) for user_id in ("ada", "bob")]
    again = by_post(service, (await service.result("account.login", LOGIN))["session_id"])
    assert (await send("add", {}, "k"))[0]["result"] == {"runs": 1}
    assert (await other("add", {}, "k"))[0]["result"] == {"runs": 2}
    assert (await send("plain", {}, "k"))[0]["result"] == 3
    assert (await again("add", {}, "k"))[0]["result"] == {"runs": 1}  # another session of the user
    assert [await service.result("add", {}) for _ in range(2)] == [{"runs": 4}, {"runs": 5}]
    anonymous = await service.post("/add", json={}, headers={"idempotency-key": "k"})
    assert (anonymous.status, (await anonymous.json())["error"]["code"]) == (401, 1004)
    for key in ("", "k" * 256, "\u00e9" * 128):
        assert await code_of(send, "add", {}, key) == 1003, key
    assert (await send("unmarked", {}, "k"), await send("unmarked", {}, "k")) == (
        ({"result": 6}, False),
        ({"result": 7}, False),
    )
    assert runs.count({}) == 4


LOGIN = {"user_id": "ada", "password": "correct horse"}


async def test_outcomes(service: Service) -> None:
    """Results and errors come back as they were; what failed for no reason of the call's may be repeated."""
    session = await service.create()
    send = by_post(service, session)
    cases: list[tuple[str, Parameters]] = [
        ("add", {"kind": "values"}),
        ("add", {"kind": "generator"}),
        ("add", {"respond": [1]}),
        ("add", {"error": "own"}),
        ("add", {"error": "wrong"}),
        ("add", {"status": 201}),
        ("typed", {"n": 1, "tags": ["a"]}),
        ("typed", {"n": "x"}),
        ("plain", {}),
    ]
    for number, (method, parameters) in enumerate(cases):
        runs.clear()
        first, was_first = await send(method, parameters, f"{number}")
        count = len(runs)
        assert "result" in first or first["error"]["code"] in (2001, 1003), first
        for _ in range(2):
            assert await send(method, parameters, f"{number}") == (first, True), (method, parameters)
        assert (was_first, len(runs)) == (False, count)
    headers = {"x-toto-session-id": session, "idempotency-key": "5"}
    assert (await service.post("/add", json={"status": 201}, headers=headers)).status == 201
    headers["idempotency-key"] = "3"
    assert (await service.post("/add", json={"error": "own"}, headers=headers)).status == 418
    for error, code in (("internal", 1000), ("unavailable", 1011), ("limited", 1012), ("late", 1013)):
        runs.clear()
        assert [await code_of(send, "add", {"error": error}, error) for _ in range(2)] == [code, code]
        assert len(runs) == 2, error
    for method, parameters in (("add", {"kind": "unsendable"}), ("add", {"error": "http"}), ("secret", {})):
        runs.clear()
        key = f"once {method} {parameters}"
        headers = {"x-toto-session-id": session, "idempotency-key": key}
        response = await service.post(json={"method": method, "parameters": parameters}, headers=headers)
        assert response.status == {"unsendable": 500, "http": 410}.get(str(*parameters.values()) or "", 200)
        assert [await code_of(send, method, parameters, key) for _ in range(2)] == [1016, 1016]
        assert len(runs) == 1
    kept = await service.client.app[LIFESPAN].runtime.keys.records.list_records("ada", KIND)
    assert not any(b"the secret" in record.value for record in kept)
    assert all(86300 < record.expires - time.time() <= 86400 for record in kept)


async def test_values_of_each_encoding(service: Service) -> None:
    """A repeat gets the bytes of the first response, also of values and offsets that not all of them have."""
    session = await service.create()
    encoders: dict[str, Callable[[Any], bytes]] = {
        "bson": bson.encode,
        "msgpack": msgspec.msgpack.encode,
        "json": msgspec.json.encode,
    }
    call = {"method": "add", "parameters": {"kind": "rich"}}
    for name, encode in encoders.items():
        headers = {
            "content-type": f"application/{name}",
            "x-toto-session-id": session,
            "idempotency-key": name,
        }
        first, again = [await service.post(data=encode(call), headers=headers) for _ in range(2)]
        assert again.headers["idempotent-replayed"] == "true"
        assert await again.read() == await first.read(), name
        del headers["content-type"]
        other = await service.post(json=call, headers=headers)
        assert (await other.json())["result"][-1] == 1, name
    assert len(runs) == 3


async def test_other_parameters(service: Service) -> None:
    """The order of keys doesn't matter; anything else does, and is 1015 with status 422."""
    send = by_post(service, await service.create())
    given = {"a": 1, "b": {"c": [1, 2.5, None], "d": "x"}}
    await send("add", given, "k")
    assert (await send("add", {"b": {"d": "x", "c": [1, 2.5, None]}, "a": 1}, "k"))[1] is True
    for other in ({}, {"a": 1}, {**given, "a": "1"}, {**given, "e": None}, {**given, "a": True}):
        assert await code_of(send, "add", other, "k") == 1015, other
    assert len(runs) == 1


async def test_while_the_first_is_in_flight(service: Service) -> None:
    """Of many calls at the same time one runs, and the others are 1014 with status 409."""
    session = await service.create()
    send = by_post(service, session)
    gate.clear()
    calls = [asyncio.ensure_future(send("waits", {}, "k")) for _ in range(5)]
    async with asyncio.timeout(WATCHDOG):
        while sum(call.done() for call in calls) < 4:
            await asyncio.sleep(0.01)
    response = await service.post(
        "/waits", json={}, headers={"x-toto-session-id": session, "idempotency-key": "k"}
    )
    assert response.status == 409
    gate.set()
    answers = [answer for answer, _ in await asyncio.gather(*calls)]
    assert sorted(answer.get("error", {}).get("code", 0) for answer in answers) == [0, 1014, 1014, 1014, 1014]
    assert len(runs) == 1
    assert (await send("waits", {}, "k"))[0]["result"] == "done"


async def test_a_call_that_was_cut_off(service: Service) -> None:
    """By its time limit, or with its process: nobody knows what it did, and it does not run again."""
    send = by_post(service, await service.create())
    assert await code_of(send, "slow", {}, "k") == 1013
    async with asyncio.timeout(WATCHDOG):
        while await code_of(send, "slow", {}, "k") == 1014:  # until that has been written
            await asyncio.sleep(0.01)
    assert await code_of(send, "slow", {}, "k") == 1016
    assert len(runs) == 1
    records = service.client.app[LIFESPAN].runtime.keys.records
    gate.clear()
    first = asyncio.ensure_future(send("waits", {}, "killed"))
    async with asyncio.timeout(WATCHDOG):
        while len(runs) < 2:
            await asyncio.sleep(0.01)
    for state, later, code in (
        (State.RUNNING, 60, 1014),
        (State.RUNNING, -1, 1016),
        (State.COMMITTED, 60, 1014),
        (State.COMMITTED, -1, 1016),
        (State.IN_TRANSACTION, 60, 1014),
    ):
        for record in await records.list_records("ada", KIND):
            entry = unpack(record.value)
            if entry.state not in (State.CUT_OFF,):
                left = replace(entry, state=state, until=time.time() + later)
                await records.put_record(replace(record, value=pack(left)))
        assert await code_of(send, "waits", {}, "killed") == code, (state, later)
    gate.set()
    assert (await first)[0]["result"] == "done"  # its outcome is not kept, as the record is another's by now
    assert await code_of(send, "waits", {}, "killed") == 1014
    assert len(runs) == 2


async def test_a_process_that_was_stopped(service: Service) -> None:
    """Once its call has made the key free, it writes nothing onto the call that has taken the place."""
    send = by_post(service, await service.create())
    assert await code_of(send, "add", {"error": "unavailable"}, "k") == 1011
    for is_repeat in (False, True):
        answer, replayed = await send("add", {"late": True}, "k")
        assert (answer.get("result"), replayed) == (False, is_repeat), answer


@pytest.mark.parametrize(
    ("decorator", "name"), [(raw_response, "raw_response"), (jsonp, "jsonp"), (asynchronous, "asynchronous")]
)
def test_what_has_no_result_to_keep(decorator: Any, name: str) -> None:
    """A start is refused that could not give a repeat its result."""

    async def wrong(handler: Handler, parameters: Parameters) -> None: ...

    wrong = idempotent(decorator(wrong))
    with pytest.raises(SettingsError, match=rf"wrong: @idempotent .* @{name}"):
        create_app(method_module={"wrong": wrong}, database="memory://")


async def test_a_store_without_records(serve: Serve) -> None:
    """A start says what a store of one's own lacks, if a method needs it; others start."""

    class Old(MemoryStore):
        add_record = None  # type: ignore[assignment]

    for database, why in (
        (Old(), "'add' is @idempotent.* give it add_record"),
        ("none", "'add' needs accounts"),
    ):
        with pytest.raises(SettingsError, match=why):
            async with open_service(method_module={"add": add}, database=database):
                pass
    service = await serve({"unmarked": unmarked}, database=Old())
    assert await service.result("unmarked") == 1
    assert await service.create()


async def test_the_database_is_away(serve: Serve) -> None:
    """Before the run it is 1011, and nothing runs; after it the result is sent all the same."""

    class Away(MemoryStore):
        is_away = ""

        async def add_record(self, record: Any) -> bool:
            if self.is_away == "add":
                raise Unavailable
            return await super().add_record(record)

        async def save_record(self, record: Any) -> bool:
            if self.is_away == "save":
                raise Unavailable
            return await super().save_record(record)

    store = Away()
    service = await serve({"add": add}, database=store)
    send = by_post(service, await service.create())
    store.is_away = "add"
    assert await code_of(send, "add", {}, "k") == 1011
    assert runs == []
    store.is_away = "save"
    assert (await send("add", {}, "k"))[0]["result"] == {"runs": 1}
    store.is_away = ""
    assert await code_of(send, "add", {}, "k") == 1014
    assert len(runs) == 1


def test_the_errors() -> None:
    """They have the statuses of the contract."""
    errors = CallInProgress(), KeyReused(), OutcomeUnknown()
    assert [(error.code, error.status) for error in errors] == [(1014, 409), (1015, 422), (1016, 409)]
