"""Bad input over HTTP: its status and the envelope; the next request is served."""

from __future__ import annotations

import asyncio
import gzip
import io
import re
from typing import Any

import bson
import msgpack
import pytest
from aiohttp.compression_utils import ZLibDecompressor

from tests.support.service import Serve
from toto_aio.http.codings import Decoder

JSON, BSON, MSGPACK = "application/json", "application/bson", "application/msgpack"


def nested(depth: int) -> Any:
    """An object ``depth`` levels deep."""
    value: Any = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


BAD = [
    (JSON, b"{"),
    (JSON, b'{"a": 1} x'),
    (JSON, b'{"a": "\xff"}'),
    (JSON, b'{"a": NaN}'),
    (JSON, b'{"a": 1e999}'),
    (JSON, b'{"a": "\\ud800"}'),
    (JSON, b'{"a": %d}' % 2**63),
    (JSON, b'{"a": %d}' % (-(2**63) - 1)),
    (JSON, b'{"a":' * 65 + b"{}" + b"}" * 65),
    (JSON, b"[" * 100_000),
    (JSON, b'{"a":' * 100_000),
    (JSON, b"\xef\xbb\xbf{}"),
    (MSGPACK, b"\x81"),
    (MSGPACK, msgpack.packb({"a": 1}) + b"x"),
    (MSGPACK, b"\x81\xa1a\xa1\xff"),
    (MSGPACK, msgpack.packb({"a": float("nan")})),
    (MSGPACK, msgpack.packb({"a": float("-inf")})),
    (MSGPACK, msgpack.packb({"a": 2**63})),
    (MSGPACK, msgpack.packb({"a": msgpack.ExtType(5, b"x")})),
    (MSGPACK, b"\x81\xa1a\xd6\xfe" + bytes(4)),  # an extension of the format's own, and no time
    (MSGPACK, msgpack.packb({"a": {1: 2}})),
    (MSGPACK, msgpack.packb(nested(65))),
    (MSGPACK, b"\x91" * 100_000),
    (MSGPACK, b"\xdd\xff\xff\xff\xff"),
    (MSGPACK, b"\xc6\xff\xff\xff\xff"),
    (BSON, b"\x05"),
    (BSON, bson.encode({"a": 1}) + b"x"),
    (BSON, bson.encode({"a": 1})[:-1]),
    (BSON, bson.encode({"a": float("nan")})),
    (BSON, bson.encode({"a": bson.Regex("x")})),
    (BSON, bson.encode({"a": re.compile("x")})),
    (BSON, bson.encode({"a": bson.Code("x")})),
    (BSON, bson.encode({"a": bson.DBRef("c", 1)})),
    (BSON, bson.encode(nested(65))),
    (BSON, b"\x10\x00\x00\x00\x09a\x00" + b"\xff" * 7 + b"\x7f\x00"),
]


@pytest.mark.parametrize(
    ("content_type", "body"), BAD, ids=[f"{kind.partition('/')[2]}-{n}" for n, (kind, _) in enumerate(BAD)]
)
async def test_bad_bodies(
    serve: Serve, content_type: str, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Each is 400 and 1003 in its own encoding, none is an internal error, and the service keeps running."""

    async def echo(handler: Any, parameters: dict[str, Any]) -> Any:
        return parameters

    service = await serve({"echo": echo})
    response = await service.post("/echo", data=body, headers={"content-type": content_type})
    assert (response.status, response.content_type) == (400, content_type)
    raw = await response.read()
    answer = (
        await response.json()
        if content_type == JSON
        else (bson.decode if content_type == BSON else msgpack.unpackb)(raw)
    )
    assert answer["error"]["code"] == 1003
    assert not caplog.records
    assert await service.result("echo", {"x": 1}) == {"x": 1}


@pytest.mark.parametrize("content_type", [JSON, BSON, MSGPACK])
async def test_what_can_be_read_can_be_written(serve: Serve, content_type: str) -> None:
    """The deepest and widest accepted value comes back, both alone and from a batch."""
    import json

    async def echo(handler: Any, parameters: dict[str, Any]) -> Any:
        return parameters

    encode, decode = {
        JSON: (lambda value: json.dumps(value).encode(), json.loads),
        BSON: (bson.encode, bson.decode),
        MSGPACK: (msgpack.packb, msgpack.unpackb),
    }[content_type]
    service = await serve({"echo": echo})
    for value in (nested(64), {"n": 2**63 - 1, "m": -(2**63)}, {"x": [[[]]] * 100, "é": "\U0001f600"}):
        response = await service.post("/echo", data=encode(value), headers={"content-type": content_type})
        assert response.status == 200
        assert decode(await response.read()) == {"result": value}
    batch = {"batch": {"a": {"method": "echo", "parameters": nested(61)}}}
    response = await service.post(data=encode(batch), headers={"content-type": content_type})
    assert decode(await response.read()) == {"batch": {"a": {"result": nested(61)}}}


async def test_a_body_that_unpacks_to_much(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused when the limit is reached, and the rest is not even decompressed."""
    unpack = ZLibDecompressor.decompress_sync
    unpacked = 0

    def counting(self: ZLibDecompressor, *arguments: Any, **options: Any) -> bytes:
        nonlocal unpacked
        result = unpack(self, *arguments, **options)
        unpacked += len(result)
        return result

    monkeypatch.setattr(ZLibDecompressor, "decompress_sync", counting)
    feed = Decoder.feed

    def feeding(self: Decoder, piece: bytes) -> bool:
        nonlocal unpacked
        before = len(self._decoded)
        try:
            return feed(self, piece)
        finally:
            unpacked += len(self._decoded) - before

    monkeypatch.setattr(Decoder, "feed", feeding)

    async def echo(handler: Any, parameters: Any) -> Any:
        return parameters

    service = await serve({"echo": echo})
    head = {"content-type": JSON, "content-encoding": "gzip"}
    for level in (1, 9):  # level 1 compresses it to more than the limit, level 9 to less
        bomb = gzip.compress(b'{"a":"' + bytes(300_000_000), level)
        unpacked = 0
        response = await service.post("/echo", data=io.BytesIO(bomb), headers=head)
        assert (response.status, response.headers["Connection"]) == (413, "close")
        assert (await response.json())["error"]["code"] == 1003
        await asyncio.sleep(0.3)
        assert unpacked < 30_000_000  # of 300,000,000
        assert await service.result("echo", {"a": 1}) == {"a": 1}
    assert unpacked
    small = gzip.compress(b'{"a": "small"}')
    response = await service.post("/echo", data=small, headers=head)
    assert await response.json() == {"result": {"a": "small"}}


async def test_broken_transfer_encodings(serve: Serve) -> None:
    """A body that cannot be decompressed is an error of the request, not of the service."""
    service = await serve()
    response = await service.post(
        "/client_error", data=b"no gzip", headers={"content-type": JSON, "content-encoding": "gzip"}
    )
    assert response.status == 400
    assert (await response.json())["error"]["code"] == 1003
    assert (await service.call("nothing"))["error"]["code"] == 1001
