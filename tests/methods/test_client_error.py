"""The method ``client_error`` over HTTP."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

import pytest

from tests.support.authenticator import code_of
from tests.support.limits import WATCHDOG
from tests.support.service import Serve

LOGGER = "toto_aio.client"


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The client errors that were logged."""
    records = [record for record in caplog.records if record.name == LOGGER]
    assert all(record.levelno == logging.ERROR for record in records)
    return [record.getMessage() for record in records]


async def test_an_error_of_a_browser(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, whoever calls."""
    service = await serve()
    parameters = {"client_error": "x is undefined", "client_type": "browser_js"}
    assert await service.call("client_error", parameters) == {"result": {"logged": True}}
    [line] = logged(caplog)
    assert "x is undefined" in line


@pytest.mark.parametrize(
    "client_type", ["ios", "", "browser_js ", "BROWSER_JS", None, 0, True, [], {}, ["browser_js"]]
)
async def test_an_error_of_another_client(
    serve: Serve, caplog: pytest.LogCaptureFixture, client_type: Any
) -> None:
    """It is not logged, and the result says so."""
    service = await serve()
    parameters = {"client_error": "x is undefined", "client_type": client_type}
    assert await service.result("client_error", parameters) == {"logged": False}
    assert logged(caplog) == []


@pytest.mark.parametrize(
    ("parameters", "missing"),
    [
        ({}, "client_error, client_type"),
        ({"client_error": "x"}, "client_type"),
        ({"client_type": "browser_js"}, "client_error"),
    ],
)
async def test_missing_parameters(
    serve: Serve, caplog: pytest.LogCaptureFixture, parameters: dict[str, Any], missing: str
) -> None:
    """The error names them, and nothing is logged."""
    service = await serve()
    answer = await service.call("client_error", parameters)
    assert answer == {"error": {"code": 1003, "value": f"Missing parameters: {missing}"}}
    assert logged(caplog) == []


@pytest.mark.parametrize(
    "client_error",
    [
        "two\nlines",
        "2026-01-01 ERROR forged\r\n2026-01-01 ERROR forged",
        "\x1b[2J\x1b[31m\x00\x07\x08",
        "next\x85 line\u2028 paragraph\u2029 vertical\x0b form\x0c",
        "\u202ereversed \u200b hidden",
        "%s %d %(name)s {0} {name} %",
        "grüße 🦊",
        "",
        None,
        0,
        True,
        1.5,
        ["two\nlines", {"a\nb": None}],
        {"message": "two\nlines", "stack": ["a", "b"]},
    ],
    ids=ascii,
)
async def test_one_line_whatever_was_sent(
    serve: Serve, caplog: pytest.LogCaptureFixture, client_error: Any
) -> None:
    """Nobody can forge a log line, or send control sequences to a terminal."""
    service = await serve()
    parameters = {"client_error": client_error, "client_type": "browser_js"}
    assert await service.result("client_error", parameters) == {"logged": True}
    [line] = logged(caplog)
    assert line.isascii()
    assert line.isprintable()
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize("character", ["x", "\n", "\u00e9", "\U0001f98a"], ids=ascii)
async def test_a_line_is_bounded(serve: Serve, caplog: pytest.LogCaptureFixture, character: str) -> None:
    """A client that sends as much as it may cannot fill the disk with one call."""
    service = await serve()
    parameters = {"client_error": character * 80_000, "client_type": "browser_js"}
    assert await service.result("client_error", parameters) == {"logged": True}
    [line] = logged(caplog)
    assert 10_000 <= len(line) <= 10_000 * len("\\U0001f98a") + 2


async def test_a_large_structure_is_bounded(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """The same holds for values that are not text."""
    service = await serve()
    parameters = {"client_error": [{"line": n} for n in range(20_000)], "client_type": "browser_js"}
    assert await service.result("client_error", parameters) == {"logged": True}
    [line] = logged(caplog)
    assert len(line) <= 10_002


async def test_the_login_of_a_browser_is_not_needed(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """With a session or without, even with one that has ended, the error is logged."""
    service = await serve()
    session = await service.create()
    parameters = {"client_error": "x", "client_type": "browser_js"}
    for session_id in (session, "unknown"):
        assert await service.result("client_error", parameters, session=session_id) == {"logged": True}
    assert len(logged(caplog)) == 2


async def test_its_rate(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """An address is logged 100 times in 15 minutes, whichever way its calls come, with a login or without."""
    options = {"use_web_sockets": True, "batch_limit": 200, "trusted_proxies": ["127.0.0.1"]}
    service = await serve(get_methods="all", **options)
    session = await service.create()
    parameters = {"client_error": "x", "client_type": "browser_js"}
    call = {"method": "client_error", "parameters": parameters}
    rpc = {"jsonrpc": "2.0", "id": 1, "method": "client_error", "params": parameters}
    batch = {"batch": {str(number): call for number in range(110)}}
    answers = (await (await service.post(json=batch)).json())["batch"].values()
    assert Counter(map(code_of, answers)) == {None: 100, 1012: 10}
    later = [
        await service.call("client_error", parameters, session=session),
        await (await service.post("/client_error", json=parameters)).json(),
        await (await service.post("/client_error", data=parameters)).json(),
        await (await service.client.get("/service/client_error", params=parameters)).json(),
        await (await service.post("/rpc", json=rpc)).json(),
    ]
    async with service.client.ws_connect("/service/websocket") as socket:
        for frame in ({"id": "f", **call}, rpc):
            await socket.send_json(frame)
            later.append(await socket.receive_json(timeout=WATCHDOG))
    codes = [answer["error"].get("data", answer["error"])["code"] for answer in later]
    assert codes == [1012] * 7
    assert len(logged(caplog)) == 100
    other = await service.call("client_error", parameters, **{"x-forwarded-for": "192.0.2.1"})
    assert other == {"result": {"logged": True}}
