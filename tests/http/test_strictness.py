"""Heads that HTTP forbids, as ``toto-aio serve`` answers them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pytest_aiohttp.plugin import AiohttpClient

from tests.support.limits import WATCHDOG
from tests.support.service import FastServer, GeneralServer
from toto_aio import create_app

FINE = (
    "x",
    "localhost:8080",
    "[::1]:80",
    "[::1]",
    "a_b.example",
    "127.0.0.1:",
    "",
    "xn--bcher-kva.example",
    "a.",
)
WRONG = (
    "a b",
    "a/b",
    "a, b",
    "\xff",
    "u@x",
    "x:abc",
    "[::1",
    "x:1:2",
    "a\\b",
    "x?y",
    "<x>",
    "x:123456",
    "a" * 300,
)
CODINGS = {
    **dict.fromkeys(("chunked", "Chunked", " chunked "), 200),
    **dict.fromkeys(("gzip, chunked", "x, chunked", "identity, chunked"), 501),
    **dict.fromkeys(("gzip", "identity", "chunked, gzip", "x", "", ","), 400),
}
"""Transfer codings, and the status of a request with them; aiohttp itself refuses those of the last line."""


async def echo(handler: Any, parameters: Any) -> Any:
    """Return the parameters."""
    return parameters


async def status(port: int | None, head: str, body: bytes = b'{"a":1}') -> int:
    """The status of the response to a request after one that is as usual, on the same connection."""
    usual = b"POST /service/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n" + b'{"a":1}'
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(WATCHDOG):
        writer.write(usual)
        await reader.readuntil(b'{"result":{"a":1}}')
        writer.write(head.replace("\n", "\r\n").encode("latin-1") + body)
        line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return int(line.split()[1])


@pytest.mark.parametrize("server", [FastServer, GeneralServer])
async def test_heads(aiohttp_client: AiohttpClient, server: Any) -> None:
    """Hosts that are none are 400, other versions 505, and transfer codings that nobody knows 501 or 400."""
    client = await aiohttp_client(server(create_app(method_module={"echo": echo}, database="memory://")))
    port = client.port
    line = "POST /service/echo HTTP/{}\nHost: {}\nContent-Length: 7\n\n"
    for host in FINE:
        assert await status(port, line.format("1.1", host)) == 200, host
        assert await status(port, line.format("1.0", host)) == 200, host
    for host in WRONG:
        assert await status(port, line.format("1.1", host)) == 400, host
    for version in ("2.0", "0.9"):
        assert await status(port, line.format(version, "x")) == 505, version
    coded = "POST /service/echo HTTP/1.1\nHost: x\nTransfer-Encoding: {}\n\n"
    for coding, expected in CODINGS.items():
        assert await status(port, coded.format(coding), b'7\r\n{"a":1}\r\n0\r\n\r\n') == expected, coding
    upgrade = coded.replace("\n\n", "\nConnection: Upgrade\nUpgrade: websocket\n\n")
    for coding in ("gzip", "identity", "x", "", ","):  # which aiohttp would let through
        assert await status(port, upgrade.format(coding), b"") == 501, coding
