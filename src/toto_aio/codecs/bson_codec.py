"""BSON (https://bsonspec.org)."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

import bson
import msgspec
from bson.codec_options import CodecOptions, DatetimeConversion, TypeRegistry

from toto_aio.codecs.bson_scan import scan_bson
from toto_aio.codecs.builtin import Encoders, Hook
from toto_aio.codecs.codec import Codec, Steps, run
from toto_aio.codecs.encoding import Encode, Encoding
from toto_aio.codecs.limits import LARGE, malformed
from toto_aio.codecs.plain import PLAIN_TYPES, validate, validate_steps


def decode_bson(body: bytes) -> Any:
    """The dict of a BSON document; dates are in UTC, with a time zone."""
    if len(body) > LARGE:
        return run(bson_steps(body))
    value = read_bson(body)
    validate(value, _TYPES)
    return value


def read_bson(body: bytes) -> Any:
    """The same without the limits and rules of requests: a client trusts its service with more."""
    try:
        return bson.decode(body, _OPTIONS)
    except (bson.errors.BSONError, ValueError, OverflowError, RecursionError) as exc:
        raise malformed("BSON", exc) from exc


def bson_steps(body: bytes) -> Steps:
    """The dict of a BSON document, in steps."""
    yield from scan_bson(body)
    yield
    value = read_bson(body)
    yield
    yield from validate_steps(value, _TYPES)
    return value


def encode_bson(value: Any) -> bytes:
    """A BSON document; UUIDs are binary values of subtype 4."""
    return BSON.encode_again(value)


def bson_with(encoders: Encoders) -> Codec:
    """BSON with an application's encoders."""
    encoding = Encoding(_make, encoders, wrap=lambda value: {"": value})
    return encoding.codec("application/bson", decode_bson, bson_steps, _read_written)


def _read_written(body: bytes) -> Any:
    """The dict of a document that ``encode_bson`` wrote, which may have any date that BSON has."""
    return bson.decode(body, _ANY_DATE)


def _make(hook: Hook) -> Encode:
    def encode(value: Any) -> bytes:
        try:
            return bson.encode(value, codec_options=_OPTIONS)
        except (bson.errors.InvalidDocument, TypeError):
            # pymongo cannot encode sets and dataclasses; msgspec converts them to types that it can.
            plain = msgspec.to_builtins(value, builtin_types=_NATIVE, str_keys=True, enc_hook=hook)
            return bson.encode(plain, codec_options=_OPTIONS)

    return encode


def _to_bytes(value: Any) -> bytes:
    """Convert a value of a type of bytes that pymongo cannot encode."""
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    raise TypeError(f"cannot encode {type(value)!r}")


_TYPES: frozenset[type] = PLAIN_TYPES | {
    datetime.datetime,
    uuid.UUID,
    bson.Binary,
    bson.Decimal128,
    bson.Int64,
    bson.ObjectId,
    bson.Timestamp,
}
_NATIVE = (bytearray, bytes, memoryview, *_TYPES)
_OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(
    tz_aware=True,
    uuid_representation=bson.UuidRepresentation.STANDARD,
    type_registry=TypeRegistry(fallback_encoder=_to_bytes),
)
_ANY_DATE = _OPTIONS.with_options(datetime_conversion=DatetimeConversion.DATETIME_AUTO)
BSON = bson_with({})
