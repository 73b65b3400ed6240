"""What a body may cost: the limits, checked before a decoder holds the loop, and the turns of the loop."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import bson
import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torture.hostile_inputs import BSON_BODIES, JSON_BODIES, MSGPACK_BODIES, SIZE, colliding

from tests.codecs.test_codecs import (
    BSON,
    JSON,
    MSGPACK,
    assert_refused,
    document,
    documents,
    each_codec,
    element,
    examples,
    scalars,
)
from toto_aio.codecs import Codec, bson_codec, json_codec, msgpack_codec
from toto_aio.codecs.codec import LargeBodies, Steps, run
from toto_aio.codecs.limits import (
    LARGE,
    MAX_CONTAINERS,
    MAX_EXPONENTS,
    MAX_RICH,
    MAX_VALUES,
    UNSCANNED,
)
from toto_aio.exceptions import InvalidParameters

BODIES = {
    **{f"JSON: {name}": (JSON, json_codec, make) for name, make in JSON_BODIES.items()},
    **{f"MessagePack: {name}": (MSGPACK, msgpack_codec, make) for name, make in MSGPACK_BODIES.items()},
    **{f"BSON: {name}": (BSON, bson_codec, make) for name, make in BSON_BODIES.items()},
}
DECODERS = ("_decode", "_decode_exponents", "read_bson")
AFTER_DECODING = {"MessagePack: extensions at the limit"}
"""What is refused for its type, however few there are."""
BEFORE_DECODING = {
    "JSON: integers": "131072 values",
    "JSON: arrays": "32768 objects and arrays",
    "JSON: nested arrays": "32768 objects and arrays",
    "JSON: opening brackets": "32768 objects and arrays",
    "JSON: brackets in strings": "131072 values",
    "JSON: one key many times": "131072 values",
    "JSON: exponents": "131072 values",
    "JSON: the largest double": "16384 numbers with an exponent",
    "JSON: doubles half-way": "16384 numbers with an exponent",
    "JSON: long integers": "64 bits",
    "JSON: quotes": "131072 values",
    "JSON: an array as a method name": "32768 objects and arrays",
    "JSON: a batch of arrays": "32768 objects and arrays",
    "MessagePack: colliding keys": "Keys must be strings",
    "MessagePack: integers as keys": "131072 values",
    "MessagePack: arrays": "131072 values",
    "MessagePack: integers": "131072 values",
    "MessagePack: extensions": "131072 values",
    "BSON: nulls": "131072 values",
    "BSON: documents": "32768 objects and arrays",
    "BSON: integers of 64 bits": "4096 BSON dates",
    "BSON: dates": "4096 BSON dates",
    "BSON: UUIDs": "4096 BSON dates",
    "BSON: binary subtypes": "4096 BSON dates",
    "BSON: code": "not accepted",
    "BSON: patterns": "not accepted",
    "BSON: references": "4096 BSON dates",
}
"""Why bodies are refused that never reach the decoder."""


class Decoded:
    """Stands for a decoder, and counts its calls."""

    def __init__(self, decode: Callable[[bytes], Any]) -> None:
        self.calls = 0
        self._decode = decode

    def __call__(self, body: bytes) -> Any:
        """Decode."""
        self.calls += 1
        return self._decode(body)


@pytest.mark.parametrize("name", BODIES)
def test_the_worst_bodies(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those within the limits are decoded, in steps; others never reach the decoder."""
    codec, module, make = BODIES[name]
    decoders = {each: Decoded(getattr(module, each)) for each in DECODERS if hasattr(module, each)}
    for each, decoder in decoders.items():
        monkeypatch.setattr(module, each, decoder)
    steps = codec.steps(make(SIZE - 64))
    count, value, refusal = 0, None, None
    try:
        while True:
            next(steps)
            count += 1
    except StopIteration as end:
        value = end.value
    except InvalidParameters as exc:
        refusal = exc
    if refusal is None:
        assert (type(value), count >= 1) == (dict, True)  # it pauses between steps
    else:
        assert refusal.status == 400
    reason = "" if refusal is None else refusal.value
    calls = sum(decoder.calls for decoder in decoders.values())
    if name in BEFORE_DECODING:
        assert (BEFORE_DECODING[name] in reason, calls) == (True, 0)
    else:
        assert (bool(reason), calls) == (name in AFTER_DECODING, 1)


@each_codec
def test_many_plain_values_are_accepted(codec: Codec) -> None:
    """100,000 numbers, and 20,000 rows of a table, are a reasonable request."""
    numbers = {"a": list(range(100_000))}
    assert codec.decode(codec.encode(numbers)) == numbers
    rows = {"rows": [{"id": number, "name": "x"} for number in range(20_000)]}
    assert codec.decode(codec.encode(rows)) == rows


@pytest.mark.parametrize(
    ("most", "make"),
    [
        (MAX_VALUES - 2, lambda count: b"[" + b"1," * (count - 1) + b"1]"),
        (MAX_CONTAINERS - 1, lambda count: b"[" + b"[]," * (count - 1) + b"[]]"),
        (MAX_EXPONENTS, lambda count: b"[" + b"1e5," * (count - 1) + b"1E5]"),
    ],
    ids=["values", "containers", "exponents"],
)
def test_limits_of_json(most: int, make: Callable[[int], bytes]) -> None:
    """As many as the limit are accepted, and one more is not; in strings they don't count."""
    assert len(JSON.decode(make(most))) == most
    assert_refused(JSON, make(most + 2))
    quoted = json.dumps(make(most + 2).decode() + '"\\').encode()
    assert JSON.decode(quoted) == json.loads(quoted)


def test_limits_of_msgpack() -> None:
    """As many as the limit are accepted, and one more is not."""
    for most, piece in ((MAX_VALUES - 1, b"\x01"), (MAX_CONTAINERS - 1, b"\x90")):
        assert len(MSGPACK.decode(b"\xdd" + struct.pack(">I", most) + piece * most)) == most
        assert_refused(MSGPACK, b"\xdd" + struct.pack(">I", most + 1) + piece * (most + 1))


@pytest.mark.parametrize(
    ("most", "value"),
    [
        (MAX_VALUES - 1, element(0x0A, b"")),
        (MAX_CONTAINERS - 2, element(3, document())),
        (MAX_RICH, element(9, bytes(8))),
        (16 * MAX_RICH, element(0x12, bytes(8))),
    ],
    ids=["values", "documents", "dates", "integers of 64 bits"],
)
def test_limits_of_bson(most: int, value: bytes) -> None:
    """As many as the limit are accepted, and one more is not."""
    for count, is_accepted in ((most, True), (most + 1, False)):
        body = document(element(4, document(value * count)))
        if is_accepted:
            assert len(BSON.decode(body)["a"]) == count
        else:
            assert_refused(BSON, body)


@pytest.mark.parametrize("count", [2, 40, 500, 60_000])
def test_colliding_keys(count: int) -> None:
    """The keys really collide, and are refused, by the first of them if they are many."""
    pairs = [pair for pair, _ in zip(colliding(0), range(count), strict=False)]
    assert len({hash(pair) for pair in pairs}) == 1
    body = b"\xdf" + struct.pack(">I", count) + b"".join(msgpack.packb([*pair]) + b"\x01" for pair in pairs)
    assert_refused(MSGPACK, body)
    assert_refused(MSGPACK, b"\x81\xa1a\x91" + body)
    if len(body) > UNSCANNED:
        with pytest.raises(InvalidParameters):
            next(MSGPACK.steps(body))


@examples
@given(documents(scalars))
def test_steps_give_the_same(value: dict[str, Any]) -> None:
    """A large body is decoded like a small one."""
    for codec in (JSON, MSGPACK, BSON):
        body = codec.encode(value)
        assert run(codec.steps(body)) == codec.decode(body) == value


@examples
@given(documents(scalars), st.binary(min_size=1, max_size=4), st.integers(0, 1000))
def test_steps_refuse_the_same(value: dict[str, Any], change: bytes, at: int) -> None:
    """What a small body may not have, a large one may not either."""
    for codec in (JSON, MSGPACK, BSON):
        body = codec.encode(value)
        start = at % len(body)
        body = body[:start] + change + body[start + len(change) :]
        assert outcome(codec.decode, body) == outcome(lambda body: run(codec.steps(body)), body)  # noqa: B023


def outcome(decode: Callable[[bytes], Any], body: bytes) -> str:
    """The value, or that it was refused; the reasons may differ."""
    try:
        return repr(decode(body))
    except InvalidParameters as exc:
        return f"refused with {exc.status}"


@pytest.mark.parametrize("padding", [0, LARGE])
@pytest.mark.parametrize(
    "value",
    [
        *(b"%d" % number for number in (2**63, -(2**63) - 1, 10**25, 10**4000)),
        *(b"[" * 65 + b"]" * 65, b'{"a":' * 65 + b"1" + b"}" * 65, b"1e400", b"-1E+999", b"NaN"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_rules_of_json_hold_in_large_texts(padding: int, value: bytes) -> None:
    """Deep nesting, long integers and infinities are refused, whatever else the text has."""
    text = b'{"b":"' + b"x" * padding + b'\\\\","a":[' + value + b",1]}"
    assert_refused(JSON, text)
    assert JSON.decode(text.replace(value, json.dumps(value.decode()).encode()))["a"] == [value.decode(), 1]


@examples
@given(
    st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([5e300, 1.7976931348623157e308, 5e-324])
)
def test_numbers_with_an_exponent_are_exact(number: float) -> None:
    """Whichever way they are read."""
    for text in (f"{number!r}", f"{number:.17e}", f"{number:.17E}"):
        for padding in ("", "1234567890123456789"):
            assert JSON.decode(f'{{"a":{text},"b":"{padding}"}}'.encode())["a"] == float(text)


@pytest.mark.parametrize("length", [5 + 3, 2**31 - 1, -1, 4])
def test_bson_lengths_that_lie(length: int) -> None:
    """The scan follows the lengths of documents, as pymongo does, and refuses those that lead nowhere."""
    padding = element(2, struct.pack("<i", LARGE) + b"x" * (LARGE - 1) + b"\0", b"b")
    assert_refused(BSON, document(padding, element(3, struct.pack("<i", length) + b"\0")))


async def test_large_bodies_take_turns() -> None:
    """Each step is followed by a turn of the loop, and no two bodies are decoded in the same one."""
    order: list[str] = []

    def steps(name: str) -> Steps:
        for _ in range(3):
            order.append(name)
            yield
        return name

    async def other() -> None:
        while len(order) < 20:
            order.append("other")
            await asyncio.sleep(0)

    bodies = LargeBodies()
    other_task = asyncio.create_task(other())
    values = await asyncio.gather(*(bodies.run(steps(name)) for name in "ab"))
    assert values == ["a", "b"]
    await other_task
    own = [name for name in order if name != "other"]
    assert own == ["a"] * 3 + ["b"] * 3
    assert all(one == "other" or next_one == "other" for one, next_one in pairwise(order))


async def test_a_refused_body_leaves_the_turn_to_the_next() -> None:
    """An error ends the turn of a body, and the next is decoded."""

    def broken() -> Steps:
        yield
        raise InvalidParameters("Not JSON", status=400)

    bodies = LargeBodies()
    with pytest.raises(InvalidParameters):
        await bodies.run(broken())
    assert await bodies.run(JSON.steps(b"[1]")) == [1]


def test_bson_and_the_scan_agree_on_bytes() -> None:
    """Binary values of every subtype are skipped over correctly."""
    values = {f"b{subtype}": bson.Binary(b"x\0y" * 7, subtype) for subtype in (0, 2, 5, 128)}
    body = bson.encode({**values, "padding": "x" * LARGE})
    assert bytes(BSON.decode(body)["b128"]) == b"x\0y" * 7
