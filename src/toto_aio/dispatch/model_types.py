"""The classes that a typed method may take as they are, and how msgspec reads those that it does not know."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Callable, Mapping
from typing import Any, get_origin, is_typeddict

import bson
import msgspec
from msgspec import NODEFAULT, UNSET
from msgspec import inspect as types

from toto_aio.dispatch.resolving import hints_of
from toto_aio.dispatch.signature import Parameter


def is_pydantic(kind: Any) -> bool:
    """Whether a class is a model of pydantic, which has been imported by whoever wrote the class."""
    return isinstance(kind, type) and hasattr(kind, "model_validate") and hasattr(kind, "model_fields")


def is_model(kind: Any) -> bool:
    """Whether a type has named fields: a struct, a dataclass, a TypedDict, a class of attrs or pydantic."""
    kind = get_origin(kind) or kind
    return isinstance(kind, type) and (
        issubclass(kind, msgspec.Struct)
        or dataclasses.is_dataclass(kind)
        or hasattr(kind, "__attrs_attrs__")
        or is_typeddict(kind)
        or is_pydantic(kind)
    )


def read_custom(kind: Any, value: Any) -> Any:
    """A value of a type that msgspec does not know: its hook. Raises ``ValueError`` or ``TypeError``."""
    reader = READERS.get(kind)
    if reader is not None:
        return reader(value)
    return value if kind is object else kind.model_validate(value)


def converted(value: Any, kind: Any) -> Any:
    """A value as a client has sent it, of the type. Raises ``ValueError``."""
    try:
        return msgspec.convert(value, kind, str_keys=True, dec_hook=read_custom)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def fields_of(model: Any) -> tuple[Parameter, ...]:
    """The fields of a model as parameters; of a field without a default that may be left out it is UNSET."""
    if is_pydantic(model):
        return tuple(_pydantic_field(name, field) for name, field in model.model_fields.items())
    hints = hints_of(model)
    node: Any = types.type_info(model)
    return tuple(
        Parameter(field.encode_name, field.name, hints[field.name], _default(field)) for field in node.fields
    )


def known_names(model: Any) -> frozenset[str]:
    """The names that a pydantic model reads, which may be several for a field; none of another model."""
    if not is_pydantic(model):
        return frozenset()
    names = set(model.model_fields)
    for field in model.model_fields.values():
        for alias in (field.alias, field.validation_alias):
            choices = getattr(alias, "choices", (alias,))
            names.update(str(getattr(each, "path", (each,))[0]) for each in choices if each is not None)
    return frozenset(names)


def takes_others(model: Any) -> bool:
    """Whether a model asks for the names that it does not know, as ``extra="allow"`` of pydantic does."""
    return is_pydantic(model) and model.model_config.get("extra") == "allow"


def _default(field: types.Field) -> Any:
    if field.default_factory is not NODEFAULT:
        return field.default_factory()
    if field.default is NODEFAULT and not field.required:
        return UNSET
    return field.default


def _pydantic_field(name: str, field: Any) -> Parameter:
    default = NODEFAULT if field.is_required() else field.get_default(call_default_factory=True)
    alias = field.validation_alias if isinstance(field.validation_alias, str) else field.alias
    return Parameter(alias or name, name, field.annotation, default, field.description or "")


def _text(kind: Callable[[str], Any]) -> Callable[[Any], Any]:
    """Reads a type from text only: an IP address from an integer would be a surprise."""

    def read(value: Any) -> Any:
        if isinstance(value, kind):  # type: ignore[arg-type]
            return value
        if not isinstance(value, str):
            raise TypeError("expected text")
        try:
            return kind(value)
        except Exception as exc:
            raise ValueError("not one") from exc

    return read


READERS: Mapping[Any, Callable[[Any], Any]] = {
    kind: _text(kind)
    for kind in (
        bson.ObjectId,
        ipaddress.IPv4Address,
        ipaddress.IPv6Address,
        ipaddress.IPv4Network,
        ipaddress.IPv6Network,
        ipaddress.IPv4Interface,
        ipaddress.IPv6Interface,
    )
}
"""Types that are read from text, as they are sent as text."""
