"""Values of types that the encoders don't know, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bson


def to_builtin(value: Any) -> Any:
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


_BASE_TYPES: tuple[type[Any], ...] = (str, bytes, int, float)
