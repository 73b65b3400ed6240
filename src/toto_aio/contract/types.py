"""The types of typed methods as JSON Schema: msgspec's, and the rules of this service's codecs."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import bson
import msgspec
from msgspec import inspect as types

from toto_aio.dispatch.annotations import nodes, plain_node
from toto_aio.dispatch.model_types import is_pydantic, takes_others

Schema = dict[str, Any]

REFERENCE = "#/components/schemas/"
VALUE: Schema = {"$ref": f"{REFERENCE}TotoValue"}
"""Anything that JSON has."""
INTEGER: Schema = {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}


class Types:
    """The schemas of types; ``components`` has those of their classes, by name."""

    def __init__(self, kinds: Iterable[Any]) -> None:
        self.components: dict[str, Schema] = {}
        self._models: dict[Any, str] = {}
        readable = [kind for kind in kinds if self._is_readable(kind)]
        schemas, components = msgspec.json.schema_components(
            readable, schema_hook=self._custom, ref_template=f"{REFERENCE}{{name}}"
        )
        for kind, schema in zip(readable, schemas, strict=True):
            mark_dates(schema, components, types.type_info(kind))
        self.components |= {name: refined(schema) for name, schema in components.items()}
        self._schemas = {id(kind): refined(schema) for kind, schema in zip(readable, schemas, strict=True)}
        self._kinds = readable  # so that no other object gets the id of one

    def of(self, kind: Any) -> Schema:
        """The schema of a type: anything, if the type has none."""
        return self._schemas.get(id(kind), {})

    def of_pydantic(self, model: Any) -> Schema:
        """The schema of a model that is all parameters, which has no others unless it asks for them."""
        schema = self.components[self._custom(model)["$ref"].removeprefix(REFERENCE)]
        return schema if takes_others(model) else {**schema, "additionalProperties": False}

    def _is_readable(self, kind: Any) -> bool:
        try:
            msgspec.json.schema_components([kind], schema_hook=self._custom)
        except (TypeError, ValueError, NotImplementedError, NameError):
            return False
        return True

    def _custom(self, kind: Any) -> Schema:
        """The schema of a type that msgspec does not know. Raises ``NotImplementedError``."""
        if kind in FORMATS:
            return dict(FORMATS[kind])
        if not is_pydantic(kind):
            raise NotImplementedError
        if kind not in self._models:
            schema: Schema = kind.model_json_schema(ref_template=f"{REFERENCE}{{model}}")
            name = (
                kind.__name__
                if kind.__name__ not in self.components
                else f"{kind.__module__}.{kind.__name__}"
            )
            self._models[kind] = name
            for other, below in schema.pop("$defs", {}).items():
                self.components.setdefault(other, refined(below))
            if "$ref" not in schema:  # of a model that contains itself
                self.components[name] = refined(schema)
        return {"$ref": f"{REFERENCE}{self._models[kind]}"}


def refined(schema: Schema) -> Schema:
    """A schema with what msgspec leaves open, and the codecs do not: integers have 64 bits, for example."""
    if not schema:
        return VALUE
    found = dict(schema)
    for name, refine in _BELOW.items():
        if name in found:
            found[name] = refine(found[name])
    kind = found.get("type")
    if kind == "integer" and "enum" not in found:
        for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
            if exclusive not in found:
                found.setdefault(bound, INTEGER[bound])
    elif kind == "string":
        pattern = _PATTERNS.get(found.get("format", found.get("contentEncoding", "")))
        if pattern is not None:
            found.setdefault("pattern", pattern)
    elif kind == "array" and "prefixItems" not in found:
        found.setdefault("items", VALUE)
    elif kind == "object":
        found.setdefault("additionalProperties", VALUE)
    return found


def mark_dates(schema: Schema, components: Mapping[str, Schema], node: types.Type) -> None:
    """Say which texts are points in time, which msgspec does only if they must have a time zone."""
    _mark(schema, node)
    for each in nodes(node):
        properties = components.get(getattr(getattr(each, "cls", None), "__name__", ""), {}).get(
            "properties", {}
        )
        for field in getattr(each, "fields", ()):
            if field.encode_name in properties:
                _mark(properties[field.encode_name], field.type)


def _mark(schema: Any, node: types.Type) -> None:
    node = plain_node(node)
    if not isinstance(schema, dict):
        return
    if isinstance(node, types.DateTimeType):
        schema.setdefault("format", "date-time")
    elif isinstance(node, types.UnionType):
        kinds = {type(plain_node(each)) for each in node.types}
        if types.DateTimeType in kinds and types.StrType not in kinds:
            for each in schema.get("anyOf", ()):
                if each == {"type": "string"}:
                    each["format"] = "date-time"
    elif hasattr(node, "item_type"):
        _mark(schema.get("items"), node.item_type)
    elif isinstance(node, types.DictType):
        _mark(schema.get("additionalProperties"), node.value_type)


def without_null(schema: Schema) -> Schema:
    """A schema of what text can be, which is never null."""
    kinds = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    if not kinds:
        return schema
    rest = {name: value for name, value in schema.items() if name != "anyOf"}
    if rest.get("default", "") is None:
        del rest["default"]
    return {**kinds[0], **rest} if len(kinds) == 1 else {**rest, "anyOf": kinds}


def _each(schemas: Any) -> Any:
    return [refined(each) for each in schemas]


def _one(schema: Any) -> Any:
    return refined(schema) if isinstance(schema, dict) else schema


def _named(schemas: Mapping[str, Any]) -> Any:
    return {name: _one(each) for name, each in schemas.items()}


_BELOW: Mapping[str, Callable[[Any], Any]] = {
    "properties": _named,
    "$defs": _named,
    "items": _one,
    "additionalProperties": _one,
    "prefixItems": _each,
    "anyOf": _each,
    "oneOf": _each,
    "allOf": _each,
}
_PATTERNS = {
    "base64": "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
    "date-time": r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)?$",
    "date": r"^\d{4}-\d\d-\d\d$",
    "uuid": "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
    "decimal": r"^-?[0-9]{1,30}(\.[0-9]{1,30})?$",
}
FORMATS: Mapping[Any, Schema] = {
    bson.ObjectId: {"type": "string", "pattern": "^[0-9a-fA-F]{24}$"},
    ipaddress.IPv4Address: {"type": "string", "format": "ipv4"},
    ipaddress.IPv6Address: {"type": "string", "format": "ipv6"},
    ipaddress.IPv4Network: {"type": "string"},
    ipaddress.IPv6Network: {"type": "string"},
    ipaddress.IPv4Interface: {"type": "string"},
    ipaddress.IPv6Interface: {"type": "string"},
    object: {},
}
"""The types that are sent as text, and ``object``, which is anything."""
