"""Tests of content types: encoded values can be decoded, also by others, and bad input gets a clear error."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
import math
import struct
import uuid
from typing import Any

import bson
import msgpack
import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.examples import patient
from tests.support.service import shown
from toto_aio.codecs import CODECS, Codec
from toto_aio.codecs.limits import MAX_DEPTH
from toto_aio.exceptions import InvalidParameters

JSON, BSON, MSGPACK = (CODECS[f"application/{name}"] for name in ("json", "bson", "msgpack"))
# No deadline: the machine may be busy.
examples = settings(patient, max_examples=60)
each_codec = pytest.mark.parametrize("codec", CODECS.values(), ids=lambda codec: codec.content_type)

texts = st.text(st.characters(exclude_categories=["Cs"]))
keys = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0$"))  # a NUL ends a key of BSON
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    texts,
)


def documents(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects of objects, arrays and ``leaves``."""
    values = st.recursive(
        leaves, lambda v: st.lists(v, max_size=4) | st.dictionaries(keys, v, max_size=4), max_leaves=8
    )
    return st.dictionaries(keys, values, max_size=4)


def element(kind: int, value: bytes, name: bytes = b"a") -> bytes:
    """An element of a BSON document: https://bsonspec.org."""
    return bytes([kind]) + name + b"\0" + value


def document(*elements: bytes) -> bytes:
    """A BSON document of elements."""
    content = b"".join(elements)
    return struct.pack("<i", len(content) + 5) + content + b"\0"


def bson_text(text: bytes) -> bytes:
    """A BSON string."""
    return struct.pack("<i", len(text) + 1) + text + b"\0"


def nested(codec: Codec, depth: int, *, objects: bool) -> bytes:
    """A body of nested objects or arrays; in BSON the outermost is an object."""
    if codec is JSON:
        return b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1) if objects else b"[" * depth + b"]" * depth
    if codec is MSGPACK:
        return b"\x81\xa1a" * (depth - 1) + b"\x80" if objects else b"\x91" * (depth - 1) + b"\x90"
    start = element(3 if objects else 4, b"", b"a" if objects else b"0")
    heads = [struct.pack("<i", 5 + 8 * below) + (start if below else b"") for below in reversed(range(depth))]
    return b"".join(heads) + b"\0" * depth


def depth_of(value: Any) -> int:
    """How many objects and arrays are nested, one item in each."""
    depth = 0
    while isinstance(value, dict | list):
        depth += 1
        children = list(value.values()) if isinstance(value, dict) else value
        value = children[0] if children else None
    return depth


def assert_refused(codec: Codec, body: bytes) -> None:
    """The body gets a 1003 with status 400, which says in one line what is wrong."""
    with pytest.raises(InvalidParameters) as caught:
        codec.decode(body)
    assert_clear(caught.value)


def assert_clear(error: InvalidParameters) -> None:
    """The error can be sent to a client, in every content type."""
    assert (error.code, error.status) == (1003, 400)
    assert isinstance(error.value, str)
    assert error.value
    assert "\n" not in error.value
    for codec in CODECS.values():
        codec.encode({"error": error.as_dict()})


@examples
@given(documents(scalars))
def test_json_round_trip(value: dict[str, Any]) -> None:
    """JSON is decoded to the same value, here and by the standard library, and the other way round."""
    body = JSON.encode(value)
    assert JSON.decode(body) == json.loads(body) == value
    assert JSON.decode(json.dumps(value).encode()) == value
    assert JSON.decode(json.dumps(value, ensure_ascii=False, indent=2).encode()) == value


@examples
@given(documents(scalars | st.binary()))
def test_msgpack_round_trip(value: dict[str, Any]) -> None:
    """MessagePack is decoded to the same value, here and by PyPI's msgpack, and the other way round."""
    body = MSGPACK.encode(value)
    assert MSGPACK.decode(body) == msgpack.unpackb(body) == value
    assert MSGPACK.decode(msgpack.packb(value)) == value


@examples
@given(documents(scalars | st.binary()))
def test_bson_round_trip(value: dict[str, Any]) -> None:
    """BSON is decoded to the same value, here and by pymongo's defaults, and the other way round."""
    body = BSON.encode(value)
    assert BSON.decode(body) == bson.decode(body) == value
    assert BSON.decode(bson.encode(value)) == value


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"\x16\x00\x00\x00\x02hello\x00\x06\x00\x00\x00world\x00\x00", {"hello": "world"}),
        (
            b"\x31\x00\x00\x00\x04BSON\x00\x26\x00\x00\x00\x02\x30\x00\x08\x00\x00\x00awesome\x00"
            b"\x01\x31\x00\x33\x33\x33\x33\x33\x33\x14\x40\x10\x32\x00\xc2\x07\x00\x00\x00\x00",
            {"BSON": ["awesome", 5.05, 1986]},
        ),
    ],
)
def test_bson_of_the_specification(body: bytes, value: dict[str, Any]) -> None:
    """The examples of bsonspec.org are decoded and encoded to the byte."""
    assert BSON.decode(body) == value
    assert BSON.encode(value) == body


@each_codec
def test_a_root_that_is_no_object(codec: Codec) -> None:
    """A response is an object; JSON and MessagePack carry any value, BSON only objects."""
    if codec is BSON:
        with pytest.raises(TypeError):
            codec.encode([1])
    else:
        assert codec.decode(codec.encode([1, "two"])) == [1, "two"]


@pytest.mark.parametrize("codec", [BSON, MSGPACK], ids=["bson", "msgpack"])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_binary_is_intact(codec: Codec, kind: type) -> None:
    """All 256 bytes arrive as bytes, whatever type of buffer the method returned."""
    every_byte = bytes(range(256))
    value = codec.decode(codec.encode({"result": kind(every_byte)}))["result"]
    assert type(value) is bytes
    assert value == every_byte


@pytest.mark.parametrize("codec", [BSON, MSGPACK], ids=["bson", "msgpack"])
def test_binary_is_intact_beside_what_needs_conversion(codec: Codec) -> None:
    """A value that has to be converted first does not turn adjacent bytes into text."""
    value = codec.decode(codec.encode({"bytes": b"\x00\xff", "set": {1}, "buffer": bytearray(b"\x00\xff")}))
    assert value == {"bytes": b"\x00\xff", "set": [1], "buffer": b"\x00\xff"}


@examples
@given(documents(scalars))
@example({"\u00e9": '\U0001f600 \u2028 \uffff \ud7ff \ue000 \U00010000 \U0010ffff \x7f \x80 \x00 \\ " /'})
def test_json_is_ascii(value: dict[str, Any]) -> None:
    """JSON is encoded in ASCII, with everything else escaped, and means the same."""
    body = JSON.encode(value)
    assert body.isascii()
    assert json.loads(body) == value


def test_json_escapes_astral_characters_as_pairs() -> None:
    """A character beyond U+FFFF is encoded as its two UTF-16 units, the only way in JSON."""
    assert JSON.encode({"a": "\u00e9\U0001f600"}) == b'{"a":"\\u00e9\\ud83d\\ude00"}'


@each_codec
@pytest.mark.parametrize("objects", [True, False], ids=["objects", "arrays"])
def test_nesting_of_64_is_read_and_written(codec: Codec, objects: bool) -> None:
    """64 levels are accepted, and what can be decoded can be encoded in a response, in every type."""
    value = codec.decode(nested(codec, MAX_DEPTH, objects=objects))
    assert depth_of(value) == MAX_DEPTH == 64
    for other in CODECS.values():
        other.encode({"result": value})


@each_codec
@pytest.mark.parametrize("objects", [True, False], ids=["objects", "arrays"])
@pytest.mark.parametrize("depth", [65, 100, 1000, 100_000])
def test_deeper_nesting_is_refused(codec: Codec, objects: bool, depth: int) -> None:
    """65 levels are refused, and so is what would overflow a stack."""
    assert_refused(codec, nested(codec, depth, objects=objects))


@examples
@given(st.integers(MAX_DEPTH - 3, MAX_DEPTH + 3), st.text('[]{}"\\,:a', max_size=20), st.booleans())
def test_nesting_around_text_with_brackets(depth: int, text: str, objects: bool) -> None:
    """The limit is exact whatever the strings contain, for objects and for arrays."""
    value: Any = [] if depth % 2 else {}
    for _ in range(depth - 1):
        value = {text: text, "b": value, "c": {}} if objects else [text, value, {}, [text]]
    body = JSON.encode(value)
    if depth <= MAX_DEPTH:
        assert JSON.decode(body) == value
    else:
        assert_refused(JSON, body)


def test_unclosed_nesting_is_refused() -> None:
    """A body that consists of opening brackets is refused, whatever its length."""
    assert_refused(JSON, b"[" * 1_000_000)
    assert_refused(JSON, b'{"a":' * 200_000)
    assert_refused(MSGPACK, b"\x91" * 1_000_000)


def test_brackets_in_text_are_no_nesting() -> None:
    """A text of many brackets, and many small objects next to each other, are valid."""
    assert JSON.decode(b'{"a": "' + b"[" * 1000 + b'"}') == {"a": "[" * 1000}
    assert JSON.decode(json.dumps([{}] * 1000).encode()) == [{}] * 1000


@each_codec
def test_integers_of_64_bits(codec: Codec) -> None:
    """The smallest and the largest signed 64-bit integer are kept to the last digit."""
    value = {"least": -(2**63), "most": 2**63 - 1, "list": [2**53 + 1, -(2**31) - 1]}
    assert codec.decode(codec.encode(value)) == value


@pytest.mark.parametrize(
    "digits",
    [
        b"9223372036854775808",
        b"-9223372036854775809",
        b"18446744073709551615",
        b"18446744073709551616",
        b"1" + b"0" * 30,
        b"-" + b"9" * 5000,
    ],
)
@pytest.mark.parametrize("form", [b"%s", b'{"a": %s}', b'[1, [{"a": [%s]}]]'])
def test_json_integers_beyond_64_bits_are_refused(digits: bytes, form: bytes) -> None:
    """A larger integer is refused anywhere, and never rounded."""
    assert_refused(JSON, form.replace(b"%s", digits))


@pytest.mark.parametrize("number", [2**63, 2**64 - 1])
def test_msgpack_integers_beyond_64_bits_are_refused(number: int) -> None:
    """MessagePack's unsigned integers are refused where a signed one could not hold them."""
    assert_refused(MSGPACK, msgpack.packb(number))
    assert_refused(MSGPACK, msgpack.packb({"a": [{"b": number}]}))


@pytest.mark.parametrize("text", [b"NaN", b"Infinity", b"-Infinity", b"1e309", b"-1e400", b"1e99999999999"])
@pytest.mark.parametrize("form", [b"%s", b'{"a": %s}', b"[[%s]]"])
def test_json_numbers_that_are_not_finite_are_refused(text: bytes, form: bytes) -> None:
    """NaN, the infinities, and numbers that would become one are refused."""
    assert_refused(JSON, form.replace(b"%s", text))


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_binary_numbers_that_are_not_finite_are_refused(number: float) -> None:
    """NaN and the infinities are refused in MessagePack, in both widths, and in BSON."""
    assert_refused(MSGPACK, msgpack.packb({"a": number}))
    assert_refused(MSGPACK, msgpack.packb([[number]], use_single_float=True))
    assert_refused(BSON, bson.encode({"a": number}))
    assert_refused(BSON, bson.encode({"a": [{"b": number}]}))


def test_json_writes_null_for_what_it_lacks() -> None:
    """NaN and the infinities in a response become null, so that every client can decode it."""
    assert JSON.encode({"a": [math.nan, math.inf, -math.inf]}) == b'{"a":[null,null,null]}'


@pytest.mark.parametrize("key", [1, -1, 1.5, None, True, b"a", 2**40])
def test_msgpack_keys_that_are_no_text_are_refused(key: Any) -> None:
    """Keys are strings, at every level."""
    assert_refused(MSGPACK, msgpack.packb({key: 1}))
    assert_refused(MSGPACK, msgpack.packb({"a": [{"b": {key: 1}}]}))


@pytest.mark.parametrize(
    "body", [b"\x81\x90\x01", b"\x81\x80\x01", b"\x81\x91\x01\x01", b"\x81\xd4\x01a\x01"], ids=shown
)
def test_msgpack_keys_that_are_containers_are_refused(body: bytes) -> None:
    """An array, a map or an extension as a key is refused."""
    assert_refused(MSGPACK, body)


@pytest.mark.parametrize("body", [b"{1: 2}", b"{null: 2}", b"{a: 2}", b"{'a': 2}", b"{true: 1}"], ids=shown)
def test_json_keys_that_are_no_text_are_refused(body: bytes) -> None:
    """What is an object in JavaScript but not in JSON is refused."""
    assert_refused(JSON, body)


@pytest.mark.parametrize(
    "value",
    [
        msgpack.ExtType(5, b""),
        msgpack.ExtType(127, b"x"),
        msgpack.ExtType(0, b"x" * 300),
        msgpack.Timestamp(2**60, 0),
    ],
    ids=shown,
)
def test_msgpack_extension_types_are_refused(value: Any) -> None:
    """Extension types are refused anywhere, and so are timestamps that are no date."""
    assert_refused(MSGPACK, msgpack.packb(value))
    assert_refused(MSGPACK, msgpack.packb({"a": [value]}))


def test_msgpack_timestamps() -> None:
    """They are dates, as those of BSON are, in a short body and in a long one."""
    for moment in (1.0, 2.0**33, -1.0):
        date = datetime.datetime.fromtimestamp(moment, datetime.UTC)
        body: dict[str, Any] = {"at": msgpack.Timestamp.from_unix(moment), "long": "x" * 2**15}
        assert MSGPACK.decode(msgpack.packb({"at": body["at"]})) == {"at": date}
        assert MSGPACK.decode(msgpack.packb(body)) == {**body, "at": date}


@pytest.mark.parametrize(
    "value",
    [
        bson.Code("f()"),
        bson.Code("f()", {"a": 1}),
        bson.Regex("a", "i"),
        bson.DBRef("c", 1),
        bson.DBRef("c", 1, "d", x=1),
        {"$ref": "c", "$id": 1},
        bson.MinKey(),
        bson.MaxKey(),
    ],
    ids=shown,
)
def test_bson_code_patterns_and_references_are_refused(value: Any) -> None:
    """What represents code, a pattern, or a document elsewhere is refused anywhere."""
    assert_refused(BSON, bson.encode({"a": value}))
    assert_refused(BSON, bson.encode({"a": [{"b": value}]}))


def test_bson_pointers_are_refused() -> None:
    """The reference type of old BSON, which no driver writes any more, is refused too."""
    assert_refused(BSON, document(element(0x0C, bson_text(b"c") + bytes(12))))


@pytest.mark.parametrize("milliseconds", [2**63 - 1, -(2**63), 253402300800000, -62135596800001])
def test_bson_dates_that_no_calendar_has_are_refused(milliseconds: int) -> None:
    """A date before the year 1 or after 9999 is refused."""
    assert_refused(BSON, document(element(9, struct.pack("<q", milliseconds))))


@pytest.mark.parametrize(
    "text", [b"\xff", b"\x80", b"\xc3", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"a\xe2\x82"]
)
def test_broken_utf8_is_refused(text: bytes) -> None:
    """Stray, overlong, surrogate and truncated sequences are refused, in values and in keys."""
    assert_refused(JSON, b'{"a": "' + text + b'"}')
    assert_refused(JSON, b'{"' + text + b'": 1}')
    packed = bytes([0xA0 | len(text)]) + text
    assert_refused(MSGPACK, b"\x81\xa1a" + packed)
    assert_refused(MSGPACK, b"\x81" + packed + b"\x01")
    assert_refused(BSON, document(element(2, bson_text(text))))
    assert_refused(BSON, document(element(8, b"\x01", text)))


@pytest.mark.parametrize("text", [b'"\\ud800"', b'"\\udc00"', b'"\\ud800\\u0041"', b'"\\udc00\\ud800"'])
def test_json_lone_surrogates_are_refused(text: bytes) -> None:
    """An escape of half a character is refused: whatever is decoded can be encoded."""
    assert_refused(JSON, text)
    assert_refused(JSON, b"{" + text + b": 1}")


SOUND = {"a": [1, -2.5, None, True, {"b": "\u00e9\U0001f600"}], "c": "x" * 40, "n": 2**40}


@each_codec
def test_truncated_bodies_are_refused(codec: Codec) -> None:
    """A body that is truncated anywhere is refused, and so is an empty one."""
    body = codec.encode(SOUND)
    for end in range(len(body)):
        assert_refused(codec, body[:end])


@each_codec
@pytest.mark.parametrize("tail", [b"\0", b"x", b"}", b"{}", b"\xc0", b"\xff" * 9])
def test_trailing_bytes_are_refused(codec: Codec, tail: bytes) -> None:
    """A body is one value, with nothing after it."""
    body = codec.encode(SOUND)
    assert_refused(codec, body + tail)
    assert_refused(codec, body + body)


def test_json_white_space_is_accepted() -> None:
    """White space around a JSON text is part of it."""
    assert JSON.decode(b' \r\n\t{ "a" : 1 }\n ') == {"a": 1}


@pytest.mark.parametrize(
    "body",
    [b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff"],
)
def test_msgpack_lengths_that_promise_too_much_are_refused(body: bytes) -> None:
    """A head that promises four billion items is refused immediately, without allocating memory for them."""
    assert_refused(MSGPACK, body)
    assert_refused(MSGPACK, body + b"\xc0" * 100)


@pytest.mark.parametrize(
    "value", [element(2, struct.pack("<i", length) + b"abc\0") for length in (0, -1, 5, 2**31 - 1, -(2**31))]
)
def test_bson_lengths_that_are_wrong_are_refused(value: bytes) -> None:
    """A BSON string with a wrong length is refused."""
    assert_refused(BSON, document(value))


@each_codec
@examples
@given(st.data())
def test_arbitrary_bytes(codec: Codec, data: st.DataObject) -> None:
    """Any bytes are decoded or refused; there is no other outcome."""
    body = data.draw(st.binary(max_size=200))
    if codec is BSON and data.draw(st.booleans()):
        body = document(body)
    try:
        codec.decode(body)
    except InvalidParameters as error:
        assert_clear(error)


BODIES: dict[str, list[bytes]] = {
    "application/json": [json.dumps(SOUND).encode(), json.dumps(SOUND, ensure_ascii=False).encode()],
    "application/msgpack": [
        msgpack.packb({**SOUND, "bin": b"\x00\xff"}),
        msgpack.packb({"t": msgpack.Timestamp(1, 2), "x": msgpack.ExtType(3, b"abc"), "m": {"k": [1] * 20}}),
    ],
    "application/bson": [
        bson.encode({**SOUND, "bin": b"\x00\xff"}),
        bson.encode({"c": bson.Code("f", {"a": 1}), "r": bson.Regex("a", "i"), "d": bson.DBRef("c", 1)}),
        bson.encode({"d": bson.DatetimeMS(0), "i": bson.ObjectId("0" * 24), "x": bson.Decimal128("1")}),
        bson.encode(
            {"t": bson.Timestamp(1, 1), "b": bson.Binary(b"x" * 16, 4), "v": bson.Binary(b"'\7a", 9)}
        ),
    ],
}


@each_codec
@examples
@given(st.data())
def test_mutated_bodies(codec: Codec, data: st.DataObject) -> None:
    """A valid body with changed, inserted or removed bytes is decoded or refused, and nothing else."""
    body = bytearray(data.draw(st.sampled_from(BODIES[codec.content_type])))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body)))
        body[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    if codec is BSON and data.draw(st.booleans()):
        body[:4] = struct.pack("<i", len(body))  # so that the decoder does not stop at the length
    try:
        codec.decode(bytes(body))
    except InvalidParameters as error:
        assert_clear(error)


@dataclasses.dataclass
class Point:
    """A dataclass that a method may return instead of a dict."""

    x: int
    tags: list[Any]


class Colour(enum.StrEnum):
    """An enum of text."""

    RED = "red"


class Name(str):
    """A subclass of text."""

    __slots__ = ()


class Record(msgspec.Struct):
    """One of msgspec's structs."""

    a: int


def read(codec: Codec, body: bytes) -> Any:
    """What a client decodes that knows nothing of toto_aio."""
    if codec is JSON:
        return json.loads(body)
    return bson.decode(body) if codec is BSON else msgpack.unpackb(body)


@each_codec
@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Point(1, [{2}]), {"x": 1, "tags": [[2]]}),
        (Record(1), {"a": 1}),
        ({3}, [3]),
        (frozenset({"a"}), ["a"]),
        ((1, (2,)), [1, [2]]),
        (bson.Int64(5), 5),
        ([bson.Int64(2**40)], [2**40]),
        (Name("\u00e9"), "\u00e9"),
        ({Name("k"): Name("v")}, {"k": "v"}),
        (Colour.RED, "red"),
        ({Colour.RED: Colour.RED}, {"red": "red"}),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        ([Point(1, [Name("n"), set()])], [{"x": 1, "tags": ["n", []]}]),
    ],
    ids=shown,
)
def test_rich_values_are_written_as_plain_ones(codec: Codec, value: Any, plain: Any) -> None:
    """Dataclasses, structs, sets, enums and subclasses are decoded as plain data in every type."""
    assert read(codec, codec.encode({"result": value})) == {"result": plain}


def test_dates_are_written_as_each_type_has_them() -> None:
    """A date with a time zone is ISO 8601 in JSON, a timestamp in MessagePack and a date in BSON."""
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5, 678000, datetime.UTC)
    assert datetime.datetime.fromisoformat(json.loads(JSON.encode({"t": moment}))["t"]) == moment
    assert msgpack.unpackb(MSGPACK.encode({"t": moment}), timestamp=3) == {"t": moment}
    assert BSON.decode(BSON.encode({"t": moment})) == {"t": moment}
    assert BSON.decode(BSON.encode({"t": moment, "converted": {1}}))["t"] == moment


def test_bson_dates_are_read_with_their_zone() -> None:
    """A BSON date is in UTC, and has a time zone."""
    value = BSON.decode(document(element(9, struct.pack("<q", 1000))))["a"]
    assert value == datetime.datetime(1970, 1, 1, 0, 0, 1, tzinfo=datetime.UTC)
    assert value.utcoffset() == datetime.timedelta(0)


@each_codec
@pytest.mark.parametrize(
    "value",
    [
        bson.Int64(2**40),
        bson.ObjectId("0123456789abcdef01234567"),
        bson.Decimal128("1.5"),
        datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
        bson.Timestamp(1, 2),
        bson.Binary(uuid.UUID(int=5).bytes, 4),
        bson.Binary(b"md5", 5),
        bson.Binary(b"own", 128),
    ],
    ids=shown,
)
def test_what_bson_can_read_every_type_can_write(codec: Codec, value: Any) -> None:
    """A value decoded from BSON can be passed on: in a response, an event, or a session's state."""
    parameters = BSON.decode(bson.encode({"value": value}))
    assert codec.encode({"result": parameters})
    assert codec.encode({"result": parameters, "beside a set": {1}})


@pytest.mark.parametrize("subtype", [0, 5, 128, 255])
def test_binary_of_bson_is_intact_in_msgpack(subtype: int) -> None:
    """Bytes decoded from BSON are the same bytes in MessagePack, whatever their subtype."""
    value = BSON.decode(bson.encode({"value": bson.Binary(bytes(range(16)), subtype)}))
    assert msgpack.unpackb(MSGPACK.encode(value)) == {"value": bytes(range(16))}


@pytest.mark.parametrize("beside", [[], {1}], ids=shown)
def test_uuids_are_written_as_each_type_has_them(beside: Any) -> None:
    """A UUID is text in JSON and MessagePack, and a binary of its subtype in BSON."""
    value = {"id": uuid.UUID(int=5), "ids": [uuid.UUID(int=6)], "beside": beside}
    text = {
        "id": "00000000-0000-0000-0000-000000000005",
        "ids": ["00000000-0000-0000-0000-000000000006"],
        "beside": list(beside),
    }
    assert json.loads(JSON.encode(value)) == msgpack.unpackb(MSGPACK.encode(value)) == text
    assert bson.decode(BSON.encode(value)) == {
        "id": bson.Binary(uuid.UUID(int=5).bytes, 4),
        "ids": [bson.Binary(uuid.UUID(int=6).bytes, 4)],
        "beside": list(beside),
    }


@pytest.mark.parametrize("length", [0, 4, 15, 17])
def test_bson_uuids_of_a_wrong_length(length: int) -> None:
    """A binary with a UUID's subtype that has not 16 bytes is decoded or refused, and nothing else."""
    value = struct.pack("<i", length) + b"\x04" + bytes(length)
    try:
        BSON.decode(document(element(5, value)))
    except InvalidParameters as error:
        assert_clear(error)


@each_codec
@pytest.mark.parametrize(
    "value",
    [
        object(),
        object,
        len,
        1j,
        ValueError("no"),
        [1, {"a": [object()]}],
        {"a": {1: len}},
    ],
    ids=shown,
)
def test_what_cannot_be_sent_is_a_type_error(codec: Codec, value: Any) -> None:
    """A value that is not data raises ``TypeError``, which says what to return instead, in every type."""
    with pytest.raises(TypeError, match="cannot encode"):
        codec.encode({"result": value})


@each_codec
def test_text_that_is_no_unicode_cannot_be_sent(codec: Codec) -> None:
    """Half a character raises ``ValueError``, in values and in keys, and no invalid bytes are written."""
    with pytest.raises(ValueError, match="surrogates"):
        codec.encode({"result": "\ud800"})
    with pytest.raises(ValueError, match="surrogates"):
        codec.encode({"result": {"\ud800": 1}})


@each_codec
def test_a_value_that_holds_itself_cannot_be_sent(codec: Codec) -> None:
    """A list that contains itself raises, and ends neither the process nor the loop."""
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises((TypeError, ValueError, OverflowError, RecursionError)):
        codec.encode({"result": endless})


def test_the_content_types() -> None:
    """The table has JSON, BSON and MessagePack by their names."""
    assert set(CODECS) == {"application/json", "application/bson", "application/msgpack"}
    assert all(codec.content_type == name for name, codec in CODECS.items())
