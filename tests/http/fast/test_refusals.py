"""What a refused call costs, in function calls; benchmarks/typed.py measures the time."""

from __future__ import annotations

import asyncio
import cProfile
import io
import json
import logging
import pstats
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from aiohttp import web

from tests.support.service import FastRunner
from toto_aio import create_app
from toto_aio.http.fast import FastConnection
from toto_aio.server.logs import FORMATS

CALLS = 50
MOST = 330
"""The most function calls of a refused call with its log line: an accepted one takes 50."""
WRONG = {"titel": "tea", "limit": "5", "price": "1.5", "done": True}
HEAD = b"POST /service HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


async def add(title: str, limit: int, price: float = 1.0, done: bool = False) -> str:
    """A method with four flat parameters."""
    return title


def ask(client: socket.socket, calls: int) -> None:
    """Make a call that has four problems, over and over."""
    body = json.dumps({"method": "add", "parameters": WRONG}).encode()
    for _ in range(calls):
        client.sendall(HEAD % len(body) + body)
        answer = client.recv(65536)
        assert answer.count(b'"path"') == 4, answer


@contextmanager
def log_of_calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What the log of calls writes, as under ``serve``."""
    logger, lines = logging.getLogger("toto_aio.calls"), io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.setFormatter(FORMATS["text"])
    monkeypatch.setattr(logger, "handlers", [handler])
    monkeypatch.setattr(logger, "propagate", False)
    logger.setLevel(logging.INFO)  # not by monkeypatch: a logger remembers which levels are on
    try:
        yield lines
    finally:
        logger.setLevel(logging.NOTSET)


async def test_a_refused_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes at most this many function calls, and aiohttp's request is not created for its log line."""
    created: list[Any] = []
    make = FastConnection.make_request

    def make_request(*given: Any) -> Any:
        created.append(given)
        return make(*given)

    monkeypatch.setattr(FastConnection, "make_request", make_request)
    runner = FastRunner(create_app(method_module={"add": add}, database="memory://"), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    with log_of_calls(monkeypatch) as lines, socket.create_connection(runner.addresses[0]) as client:
        await asyncio.to_thread(ask, client, 5)
        created.clear()
        lines.truncate(0)
        for _ in range(5):  # on a busy machine timers run between the calls, and are counted too
            profile = cProfile.Profile()
            profile.enable()
            await asyncio.to_thread(ask, client, CALLS)
            profile.disable()
            per_call = pstats.Stats(profile).total_calls / CALLS  # type: ignore[attr-defined]
            if per_call <= MOST:
                break
    await runner.cleanup()
    assert per_call <= MOST
    assert not created
    assert lines.getvalue().count("call failed: add with 1003 [") >= CALLS
    assert "] from 127.0.0.1 in 0." in lines.getvalue()
