"""What pydantic found wrong with a model, without its texts, which have values and what validators say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toto_aio.dispatch.leaves import got_of
from toto_aio.dispatch.problems import Search

MAX_ERRORS = 1000
"""The most errors that are read: there may be one for each value."""


def add_problems(search: Search, error: Any) -> None:
    """Add the problems of a ``pydantic.ValidationError`` at the place where the search is."""
    if error.error_count() > MAX_ERRORS:
        search.add("value", expected="object")
        return
    for found in error.errors(include_url=False, include_context=False):
        kind, location = found["type"], found["loc"]
        if kind == "missing":
            search.add("missing", *location)
        elif kind == "extra_forbidden":
            search.add("unknown", *location)
        elif kind.endswith(("_type", "_parsing")) and kind.partition("_")[0] in _NAMES:
            search.add("type", *location, expected=_NAMES[kind.partition("_")[0]], got=got_of(found["input"]))
        else:
            search.add("value", *location)


_NAMES: Mapping[str, str] = {
    "int": "int",
    "float": "float",
    "string": "str",
    "bool": "bool",
    "none": "null",
    "bytes": "bytes",
    "list": "array",
    "tuple": "array",
    "set": "array",
    "dict": "object",
    "model": "object",
    "dataclass": "object",
    "datetime": "datetime",
    "date": "date",
    "time": "time",
    "uuid": "uuid",
    "decimal": "decimal",
}
"""The types in the codes of pydantic's errors."""
