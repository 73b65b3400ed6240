"""Reads the signature of a typed method at start-up, and stops the start if no call can fit it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, get_args

import msgspec
from msgspec import NODEFAULT
from msgspec.structs import replace

from toto_aio.dispatch.annotations import description_of, takes_file
from toto_aio.dispatch.classic import is_handler
from toto_aio.dispatch.model_types import converted, fields_of, is_model
from toto_aio.dispatch.resolving import UnreadableTypeError, resolve
from toto_aio.dispatch.signature import NOTHING, Parameter, Signature
from toto_aio.marked import wire_name
from toto_aio.settings import SettingsError


def read_signature(name: str, function: Callable[..., Any]) -> Signature:
    """The signature of a typed method. Raises ``SettingsError`` that names it and says what to write."""
    signature = inspect.signature(function)
    found = list(signature.parameters.values())
    if isinstance(function, partial):
        raise SettingsError(f"{name}: write a function for the partial, whose parameters cannot be read")
    if variadic := [each for each in found if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]:
        raise SettingsError(
            f"{name}: a call cannot have {variadic[0]}: write each parameter, or invoke(handler, parameters)"
        )
    reader = _Reader(name, function)
    takes_handler = bool(found) and found[0].kind is not found[0].KEYWORD_ONLY and is_handler(found[0])
    values = found[takes_handler:]
    returns = reader.returns(signature.return_annotation)
    if len(values) == 1 and values[0].name == "parameters":
        model = reader.type_of(values[0])
        if is_model(model):
            _require_pass(name, function, takes_handler, ("parameters",), ())
            return Signature(reader.fields(model), returns, model, takes_handler)
    parameters = tuple(map(reader.parameter, values))
    reader.require_distinct(parameters)
    by_place = tuple(each.attribute for each in parameters if not each.by_keyword)
    by_keyword = tuple(each.attribute for each in parameters if each.by_keyword)
    _require_pass(name, function, takes_handler, by_place, by_keyword)
    return Signature(parameters, returns, None, takes_handler)


class _Reader:
    """Reads the parameters of one method. Each raises ``SettingsError``."""

    def __init__(self, method: str, function: Callable[..., Any]) -> None:
        self._method = method
        self._function = function

    def parameter(self, parameter: inspect.Parameter) -> Parameter:
        attribute = parameter.name
        if attribute == "handler":
            raise self._error("handler", "write it first")
        if attribute == "parameters":
            raise self._error("parameters", "rename it: calls have their parameters below this name")
        if attribute.startswith("_"):
            raise self._error(attribute, "rename it: names with an underscore in front are left out of calls")
        kind = self.type_of(parameter)
        required = parameter.default is parameter.empty
        if not required:
            self._require_default(attribute, kind, parameter.default)
        return Parameter(
            wire_name(attribute),
            attribute,
            kind,
            NODEFAULT if required else parameter.default,
            description_of(kind),
            self._takes_file(attribute, kind),
            parameter.kind is parameter.KEYWORD_ONLY,
        )

    def _takes_file(self, attribute: str, kind: Any) -> bool:
        try:
            return takes_file(kind)
        except UnreadableTypeError as exc:
            raise self._error(attribute, str(exc)) from exc

    def type_of(self, parameter: inspect.Parameter) -> Any:
        """The resolved type of a parameter; without one it is anything."""
        if parameter.annotation is parameter.empty:
            return Any
        return self._resolved(parameter.name, parameter.annotation)

    def returns(self, annotation: Any) -> Any:
        """The resolved type of the results."""
        return NOTHING if annotation is NOTHING else self._resolved("its result", annotation)

    def fields(self, model: Any) -> tuple[Parameter, ...]:
        """The parameters of a method that takes all of them as a model."""
        try:
            return tuple(
                replace(
                    each,
                    description=each.description or description_of(each.type),
                    takes_file=takes_file(each.type),
                )
                for each in fields_of(model)
            )
        except UnreadableTypeError as exc:
            raise self._error("parameters", str(exc)) from exc

    def require_distinct(self, parameters: tuple[Parameter, ...]) -> None:
        names = [each.name for each in parameters]
        for name in names:
            if names.count(name) > 1:
                raise self._error(f"{name}_", f"rename it: it is {name} in a call, as another one is")

    def _resolved(self, where: str, annotation: Any) -> Any:
        try:
            return resolve(annotation, self._function)
        except UnreadableTypeError as exc:
            raise self._error(where, str(exc)) from exc

    def _require_default(self, attribute: str, kind: Any, default: Any) -> None:
        try:
            if default is msgspec.UNSET and msgspec.UnsetType in get_args(kind):
                return
            converted(default, kind)
        except ValueError:
            hint = f"{attribute}: ... | None = None" if default is None else "a default of its type"
            raise self._error(
                attribute, f"its default {default!r} is not of its type: write {hint}"
            ) from None

    def _error(self, where: str, reason: str) -> SettingsError:
        return SettingsError(f"{self._method}: {where}: {reason}")


def _require_pass(
    name: str,
    function: Callable[..., Any],
    takes_handler: bool,
    by_place: tuple[str, ...],
    by_keyword: tuple[str, ...],
) -> None:
    """Raise for a decorator that pretends to take what it does not pass on."""
    try:
        taken = inspect.signature(function, follow_wrapped=False)
        taken.bind(*([None] * (takes_handler + len(by_place))), **dict.fromkeys(by_keyword))
    except TypeError:
        raise SettingsError(
            f"{name}: a decorator on it takes {taken}: write (*args, **kwargs) there, and pass both on"
        ) from None
