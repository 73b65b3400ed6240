"""What RFC 6455 asks of clients: masks, and codes of close frames that are allowed."""

from __future__ import annotations

import asyncio
import json
import struct

from tests.support.limits import WATCHDOG
from tests.support.service import Serve, Service
from tests.websocket.test_size import OPEN, echo, frame

CALL = json.dumps({"id": 1, "method": "echo", "parameters": {"a": "x"}}).encode()
RESULT = b'{"id":1,"result":1}'
CLOSE = 8


async def talk(service: Service, *parts: bytes, early: bytes = b"") -> tuple[bytes, int | None]:
    """What is received before the close frame, and its code, if frames are sent in these parts.

    The bytes that are ``early`` come with the request that opens the socket.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", service.client.port)
    received = b""
    async with asyncio.timeout(WATCHDOG):
        writer.write(OPEN + early)
        await reader.readuntil(b"\r\n\r\n")
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.01)
        while True:
            opcode, size = await reader.readexactly(2)
            payload = await reader.readexactly(size)
            if opcode & 15 == CLOSE:
                break
            received += payload
    writer.close()
    return received, struct.unpack("!H", payload[:2])[0] if payload else None


def unmasked(opcode: int, payload: bytes) -> bytes:
    """A short frame without a mask."""
    return bytes([0x80 | opcode, len(payload)]) + payload


async def test_masks(serve: Serve) -> None:
    """A client that does not mask its frames is not answered, and its socket is closed with 1002."""
    service = await serve({"echo": echo})
    call = unmasked(1, CALL)
    for parts in (
        [call],
        [call[:1], call[1:]],
        [call, frame(1, CALL, last=True)],
        [unmasked(9, b"")],
        [unmasked(8, b"")],
    ):
        assert await talk(service, *parts) == (b"", 1002), parts
    masked, end = frame(1, CALL, last=True), frame(8, struct.pack("!H", 1000), last=True)
    for parts in ([masked, end], [masked[:1], masked[1:3], masked[3:], end]):
        assert await talk(service, *parts) == (RESULT, 1000), parts


async def test_frames_behind_the_request(serve: Serve) -> None:
    """What a client sends before the socket is open counts like what it sends later, wherever it is cut."""
    service = await serve({"echo": echo})
    end = frame(8, struct.pack("!H", 1000), last=True)
    masked, not_masked = frame(1, CALL, last=True), unmasked(1, CALL)
    for call, after, expected in ((masked, end, (RESULT, 1000)), (not_masked, b"", (b"", 1002))):
        for at in (1, 2, 3, 6, len(call) - 1, len(call)):
            parts = [part for part in (call[at:], after) if part]
            assert await talk(service, *parts, early=call[:at]) == expected, (expected, at)


async def test_codes(serve: Serve) -> None:
    """A close frame with a code that may not be sent is answered with 1002, others with 1000."""
    service = await serve({"echo": echo})
    for code in (1000, 1001, 1003, 1007, 1011, 1013, 3000, 3999, 4000, 4999):
        assert await talk(service, frame(8, struct.pack("!H", code) + b"bye", last=True)) == (b"", 1000), code
    for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 5001, 9999, 32768, 65535):
        assert await talk(service, frame(8, struct.pack("!H", code), last=True)) == (b"", 1002), code
    assert await talk(service, frame(8, b"", last=True)) == (b"", 1000)
    assert await talk(service, frame(8, b"x", last=True)) == (b"", 1002)
