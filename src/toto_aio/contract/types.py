"""The types of typed methods as JSON Schema: msgspec's, and the rules of this service's codecs."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import bson
import msgspec

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
        readable = [kind for kind in kinds if self._is_readable(kind)]
        schemas, components = msgspec.json.schema_components(
            readable, schema_hook=self._custom, ref_template=f"{REFERENCE}{{name}}"
        )
        for name, schema in components.items():
            self.components[name] = refined(schema)
        self._schemas = {_key(kind): refined(schema) for kind, schema in zip(readable, schemas, strict=True)}

    def of(self, kind: Any) -> Schema:
        """The schema of a type: anything, if the type has none."""
        return self._schemas.get(_key(kind), {})

    def of_pydantic(self, model: Any) -> Schema:
        """The schema of a model that is all parameters, which has no others unless it asks for them."""
        schema = refined(self._custom(model))
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
        schema: Schema = kind.model_json_schema(ref_template=f"{REFERENCE}{{model}}")
        for name, below in schema.pop("$defs", {}).items():
            self.components[name] = refined(below)
        return schema


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


def without_null(schema: Schema) -> Schema:
    """A schema of what text can be, which is never null."""
    kinds = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    if not kinds:
        return schema
    rest = {name: value for name, value in schema.items() if name != "anyOf"}
    if rest.get("default", "") is None:
        del rest["default"]
    return {**kinds[0], **rest} if len(kinds) == 1 else {**rest, "anyOf": kinds}


def _key(kind: Any) -> Any:
    """Types are not all hashable, and some that are not the same are equal: 1 and True in a ``Literal``."""
    return id(kind)


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
