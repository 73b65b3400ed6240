"""The types that calls can have, as msgspec knows them; others stop the start."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin

import msgspec
from msgspec import inspect as types

from toto_aio.dispatch.model_types import READERS, is_pydantic
from toto_aio.dispatch.resolving import UnreadableTypeError, hints_of, unaliased
from toto_aio.models import File

CONSTRAINTS_OF_OTHERS = ("annotated_types", "pydantic")
"""Packages whose constraints in ``Annotated`` msgspec passes over."""


def node_of(kind: Any) -> types.Type:
    """What msgspec knows of a type. Raises ``UnreadableTypeError`` for one that cannot be read."""
    try:
        node = types.type_info(kind)
    except (TypeError, ValueError, NameError) as exc:
        raise UnreadableTypeError(f"no call can have this type: {exc}") from exc
    for each in nodes(node):
        if reason := _unreadable(each):
            raise UnreadableTypeError(reason)
    for constraint in _constraints(kind, set()):
        name = type(constraint).__name__
        raise UnreadableTypeError(f"{name}(...) is not enforced: write msgspec.Meta, as in Meta(ge=1)")
    return node


def nodes(root: types.Type) -> Iterator[types.Type]:
    """A type and all in it, each once."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        for name in ("type", "item_type", "key_type", "value_type"):
            if isinstance(below := getattr(node, name, None), types.Type):
                waiting.append(below)
        waiting += getattr(node, "item_types", ())
        waiting += getattr(node, "types", ())
        waiting += [field.type for field in getattr(node, "fields", ())]


def plain_node(node: types.Type) -> types.Type:
    """The type without what ``Annotated`` says for documents."""
    while isinstance(node, types.Metadata):
        node = node.type
    return node


def description_of(kind: Any) -> str:
    """What ``Annotated[..., msgspec.Meta(description=...)]`` says."""
    found = getattr(kind, "__metadata__", ())
    texts = [each.description for each in found if isinstance(each, msgspec.Meta)]
    return next((text for text in texts if text), "")


def takes_file(kind: Any) -> bool:
    """Whether a file of a form may be a value of the type, or one of its list."""
    return any(map(_is_file, _alternatives(node_of(kind))))


def _is_file(node: types.Type) -> bool:
    node = plain_node(node)
    if isinstance(node, types.ListType | types.VarTupleType):
        return any(map(_is_file, _alternatives(node.item_type)))
    return isinstance(node, types.BytesType) or getattr(node, "cls", None) is File


def _alternatives(node: types.Type) -> tuple[types.Type, ...]:
    node = plain_node(node)
    return node.types if isinstance(node, types.UnionType) else (node,)


def _unreadable(node: types.Type) -> str | None:
    """Why no call can have a type; None if one can."""
    cls = getattr(node, "cls", None)
    name = getattr(cls, "__name__", type(node).__name__)
    if isinstance(node, types.CustomType):
        if cls is object or cls in READERS or is_pydantic(cls):
            return None
        return f"{name} cannot be read from a call: write a dataclass, a msgspec.Struct, or plain types"
    if isinstance(node, types.RawType | types.ExtType):
        return f"{name} cannot be read from a call: write Any"
    if isinstance(node, types.DataclassType) and hasattr(cls, "__pydantic_validator__"):
        return f"{name} is a dataclass of pydantic, whose checks would be passed over: write a BaseModel"
    return None


def _constraints(kind: Any, seen: set[Any]) -> Iterator[Any]:
    """What ``Annotated`` says in the words of another library, in a type and the fields of its models."""
    if (named := unaliased(kind)) is not kind:
        if kind not in seen:  # an alias may be of itself
            yield from _constraints(named, {*seen, kind})
        return
    if get_origin(kind) is Annotated:
        for each in kind.__metadata__:
            if type(each).__module__.partition(".")[0] in CONSTRAINTS_OF_OTHERS:
                yield each
    for each in get_args(kind):
        yield from _constraints(each, seen)
    if isinstance(kind, type) and kind not in seen and not is_pydantic(kind):
        seen.add(kind)
        if hasattr(kind, "__struct_fields__") or hasattr(kind, "__dataclass_fields__"):
            for hint in hints_of(kind).values():
                yield from _constraints(hint, seen)
