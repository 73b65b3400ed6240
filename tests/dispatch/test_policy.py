"""How often a client may call a method, and how long after a login, whichever way a call comes."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter
from itertools import chain
from typing import Any

import pytest

from tests.support.limits import WATCHDOG, limits
from tests.support.service import Serve, Service
from tests.support.stores import make_session
from toto_aio import create_app, open_service
from toto_aio.auth import rate_limits
from toto_aio.auth.rate_limits import RateLimits
from toto_aio.auth.rates import Rate, in_order
from toto_aio.exceptions import TooManyAttempts, Unavailable
from toto_aio.invocation import (
    anonymous_session,
    authenticated,
    authenticated_with_parameter,
    fresh,
    jsonp,
    rate,
    roles,
    safe,
)
from toto_aio.lifespan import LIFESPAN
from toto_aio.settings import SettingsError
from toto_aio.stores.memory import MemoryStore

HOUR = 3600
ADA = {"user_id": "ada", "password": "correct horse"}


def counted(*decorators: Any) -> Any:
    """A method that counts how often it was called, in ``calls``."""

    async def invoke(handler: Any, parameters: dict[str, Any]) -> str:
        counting.calls += 1
        return "passed"

    counting: Any = invoke
    counting.calls = 0
    for decorator in decorators:
        decorator(invoke)
    return invoke


async def code(service: Service, method: str, session: str | None = None, address: str = "192.0.2.1") -> int:
    """The error code of a call from an address, or 0."""
    answer = await service.call(method, session=session, **{"x-forwarded-for": address})
    return int(answer.get("error", {"code": 0})["code"])


def codes_in(answer: Any) -> list[int]:
    """The codes of the results and errors in an answer, 0 for results."""
    if isinstance(answer, list):
        return [each for part in answer for each in codes_in(part)]
    if "batch" in answer:
        return codes_in(list(answer["batch"].values()))
    error = answer.get("error")
    return [0 if error is None else int(error.get("data", error)["code"])]


async def test_exactly_so_many_pass(serve: Serve) -> None:
    """Of mixed calls that are sent at the same time exactly as many pass as the limit says."""
    hit = counted(rate(40, HOUR, "address"), safe)
    service = await serve({"hit": hit}, batch_concurrency=4)

    async def post(path: str, **arguments: Any) -> list[int]:
        return codes_in(await (await service.post(path, **arguments)).json(content_type=None))

    async def get() -> list[int]:
        return codes_in(await (await service.client.get("/service/hit")).json())

    async def frames(message: dict[str, Any]) -> list[int]:
        async with service.client.ws_connect("/service/websocket") as socket:
            for number in range(10):
                await socket.send_json({**message, "id": number})
            return codes_in([await socket.receive_json(timeout=WATCHDOG) for _ in range(10)])

    request = {"jsonrpc": "2.0", "method": "hit"}
    codes = await asyncio.gather(
        *(post("", json={"method": "hit"}) for _ in range(5)),
        *(post("/hit", json={}) for _ in range(5)),
        *(post("/hit", data={"a": "b"}) for _ in range(5)),
        *(get() for _ in range(5)),
        post("", json={"batch": {str(n): {"method": "hit"} for n in range(10)}}),
        post("/rpc", json={**request, "id": 1}),
        post("/rpc", json=[{**request, "id": n} for n in range(10)]),
        frames({"method": "hit"}),
        frames(request),
    )
    assert Counter(chain.from_iterable(codes)) == {0: 40, 1012: 21}
    assert hit.calls == 40


async def test_the_error(serve: Serve) -> None:
    """It is 429 with the seconds that remain, which a batch, a frame and JSON-RPC have in the error."""
    service = await serve({"hit": counted(rate(1, HOUR, "address"))})
    assert await code(service, "hit") == 0
    response = await service.post("/hit", json={})
    answer = await response.json()
    wait = int(response.headers["Retry-After"])
    assert response.status == 429
    assert HOUR / 2 < wait <= HOUR
    value = "Too many calls: at most 1 call in 3600 seconds."
    assert answer == {"error": {"code": 1012, "value": value, "retry_after": wait}}
    batch = await (await service.post(json={"batch": {"a": {"method": "hit"}}})).json()
    rpc = await (await service.post("/rpc", json={"jsonrpc": "2.0", "method": "hit", "id": 1})).json()
    async with service.client.ws_connect("/service/websocket") as socket:
        await socket.send_json({"id": 1, "method": "hit"})
        frame = await socket.receive_json(timeout=WATCHDOG)
    assert rpc["error"]["code"] == 1012
    for error in (batch["batch"]["a"]["error"], rpc["error"]["data"], frame["error"]):
        assert HOUR / 2 < error["retry_after"] <= wait
        assert (error["code"], error["value"]) == (1012, value)


async def test_whose_calls_are_counted(serve: Serve) -> None:
    """A user's from everywhere, an address's whoever calls, a session's; a stranger's by the address."""
    service = await serve(
        {
            "user": counted(rate(2, HOUR)),
            "address": counted(rate(2, HOUR, "address")),
            "session": counted(rate(2, HOUR, "session")),
            "parameter": counted(authenticated_with_parameter, rate(2, HOUR)),
        },
        trusted_proxies=["127.0.0.1"],
    )
    ada = await service.create()
    again = (await service.result("account.login", ADA))["session_id"]
    bob = await service.create("bob")
    for number, (who, expected) in enumerate([(ada, 0), (again, 0), (ada, 1012), (bob, 0)]):
        assert await code(service, "user", who, f"192.0.2.{number}") == expected, number
    for number, (who, expected) in enumerate([(ada, 0), (bob, 0), (None, 1012), (again, 1012)]):
        assert await code(service, "address", who) == expected, number
    for number, (who, expected) in enumerate([(ada, 0), (ada, 0), (ada, 1012), (again, 0)]):
        assert await code(service, "session", who) == expected, number
    for method in ("user", "session"):
        # A user's calls before have not counted for the address, which a session without a user counts for.
        for number, expected in enumerate([0, 0, 1012]):
            assert await code(service, method, "no session" * number) == expected, (method, number)
        assert await code(service, method, address="198.51.100.1") == 0
    for session, expected in [(ada, 0), (again, 0), (ada, 1012), (bob, 0)]:
        answer = await service.call("parameter", {"session_id": session})
        assert codes_in(answer) == [expected]


async def test_anonymous_sessions_have_no_count_of_their_own(serve: Serve) -> None:
    """Anyone can get as many of them as they like, and one who may not call gets none."""
    for by in ("user", "session"):
        service = await serve({"visit": counted(anonymous_session, rate(3, HOUR, by))})
        sessions = [(await service.call("visit"))["session"]["session_id"] for _ in range(2)]
        assert (await service.call("visit", session=sessions[0]))["result"] == "passed"
        for session in (*sessions, None):
            answer = await service.call("visit", session=session)
            assert answer["error"]["code"] == 1012
            assert ("session" in answer) == (session is not None), "a refused call has made a session"


async def test_networks(serve: Serve) -> None:
    """A client of IPv6 has a whole network; IPv4 within IPv6 is IPv4."""
    service = await serve({"hit": counted(rate(2, HOUR, "address"))}, trusted_proxies=["127.0.0.1"])
    own = [await code(service, "hit", address=f"2001:db8::{n}") for n in range(3)]
    of_56 = [await code(service, "hit", address=f"2001:db8:0:{n:x}::1") for n in range(1, 4)]
    of_48 = [await code(service, "hit", address=f"2001:db8:0:{n:x}00::1") for n in range(1, 6) for _ in "xx"]
    assert (own, of_56) == ([0, 0, 1012], [0, 0, 1012])
    assert Counter(of_48) == {0: 4, 1012: 6}
    forms = ("192.0.2.7", "::ffff:192.0.2.7", "64:ff9b::192.0.2.7")
    assert [await code(service, "hit", address=form) for form in forms] == [0, 0, 1012]


async def test_several_rates() -> None:
    """A call that the shorter one refuses does not count in the longer one."""
    store, rates = MemoryStore(), in_order([Rate(3, 86400.0, "address"), Rate(2, 3600.0, "address")])

    async def outcomes(calls: int) -> list[int]:
        """The seconds to wait after each of the calls, 0 for one that passes, in another process."""
        counters, found = RateLimits(store), []
        for _ in range(calls):
            try:
                await counters.count("hit", rates, None, "192.0.2.1")
                found.append(0)
            except TooManyAttempts as exc:
                found.append(exc.retry_after)
        return found

    passed, again, *refused = await outcomes(5)
    assert (passed, again) == (0, 0)
    assert all(0 < wait <= HOUR for wait in refused)
    [hour] = [key for key, (_, ends) in store._counters.items() if ends < time.time() + 2 * HOUR]
    del store._counters[hour]  # its time has passed
    passed, *refused = await outcomes(2)
    assert (passed, len(refused)) == (0, 1)
    assert all(2 * HOUR < wait <= 24 * HOUR for wait in refused)
    _, *refused = await outcomes(3)
    assert all(wait > 2 * HOUR for wait in refused), "of two that are used up, the longer one counts"


async def test_a_counter_starts_again() -> None:
    """After the time of a rate its calls pass again; the seconds that remain are never more than that."""
    store = MemoryStore()
    counters = RateLimits(store)
    rates = [Rate(2, 5.0, "address")]
    for _ in range(2):
        await counters.count("hit", rates, None, "192.0.2.1")
    for _ in range(3):
        with pytest.raises(TooManyAttempts) as refused:
            await counters.count("hit", rates, None, "192.0.2.1")
        assert 1 <= refused.value.retry_after <= 5
    [(key, (count, _))] = store._counters.items()
    assert count == 3, "what is known to be refused is not counted again"
    store._counters[key] = (count, time.time() - 0.001)
    counters._full = {name: full._replace(forget=0.0) for name, full in counters._full.items()}
    await counters.count("hit", rates, None, "192.0.2.1")
    assert counters._full == {}


async def test_what_is_remembered_is_bounded() -> None:
    """A flood from many addresses does not fill the memory of a process."""
    counters = RateLimits(MemoryStore())
    with limits(rate_limits, MAX_REMEMBERED=10):
        for number in range(50):
            for _ in range(2):
                try:
                    await counters.count("hit", [Rate(1, 60.0, "address")], None, f"192.0.2.{number}")
                except TooManyAttempts:
                    assert len(counters._full) <= 10


async def test_a_store_out_of_reach(serve: Serve) -> None:
    """No limit is lifted by an outage: the call is refused with 1011, and is not made."""
    hit = counted(rate(2, HOUR, "address"))
    service = await serve({"hit": hit, "free": counted()})
    store = service.client.app[LIFESPAN].runtime.connection.sessions.store

    async def away(*args: Any) -> int:
        raise Unavailable

    store.increment = away
    assert [await code(service, name) for name in ("hit", "free")] == [1011, 0]
    assert hit.calls == 0


async def test_the_option(serve: Serve) -> None:
    """It counts the calls to all methods together, after the rates of their own."""
    service = await serve(
        {
            "free": counted(safe),
            "own": counted(rate(1, HOUR)),
            "script": counted(jsonp),
        },
        rate=["4/3600"],
    )
    assert [await code(service, name) for name in ("own", "own", "own")] == [0, 1012, 1012]
    ada = (await service.call("account.create", ADA))["session"]["session_id"]
    assert [await code(service, name, ada) for name in ("free", "own", "account.logout")] == [0, 0, 0]
    assert [await code(service, name) for name in ("free", "script", "nothing", "rpc.discover")] == [
        0,
        0,
        1001,
        1012,
    ]
    assert (await service.client.get("/service/free")).status == 429
    assert (await service.client.get("/health/live")).status == 200


async def test_calls_in_process() -> None:
    """They count too: a script is no other client than one that calls from this machine."""
    async with open_service(method_module={"hit": counted(rate(1, HOUR))}, database="memory://") as service:
        await service.accounts.create("ada", None)
        for user_id in ("ada", None):
            assert await service.call("hit", user_id=user_id) == "passed"
            with pytest.raises(TooManyAttempts) as refused:
                await service.call("hit", user_id=user_id)
            assert 0 < refused.value.retry_after <= HOUR


async def test_who_may_not_call_is_not_counted(serve: Serve) -> None:
    """A role comes first."""
    service = await serve({"hit": counted(roles("admin"), rate(1, HOUR, "address"))})
    ada = await service.create()
    assert [await code(service, "hit", ada) for _ in range(3)] == [1004] * 3
    connection = service.client.app[LIFESPAN].runtime.connection
    await connection.accounts.set_roles("ada", ["admin"])
    assert [await code(service, "hit", ada) for _ in range(2)] == [0, 1012]


def test_what_stops_the_start() -> None:
    """A rate that cannot be, one that needs a session with a script, and one that no process shares."""
    with pytest.raises(SettingsError, match=r"rate: write 100/60 "):
        create_app(method_module={"hit": counted()}, rate=["fast"])
    with pytest.raises(SettingsError, match=r"hit: @jsonp .*by='address'"):
        create_app(method_module={"hit": counted(jsonp, rate(1, 60))})
    create_app(method_module={"hit": counted(jsonp, rate(1, 60, "address"))})
    cases: list[tuple[Any, dict[str, Any]]] = [(counted(rate(1, 60)), {}), (counted(), {"rate": ["1/60"]})]
    for method, options in cases:
        with pytest.raises(SettingsError, match=r"'hit' has a rate, .*session_store=redis"):
            create_app(method_module={"hit": method}, database="none", processes=2, **options)
        create_app(method_module={"hit": method}, database="none", **options)
    with pytest.raises(ValueError, match="write one of them"):
        counted(rate(1, 60), rate(2, 60))


async def aged(service: Service, age: float, user_id: str = "ada") -> str:
    """The id of a session whose user has logged in so many seconds ago."""
    store = service.client.app[LIFESPAN].runtime.connection.sessions.store
    session_id = f"session of {age}"
    key = hashlib.sha256(session_id.encode()).hexdigest()
    await store.add_session(make_session(key, user_id, state=b"\x80", created=time.time() - age))
    return session_id


async def test_a_recent_login(serve: Serve) -> None:
    """The login must be younger; whoever logs in again may call, in the same batch or on the same socket."""
    service = await serve({"drop": counted(fresh(300))}, batch_concurrency=1)
    new = await service.create()
    old, ahead = await aged(service, 301), await aged(service, -400)
    assert [await code(service, "drop", each) for each in (new, old, ahead, None)] == [0, 1004, 1004, 1004]
    value = "Log in again: the login must not be older than 300 seconds."
    error = {"code": 1004, "value": value, "max_age": 300}
    assert (await service.call("drop", session=old))["error"] == error
    assert (await service.call("drop"))["error"] == {"code": 1004, "value": "Not authorized"}
    drop = {"method": "drop", "parameters": {}}
    calls = {"a": drop, "b": {"method": "account.login", "parameters": ADA}, "c": drop}
    response = await service.post(json={"batch": calls}, headers={"x-toto-session-id": old})
    batch = (await response.json())["batch"]
    assert (batch["a"]["error"], batch["c"]) == (error, {"result": "passed"})
    async with service.client.ws_connect("/service/websocket", headers={"x-toto-session-id": old}) as socket:
        for call_id, call in calls.items():
            await socket.send_json({"id": call_id, **call})
            answer = await socket.receive_json(timeout=WATCHDOG)
            assert ("error" in answer) == (call_id == "a"), answer


async def test_a_renewal_is_no_login(serve: Serve) -> None:
    """A session that is used stays as old as its login; a change of the password is one."""
    service = await serve({"drop": counted(fresh(300)), "look": counted(authenticated)}, session_renew="29d")
    await service.create()
    old = await aged(service, 301)
    described = await service.call("look", session=old)
    assert described["session"]["expires"] > time.time() + 2 * 86400, "it was not renewed"
    assert await code(service, "drop", old) == 1004
    change = {"password": ADA["password"], "new_password": "another one"}
    changed = await service.result("account.update", change, session=old)
    assert await code(service, "drop", changed["session_id"]) == 0


async def test_the_challenge(serve: Serve) -> None:
    """With true statuses it is 401, and says how old a login may be (RFC 9470); other users get 403."""
    service = await serve(
        {"drop": counted(fresh(300)), "rule": counted(fresh(300), roles("admin"))}, error_status="http"
    )
    await service.create()
    old = await aged(service, 301)
    response = await service.post("/drop", json={}, headers={"x-toto-session-id": old})
    assert response.status == 401
    assert response.headers.getall("WWW-Authenticate") == [
        'Bearer realm="/service", error="insufficient_user_authentication", '
        'error_description="Log in again", max_age="300"'
    ]
    assert (await response.json())["error"]["max_age"] == 300
    response = await service.post("/rule", json={}, headers={"x-toto-session-id": old})
    assert (response.status, "max_age" in (await response.json())["error"]) == (403, False)
    response = await service.post("/drop", json={})
    assert (response.status, response.headers["WWW-Authenticate"]) == (401, 'Bearer realm="/service"')


async def test_an_api_key(serve: Serve) -> None:
    """It is no login, however new; its calls are those of its user, or by session its own."""
    rates = {by: counted(rate(1, HOUR, by)) for by in ("user", "session")}
    service = await serve({"drop": counted(fresh(300)), **rates})
    ada = await service.create()
    keys = service.client.app[LIFESPAN].runtime.connection.api_keys
    key = (await keys.create("ada", "a program", ["*"]))["key"]

    async def by_key(method: str) -> Any:
        return await (await service.post(f"/{method}", headers={"authorization": f"Bearer {key}"})).json()

    assert (await by_key("drop"))["error"]["max_age"] == 300
    assert [await code(service, method, ada) for method in ("user", "session")] == [0, 0]
    assert codes_in([await by_key(method) for method in ("user", "session", "session")]) == [1012, 0, 1012]


@pytest.mark.parametrize("seconds", [0, 0.5, -1, True, None, "5m", float("nan"), float("inf")])
def test_a_wrong_time(seconds: Any) -> None:
    """It says what to write."""
    with pytest.raises(ValueError, match=r"fresh: .*@fresh\(300\)"):
        fresh(seconds)
