"""JSON (RFC 8259)."""

from __future__ import annotations

import datetime
import json
import math
import re
from typing import Any

import msgspec

from toto_aio.codecs.builtin import Encoders
from toto_aio.codecs.codec import Codec, Steps, run
from toto_aio.codecs.encoding import Encode, Encoding
from toto_aio.codecs.limits import (
    LARGE,
    MAX_CONTAINERS,
    MAX_DEPTH,
    MAX_EXPONENTS,
    MAX_VALUES,
    malformed,
    too_deep,
    too_many,
)
from toto_aio.codecs.moments import OFFSET, exact, may_be_rounded
from toto_aio.codecs.plain import PLAIN_TYPES, validate, validate_steps
from toto_aio.exceptions import InvalidParameters

STEP = 2**18
"""Bytes that are searched for long integers before the loop may have its turn."""


def decode_json(body: bytes) -> Any:
    """The value of a JSON text in UTF-8."""
    length = len(body)
    if length > LARGE:
        return run(json_steps(body))
    decode, has_long_number = _decode, False
    if length - len(body.translate(None, _DIGITS)) >= _LONG:  # fewer digits don't matter
        digits = body.translate(_SKELETON)
        has_long_number = _LONG_NUMBER in digits
        if _EXPONENT in digits:
            decode = _decode_exponents
    try:
        value = decode(body)
    except (ValueError, RecursionError) as exc:
        raise malformed("JSON", exc) from exc
    # Walking the value costs more than decoding it, and a text without deep nesting and long numbers cannot
    # break a rule. msgspec refuses everything else: NaN, infinities, invalid UTF-8, trailing bytes.
    if has_long_number or (length > 2 * MAX_DEPTH and _may_be_deep(body)):
        validate(value, PLAIN_TYPES)
    return value


def json_steps(body: bytes) -> Steps:
    """The value of a JSON text, in steps."""
    skeleton = body.translate(_SKELETON)
    excess = _excess(skeleton)
    if excess is not None or _LONG_NUMBER in skeleton or skeleton.count(b"[") > MAX_DEPTH:
        # It may be in strings. Of a text that isn't JSON, what follows is right up to the first mistake.
        yield
        skeleton = _without_strings(skeleton)
        yield
        excess = _excess(skeleton)
        if excess is not None:
            raise too_many(*excess)
        if _is_deep(skeleton):
            raise too_deep()
        yield
        for start in range(0, len(skeleton), STEP):
            # Python takes as long for an integer of 4,000 digits as for 1,000 others.
            if _LONG_INTEGER.search(skeleton, start, start + STEP):
                raise InvalidParameters("Integers must fit into 64 bits, signed.", status=400)
            yield
    decode = _decode_exponents if _EXPONENT in skeleton else _decode
    yield
    try:
        value = decode(body)
    except (ValueError, RecursionError) as exc:
        raise malformed("JSON", exc) from exc
    if _LONG_NUMBER in skeleton:
        yield
        yield from validate_steps(value, PLAIN_TYPES)
    return value


def read_json(text: str | bytes) -> Any:
    """The value of a JSON text that ``encode_json`` wrote: only its numbers may be slow to read."""
    return _read(text)


def encode_json(value: Any) -> bytes:
    """A JSON text in ASCII, as Toto's JavaScript client cannot verify the signature of any other text.

    Bytes become base64, dates become ISO 8601, and floats that JSON lacks (NaN, infinities) become null.
    """
    return JSON.encode_again(value)


def json_with(encoders: Encoders) -> Codec:
    """JSON with an application's encoders."""
    encoding = Encoding(
        lambda hook: msgspec.json.Encoder(enc_hook=hook).encode, encoders, always={datetime.datetime: exact}
    )
    return encoding.codec("application/json", decode_json, json_steps, read_json, _encoder)


_T = ord("T")
"""Python would first make a TypeError to look for b"T" in bytes: 2,000 instructions for each response."""


def _encoder(at_once: Encode, converted: Encode) -> Encode:
    """As ``encoder``, in ASCII. It is not built from that one, as each call of a method would pay for it."""

    def encode(value: Any) -> bytes:
        try:
            body = at_once(value)
        except Exception:
            body = None  # what is raised next does not show this one
        if body is None or (_T in body and OFFSET.search(body) and may_be_rounded(value)):
            body = converted(value)
        return body if body.isascii() else _escaped(body)

    return encode


def _escaped(body: bytes) -> bytes:
    # ``json`` escapes non-ASCII characters in C, and also quotes and backslashes, which is undone. In what it
    # writes, a backslash of the text is a pair, and NUL cannot occur.
    escaped = json.dumps(body.decode())[1:-1]
    return escaped.replace("\\\\", "\0").replace('\\"', '"').replace("\0", "\\").encode("ascii")


def _excess(skeleton: bytes) -> tuple[int, str] | None:
    """The limit that a text without strings exceeds, and what it has too many of."""
    if len(skeleton) <= MAX_EXPONENTS:  # fewer bytes have fewer of anything
        return None
    containers = skeleton.count(b"[")
    if containers > MAX_CONTAINERS:
        return MAX_CONTAINERS, "objects and arrays"
    if containers + skeleton.count(b",") + skeleton.count(b":") >= MAX_VALUES:
        return MAX_VALUES, "values"
    if skeleton.count(_EXPONENT) > MAX_EXPONENTS:
        return MAX_EXPONENTS, "numbers with an exponent"
    return None


def _without_strings(text: bytes) -> bytes:
    """A text without its strings. Raises ``InvalidParameters`` if there are too many."""
    text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    if text.count(b'"') > 2 * MAX_VALUES:
        raise too_many(MAX_VALUES, "values")
    return b"".join(text.split(b'"')[::2])


def _may_be_deep(text: bytes) -> bool:
    """Whether valid JSON may be nested too deeply."""
    if text.count(b"{") + text.count(b"[") <= MAX_DEPTH:
        return False
    return _is_deep(_without_strings(text))


def _is_deep(text: bytes) -> bool:
    """Whether valid JSON without strings is nested too deeply."""
    brackets = text.translate(_TO_SQUARE_BRACKETS, _ALL_BUT_BRACKETS)
    for _ in range(MAX_DEPTH):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")  # remove the innermost level
    return bool(brackets)


def _finite(text: str) -> float:
    """The number in a text with an exponent: Python reads it 30 times as fast as msgspec's worst case."""
    value = float(text)
    if math.isinf(value):
        raise ValueError("Number out of range")
    return value


_TO_SQUARE_BRACKETS = bytes.maketrans(b"{}", b"[]")
_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_DIGITS = b"0123456789"
_SKELETON = bytes.maketrans(b"123456789E{", b"000000000e[")
"""Makes what counts easy to find: each digit is a zero, and each opening bracket is the same."""
_EXPONENT = b"0e"
_LONG = 19  # the fewest digits of an integer that does not fit into signed 64 bits
_LONG_NUMBER = b"0" * _LONG
_LONG_INTEGER = re.compile(rb"[\[,:\s]-?0{20,}(?=[,\]}\s])")
_decode = msgspec.json.Decoder().decode
_decode_exponents = msgspec.json.Decoder(float_hook=_finite).decode
_read = msgspec.json.Decoder(float_hook=float).decode
JSON = json_with({})
