"""Hooks of schemathesis: calls that cannot be sent, or that JSON Schema cannot refuse, are left out.

Bodies with integers of more than 64 bits: the service refuses those wherever they are, and JSON Schema cannot
say so: to it 1e300 is an integer, too. Forms with an empty list: none of its items is a field, so that the
service gets a form without it, which may be a right one.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

SMALLEST, LARGEST = -(2**63), 2**63 - 1
FORM = "multipart/form-data"


def filter_case(context: Any, case: Any) -> bool:
    """Whether a call may be made."""
    return fits(case.body) and (case.media_type != FORM or is_sent(case.body))


def fits(value: Any) -> bool:
    """Whether all integers in a value have 64 bits."""
    if isinstance(value, int):
        return SMALLEST <= value <= LARGEST
    if isinstance(value, dict):
        return all(fits(each) for each in value.values())
    return not isinstance(value, list) or all(fits(each) for each in value)


def is_sent(form: Any) -> bool:
    """Whether each member of a form becomes at least one field."""
    return not isinstance(form, dict) or [] not in form.values()


# By its name: mypy need not read the library and all that it imports.
import_module("schemathesis").hook(filter_case)
