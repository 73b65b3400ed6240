"""The types of single values: what is wrong with a value, and what an error says of it."""

from __future__ import annotations

import datetime
import decimal
import re
import uuid
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import msgspec
from bson import Decimal128
from msgspec import inspect as types

from toto_aio.dispatch.annotations import plain_node
from toto_aio.dispatch.bounds import amount, between
from toto_aio.models import File
from toto_aio.names import MAX_SHOWN, shortened

MAX_DECIMAL = 64
"""The most characters of a Decimal: its digits cost the square of their number."""
MAX_EXPONENT = 6144
"""The largest exponent of a Decimal, as in IEEE 754: an integer of a larger one fills the memory."""

MAX_BOUNDS = 256
"""The most characters of what an error says of alternatives and their bounds."""

Leaf = Callable[[Any, Any, bool], str]
"""The kind of problem that a value has as a type, or "": ``leaf(value, node, binary)``."""


def expected_of(node: types.Type, *, bounds: bool = False) -> str:
    """What an error expects, with ``bounds`` those of the type too."""
    if not bounds and (name := _NAMES.get(type(node))):
        return name
    node = plain_node(node)
    if isinstance(node, types.UnionType):
        shown = " or ".join(dict.fromkeys(expected_of(each, bounds=bounds) for each in node.types))
        return shortened(shown, MAX_BOUNDS if bounds else MAX_SHOWN)
    if isinstance(node, types.LiteralType):
        return shortened("one of " + ", ".join(map(repr, node.values)))
    if isinstance(node, types.EnumType):
        return shortened("one of " + ", ".join(repr(each.value) for each in node.cls))
    name = "file" if getattr(node, "cls", None) is File else _NAMES.get(type(node), "object")
    rules = _rules(node) if bounds else []
    return " ".join([_IN_WORDS.get(name, name), *rules]) if rules else name


def _rules(node: Any) -> list[str]:
    """What a value of the right type has to be besides."""
    if isinstance(node, types.TupleType):
        return [f"of {amount(len(node.item_types), len(node.item_types), 'item') or '0 items'}"]
    if getattr(node, "tz", None) is not None:
        return ["with a time zone" if node.tz else "without a time zone"]
    if isinstance(node, types.IntType | types.FloatType):
        where = between(node.ge, node.le, node.gt, node.lt)
        multiple = "" if node.multiple_of is None else f"that is a multiple of {node.multiple_of}"
        return [*filter(None, [f"of {where}" if where.startswith("at ") else where, multiple])]
    unit = _UNITS.get(type(node))
    size = amount(node.min_length, node.max_length, unit) if unit else ""
    form = "in the required form" if getattr(node, "pattern", None) is not None else ""
    return [*filter(None, [size and f"of {size}", form])]


def got_of(value: Any) -> str:
    """The kind of a value, as an error names it."""
    kind = type(value)
    if kind in _KINDS:
        return _KINDS[kind]
    return next((name for base, name in _KINDS.items() if isinstance(value, base)), "other")


def is_decimal(value: Any) -> bool:
    """Whether a value is a Decimal as clients send it: text, as a float has lost what it was, and finite."""
    if isinstance(value, Decimal128):
        value = value.to_decimal()
    if isinstance(value, str):
        if len(value) > MAX_DECIMAL:
            return False
        try:
            value = decimal.Decimal(value)
        except decimal.InvalidOperation:
            return False
    return (
        isinstance(value, decimal.Decimal)
        and value.is_finite()
        and (not value or abs(value.adjusted()) <= MAX_EXPONENT)
    )


def _int(value: Any, node: Any, binary: bool) -> str:
    if not isinstance(value, int) or isinstance(value, bool):
        return "type"
    return _bounded(value, node)


def _float(value: Any, node: Any, binary: bool) -> str:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return "type"
    return _bounded(value, node)


def _bounded(value: float, node: Any) -> str:
    breaks = (
        (node.gt is not None and not value > node.gt)
        or (node.ge is not None and not value >= node.ge)
        or (node.lt is not None and not value < node.lt)
        or (node.le is not None and not value <= node.le)
        or (node.multiple_of is not None and value % node.multiple_of)
    )
    return "value" if breaks else ""


def _str(value: Any, node: Any, binary: bool) -> str:
    if not isinstance(value, str):
        return "type"
    breaks = _sized(value, node) or (node.pattern is not None and not _pattern(node.pattern).search(value))
    return "value" if breaks else ""


def _sized(value: Any, node: Any) -> bool:
    return (node.min_length is not None and len(value) < node.min_length) or (
        node.max_length is not None and len(value) > node.max_length
    )


def _bytes(value: Any, node: Any, binary: bool) -> str:
    if isinstance(value, str) and not binary:
        value = _convert(value, bytes)
        if value is None:
            return "value"
    if not isinstance(value, bytes | bytearray | memoryview):
        return "type"
    return "value" if _sized(value, node) else ""


def _bool(value: Any, node: Any, binary: bool) -> str:
    return "" if isinstance(value, bool) else "type"


def _none(value: Any, node: Any, binary: bool) -> str:
    return "" if value is None else "type"


def _choice(value: Any, node: Any, binary: bool) -> str:
    """One of an enum or a Literal."""
    if isinstance(node, types.EnumType):
        if isinstance(value, node.cls):
            return ""
        values: tuple[Any, ...] = tuple(each.value for each in node.cls)
        if _convert(value, node.cls) is not None:
            return ""  # by its own ``_missing_``
    else:
        values = node.values
    alike = [each for each in values if isinstance(value, type(each)) and not isinstance(value, bool)]
    return "" if value in alike else "value" if alike else "type"


def _formatted(kind: type, *, native: tuple[type, ...] = ()) -> Leaf:
    """A type that is sent as text of a format, or as what it is."""
    natives = native or (kind,)

    def check(value: Any, node: Any, binary: bool) -> str:
        if not isinstance(value, (str, *natives)) or (
            kind is datetime.date and isinstance(value, datetime.datetime)
        ):
            return "type"
        read: Any = value if isinstance(value, kind) else _convert(value, kind)
        if read is None:
            return "value"
        zoned = getattr(node, "tz", None)
        return "value" if zoned is not None and zoned is (read.tzinfo is None) else ""

    return check


def _decimal(value: Any, node: Any, binary: bool) -> str:
    if not isinstance(value, str | decimal.Decimal | Decimal128):
        return "type"
    return "" if is_decimal(value) else "value"


def _convert(value: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind)
    except (ValueError, OverflowError):
        return None


@lru_cache(256)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text)


LEAVES: Mapping[type, Leaf] = {
    types.IntType: _int,
    types.FloatType: _float,
    types.StrType: _str,
    types.BoolType: _bool,
    types.NoneType: _none,
    types.BytesType: _bytes,
    types.ByteArrayType: _bytes,
    types.MemoryViewType: _bytes,
    types.EnumType: _choice,
    types.LiteralType: _choice,
    types.DateTimeType: _formatted(datetime.datetime),
    types.DateType: _formatted(datetime.date),
    types.TimeType: _formatted(datetime.time),
    types.TimeDeltaType: _formatted(datetime.timedelta),
    types.UUIDType: _formatted(uuid.UUID, native=(uuid.UUID, bytes)),
    types.DecimalType: _decimal,
}
_NAMES: Mapping[type, str] = {
    types.IntType: "int",
    types.FloatType: "float",
    types.StrType: "str",
    types.BoolType: "bool",
    types.NoneType: "null",
    types.AnyType: "any",
    types.BytesType: "bytes",
    types.ByteArrayType: "bytes",
    types.MemoryViewType: "bytes",
    types.DateTimeType: "datetime",
    types.DateType: "date",
    types.TimeType: "time",
    types.TimeDeltaType: "duration",
    types.UUIDType: "uuid",
    types.DecimalType: "decimal",
    types.ListType: "array",
    types.SetType: "array",
    types.FrozenSetType: "array",
    types.VarTupleType: "array",
    types.TupleType: "array",
    types.NamedTupleType: "array",
}
_KINDS: dict[type, str] = {
    bool: "bool",
    int: "int",
    float: "float",
    str: "str",
    type(None): "null",
    dict: "object",
    list: "array",
    tuple: "array",
    set: "array",
    frozenset: "array",
    bytes: "bytes",
    bytearray: "bytes",
    memoryview: "bytes",
    datetime.datetime: "datetime",
    datetime.date: "date",
    datetime.time: "time",
    decimal.Decimal: "decimal",
    uuid.UUID: "uuid",
    File: "file",
}
_IN_WORDS: Mapping[str, str] = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bytes": "data",
    "array": "a list",
    "object": "an object",
    "datetime": "a date and time",
    "time": "a time",
}
"""Types that have rules, in front of these."""
_UNITS: Mapping[type, str] = {
    types.StrType: "character",
    types.BytesType: "byte",
    types.ByteArrayType: "byte",
    types.MemoryViewType: "byte",
    types.ListType: "item",
    types.SetType: "item",
    types.FrozenSetType: "item",
    types.VarTupleType: "item",
    types.DictType: "name",
}
