"""The types that the annotations of a function name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, get_type_hints


class UnreadableTypeError(Exception):
    """A type that no call can have; the text says what to write."""


def resolve(annotation: Any, function: Callable[..., Any]) -> Any:
    """The type that an annotation of a function names. Raises ``UnreadableTypeError``."""
    inner = inspect.unwrap(function)
    while isinstance(inner, partial):
        inner = inspect.unwrap(inner.func)
    if not hasattr(inner, "__code__"):
        inner = getattr(type(inner), "__call__", inner)  # noqa: B004  # an object that can be called
    inner = getattr(inner, "__func__", inner)
    names = {each.__name__: each for each in getattr(inner, "__type_params__", ())}
    holder = SimpleNamespace(__annotations__={"it": annotation})
    try:
        return get_type_hints(holder, getattr(inner, "__globals__", {}), names, include_extras=True)["it"]
    except Exception as exc:
        raise UnreadableTypeError(
            f"there is no {annotation!r} at run time ({exc}): import or define it at the top of the module, "
            "not below TYPE_CHECKING or in a function"
        ) from exc
