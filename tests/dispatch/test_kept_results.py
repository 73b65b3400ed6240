"""Results and errors as idempotency keys keep them: a repeat gets the same value, in each encoding."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from datetime import time as time_of_day
from decimal import Decimal
from ipaddress import ip_address
from pathlib import PurePath
from typing import Any
from uuid import UUID

import bson
import msgspec
import pytest
from bson.codec_options import CodecOptions, DatetimeConversion

from tests.support.service import Serve
from toto_aio import Handler, TotoException
from toto_aio.codecs import CODECS
from toto_aio.codecs.converter import EncodingError
from toto_aio.dispatch.kept_results import KeptResults, NotKeptError
from toto_aio.dispatch.key_entry import MAX_OUTCOME
from toto_aio.invocation import idempotent

Parameters = dict[str, Any]
runs: list[str] = []


class Point(msgspec.Struct):
    """A value with fields."""

    x: Any


@dataclass
class Line:
    """Another one."""

    points: list[Point]


def nested(levels: int, value: Any) -> Any:
    """The value in so many lists."""
    for _ in range(levels):
        value = [value]
    return value


EAST = timezone(timedelta(hours=2))
VALUES: dict[str, Callable[[], Any]] = {
    "dates": lambda: [datetime(2027, 1, 31, 1, 2, 3, 4567), date(2027, 1, 31), timedelta(1.5)],
    "offsets": lambda: {"at": [Point(datetime(2027, 1, 31, tzinfo=EAST)), time_of_day(1, tzinfo=EAST)]},
    "seconds": lambda: [datetime(1890, 1, 1, tzinfo=timezone(timedelta(seconds=1172)))],
    "first and last": lambda: [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)],
    "decimals": lambda: [Decimal("1.50"), bson.Decimal128("1.50"), bson.Decimal128("Infinity")],
    "ids": lambda: {"id": bson.ObjectId("0" * 24), "uuid": UUID(int=1)},
    "infinite": lambda: [math.inf, -math.inf, bson.ObjectId("0" * 24), UUID(int=2)],
    "no number": lambda: [math.nan, UUID(int=1)],
    "binary": lambda: [bson.Binary(b"x" * 16, subtype) for subtype in (0, 2, 3, 4, 5, 6, 128)],
    "bytes": lambda: [b"\xff", bytearray(b"a"), memoryview(b"b")],
    "integers": lambda: [bson.Int64(1), bson.Int64(2**40), 2**31, 2**63 - 1, -(2**63), True],
    "large": lambda: [2**64 - 1],
    "larger": lambda: [2**70, -(2**70), UUID(int=1)],
    "bson's own": lambda: [bson.Timestamp(1, 2), UUID(int=1)],
    "only bson's": lambda: [bson.Regex("a", 2), bson.MinKey(), bson.MaxKey(), bson.DBRef("a", 1)],
    "code": lambda: [bson.Code("x"), bson.Code("y", {"a": 1})],
    "far dates": lambda: [bson.DatetimeMS(2**60)],
    "json": lambda: {
        "a": [msgspec.Raw(b'{"x": [1.5, "\xc3\xa9"]}')],
        "at": datetime(2027, 1, 31, tzinfo=EAST),
    },
    "json as a whole": lambda: msgspec.Raw(b"[1, 2]"),
    "a number of json": lambda: [msgspec.Raw(b"49")],
    "too large in json": lambda: [msgspec.Raw(b"1e999")],
    "no json": lambda: [msgspec.Raw(b"{a")],
    "msgpack": lambda: {"a": [msgspec.Raw(msgspec.msgpack.encode({"x": [1, b"2"]}))]},
    "float of 32 bits": lambda: [msgspec.Raw(b"\xca\x3f\x80\x00\x00")],
    "keys of msgpack": lambda: [msgspec.Raw(b"\x81\x01\x02")],
    "extensions": lambda: [msgspec.msgpack.Ext(5, b"x")],
    "fields": lambda: Line([Point(1), Point(UUID(int=1))]),
    "deep": lambda: nested(70, UUID(int=1)),
    "keys": lambda: {1: "a", UUID(int=1): datetime(2027, 1, 31, tzinfo=EAST), date(2027, 1, 31): 1},
    "a generator": lambda: (each for each in (bson.ObjectId("0" * 24), datetime(2027, 1, 31, tzinfo=EAST))),
    "a generator of what is too large": lambda: ("x" * 2**19 for _ in range(3)),
    "a generator that cannot be sent": lambda: iter([1, object(), 2]),
    "other": lambda: [{1}, frozenset((2,)), (3,), ip_address("::1"), PurePath("a"), deque([1]), range(2)],
    "text": lambda: ["\u00e9\U0001f600", "T10:00:00+02:00", '"', "", {"": None}],
    "floats": lambda: [-0.0, 5e-324, 1e22, 0.1, 1.0],
}
NOT_KEPT = {
    "json": {"too large in json", "no json", "a generator of what is too large"},
    "bson": {"a generator of what is too large"},
    "msgpack": {
        "json",
        "json as a whole",
        "no json",
        "too large in json",
        "a number of json",
        "keys of msgpack",
        "a generator of what is too large",
    },
}
"""What is sent, and would be something else when it is read again."""


@idempotent
async def give(handler: Handler, parameters: Parameters) -> Any:
    """Return one of these values."""
    runs.append("give")
    return VALUES[parameters["value"]]()


@idempotent
async def fail(handler: Handler, parameters: Parameters) -> None:
    """Raise an error with a value of these."""
    runs.append("fail")
    value = VALUES[parameters["value"]]()
    raise TotoException(2001, value, details={"why": value})


OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)


async def test_a_repeat_of_any_value(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """It gets the value that the first call had, in each encoding; or none, which the log says at once."""
    service = await serve({"give": give, "fail": fail}, error_status="http")
    session = await service.create()
    encodings: dict[str, tuple[Callable[[Any], bytes], Callable[[bytes], Any]]] = {
        "bson": (bson.encode, lambda body: str(bson.decode(body, OPTIONS))),
        "msgpack": (msgspec.msgpack.encode, msgspec.msgpack.decode),
        "json": (msgspec.json.encode, msgspec.json.decode),
    }
    for name, (encode, decode) in encodings.items():
        not_kept = set()
        for method, value in ((method, value) for method in ("give", "fail") for value in VALUES):
            if method == "fail" and "generator" in value:
                continue
            runs.clear()
            caplog.clear()
            call = {"method": method, "parameters": {"value": value}}
            headers = {"content-type": f"application/{name}", "x-toto-session-id": session}
            headers["idempotency-key"] = f"{method} {name} {value}"
            first, again = [await service.post(data=encode(call), headers=headers) for _ in range(2)]
            assert len(runs) == 1, (name, value)
            bodies = await first.read(), await again.read()
            if again.headers.get("idempotent-replayed"):
                assert first.status == (200 if method == "give" else 400)
                same = [body == bodies[0] or decode(body) == decode(bodies[0]) for body in bodies]
                assert same == [True, True], (name, value, bodies)
                continue
            assert b"1016" in bodies[1] or again.status == 409, (name, value)
            if first.status != 500:
                not_kept.add(value)
                assert f"the outcome of '{method}' is not kept, and a repeat gets error 1016" in caplog.text
            elif first.status == 500:
                with pytest.raises((EncodingError, UnicodeDecodeError)):
                    CODECS[f"application/{name}"].encode(VALUES[value]())
        assert not_kept == NOT_KEPT[name]


def test_a_result_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not compared; what is too large in MessagePack alone is kept as it was sent."""
    results = KeptResults(CODECS)
    read: list[bytes] = []
    monkeypatch.setattr(msgspec.msgpack, "decode", read.append)
    with pytest.raises(NotKeptError, match="more than"):
        results.pack(["x" * MAX_OUTCOME], "application/json")
    floats = [1.5] * (MAX_OUTCOME // 8)
    packed, content_type = results.pack(floats, "application/json")
    assert read == []
    assert content_type == "application/json"
    assert results.unpack(packed, content_type) == floats
