"""The parameters of typed methods: read from a call, or refused with every problem."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import msgspec
from bson import Decimal128
from msgspec import NODEFAULT
from msgspec import inspect as types

from toto_aio.codecs.limits import MAX_DEPTH
from toto_aio.dispatch import text
from toto_aio.dispatch.annotations import node_of, nodes
from toto_aio.dispatch.call import Call
from toto_aio.dispatch.calling import CONSTANT, REFUSED, written_invoke
from toto_aio.dispatch.model_types import is_pydantic, known_names, read_custom, takes_others
from toto_aio.dispatch.problems import MAX_VISITS, EnoughError, Problem, Search, known_fields, refusal
from toto_aio.dispatch.resolving import UnreadableTypeError
from toto_aio.dispatch.signature import Parameter, Signature
from toto_aio.names import shown_path
from toto_aio.settings import SettingsError

BINARY = (bytes,)
"""What BSON and MessagePack have of their own: text is not base64 there."""


def typed_invoke(name: str, function: Callable[..., Any], signature: Signature) -> Callable[..., Any]:
    """Calls a typed method with the parameters of a call. Raises ``SettingsError`` for what text cannot tell.

    What it returns raises ``InvalidParameters`` with every problem.
    """
    return written_invoke(function, signature, Decoder(name, signature))


class Decoder:
    """Reads the parameters of one method. Raises ``SettingsError`` for types that text cannot tell apart."""

    def __init__(self, name: str, signature: Signature) -> None:
        self._parameters = signature.parameters
        self._model = signature.model
        self.target: Any = signature.model or _struct(signature.parameters)
        self._node: Any = node_of(self.target)
        self._known = known_names(signature.model) or frozenset(each.name for each in self._parameters)
        self._checks_names = signature.model is not None and not takes_others(signature.model)
        self._fields = known_fields(self._node) if hasattr(self._node, "fields") else {}
        self._exact = {
            name: field
            for name, field in self._fields.items()
            if any(isinstance(each, types.DecimalType) for each in nodes(field.type))
        }
        """The parameters with Decimals, which msgspec would also make of floats, and of any length."""
        self._is_native = not any(isinstance(each, _WITH_OPTIONS) for each in nodes(self._node))
        """Whether msgspec needs no options: it takes them by keyword, which costs as much as four values."""
        self._checked = [
            each
            for each in self._parameters
            if any(isinstance(node, _CLASSES) for node in nodes(node_of(each.type)))
        ]
        """The parameters whose classes may have checks of their own."""
        self.is_direct = self._is_native and not self._exact and not self._checks_names
        self._text: dict[str, text.Field] = {}
        for each in signature.parameters:
            try:
                self._text[each.name] = text.field_of(each)
            except UnreadableTypeError as exc:
                raise SettingsError(f"{name}: {each.attribute}: {exc}") from exc

    def decode(self, call: Call, parameters: dict[str, Any]) -> Any:
        """The values of a call: a struct of them, or the model. Raises ``InvalidParameters``."""
        problems: list[Problem] = []
        if call.by_get or call.by_form:
            parameters, problems = text.read(parameters, self._text)
        elif call.is_whole and "method" in parameters:
            parameters = {name: value for name, value in parameters.items() if name != "method"}
        if self._exact and call.binary:
            parameters = {
                name: _with_decimals(value) if name in self._exact else value
                for name, value in parameters.items()
            }
        is_known = not self._checks_names or self._known.issuperset(parameters)
        try:
            if not problems and is_known and not (self._exact and self._is_inexact(call, parameters)):
                return self._converted(call, parameters, self.target)
        except REFUSED:
            pass  # its text has values, and only the first mistake
        if (whole := _whole(call, parameters)) is not parameters:
            return self.decode(call, whole)
        problems = self._problems(call, parameters, problems)
        raise refusal(self._unexplained(call, parameters, problems) or [Problem("", "value")])

    def _is_inexact(self, call: Call, parameters: dict[str, Any]) -> bool:
        """Whether a value for a Decimal is not one.

        Raises ``InvalidParameters`` for more values than are looked at.
        """
        search = Search(binary=call.binary)
        try:
            search.fields(parameters, self._exact, closed=False)
        except EnoughError as exc:
            if not search.problems:
                expected = f"at most {MAX_VISITS} values in parameters with decimals"
                many = Problem(shown_path(search.path[:1]), "value", expected)
                raise refusal([many]) from exc
        return bool(search.problems)

    def _converted(self, call: Call, value: Any, kind: Any) -> Any:
        if self._is_native and not call.binary:
            return msgspec.convert(value, kind)
        binary = BINARY if call.binary else None
        return msgspec.convert(value, kind, builtin_types=binary, str_keys=True, dec_hook=read_custom)

    def _problems(self, call: Call, parameters: dict[str, Any], problems: list[Problem]) -> list[Problem]:
        """Everything that is wrong, beside what is known already."""
        search = Search(binary=call.binary)
        try:
            search.problems += problems
            if is_pydantic(self._model):
                search.unknown(parameters, self._known if self._checks_names else parameters)
                search.root(parameters, self._node)
                paths = {each.path for each in problems}
                search.problems = [
                    each for each in search.problems if each.kind != "missing" or each.path not in paths
                ]
            else:
                skip = {each.path for each in problems}
                closed = self._checks_names or self._model is None
                search.fields(parameters, self._fields, closed=closed, skip=skip)
        except EnoughError:
            pass
        return search.problems

    def _unexplained(self, call: Call, parameters: dict[str, Any], problems: list[Problem]) -> list[Problem]:
        """The problems, and the parameters that only a check of their class refuses, or that are too long."""
        paths = [each.path for each in problems]
        found = list(problems)
        for each in self._checked if problems else self._parameters:
            path = shown_path([each.name])
            if each.name not in parameters or any(other.startswith(path) for other in paths):
                continue
            try:
                self._converted(call, parameters[each.name], each.type)
            except REFUSED:
                found.append(Problem(path, "value"))
        return found


def _struct(parameters: tuple[Parameter, ...]) -> Any:
    """A struct with a field for each parameter, which msgspec fills in one step."""
    fields: list[Any] = []
    for each in parameters:
        if each.default is NODEFAULT:
            fields.append((each.attribute, each.type))
        elif isinstance(each.default, CONSTANT) or each.default is msgspec.UNSET:
            fields.append((each.attribute, each.type, each.default))
        else:  # each call has its own
            default = msgspec.field(default_factory=partial(deepcopy, each.default))
            fields.append((each.attribute, each.type, default))
    renamed = {each.attribute: each.name for each in parameters if each.attribute != each.name}
    # No cycle can go through it, as nothing has it any more when the method is called.
    return msgspec.defstruct(
        "Parameters", fields, rename=renamed, forbid_unknown_fields=True, kw_only=True, gc=False
    )


def _whole(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a refused call, with integers for floats that are some; else themselves."""
    found: dict[str, Any] = parameters if call.by_get or call.by_form else _with_integers(parameters)
    return found


def _with_integers(root: dict[str, Any]) -> Any:
    """A value with integers for the floats that are integers, as in JSON Schema; itself if there is none.

    JSON has one kind of number, and some clients write 5.0 for 5. A value with more parts than are looked at
    of any refused call stays as it is.
    """
    if _NO_FLOATS.issuperset(map(type, root.values())):
        return root
    left = MAX_VISITS

    def converted(value: Any, depth: int) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise EnoughError
        if isinstance(value, float):
            return int(value) if value.is_integer() and -(2.0**63) <= value < 2.0**63 else value
        if depth == MAX_DEPTH:
            return value
        if isinstance(value, dict):
            found: Any = {name: converted(each, depth + 1) for name, each in value.items()}
            return found if any(each is not value[name] for name, each in found.items()) else value
        if isinstance(value, list):
            found = [converted(each, depth + 1) for each in value]
            return found if any(new is not old for new, old in zip(found, value, strict=True)) else value
        return value

    try:
        return converted(root, 0)
    except EnoughError:
        return root


def _with_decimals(value: Any) -> Any:
    """A value of BSON, with its decimals as Python has them."""
    if isinstance(value, Decimal128):
        return value.to_decimal()
    if isinstance(value, dict):
        return {name: _with_decimals(each) for name, each in value.items()}
    return [_with_decimals(each) for each in value] if isinstance(value, list) else value


_NO_FLOATS = frozenset({str, int, bool, bytes, type(None)})
_WITH_OPTIONS = (types.CustomType, types.DictType)
"""What a hook reads, and what may have keys that are not text."""
_CLASSES = (types.StructType, types.DataclassType, types.NamedTupleType)
