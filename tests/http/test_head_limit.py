"""The limit for the whole head of a request, on both paths."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.support.limits import WATCHDOG
from tests.support.service import FastRunner, GeneralRunner
from toto_aio import create_app
from toto_aio.dispatch.handler import Handler
from toto_aio.http.head_limit import MAX_HEAD

pytestmark = pytest.mark.parametrize("fast", [True, False], ids=["fast", "general"])


async def echo(handler: Handler, parameters: Any) -> Any:
    """Return the parameters."""
    return parameters


async def slow(handler: Handler, parameters: Any) -> Any:
    """Return the parameters once the next request has begun to arrive."""
    await asyncio.sleep(0.2)
    return parameters


@asynccontextmanager
async def served(fast: bool) -> AsyncIterator[int]:
    """The port of a service."""
    app = create_app(method_module={"echo": echo, "slow": slow}, database="memory://")
    runner = (FastRunner if fast else GeneralRunner)(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def request(head: int, body: bytes = b"{}", method: str = "echo") -> bytes:
    """A call with a head of about this many bytes."""
    first = f"POST /service/{method} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    line = f"X-Own: {'x' * 1000}\r\n"
    lines = line * ((head - len(first)) // len(line))
    return f"{first}{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def talk(port: int, *pieces: bytes) -> bytes:
    """What a client gets that sends these pieces, each as the service has had time to read the one before."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0.02)
        calls, said = b"".join(pieces).count(b"POST"), b""
        async with asyncio.timeout(WATCHDOG):
            while b"400 Bad Request" not in said and said.count(b'{"result"') < calls:
                data = await reader.read(2**16)
                if not data:
                    break
                said += data
        return said
    finally:
        writer.close()


def cut(data: bytes, size: int = 4000) -> list[bytes]:
    """The data in pieces."""
    return [data[at : at + size] for at in range(0, len(data), size)]


RESULT = b'{"result":{}}'
LARGE, FITS, SMALL = request(MAX_HEAD + 2000), request(MAX_HEAD - 2000), request(100)


async def test_a_head_that_is_too_large(fast: bool) -> None:
    """It is refused before it ends, or when it arrives at once, and its connection is closed."""
    async with served(fast) as port:
        for pieces in (
            [LARGE],
            cut(LARGE),
            cut(request(10**6)[: MAX_HEAD + 500]),
            [SMALL, LARGE],
            [SMALL, *cut(LARGE)],
            [SMALL + LARGE[:500], *cut(LARGE[500:])],
        ):
            said = await talk(port, *pieces)
            assert b"HTTP/1.0 400 Bad Request" in said
            assert f"The head of a request has at most {MAX_HEAD} bytes".encode() in said
            assert said.count(RESULT) == (pieces[0].startswith(SMALL))


async def test_a_head_behind_a_call_that_runs(fast: bool) -> None:
    """It is counted meanwhile, and refused after the response to the call."""
    async with served(fast) as port:
        said = await talk(port, request(100, method="slow"), *cut(LARGE, 16_000))
        assert said.index(RESULT) < said.index(b"400 Bad Request")


async def test_what_is_not_too_large(fast: bool) -> None:
    """Heads below the limit, any number of them on a connection, and bodies of any size."""
    body = json.dumps({"a": "x" * 3 * MAX_HEAD}).encode()
    async with served(fast) as port:
        for pieces in ([FITS], cut(FITS), cut(FITS) * 3, cut(FITS + FITS), [SMALL * 2000], cut(SMALL * 500)):
            said = await talk(port, *pieces)
            assert said.count(RESULT) == b"".join(pieces).count(b"POST")
        for large in (request(100, body), request(MAX_HEAD - 2000, body)):
            said = await talk(port, *cut(large, 10_000), *cut(FITS), *cut(large, 50_000))
            assert said.count(b'{"result"') == 3
            assert b"400 Bad Request" not in said


async def test_frames_of_a_socket(fast: bool) -> None:
    """They are no heads."""
    async with served(fast) as port, aiohttp.ClientSession() as client:
        async with client.ws_connect(f"http://127.0.0.1:{port}/service/websocket") as socket:
            for _ in range(3):
                await socket.send_json({"id": 1, "method": "echo", "parameters": {"a": "x" * MAX_HEAD}})
                assert len((await socket.receive_json(timeout=WATCHDOG))["result"]["a"]) == MAX_HEAD
