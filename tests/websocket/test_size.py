"""The largest message that a WebSocket takes."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Callable
from typing import Any

import msgpack
import pytest

from tests.support.limits import WATCHDOG
from tests.support.service import Serve, Service

OPEN = (
    b"GET /service/websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
TEXT, BINARY, CLOSE = 1, 2, 8


async def echo(handler: Any, parameters: dict[str, Any]) -> int:
    """Return the length of the text."""
    return len(parameters["a"])


def frame(opcode: int, payload: bytes, *, last: bool) -> bytes:
    """A masked frame (RFC 6455, 5.2), with a key of zeros."""
    size = len(payload)
    first = opcode | (0x80 if last else 0)
    if size < 126:
        head = struct.pack("!BB", first, 0x80 | size)
    elif size < 65536:
        head = struct.pack("!BBH", first, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, size)
    return head + bytes(4) + payload


async def answer(service: Service, opcode: int, message: bytes, parts: int) -> tuple[int, bytes]:
    """The opcode and the payload of the answer to a message that is sent in so many frames."""
    step = -(-len(message) // parts)
    pieces = [message[start : start + step] for start in range(0, len(message), step)]
    frames = [
        frame(0 if number else opcode, piece, last=number == len(pieces) - 1)
        for number, piece in enumerate(pieces)
    ]
    reader, writer = await asyncio.open_connection("127.0.0.1", service.client.port)
    try:
        writer.write(OPEN + b"".join(frames))
        async with asyncio.timeout(WATCHDOG):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
            first, size = await reader.readexactly(2)
            return first & 15, await reader.readexactly(size)
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("opcode", "encode"),
    [(TEXT, lambda value: json.dumps(value).encode()), (BINARY, msgpack.packb)],
    ids=["text", "binary"],
)
@pytest.mark.parametrize("limit", [120, 1000, 65_536, 70_000])
async def test_the_limit(serve: Serve, limit: int, opcode: int, encode: Callable[[Any], bytes]) -> None:
    """A message of exactly max_body_size is taken, in one frame and in several; a byte more is not."""
    service = await serve({"echo": echo}, max_body_size=limit)
    for size in (limit, limit + 1):
        call = {"id": 1, "method": "echo", "parameters": {"a": "x" * (limit - 70)}}
        call["parameters"] = {"a": "x" * (limit - 70 + size - len(encode(call)))}
        message = encode(call)
        assert len(message) == size
        for parts in (1, 2, 3):
            kind, payload = await answer(service, opcode, message, parts)
            assert kind == (opcode if size == limit else CLOSE)
            if kind == CLOSE:
                assert struct.unpack("!H", payload[:2]) == (1009,)
