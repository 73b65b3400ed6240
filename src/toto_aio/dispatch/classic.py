"""Which of its two forms a method has.

Two forms:

    async def invoke(handler, parameters): ...  # classic: the parameters as they came, in a dict
    async def invoke(handler, title: str, limit: int = 10) -> list[Note]: ...  # typed

A function of exactly two positional parameters is classic, if the second has no type or is annotated
``dict``, ``Mapping``, ``Any`` or ``object``; so is a wrapper of ``*args, **kwargs``. Any other is typed.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from toto_aio.dispatch.resolving import UnreadableTypeError, resolve, unaliased


def is_classic(function: Callable[..., Any]) -> bool:
    """Whether a method takes its parameters as one dict."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:  # a function of C has no signature
        return True
    places = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    if any(each.kind is each.KEYWORD_ONLY and each.default is each.empty for each in parameters):
        return False
    if _are_anything(parameters):
        return True  # a wrapper without ``functools.wraps``
    if len(places) < 2 or not _is_anything(places[1], function):
        return False
    more = places[2:]
    return not more or (
        places[1].name == "parameters" and all(each.default is not each.empty for each in more)
    )


def takes_anything(function: Callable[..., Any]) -> bool:
    """Whether a function is one of ``*args``, with at most the handler in front, as wrappers are."""
    return _are_anything(_parameters(function))


def is_forwarding(function: Callable[..., Any]) -> bool:
    """Whether a function has the parameters of one that passes calls on: anything, or a handler first."""
    parameters = _parameters(function)
    if _are_anything(parameters):
        return True
    return bool(parameters) and (is_handler(parameters[0]) or is_classic(function))


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # a function of C has no signature
        return []


def _are_anything(parameters: Sequence[inspect.Parameter]) -> bool:
    places = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    return any(each.kind is each.VAR_POSITIONAL for each in parameters) and (
        not places or (len(places) == 1 and _is_bare(places[0]))
    )


def _is_bare(parameter: inspect.Parameter) -> bool:
    return parameter.annotation is parameter.empty or is_handler(parameter)


def _is_anything(parameter: inspect.Parameter, function: Callable[..., Any]) -> bool:
    """Whether the annotation of a second parameter leaves it open what a call has."""
    annotation = parameter.annotation
    if annotation is parameter.empty:
        return True
    if isinstance(annotation, str):
        if _OPEN.fullmatch(annotation.strip("'\" ")):
            return True
        try:
            annotation = resolve(annotation, function)
        except UnreadableTypeError:  # an error of the typed form, unless it is a dict by its name
            return parameter.name == "parameters" and bool(_DICT.match(annotation))
    return _is_open(annotation, any_values=parameter.name == "parameters")


def _is_open(annotation: Any, *, any_values: bool) -> bool:
    """Whether a type is a dict of anything, or anything.

    Of a parameter with the name ``parameters``, the types of the values are the author's notes.
    """
    annotation = unaliased(annotation)
    if annotation is Any or annotation is object:
        return True
    origin = get_origin(annotation) or annotation
    if origin in (Union, UnionType):
        return all(each is NoneType or _is_open(each, any_values=any_values) for each in get_args(annotation))
    if origin not in (dict, Mapping, MutableMapping):
        return False
    return any_values or all(each in (Any, object) for each in get_args(annotation)[1:])


def is_handler(parameter: inspect.Parameter) -> bool:
    """Whether a first parameter is the handler. Its annotation is never resolved."""
    if parameter.name == "handler":
        return True
    annotation = parameter.annotation
    if not isinstance(annotation, str):
        annotation = getattr(annotation, "__name__", "")
    return str(annotation).strip("'\" ").rpartition(".")[2] == "Handler"


_OPEN = re.compile(
    r"((typing|t|abc|collections\.abc)\.)?"
    r"((dict|Dict|Mapping|MutableMapping)(\[\s*str\s*,\s*((typing|t)\.)?(Any|object)\s*\])?|Any)|object"
)
"""The annotations of a dict of anything, as they are written: their names need not exist at run time."""
_DICT = re.compile(r"(\w+\.)*(dict|Dict|Mapping|MutableMapping)\b")
