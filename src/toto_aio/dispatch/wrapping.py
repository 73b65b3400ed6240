"""Wrappers that hide what they wrap: a decorator of the author's without ``functools.wraps``.

The rules of a method are a record on its function. A wrapper that lacks it would be served to anyone, and one
of ``*args, **kwargs`` without the parameters of what it wraps.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from dataclasses import fields
from types import FunctionType, MethodType
from typing import Any

from toto_aio.dispatch.classic import is_classic, is_forwarding, takes_anything
from toto_aio.method_rules import Rules, rules_of, wrapped_by
from toto_aio.settings import SettingsError

logger = logging.getLogger(__name__)

Function = Callable[..., Any]

NO_RULES = Rules()


def require_visible(name: str, invoke: Function) -> None:
    """Raise ``SettingsError`` for a method that hides the rules, or the parameters, of what it wraps.

    One of ``*args, **kwargs`` that seems to wrap nothing is a classic method, with a warning.
    """
    wrapper = wrapped_by(invoke)[-1]
    held = list(_held(wrapper, set()))
    rules, anything = rules_of(invoke), takes_anything(wrapper)
    for holder, function in held:
        if _lacks(rules, rules_of(function)) and (anything or not _are_siblings(holder, function)):
            raise SettingsError(
                f"{name}: {_named(holder)} hides the decorators of {_named(function)}: {_advice(holder)}"
            )
    if not anything or any(is_classic(function) for _, function in held):
        return
    if held:
        holder, function = held[0]
        raise SettingsError(
            f"{name}: {_named(holder)} hides the parameters of {_named(function)}: {_advice(holder)}"
        )
    logger.warning(
        "%s: %s takes anything, so it gets a handler and a dict; if it wraps a method, %s",
        *(name, _named(wrapper), _advice(wrapper)),
    )


def _held(holder: Function, seen: set[int]) -> Iterator[tuple[Function, Function]]:
    """The functions that a wrapper got when it was made, and those that these wrap, each with its holder."""
    seen.add(id(holder))
    for value in _parts(holder):
        if not callable(value) or isinstance(value, type) or id(value) in seen:
            continue
        yield holder, value
        inner = wrapped_by(value)[-1]
        if rules_of(value) == NO_RULES and is_forwarding(inner):
            yield from _held(inner, seen)


def _parts(function: Function) -> Iterator[Any]:
    """The values that a function, a partial or an object got when it was made."""
    if isinstance(function, MethodType):
        function = function.__func__
    if isinstance(function, functools.partial):
        yield from (function.func, *function.args, *function.keywords.values())
    elif isinstance(function, FunctionType):
        yield from (cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell))
        yield from function.__defaults__ or ()
        yield from (function.__kwdefaults__ or {}).values()
    elif not isinstance(function, type):
        yield from getattr(function, "__dict__", {}).values()


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:  # a name that is not bound yet
        return False


def _lacks(rules: Rules, wrapped: Rules) -> bool:
    """Whether a wrapper's rules lack one of what it wraps, apart from the mark of a method."""
    if wrapped.guard > rules.guard:
        return True
    return any(
        getattr(wrapped, name) not in (getattr(NO_RULES, name), getattr(rules, name))
        for name in (each.name for each in fields(Rules))
        if name not in ("guard", "is_marked")
    )


def _are_siblings(one: Function, other: Function) -> bool:
    """Whether both were written in the same function, where one calls the other by its name."""
    scopes = {(getattr(each, "__module__", ""), _named(each).rpartition(".")[0]) for each in (one, other)}
    return len(scopes) == 1 and "<locals>" in _named(one)


def _named(function: Function) -> str:
    return getattr(function, "__qualname__", None) or type(function).__qualname__


def _advice(wrapper: Function) -> str:
    """What to write for a wrapper."""
    if isinstance(wrapper, FunctionType):
        return "write @functools.wraps(function) above it"
    if isinstance(wrapper, functools.partial):
        return "write functools.wraps(function)(partial)"
    return "write functools.update_wrapper(self, function) in its __init__"
