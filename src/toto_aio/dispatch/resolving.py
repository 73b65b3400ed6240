"""The types that the annotations of a function name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, TypeVar, get_args, get_origin, get_type_hints


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
        hints = get_type_hints(holder, getattr(inner, "__globals__", {}), names, include_extras=True)
        return unaliased(hints["it"])
    except Exception as exc:
        raise UnreadableTypeError(
            f"there is no {annotation!r} at run time ({exc}): import or define it at the top of the module, "
            "not below TYPE_CHECKING or in a function"
        ) from exc


def unaliased(kind: Any) -> Any:
    """The type that an alias stands for (PEP 695): ``type Title = str``, ``type Maybe[T] = T | None``."""
    while hasattr(kind, "__type_params__") and hasattr(kind, "__value__"):
        given = get_args(kind)
        kind = kind.__value__[given] if given else kind.__value__
    return kind


def hints_of(model: Any) -> dict[str, Any]:
    """The types of a model's fields; those of ``Page[int]`` with int for the parameter of ``Page``."""
    origin = get_origin(model) or model
    # Python 3.12 before 12.4 does not know the parameters of the class in annotations that are text.
    names = {each.__name__: each for each in getattr(origin, "__type_params__", ())}
    hints = get_type_hints(origin, localns=names or None, include_extras=True)
    given = dict(zip(getattr(origin, "__parameters__", ()), get_args(model), strict=False))
    return {name: _filled(hint, given) for name, hint in hints.items()} if given else hints


def _filled(hint: Any, given: dict[Any, Any]) -> Any:
    """A type with the types that are given for its variables."""
    if isinstance(hint, TypeVar):
        return given.get(hint, hint)
    variables = getattr(hint, "__parameters__", ())
    return hint[tuple(given.get(each, each) for each in variables)] if variables else hint
