"""What a BSON document would cost to decode, without decoding it."""

from __future__ import annotations

from struct import Struct
from struct import error as StructError

from toto_aio.codecs.codec import Steps
from toto_aio.codecs.limits import (
    MAX_CONTAINERS,
    MAX_DEPTH,
    MAX_RICH,
    MAX_VALUES,
    malformed,
    too_deep,
    too_many,
)
from toto_aio.exceptions import InvalidParameters

STEP = 2**14
"""Bytes that are scanned before the loop may have its turn; a value has at least two."""


def scan_bson(body: bytes) -> Steps:
    """Raise ``InvalidParameters`` for too many values, or for one that represents code or a reference.

    Documents end where their lengths say, as for pymongo. Other mistakes are left to pymongo.
    """
    rich = body.count(_REFERENCE) * _OBJECT  # pymongo makes an object of a document that has it
    containers, values, at, turn = 1, 0, 4, STEP
    outer: list[int] = []  # where the documents end that the current one is in
    end = len(body) - 1
    try:
        while True:
            while at == end:
                if not outer:
                    return
                at, end = end + 1, outer.pop()
            if at > end:
                raise ValueError
            kind = body[at]
            at = body.index(0, at + 1) + 1
            values += 1
            if (size := _SIZES.get(kind)) is not None:
                at += size
                rich += _RICH.get(kind, 0)
            elif kind in _TEXTS or kind == _BINARY:
                (size,) = _SIZE(body, at)
                if size < 0:
                    raise ValueError
                at += 4 + size
                if kind == _BINARY:
                    rich += _OBJECT * (body[at - size] != 0)
                    at += 1
            elif kind in _DOCUMENTS:
                (size,) = _SIZE(body, at)
                if size < _EMPTY:
                    raise ValueError
                outer.append(end)
                end = at + size - 1
                at += 4
                containers += 1
            else:
                raise InvalidParameters(f"BSON elements of type {kind} are not accepted.", status=400)
            if values > MAX_VALUES:
                raise too_many(MAX_VALUES, "values")
            if containers > MAX_CONTAINERS:
                raise too_many(MAX_CONTAINERS, "objects and arrays")
            if rich > MAX_RICH * _OBJECT:
                raise too_many(MAX_RICH, "BSON dates, ids, decimals and binary values of a subtype")
            if len(outer) >= MAX_DEPTH:
                raise too_deep()
            if at > turn:
                turn = at + STEP
                yield
    except (IndexError, ValueError, StructError):
        raise malformed("BSON", "a length is wrong, or the document is truncated") from None


_SIZE = Struct("<i").unpack_from
_EMPTY = 5
"""The bytes of a document without elements."""
_REFERENCE = b"\x02$ref\0"
_SIZES = {0x01: 8, 0x06: 0, 0x07: 12, 0x08: 1, 0x09: 8, 0x0A: 0, 0x10: 4, 0x11: 8, 0x12: 8, 0x13: 16}
"""The bytes of the value of an element, by its type."""
_OBJECT = 16
_RICH = {0x07: _OBJECT, 0x09: _OBJECT, 0x11: _OBJECT, 0x13: _OBJECT, 0x12: 1}
"""What a value costs that becomes an object, by its type."""
_TEXTS = frozenset({0x02, 0x0E})
_BINARY = 0x05
_DOCUMENTS = frozenset({0x03, 0x04})
