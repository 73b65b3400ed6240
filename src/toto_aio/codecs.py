"""Content types: JSON, BSON and MessagePack, each a pair of functions between bytes and plain data.

Decoded values are safe to pass on: at most ``MAX_DEPTH`` levels of nesting, signed 64-bit integers, finite
floats, string keys, valid UTF-8, and no types that represent code or references.
"""

from __future__ import annotations

import datetime
import math
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import bson
import msgspec
from bson.codec_options import CodecOptions, TypeRegistry

from toto_aio.exceptions import InvalidParameters

__all__ = [
    "Codec",
    "decode_bson",
    "decode_json",
    "decode_msgpack",
    "encode_bson",
    "encode_json",
    "encode_msgpack",
]

MAX_DEPTH = 64
"""Maximum levels of nested objects and arrays, including the outermost."""


@dataclass(frozen=True, slots=True)
class Codec:
    """Decodes and encodes one content type.

    ``decode`` raises ``InvalidParameters`` (status 400) for anything except one complete, valid value.
    ``encode`` accepts what a method may return: plain data, dataclasses, dates, UUIDs, sets and msgspec's
    structs. It raises ``TypeError``, ``ValueError``, ``OverflowError`` or ``RecursionError`` for values that
    it cannot encode.
    """

    content_type: str
    decode: Callable[[bytes], Any]
    encode: Callable[[Any], bytes]


def decode_json(body: bytes) -> Any:
    """The value of a JSON text (RFC 8259) in UTF-8."""
    try:
        value = _json_decoder.decode(body)
    except (ValueError, RecursionError) as exc:
        raise _malformed("JSON", exc) from exc
    # Walking the value costs more than decoding it, and a text without deep nesting and long numbers cannot
    # break a rule. msgspec refuses everything else: NaN, infinities, invalid UTF-8, trailing bytes.
    length = len(body)
    digits = length - len(body.translate(None, _DIGITS))
    if (digits >= _LONG_NUMBER and _may_have_long_number(body)) or (
        length > 2 * MAX_DEPTH and _may_be_deep(body)
    ):
        _validate(value, MAX_DEPTH, _JSON_TYPES)
    return value


def encode_json(value: Any) -> bytes:
    """A JSON text in ASCII, as Toto's JavaScript client cannot verify the signature of any other text.

    Bytes become base64, dates become ISO 8601, and floats that JSON lacks (NaN, infinities) become null.
    """
    body = _json_encoder.encode(value)
    if body.isascii():
        return body
    return _NOT_ASCII.sub(_escape, body.decode()).encode("ascii")


def decode_msgpack(body: bytes) -> Any:
    """The value of a MessagePack object; extension types are refused."""
    try:
        value = _msgpack_decoder.decode(body)
    except (ValueError, RecursionError) as exc:
        raise _malformed("MessagePack", exc) from exc
    _validate(value, MAX_DEPTH, _MSGPACK_TYPES)
    return value


def encode_msgpack(value: Any) -> bytes:
    """A MessagePack object; dates with a time zone become timestamps (extension -1)."""
    return _msgpack_encoder.encode(value)


def decode_bson(body: bytes) -> Any:
    """The dict of a BSON document; dates are in UTC, with a time zone."""
    try:
        value = bson.decode(body, _BSON_OPTIONS)
    except (bson.errors.BSONError, ValueError, OverflowError, RecursionError) as exc:
        raise _malformed("BSON", exc) from exc
    _validate(value, MAX_DEPTH, _BSON_TYPES)
    return value


def encode_bson(value: Any) -> bytes:
    """A BSON document; UUIDs are binary values of subtype 4."""
    try:
        return bson.encode(value, codec_options=_BSON_OPTIONS)
    except (bson.errors.InvalidDocument, TypeError):
        # pymongo cannot encode sets and dataclasses; msgspec converts them to types that it can.
        plain = msgspec.to_builtins(value, builtin_types=_BSON_NATIVE, str_keys=True, enc_hook=_to_builtin)
        try:
            return bson.encode(plain, codec_options=_BSON_OPTIONS)
        except bson.errors.InvalidDocument as exc:
            raise TypeError(str(exc)) from exc


CODECS: Mapping[str, Codec] = {
    codec.content_type: codec
    for codec in (
        Codec("application/json", decode_json, encode_json),
        Codec("application/bson", decode_bson, encode_bson),
        Codec("application/msgpack", decode_msgpack, encode_msgpack),
    )
}
JSON = CODECS["application/json"]


def _validate(value: Any, depth: int, types: frozenset[type]) -> None:
    kind = type(value)
    if kind is dict or kind is list:
        if not depth:
            raise InvalidParameters(f"Nested deeper than {MAX_DEPTH} levels.", status=400)
        if kind is dict:
            for key in value:
                if type(key) is not str:
                    raise InvalidParameters("Keys must be strings.", status=400)
            value = value.values()
        for item in value:
            if type(item) not in _PLAIN_TYPES:
                _validate(item, depth - 1, types)
    elif kind is int:
        if not -(2**63) <= value < 2**63:
            raise InvalidParameters("Integers must fit into 64 bits, signed.", status=400)
    elif kind is float:
        if not math.isfinite(value):
            raise InvalidParameters("Numbers must be finite.", status=400)
    elif kind not in types:
        raise InvalidParameters(f"Values of type {kind.__name__} are not accepted.", status=400)


def _may_have_long_number(text: bytes) -> bool:
    """Whether there are as many consecutive digits as in an integer of more than 64 bits."""
    return b"0" * _LONG_NUMBER in text.translate(_TO_ZEROS)


def _may_be_deep(text: bytes) -> bool:
    """Whether valid JSON may be nested too deeply; also True for some texts with escapes in strings."""
    if text.count(b"{") + text.count(b"[") <= MAX_DEPTH:
        return False
    if b"\\" in text:
        return True
    outside = b"".join(text.split(b'"')[::2])  # of the strings
    brackets = outside.translate(_TO_SQUARE_BRACKETS, _ALL_BUT_BRACKETS)
    for _ in range(MAX_DEPTH):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")  # remove the innermost level
    return bool(brackets)


def _malformed(name: str, exc: Exception) -> InvalidParameters:
    return InvalidParameters(f"Not {name}: {exc}", status=400)


def _escape(match: re.Match[str]) -> str:
    point = ord(match[0])
    if point < 0x10000:
        return f"\\u{point:04x}"
    point -= 0x10000
    return f"\\u{0xD800 | point >> 10:04x}\\u{0xDC00 | point & 0x3FF:04x}"


def _to_builtin(value: Any) -> Any:
    """Convert a value of a type that msgspec cannot encode."""
    for kind in _BASE_TYPES:  # subclasses, such as BSON's Int64 and Binary
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, bson.ObjectId | bson.Decimal128):
        return str(value)
    if isinstance(value, bson.Timestamp):
        return value.as_datetime()
    raise TypeError(f"A value of type {type(value).__name__} cannot be sent: return plain data.")


def _to_bytes(value: Any) -> bytes:
    """Convert a value of a type of bytes that pymongo cannot encode."""
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    raise TypeError(f"A value of type {type(value).__name__} cannot be sent: return plain data.")


_PLAIN_TYPES: frozenset[type] = frozenset({str, bytes, bool, type(None)})
_JSON_TYPES = _MSGPACK_TYPES = _PLAIN_TYPES
_BSON_TYPES: frozenset[type] = _PLAIN_TYPES | {
    datetime.datetime,
    uuid.UUID,
    bson.Binary,
    bson.Decimal128,
    bson.Int64,
    bson.ObjectId,
    bson.Timestamp,
}
_BSON_NATIVE = (bytearray, bytes, memoryview, *_BSON_TYPES)
_BSON_OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(
    tz_aware=True,
    uuid_representation=bson.UuidRepresentation.STANDARD,
    type_registry=TypeRegistry(fallback_encoder=_to_bytes),
)
_BASE_TYPES: tuple[type[Any], ...] = (str, bytes, int, float)
_TO_SQUARE_BRACKETS = bytes.maketrans(b"{}", b"[]")
_DIGITS = b"0123456789"
_TO_ZEROS = bytes.maketrans(_DIGITS, b"0" * len(_DIGITS))
_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_LONG_NUMBER = 19  # the fewest digits of an integer that does not fit into signed 64 bits
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_json_decoder = msgspec.json.Decoder()
_json_encoder = msgspec.json.Encoder(enc_hook=_to_builtin)
_msgpack_decoder = msgspec.msgpack.Decoder()
_msgpack_encoder = msgspec.msgpack.Encoder(enc_hook=_to_builtin)
