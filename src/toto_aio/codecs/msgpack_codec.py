"""MessagePack (https://github.com/msgpack/msgpack/blob/master/spec.md)."""

from __future__ import annotations

import datetime
from functools import partial
from typing import Any

import msgspec

from toto_aio.codecs.builtin import Encoders, Hook
from toto_aio.codecs.codec import Codec, Steps, run
from toto_aio.codecs.encoding import Encode, Encoding
from toto_aio.codecs.limits import LARGE, UNSCANNED, malformed
from toto_aio.codecs.msgpack_scan import scan_msgpack
from toto_aio.codecs.plain import PLAIN_TYPES, validate, validate_steps


def decode_msgpack(body: bytes) -> Any:
    """The value of a MessagePack object; timestamps are in UTC, and other extension types are refused."""
    if len(body) > LARGE:
        return run(msgpack_steps(body))
    must_validate = len(body) <= UNSCANNED or run(scan_msgpack(body))
    try:
        value = _decode(body)
    except (ValueError, RecursionError) as exc:
        raise malformed("MessagePack", exc) from exc
    if must_validate:
        validate(value, _TYPES)
    return value


def msgpack_steps(body: bytes) -> Steps:
    """The value of a MessagePack object, in steps."""
    must_validate = yield from scan_msgpack(body)
    yield
    try:
        value = _decode(body)
    except (ValueError, RecursionError) as exc:
        raise malformed("MessagePack", exc) from exc
    if must_validate:
        yield from validate_steps(value, _TYPES)
    return value


def encode_msgpack(value: Any) -> bytes:
    """A MessagePack object; dates with a time zone become timestamps (extension -1).

    Keys become text, as in JSON: most clients accept no others.
    """
    return MSGPACK.encode_again(value)


def msgpack_with(encoders: Encoders) -> Codec:
    """MessagePack with an application's encoders."""
    return Encoding(_make, encoders).codec("application/msgpack", decode_msgpack, msgpack_steps, _decode)


def exact_with(encoders: Encoders) -> Codec:
    """MessagePack for what a service reads itself, such as events: keys stay what they are."""
    encoding = Encoding(lambda hook: msgspec.msgpack.Encoder(enc_hook=hook).encode, encoders)
    return encoding.codec("application/msgpack", decode_msgpack, msgpack_steps, _decode)


def _make(hook: Hook) -> Encode:
    encode = msgspec.msgpack.Encoder().encode
    convert = partial(msgspec.to_builtins, builtin_types=_NATIVE, str_keys=True, enc_hook=hook)
    return lambda value: encode(convert(value))


_NATIVE = (
    *(bytes, bytearray, memoryview, datetime.datetime),
    *(msgspec.Raw, msgspec.msgpack.Ext),
)
_TYPES: frozenset[type] = PLAIN_TYPES | {datetime.datetime}
_decode = msgspec.msgpack.Decoder().decode
MSGPACK = msgpack_with({})
EXACT = exact_with({})
