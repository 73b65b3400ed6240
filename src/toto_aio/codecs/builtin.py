"""Values of types that the encoders don't know, as plain data."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Collection, Mapping
from typing import Any

import bson

Encoders = Mapping[type, Callable[[Any], Any]]
"""For each type the function that makes plain data of its values: the option ``encoders``."""
Hook = Callable[[Any], Any]

MAX_ITEMS = 2**17
"""The most items of a generator, or of a range: either may have no end."""


def to_builtin(value: Any) -> Any:
    """Convert a value of a type that msgspec cannot encode. Raises ``TypeError``.

    An iterator is left to ``Converter``, as it can be read only once.
    """
    for kind in _BASE_TYPES:  # subclasses, such as BSON's Int64 and Binary
        if isinstance(value, kind):
            return kind(value)
    kind = type(value)
    if hasattr(kind, "keys") and hasattr(kind, "__getitem__"):  # mappings, and rows of the drivers
        return {key: value[key] for key in value.keys()}  # noqa: SIM118  # iterating a row gives its values
    if isinstance(value, Collection) and not isinstance(value, type):
        if len(value) > MAX_ITEMS and isinstance(value, range):
            raise TypeError(f"{kind!r} of more than {MAX_ITEMS} items cannot be sent")
        return list(value)
    if isinstance(value, bson.ObjectId | bson.Decimal128 | _ADDRESSES):
        return str(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, bson.Timestamp):
        return value.as_datetime()
    if hasattr(kind, "model_dump"):  # pydantic's, which need not be installed
        return value.model_dump()
    raise TypeError(f"cannot encode {kind!r}; {_advice(value)}")


def hook_with(encoders: Encoders) -> Hook:
    """The function for types that msgspec cannot encode, which asks an application's encoders first."""

    def convert(value: Any) -> Any:
        function = encoder_of(encoders, type(value))
        return to_builtin(value) if function is None else function(value)

    return convert if encoders else to_builtin


def encoder_of(encoders: Encoders, kind: type) -> Hook | None:
    """The encoder of the nearest base of a type."""
    return next((encoders[base] for base in kind.__mro__ if base in encoders), None)


def _advice(value: Any) -> str:
    if hasattr(value, "__await__"):
        return "write await before it"
    if hasattr(value, "__aiter__"):
        return "write [item async for item in ...]"
    return f"return plain data, or name a function for it: encoders={{{type(value).__name__}: ...}}"


_BASE_TYPES: tuple[type[Any], ...] = (str, bytes, int, float)
_ADDRESSES = (
    ipaddress.IPv4Address
    | ipaddress.IPv6Address
    | ipaddress.IPv4Network
    | ipaddress.IPv6Network
    | ipaddress.IPv4Interface
    | ipaddress.IPv6Interface
)
