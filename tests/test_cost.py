"""What a call costs in function calls, which are the same on every machine.

Time is not: benchmarks/echo.py measures it. A change that makes this fail makes each call more expensive.
"""

from __future__ import annotations

import asyncio
import cProfile
import pstats
import socket
import time
from collections.abc import Sequence
from typing import Any

import pytest
import uvloop
from aiohttp import web

from tests.support.service import FastRunner
from toto_aio import create_app

CALLS = 100
PAUSE = 0.001
"""Seconds between two calls, after which a connection is certainly idle."""
ECHO = b'{"method":"echo","parameters":{"a":1,"b":"hello","c":[1,2,3]}}'
BATCH = b'{"batch":{%s}}' % b",".join(b'"%d":%s' % (number, ECHO) for number in range(50))
LINES = b"POST /service HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"


@pytest.mark.parametrize(
    ("runner", "body", "most", "varies"),
    [
        (web.AppRunner, ECHO, 120, False),
        (FastRunner, ECHO, 45, False),
        (FastRunner, ECHO, 62, True),
        (FastRunner, BATCH, 960, False),
    ],
    ids=["general", "fast", "fast, another head each time", "fast, a batch of 50"],
)
def test_calls(runner: Any, body: bytes, most: int, varies: bool) -> None:
    """An echo, or a batch of them, takes at most this many function calls, both Python's and C's."""
    for _ in range(5):  # on a busy machine timers run between the calls, and are counted too
        profiles = cProfile.Profile(), cProfile.Profile()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
            loop.run(serve(runner, body, varies, profiles))
        few, many = (pstats.Stats(profile) for profile in profiles)
        per_call = (total(many) - total(few)) / CALLS
        if round(per_call) <= most:
            return
    raise AssertionError(f"{per_call} calls: {many.sort_stats('ncalls').print_stats(80)}")


def total(stats: pstats.Stats) -> int:
    """The number of all function calls."""
    return int(stats.total_calls)  # type: ignore[attr-defined]


async def serve(runner_type: Any, body: bytes, varies: bool, profiles: Sequence[cProfile.Profile]) -> None:
    """Serve a client that is not profiled, as it runs in another thread; the second asks twice as often."""

    async def echo(handler: Any, parameters: Any) -> Any:
        return parameters

    runner = runner_type(create_app(method_module={"echo": echo}, database="memory://"), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    with socket.create_connection(runner.addresses[0]) as client:
        await asyncio.to_thread(ask, client, body, 10, varies)
        for times, profile in enumerate(profiles, 1):
            profile.enable()
            await asyncio.to_thread(ask, client, body, times * CALLS, varies)
            profile.disable()
    await runner.cleanup()


def ask(client: socket.socket, body: bytes, calls: int, varies: bool) -> None:
    """Make calls over one connection."""
    for number in range(calls):
        head = LINES % len(body) + (b"X-Number: %d\r\n" % number if varies else b"")
        client.sendall(head + b"\r\n" + body)
        answer = client.recv(65536)
        assert answer.rstrip(b"}").endswith(b'{"result":{"a":1,"b":"hello","c":[1,2,3]'), answer
        time.sleep(PAUSE)
