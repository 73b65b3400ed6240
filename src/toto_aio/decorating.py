"""Decorators that say how they are written: with arguments, or without."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

Decorator = TypeVar("Decorator", bound=Callable[..., Any])


def bare(decorator: Decorator) -> Decorator:
    """Have a decorator raise ``TypeError`` for arguments: ``@safe()`` has no function to decorate."""

    @wraps(decorator)
    def decorate(*arguments: Any, **options: Any) -> Any:
        if options or len(arguments) != 1 or not callable(arguments[0]):
            name, given = decorator.__name__, ", ".join([*map(repr, arguments), *options])
            raise TypeError(f"write @{name} for @{name}({given}): it takes no arguments")
        return decorator(*arguments)

    return cast(Decorator, decorate)


def with_arguments(example: str) -> Callable[[Decorator], Decorator]:
    """Have a decorator raise ``TypeError`` without arguments, as ``@timeout`` takes the function for one."""

    def given(decorator: Decorator) -> Decorator:
        @wraps(decorator)
        def decorate(*arguments: Any, **options: Any) -> Any:
            is_right = not arguments or not callable(arguments[0])
            require_arguments(decorator.__name__, example, is_right)
            return decorator(*arguments, **options)

        return cast(Decorator, decorate)

    return given


def require_arguments(decorator: str, example: str, is_right: bool) -> None:
    """Raise ``TypeError`` for a decorator without its arguments, or with other ones."""
    if not is_right:
        raise TypeError(f"write @{decorator}({example}) for @{decorator}")
