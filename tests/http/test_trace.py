"""Log lines name the trace of a request, which its client sends in ``traceparent`` (W3C Trace Context)."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from multidict import CIMultiDict

from tests.support.service import Serve
from toto_aio import Handler

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
VALID = f"00-{TRACE}-{SPAN}-01"
INVALID = [
    "", "x", VALID.upper(), VALID[:-1], f"{VALID}0", f"{VALID}-", f"{VALID}-x", f"ff-{TRACE}-{SPAN}-01",
    f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE}-{SPAN}", f"0-{TRACE}-{SPAN}-01",
    f"00_{TRACE}_{SPAN}_01", f"01-{TRACE}-{SPAN}-01x", f"00-{TRACE}-{SPAN}-0g", "00-\u0661" + VALID[4:],
]  # fmt: skip
"""What is not valid by section 3.2.2 of the specification."""


async def fail(handler: Handler, parameters: dict[str, Any]) -> None:
    """Raise."""
    raise ZeroDivisionError


async def echo(handler: Handler, parameters: dict[str, Any]) -> Any:
    """Return the parameters."""
    return parameters


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Any:
    """What the records of calls have said since the last time: trace, span and text."""
    caplog.set_level(logging.INFO)

    def take() -> list[tuple[str, str, str]]:
        found = [record for record in caplog.records if record.name == "toto_aio.calls"]
        caplog.clear()
        return [
            (getattr(line, "trace_id", ""), getattr(line, "parent_id", ""), line.getMessage())
            for line in found
        ]

    return take


async def test_the_trace_of_a_call(serve: Serve, lines: Any) -> None:
    """Failed and slow calls, those of a batch, those by GET, and bodies that cannot be read: each has it."""
    service = await serve({"fail": fail, "echo": echo}, slow_call=1e-9)
    batch = {"batch": {"1": {"method": "fail"}, "2": {"method": "no"}}}
    for sent in (VALID, f"00-{TRACE}-{SPAN}-00", f"cc-{TRACE}-{SPAN}-01-more"):
        headers = {"traceparent": sent}
        await service.post("/fail", json={}, headers=headers)
        await service.post("/echo", json={}, headers=headers)
        await service.post(json=batch, headers=headers)
        await service.client.get("/service/fail", headers=headers)
        await service.post(data=b"{", headers={**headers, "Content-Type": "application/json"})
        found = lines()
        assert len(found) == 6
        for trace, span, text in found:
            assert (trace, span) == (TRACE, SPAN), text
            assert f" s, trace {TRACE}" in text


async def test_what_is_no_trace(serve: Serve, lines: Any) -> None:
    """Nothing is logged of a header that is missing, repeated or not valid, on one connection with others."""
    service = await serve({"fail": fail})
    await service.post("/fail", json={}, headers={"traceparent": VALID})
    sent = [[], *([("traceparent", value)] for value in INVALID), [("traceparent", VALID)] * 2]
    for headers in sent:
        await service.post("/fail", json={}, headers=CIMultiDict(headers))
    [first, *others] = lines()
    assert first[0] == TRACE
    assert len(others) == len(sent)
    for trace, span, text in others:
        assert (trace, span) == ("", ""), text
        assert "trace" not in text


async def test_the_trace_of_a_socket(serve: Serve, lines: Any) -> None:
    """Calls over a WebSocket belong to the trace of the request that opened it."""
    service = await serve({"fail": fail, "echo": echo}, use_web_sockets=True, slow_call=1e-9)
    async with service.client.ws_connect("/service/websocket", headers={"traceparent": VALID}) as socket:
        for message in ({"id": 1, "method": "fail"}, {"id": 2, "method": "echo"}, {"id": 3, "method": "no"}):
            await socket.send_json(message)
            await socket.receive()
        await socket.send_str("{")
        await socket.receive()
    assert [trace for trace, _, _ in lines()] == [TRACE] * 4
