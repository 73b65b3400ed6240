"""The parameters of GET and of forms, which are text, as values of the types that a method asks for.

A list may have one value, and commas do not split. Nothing ("") for a type other than text is as if it had
not been sent, as a form sends all of its fields. Names with an underscore in front are passed over: scripts
add them to get past caches.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct
from msgspec import inspect as types

from toto_aio.dispatch.annotations import node_of, plain_node
from toto_aio.dispatch.problems import Problem
from toto_aio.dispatch.resolving import UnreadableTypeError
from toto_aio.dispatch.signature import Parameter
from toto_aio.models import File
from toto_aio.names import shortened

BOOLEANS: Mapping[str, bool] = {
    **dict.fromkeys(("true", "1", "on", "yes"), True),
    **dict.fromkeys(("false", "0", "off", "no"), False),
}
"""What a form, a script or a person writes for a boolean, in small or capital letters."""


class Field(Struct, frozen=True):
    """How the text of one parameter is read.

    ``items`` are the types of single values: one, or one for each place of a tuple. Of an object there is
    none, as text cannot be one. ``many``: it is a list.
    """

    items: tuple[types.Type, ...]
    many: bool = False
    takes_file: bool = False
    keeps_nothing: bool = False
    """Whether "" is a value."""


Values = dict[str, Any]


def field_of(parameter: Parameter) -> Field:
    """How a parameter is read. Raises ``UnreadableTypeError`` if text cannot tell its values apart."""
    kinds = _alternatives(node_of(parameter.type))
    lists = [each for each in kinds if isinstance(each, _LISTS)]
    singles = [each for each in kinds if not isinstance(each, (*_LISTS, *_OBJECTS)) or _is_file(each)]
    if lists and singles:
        raise UnreadableTypeError(
            "text cannot tell one value from a list of one: write the list, which takes one value too"
        )
    if not lists:
        _require_distinct(singles)
        return Field(tuple([types.UnionType(tuple(singles))] if singles else ()), *_of(parameter, singles))
    items = getattr(lists[0], "item_types", None) or (getattr(lists[0], "item_type", types.AnyType()),)
    below = [_alternatives(each) for each in items]
    for each in below:
        _require_distinct([kind for kind in each if not isinstance(kind, (*_LISTS, *_OBJECTS))])
    return Field(tuple(items), True, parameter.takes_file, any(map(_keeps_nothing, below)))


def read(given: Mapping[str, Any], fields: Mapping[str, Field]) -> tuple[Values, list[Problem]]:
    """The values of a form or a query, and what is wrong with them as text.

    Text that is not a value of its type stays text, which is then of the wrong type.
    """
    values: Values = {}
    problems: list[Problem] = []
    for name, sent in given.items():
        field = fields.get(name)
        if field is None:
            if not name.startswith("_"):
                values[name] = sent
            continue
        items = [_file(each) if isinstance(each, dict) else each for each in _listed(sent)]
        items = [each for each in items if not _is_nothing(each, field)]
        if not items:
            continue
        problem = _problem(name, items, field)
        if problem is not None:
            problems.append(problem)
            continue
        read_items = [
            _item(each, field.items[min(place, len(field.items) - 1)]) for place, each in enumerate(items)
        ]
        values[name] = read_items if field.many else read_items[0]
    return values, problems


def read_text(text: Any, node: types.Type) -> Any:
    """A text as a value of a type; unchanged if it is not one."""
    if not isinstance(text, str):
        return text
    for kind in _alternatives(node):
        reader = _READERS.get(type(kind))
        if reader is not None and (value := reader(text)) is not None:
            return value
        if isinstance(kind, types.LiteralType | types.EnumType) and _has_integers(kind):
            value = _integer(text)
            if value is not None:
                return value
    return text


def _item(item: Any, node: types.Type) -> Any:
    if not isinstance(item, File):
        return read_text(item, node)
    kinds = _alternatives(node)
    return item if any(map(_is_file, kinds)) else item.data


def _problem(name: str, items: list[Any], field: Field) -> Problem | None:
    """What is wrong with what was sent for a parameter, before it is read."""
    path = shortened(name)
    if not field.items:
        return Problem(path, "type", "object, which text cannot be: send JSON", "str")
    if len(items) > 1 and not field.many:
        return Problem(path, "type", "one value", f"{len(items)} values")
    if any(isinstance(each, File) for each in items) and not field.takes_file:
        return Problem(path, "type", "text", "file")
    return None


def _is_nothing(item: Any, field: Field) -> bool:
    """Whether an item stands for a field that was left empty; a browser sends a file without a name then."""
    if isinstance(item, File):
        return not item.name and not item.data
    return item == "" and not field.keeps_nothing


def _listed(sent: Any) -> list[Any]:
    return sent if isinstance(sent, list) else [sent]


def _file(part: Mapping[str, Any]) -> File:
    return File(part["filename"] or "", part["content_type"], part["body"])


def _of(parameter: Parameter, singles: Iterable[types.Type]) -> tuple[bool, bool, bool]:
    return False, parameter.takes_file, _keeps_nothing(singles)


def _alternatives(node: types.Type) -> list[types.Type]:
    """What a type may be, beside null, which text is not."""
    node = plain_node(node)
    kinds = map(plain_node, node.types) if isinstance(node, types.UnionType) else (node,)
    return [each for each in kinds if not isinstance(each, types.NoneType)]


def _require_distinct(kinds: list[types.Type]) -> None:
    """Raise ``UnreadableTypeError`` if the same text could be of two types."""
    names = {_kind_of_text(each) for each in kinds}
    words = {str(value).lower() for each in kinds for value in _words(each)}
    clash = (
        (names & {"any"} and len(kinds) > 1)
        or len(names & {"bool", "number", "text"}) > 1
        or ("bool" in names and words & BOOLEANS.keys())
        or (
            "number" in names
            and any(_integer(each) is not None or _float(each) is not None for each in words)
        )
    )
    if clash:
        raise UnreadableTypeError("text cannot tell its types apart, as in GET and forms: write one of them")


def _kind_of_text(node: types.Type) -> str:
    if isinstance(node, types.BoolType):
        return "bool"
    if isinstance(node, types.IntType | types.FloatType):
        return "number"
    if isinstance(node, types.StrType | types.BytesType | types.ByteArrayType | types.MemoryViewType):
        return "text"
    return "any" if isinstance(node, types.AnyType) else "format"


def _words(node: types.Type) -> tuple[Any, ...]:
    if isinstance(node, types.LiteralType):
        return tuple(node.values)
    return tuple(each.value for each in node.cls) if isinstance(node, types.EnumType) else ()


def _keeps_nothing(kinds: Iterable[types.Type]) -> bool:
    return any(isinstance(each, types.StrType | types.AnyType) or "" in _words(each) for each in kinds)


def _has_integers(node: types.Type) -> bool:
    return any(isinstance(each, int) for each in _words(node))


def _is_file(node: types.Type) -> bool:
    return getattr(node, "cls", None) is File


def _integer(text: str) -> int | None:
    if _INTEGER.fullmatch(text):
        value = int(text)
        if -(2**63) <= value < 2**63:
            return value
    return None


def _float(text: str) -> float | int | None:
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value if math.isfinite(value) else None


_INTEGER = re.compile(r"-?[0-9]{1,19}")
_NUMBER = re.compile(r"-?[0-9]{1,400}(\.[0-9]{1,400})?([eE][-+]?[0-9]{1,4})?")
_READERS: Mapping[type, Any] = {
    types.BoolType: lambda text: BOOLEANS.get(text.lower()),
    types.IntType: _integer,
    types.FloatType: _float,
}
_LISTS = (
    types.ListType,
    types.SetType,
    types.FrozenSetType,
    types.VarTupleType,
    types.TupleType,
    types.NamedTupleType,
)
_OBJECTS = (types.DictType, types.StructType, types.DataclassType, types.TypedDictType)
