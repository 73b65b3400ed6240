"""Hooks of schemathesis: bodies with integers of more than 64 bits are left out.

The service refuses those wherever they are, and JSON Schema cannot say so: to it 1e300 is an integer, too.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

SMALLEST, LARGEST = -(2**63), 2**63 - 1


def filter_body(context: Any, body: Any) -> bool:
    """Whether the service may be asked to accept a body."""
    return fits(body)


def fits(value: Any) -> bool:
    """Whether all integers in a value have 64 bits."""
    if isinstance(value, int):
        return SMALLEST <= value <= LARGEST
    if isinstance(value, dict):
        return all(fits(each) for each in value.values())
    return not isinstance(value, list) or all(fits(each) for each in value)


# By its name: mypy need not read the library and all that it imports.
import_module("schemathesis").hook(filter_body)
