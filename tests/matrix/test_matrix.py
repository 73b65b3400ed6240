"""The same calls through every transport and codec: the same result, error, authorisation and limit."""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from pytest_aiohttp.plugin import AiohttpClient

from tests.conftest import built_in
from tests.matrix.cases import (
    CASES,
    TOO_DEEP,
    TOO_MANY,
    TOO_OFTEN,
    WRONG_LOGIN,
    Away,
    Case,
    Error,
    Own,
    Result,
    Seen,
)
from tests.matrix.in_python import InProcess, by_the_client
from tests.matrix.in_the_shell import Here, Shell
from tests.matrix.methods import METHODS
from tests.matrix.over_http import over_http
from tests.matrix.over_sockets import over_sockets
from tests.matrix.transports import Outcome, Transport
from tests.support.service import FastServer, PlainServer, Service
from tests.support.stores import make_session
from toto_aio import create_app
from toto_aio.in_process import OpenService, open_service
from toto_aio.lifespan import LIFESPAN
from toto_aio.stores import SessionStore

ADA = {"user_id": "ada", "password": "correct horse"}
OPTIONS: dict[str, Any] = {
    "method_module": {**built_in(), **METHODS},
    "database": "memory://",
    "get_methods": "all",
    "batch_concurrency": 8,
}


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Write none of the many tracebacks, which take longer than the calls."""
    caplog.set_level(logging.CRITICAL, "toto_aio.calls")


@pytest.mark.parametrize("server", [PlainServer, FastServer], ids=["general", "fast"])
async def test_over_http(aiohttp_client: AiohttpClient, server: Any, quiet: None) -> None:
    """Each way in gives what the table of cases says."""
    service, sessions = await serving(aiohttp_client, server)
    await compare(over_http(service), sessions, CASES)


async def test_over_sockets_and_by_the_client(aiohttp_client: AiohttpClient, quiet: None) -> None:
    """So do frames of WebSockets, and the Python client."""
    service, sessions = await serving(aiohttp_client, PlainServer)
    await compare([*over_sockets(service), *by_the_client(service)], sessions, CASES)


@pytest.mark.parametrize("server", [PlainServer, FastServer], ids=["general", "fast"])
async def test_true_statuses(aiohttp_client: AiohttpClient, server: Any, quiet: None) -> None:
    """With ``error_status=http`` only the status of errors is another."""
    service, sessions = await serving(aiohttp_client, server, error_status="http")
    errors = [case for case in CASES if not isinstance(case.expected, Result | Seen)]
    rows = [*over_http(service), *over_sockets(service)]
    await compare([row for row in rows if row.alone or server is PlainServer], sessions, errors, mode=1)


async def test_limits(aiohttp_client: AiohttpClient, quiet: None) -> None:
    """A limit of attempts is one for all ways in, and what is nested too deeply is refused by each."""
    service, sessions = await serving(aiohttp_client, FastServer, login_attempts=2)
    await service.create("mallory")
    for _ in range(2):
        assert (await service.call("account.login", WRONG_LOGIN))["error"]["code"] == 1005
    rows = [*over_http(service), *over_sockets(service)]
    await compare(rows, sessions, [TOO_DEEP])
    assert await service.result("seldom") == "once"
    await compare([*rows, *by_the_client(service)], sessions, [TOO_MANY, TOO_OFTEN])


async def test_in_the_shell(
    aiohttp_client: AiohttpClient, quiet: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So does the command, of which one call of each method and session is enough: each opens a client."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    service, sessions = await serving(aiohttp_client, FastServer)
    some = {(case.method, case.session, type(case.expected)): case for case in CASES}
    await compare([Shell(service)], sessions, some.values())


async def test_in_process(quiet: None) -> None:
    """A call that comes by no transport has the same outcomes."""
    async with open_service(**OPTIONS) as service:
        await compare([InProcess(service)], await in_process(service), CASES)


async def test_in_the_shell_in_process(quiet: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So does the command for the service of its folder, of which each call opens the service."""
    users = {"user": "ada", "editor": "eve"}
    cases = {(case.session, type(case.expected)): case for case in CASES if Here(users).carries(case)}
    some = [*cases.values(), *(case for case in CASES if case.method == "edit" and Here(users).carries(case))]
    settings: dict[str, Any] = {"method_module": "of_the_matrix", "database": f"sqlite:///{tmp_path}/own.db"}
    write_package(tmp_path / "of_the_matrix", {case.method for case in some} & METHODS.keys())
    (tmp_path / "toto.toml").write_text("".join(f"{name} = {value!r}\n" for name, value in settings.items()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    async with open_service(**settings) as service:
        sessions = await in_process(service)
    await compare([Here({sessions[name]: user_id for name, user_id in users.items()})], sessions, some)


def write_package(folder: Path, methods: Iterable[str]) -> None:
    """Write a package with a module for each of these methods of the matrix, and those of accounts."""
    for name in methods:
        file = folder.joinpath(*name.split(".")).with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.parent.joinpath("__init__.py").touch()
        file.write_text(f"from tests.matrix.methods import METHODS\n\ninvoke = METHODS[{name!r}]\n")
    folder.joinpath("__init__.py").write_text("from toto_aio.methods import account\n")


async def in_process(service: OpenService) -> dict[str, str]:
    """The ids of the sessions that cases name, made without a transport."""
    sessions = {}
    for name, user_id in (("user", "ada"), ("editor", "eve"), ("ended", "bob")):
        created = await service.call("account.create", {**ADA, "user_id": user_id})
        sessions[name] = created["session_id"]
    await service.accounts.set_roles("eve", ["editor"])
    await service.call("account.logout", session_id=sessions["ended"])
    sessions["visitor"] = (await service.sessions.create()).session_id
    sessions["stale"] = await stale(service.sessions.store)
    return sessions


async def serving(
    aiohttp_client: AiohttpClient, server: Any, **options: Any
) -> tuple[Service, dict[str, str]]:
    """A service, and the ids of the sessions that cases name."""
    app = create_app(use_web_sockets=True, **OPTIONS, **options)
    service = Service(await aiohttp_client(server(app)))
    sessions = {
        "user": await service.create(),
        "editor": await service.create("eve"),
        "visitor": (await service.call("visit"))["session"]["session_id"],
        "ended": await service.create("bob"),
        "stale": await stale(service.client.app[LIFESPAN].runtime.connection.sessions.store),
    }
    await service.call("account.logout", session=sessions["ended"])
    await app[LIFESPAN].runtime.connection.accounts.set_roles("eve", ["editor"])
    return service, sessions


async def stale(store: SessionStore) -> str:
    """The id of a session of the user, who has logged in an hour ago."""
    key = hashlib.sha256(b"stale").hexdigest()
    await store.add_session(make_session(key, state=b"\x80", created=time.time() - 3600))
    return "stale"


async def compare(
    rows: Iterable[Transport], sessions: Mapping[str, str], cases: Iterable[Case], mode: int = 0
) -> None:
    """Compare each outcome of each transport, and name all that are not as the table says."""
    wrong = [each for row in rows for each in await differences(row, sessions, cases, mode)]
    assert not wrong, "\n".join(wrong)


async def differences(
    row: Transport, sessions: Mapping[str, str], cases: Iterable[Case], mode: int
) -> list[str]:
    """What a transport does otherwise than the table says, each with its case."""
    wrong: list[str] = []
    cases = [each for each in cases if row.carries(each)]
    for (session, _), group in groupby(sorted(cases, key=circumstances), circumstances):
        some = list(group)
        calls = [(case.method, {**case.parameters, **named(case, sessions)}) for case in some]
        outcomes = await row.send(calls, sessions.get(session))
        for case, outcome in zip(some, outcomes, strict=True):
            try:
                check(row, case, outcome, mode)
            except (AssertionError, ValueError) as exc:
                wrong.append(f"{row.name}: {case}: {exc}\n    {outcome}")
    return wrong


def circumstances(case: Case) -> tuple[str, bool]:
    """Who makes a call, and whether it makes a session, which would be that of the others in a batch."""
    return case.session, case.method == "visit"


def named(case: Case, sessions: Mapping[str, str]) -> dict[str, str]:
    """The session of a parameter, in place of its name."""
    name = case.parameters.get("session_id")
    return {} if name is None else {"session_id": sessions[name]}


def check(row: Transport, case: Case, outcome: Outcome, mode: int) -> None:
    """Compare an outcome with what is expected of it."""
    expected = case.by_form.get(row.form.name, case.expected)
    assert outcome.deprecated in (None, case.method == "old")
    if isinstance(expected, Away):
        expected = expected.own if row.alone else expected.error
    if isinstance(expected, Own) and not row.alone:
        assert outcome.error is not None, "an error was expected"
        assert outcome.error["code"] == 1003
        assert "answers with bytes of its own" in outcome.error["value"]
    elif isinstance(expected, Own):
        assert outcome.own is not None, "its own bytes were expected"
        assert outcome.own.location == expected.location
        if not expected.location:
            assert outcome.own == expected
    elif isinstance(expected, Error):
        assert outcome.error is not None, "an error was expected"
        check_error(expected, outcome, mode)
    else:
        assert outcome.error is None, "a result was expected"
        assert outcome.own is None
        assert outcome.status in (None, 200)
        if isinstance(expected, Seen):
            assert outcome.result == row.seen(row.form.write(case.parameters))
        else:
            check_result(row, expected, outcome.result)


def check_error(expected: Error, outcome: Outcome, mode: int) -> None:
    """Compare its code, value, details and status."""
    assert outcome.error is not None
    error = dict(outcome.error)
    assert error.pop("code") == expected.code
    value = error.pop("value")
    if isinstance(expected.value, re.Pattern):
        assert expected.value.fullmatch(value)
    else:
        assert value == expected.value
    wait = error.pop("retry_after", 0)
    assert (wait > 0) == (expected.code == 1012)
    assert outcome.wait in (None, wait)
    assert error == expected.details
    assert outcome.status in (None, expected.statuses[mode]), expected.statuses[mode]
    assert "s3cret" not in repr(outcome)


def check_result(row: Transport, expected: Result, result: Any) -> None:
    """Compare a result, read as what it is, of the same type."""
    read = row.form.read(result, expected.kind)
    value = row.form.read(expected.value, expected.kind)
    assert read == value, f"{read!r} != {value!r}"
    assert isinstance(read, bool) == isinstance(value, bool)
