"""The log lines for calls that fail or are slow: what they contain, and what they never do."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest

from tests.support.service import Serve
from toto_aio import Handler, TotoException
from toto_aio.auth.api_key import new_api_key
from toto_aio.exceptions import Unavailable
from toto_aio.invocation import asynchronous, authenticated, error_redirect, roles, timeout

SECRET = "correct horse"


async def echo(handler: Any, parameters: dict[str, Any]) -> Any:
    """The parameters."""
    return parameters


async def fail(handler: Any, parameters: dict[str, Any]) -> None:
    """Raise one of the method's own errors, or an unexpected one."""
    if parameters.get("kind") == "own":
        raise TotoException(2001, f"Not with {parameters['password']}")
    if parameters.get("kind") == "down":
        raise Unavailable from OSError("disk on fire")
    raise ZeroDivisionError


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Any:
    """The records of calls so far."""
    caplog.set_level(logging.INFO)
    return lambda: [record for record in caplog.records if record.name == "toto_aio.calls"]


@pytest.mark.parametrize(
    ("method", "parameters", "name", "code", "level"),
    [
        ("fail", {"kind": "own", "password": SECRET}, "fail", 2001, "INFO"),
        ("fail", {"kind": "down"}, "fail", 1011, "WARNING"),
        ("fail", {}, "fail", 1000, "ERROR"),
        ("no.such.method\nfaked", {}, "unknown", 1001, "INFO"),
        ("", {}, "unknown", 1002, "INFO"),
        ("account.login", {"user_id": "ada", "password": SECRET}, "account.login", 1005, "INFO"),
    ],
    ids=["own", "outage", "bug", "unknown", "missing", "login"],
)
async def test_a_failed_call(
    serve: Serve, lines: Any, method: str, parameters: Any, name: str, code: int, level: str
) -> None:
    """One line with the registered name, the code, the id, the address and the duration."""
    service = await serve({"fail": fail})
    answer = await service.call(method, parameters)
    assert answer["error"]["code"] == code
    [line] = lines()
    assert line.levelname == level
    assert (line.method, line.code, line.address) == (name, code, "127.0.0.1")
    assert 0 <= line.seconds < 30
    took = f"in {line.seconds:.3f} s"
    assert (
        f"call failed: {name} with {code} [{line.transaction_id}] from 127.0.0.1 {took}" in line.getMessage()
    )
    assert bool(line.exc_info) == (code == 1000)
    assert ("disk on fire" in line.getMessage()) == (code == 1011)
    assert "\n" not in line.getMessage()


async def test_why_a_caller_is_not_authorized(serve: Serve, lines: Any) -> None:
    """The log says why, and the client only with ``debug``; neither has the id, the key or the cookie."""

    @authenticated
    async def mine(handler: Handler) -> str:
        return "mine"

    @roles("admin", "editor")
    async def close(handler: Handler) -> str:
        return "closed"

    methods = {"mine": mine, "close": close}
    service = await serve(methods, use_cookies=True, secure_cookies=False)
    host = service.client.make_url("").authority
    session = await service.create()
    key = new_api_key()
    cookie = {"cookie": f"toto-session={session}"}
    cases: list[tuple[str, dict[str, str], str]] = [
        ("mine", {}, "the call showed no session"),
        ("mine", {"x-toto-session-id": "x" * 43}, "unknown, ended or expired"),
        ("mine", {"authorization": "Bearer " + "x" * 43}, "unknown, ended or expired"),
        ("mine", {"x-toto-session-id": key}, "an API key was shown as a session id"),
        ("mine", cookie, "without the header Origin"),
        ("mine", {**cookie, "origin": "http://localhost:5173"}, "a page of 'http://localhost:5173', which"),
        (
            "mine",
            {**cookie, "origin": f"http://{host}".replace("127.0.0.1", "localhost")},
            "a page of 'http://l",
        ),
        ("mine", {"cookie": "toto-session=abc", "origin": f"http://{host}"}, "unknown, ended or expired"),
        ("close", {"x-toto-session-id": session}, "does not have the role 'admin' or 'editor'"),
    ]
    debugged = await serve(methods, use_cookies=True, secure_cookies=False, debug=True)
    for method, headers, reason in cases:
        answer = await service.call(method, **headers)
        assert answer["error"] == {"code": 1004, "value": "Not authorized"}, reason
        line = lines()[-1]
        assert reason in line.getMessage()
        assert reason in line.cause
        for secret in (session, key, "x" * 43):
            assert secret not in line.getMessage()
    answer = await debugged.call("mine", **cookie, origin="http://a.example")
    assert answer["error"]["value"] == "Not authorized"
    assert "a page of 'http://a.example'" in answer["error"]["reason"]
    await service.call("account.logout", session=session)
    answer = await service.call("mine", session=session)
    assert "unknown, ended or expired" in lines()[-1].cause


async def test_a_method_without_a_session(serve: Serve, lines: Any) -> None:
    """A method that uses a session which it has not asked for is told how to ask; other bugs are not."""

    async def reads(handler: Any) -> Any:
        return handler.session.user_id

    async def looks_up(handler: Any) -> Any:
        return handler.session["notes"]

    async def changes(handler: Any) -> None:
        handler.session["notes"] = []

    async def another(handler: Any) -> Any:
        missing: Any = None
        return missing.user_id

    service = await serve({"reads": reads, "looks_up": looks_up, "changes": changes, "another": another})
    for name in ("reads", "looks_up", "changes", "another"):
        assert (await service.call(name))["error"]["code"] == 1000
        assert ("write @authenticated" in lines()[-1].getMessage()) == (name != "another")


async def test_a_request_that_never_became_a_call(serve: Serve, lines: Any) -> None:
    """It is logged under the name that all unknown methods share."""
    service = await serve({"echo": echo})
    await service.post(data=b'{"password": "correct horse"', headers={"Content-Type": "application/json"})
    [line] = lines()
    assert (line.method, line.code) == ("unknown", 1003)


async def test_good_and_fast_calls(serve: Serve, lines: Any) -> None:
    """They are not logged."""
    service = await serve({"echo": echo})
    await service.result("echo", {"a": 1})
    assert lines() == []


async def test_a_slow_call(serve: Serve, lines: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is logged if it is slower than slow_call, unless it is meant to wait."""
    now = time.perf_counter()
    monkeypatch.setattr(time, "perf_counter", lambda: now)

    async def nap(handler: Any, parameters: dict[str, Any]) -> None:
        nonlocal now
        now += 0.05

    @asynchronous
    async def wait(handler: Any, parameters: dict[str, Any]) -> str:
        nonlocal now
        now += 0.05
        return "done"

    service = await serve({"nap": nap, "wait": wait, "echo": echo}, slow_call=0.04)
    await service.result("nap")
    await service.result("wait")
    await service.call("echo")
    [line] = lines()
    assert (line.levelname, line.method, line.address) == ("WARNING", "nap", "127.0.0.1")
    assert line.seconds == pytest.approx(0.05)


async def test_a_call_that_times_out(serve: Serve, lines: Any) -> None:
    """It gets one line, although it is slow and has failed."""

    @timeout(0.01)
    async def nap(handler: Any, parameters: dict[str, Any]) -> None:
        await asyncio.sleep(30)

    service = await serve({"nap": nap}, slow_call=0.01)
    assert (await service.call("nap"))["error"]["code"] == 1013
    [line] = lines()
    assert (line.levelname, line.method, line.code) == ("WARNING", "nap", 1013)


async def test_an_error_that_redirects(serve: Serve, lines: Any) -> None:
    """It is logged like an error that is returned."""

    @error_redirect({2001: "/sorry"})
    async def leave(handler: Any, parameters: dict[str, Any]) -> None:
        raise TotoException(2001, "Not here.")

    service = await serve({"leave": leave})
    response = await service.post("/leave", json={}, allow_redirects=False)
    assert response.headers["Location"] == "/sorry"
    [line] = lines()
    assert (line.method, line.code) == ("leave", 2001)


async def test_the_calls_of_a_batch(serve: Serve, lines: Any) -> None:
    """Each call that fails has its own line and id."""
    service = await serve({"fail": fail, "echo": echo})
    entries = {"1": {"method": "fail"}, "2": {"method": "echo"}, "3": {"method": "x"}, "4": 5}
    await service.post(json={"batch": entries})
    assert [(line.method, line.code) for line in lines()] == [
        ("fail", 1000),
        ("unknown", 1001),
        ("unknown", 1003),
    ]
    assert len({line.transaction_id for line in lines()}) == 3


async def test_no_secrets(serve: Serve, lines: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Passwords, keys, session ids, signatures and parameters are not in any line of any logger."""
    caplog.set_level(logging.DEBUG)
    service = await serve({"fail": fail, "echo": echo}, signing="session", slow_call=1e-9)
    account = {"user_id": "ada", "password": SECRET}
    made = await service.call("account.create", account)
    session, key = made["result"]["session_id"], made["session"]["key"]
    await service.call("account.login", {**account, "password": f"{SECRET} x"})
    await service.call("fail", {"kind": "own", "password": SECRET})
    await service.call("account.logout", {}, session=session, **{"x-toto-hmac": "c2lnbmF0dXJl"})
    await service.call(f"no.{SECRET}", {})
    await service.post(f"/{session}", json={})
    ours = [record for record in caplog.records if record.name != "aiohttp.access"]  # the test server's own
    logged = "".join(record.getMessage() + str(vars(record)) for record in ours)
    assert "call failed" in logged
    assert "call slow" in logged
    for secret in (SECRET, session, key, "c2lnbmF0dXJl"):
        assert secret not in logged
