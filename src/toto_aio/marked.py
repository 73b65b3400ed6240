"""The functions of a module that are marked, beside its ``invoke``, and their names in calls."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

RULES = "__toto_aio_rules__"
"""Where a function has what its decorators state about it."""
MARKED = "__toto_aio_methods__"
"""Where a module has the names that it marks ``@method``: a module below it may take them in its place."""


def mark(function: Callable[..., Any]) -> None:
    """Keep in its module that a function is a method."""
    module, name = sys.modules.get(function.__module__), getattr(function, "__name__", None)
    if module is not None and name is not None and name == function.__qualname__:
        vars(module).setdefault(MARKED, set()).add(wire_name(name))


def marked_functions(module: ModuleType) -> list[tuple[str, Callable[..., Any]]]:
    """The functions that a module marks ``@method`` or ``@channel``, with their names; none that it imports.

    A channel's ``invoke`` is not among them: it has the name of its module.
    """
    return [
        (wire_name(name), value)
        for name, value in vars(module).items()
        if callable(value)
        and not name.startswith("_")
        and (rules := getattr(value, RULES, None)) is not None
        and (rules.is_marked or (rules.channel is not None and name != "invoke"))
        and getattr(value, "__module__", None) == module.__name__
    ]


def marked_names(module: ModuleType) -> frozenset[str]:
    """The names that a module has marked, even if a module below it has taken one since."""
    return frozenset(getattr(module, MARKED, ()))


def wire_name(name: str) -> str:
    """The name in calls: ``class_`` is ``class``, which Python does not let one write."""
    return name[:-1] if name.endswith("_") and not name.endswith("__") else name
