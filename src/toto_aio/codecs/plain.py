"""The rules for decoded values, whatever format they came in."""

from __future__ import annotations

import math
from typing import Any

from toto_aio.codecs.codec import Steps
from toto_aio.codecs.limits import MAX_DEPTH, too_deep
from toto_aio.exceptions import InvalidParameters

PLAIN_TYPES: frozenset[type] = frozenset({str, bytes, bool, type(None)})
STEP = 2**13
"""Values that are validated before the loop may have its turn."""


def validate(value: Any, types: frozenset[type], depth: int = MAX_DEPTH) -> None:
    """Raise ``InvalidParameters`` unless a value is plain data or of one of ``types``."""
    kind = type(value)
    if kind is dict or kind is list:
        if not depth:
            raise too_deep()
        if kind is dict:
            _check_keys(value)
            value = value.values()
        for item in value:
            if type(item) not in PLAIN_TYPES:
                validate(item, types, depth - 1)
    else:
        _check_scalar(value, kind, types)


def validate_steps(root: Any, types: frozenset[type]) -> Steps:
    """Do the same in steps, level by level."""
    level = [root]
    for depth in range(MAX_DEPTH + 1):
        below: list[Any] = []
        for start in range(0, len(level), STEP):
            yield
            for value in level[start : start + STEP]:
                kind = type(value)
                if kind in PLAIN_TYPES:
                    continue
                if kind is dict or kind is list:
                    if depth == MAX_DEPTH:
                        raise too_deep()
                    if kind is dict:
                        _check_keys(value)
                        value = value.values()
                    below += value
                else:
                    _check_scalar(value, kind, types)
        if not below:
            return
        level = below


def _check_keys(value: dict[Any, Any]) -> None:
    for key in value:
        if type(key) is not str:
            raise InvalidParameters("Keys must be strings.", status=400)


def _check_scalar(value: Any, kind: type, types: frozenset[type]) -> None:
    if kind is int:
        if not -(2**63) <= value < 2**63:
            raise InvalidParameters("Integers must fit into 64 bits, signed.", status=400)
    elif kind is float:
        if not math.isfinite(value):
            raise InvalidParameters("Numbers must be finite.", status=400)
    elif kind not in PLAIN_TYPES and kind not in types:
        raise InvalidParameters(f"Values of type {kind.__name__} are not accepted.", status=400)
