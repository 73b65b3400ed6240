"""Ready objects that options accept: recognized by their type, or by their methods.

The type is compared by its name, so that no driver is imported for it.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from toto_aio.settings import SettingsError


def type_names(value: Any) -> Iterator[str]:
    """The type of an object and its base types, as ``"module:name"``."""
    return (f"{kind.__module__}:{kind.__qualname__}" for kind in type(value).__mro__)


def find_ready(value: Any, known: Mapping[str, str]) -> str | None:
    """What a table of types has for the type of an object."""
    return next((known[name] for name in type_names(value) if name in known), None)


def lacking(value: Any, methods: Collection[str]) -> list[str]:
    """The methods that an object does not have.

    Some clients make anything that is asked for: each attribute of a MongoDB database is a collection.
    """
    return [name for name in methods if not _is_method(getattr(value, name, None))]


def refusal(option: str, value: Any, expected: str, instead: Mapping[str, str]) -> SettingsError:
    """The error for an object that an option cannot use.

    ``instead`` has for some libraries what to write instead of their objects.
    """
    kind = type(value)
    if isinstance(value, type):
        return SettingsError(f"{option}: expected {expected}, got the class {value.__name__}")
    library = kind.__module__.partition(".")[0]
    if library in instead:
        return SettingsError(
            f"{option}: cannot use a {library}.{kind.__qualname__}; write {instead[library]}"
        )
    return SettingsError(f"{option}: expected {expected}, got {kind.__name__}")


def _is_method(attribute: Any) -> bool:
    return inspect.isroutine(attribute) or inspect.iscoroutinefunction(attribute)
