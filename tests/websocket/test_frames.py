"""Frames of every length arrive whole, in both formats."""

from __future__ import annotations

import json

import msgpack
import pytest
from aiohttp import WSMsgType

from tests.support.service import Serve
from tests.websocket.test_websocket import METHODS, ask, connect
from toto_aio.websocket.frames import FORMATS


@pytest.mark.parametrize(
    "size", [0, 90, 91, 92, 93, 94, 95, 96, 97, 98, 65_500, 65_501, 65_530, 65_540, 900_000]
)
async def test_every_length(serve: Serve, size: int) -> None:
    """At 126 and at 65,536 bytes the frame header gets longer."""
    socket = await connect(await serve(METHODS))
    parameters = {"a": "x" * size}
    assert await ask(socket, "echo", parameters) == {"id": 1, "result": parameters}
    await socket.send_bytes(msgpack.packb({"id": 1, "method": "echo", "parameters": parameters}))
    assert msgpack.unpackb(await socket.receive_bytes(timeout=20)) == {"id": 1, "result": parameters}


def test_a_frame() -> None:
    """It is final, unmasked, and has its length in the shortest form."""
    text, binary = FORMATS[WSMsgType.TEXT], FORMATS[WSMsgType.BINARY]
    assert text.frame([1]) == b"\x81\x03[1]"
    assert binary.frame([1]) == b"\x82\x02\x91\x01"
    for size, head in ((125, b"\x81\x7d"), (126, b"\x81\x7e\x00\x7e"), (65_535, b"\x81\x7e\xff\xff")):
        assert text.frame("x" * (size - 2)) == head + json.dumps("x" * (size - 2)).encode()
    assert text.frame("x" * 65_534)[:10] == b"\x81\x7f" + (65_536).to_bytes(8, "big")
