"""JSON Schema (draft 2020-12) of what methods take and give, as far as their records tell."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import NODEFAULT, UNSET

from toto_aio.contract.types import REFERENCE, VALUE, Schema, Types, without_null
from toto_aio.dispatch.method import Method
from toto_aio.dispatch.model_types import is_pydantic
from toto_aio.dispatch.signature import NOTHING, Parameter, Signature
from toto_aio.dispatch.text import field_of
from toto_aio.members import Admission
from toto_aio.method_rules import Guard

SESSION_ID: Schema = {"type": "string", "description": "The id of the caller's session."}
CALLBACK: Schema = {
    "type": ["string", "null"],
    "pattern": "^[A-Za-z_$][A-Za-z0-9_$.]{0,63}$",
    "description": "The function that the script calls; without it the response is like any other.",
}
TEXTS: Schema = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 2}]}
FILE: Schema = {"type": "string", "format": "binary", "contentMediaType": "application/octet-stream"}


class Schemas:
    """The schemas of some methods, and the ``components`` that they refer to."""

    def __init__(self, methods: Iterable[Method]) -> None:
        signatures = [each.signature for each in methods if each.signature is not None]
        kinds = [each.type for signature in signatures for each in signature.parameters]
        kinds += [each.returns for each in signatures if each.returns not in UNTYPED]
        self._types = Types(kinds)
        self.components: dict[str, Schema] = {**COMMON, **self._types.components}

    def named(self, name: str, schema: Schema) -> Schema:
        """A reference to a schema that the document has once, under a name."""
        name = re.sub(r"[^A-Za-z0-9._-]", "_", name)
        self.components[name] = schema
        return {"$ref": f"{REFERENCE}{name}"}

    def body(self, method: Method) -> Schema:
        """What the body of a call by POST may be.

        A classic method takes an object; only what its decorators require or set is known of it.
        """
        if method.signature is not None and is_pydantic(method.signature.model):
            return _with_own(method, self._types.of_pydantic(method.signature.model))
        if method.signature is not None:
            return _with_own(method, self._typed(method.signature))
        rules = method.rules
        properties: dict[str, Schema | bool] = dict.fromkeys(rules.required, VALUE)
        for name, value in rules.defaults.items():
            properties[name] = {**VALUE, **_default(value)}
        # With this key the body is no longer the parameters: they are what it has.
        properties.setdefault("parameters", False)
        required = [name for name in rules.required if name not in rules.defaults]
        return _with_own(method, _object(properties, required, VALUE))

    def query(self, method: Method) -> list[Schema]:
        """The parameters of a call by GET, as OpenAPI describes them: text, repeated for a list."""
        rules, signature = method.rules, method.signature
        known: dict[str, Schema] = {}
        for each in signature.parameters if signature is not None else ():
            schema = self._text(each)
            known[each.name] = {"required": each.required, "schema": schema, **_described(each)}
        for name in (*rules.required, *rules.defaults):
            known[name] = {"required": name not in rules.defaults, "schema": TEXTS}
        is_free = signature is None and not known
        if rules.guard is Guard.PARAMETER:
            known["session_id"] = {"required": True, "schema": SESSION_ID}
        if rules.jsonp:
            known[rules.jsonp] = {"required": False, "schema": CALLBACK}
        if is_free:
            known["parameters"] = {"style": "form", "explode": True, "schema": {"type": "object"}}
        return [{"name": name, "in": "query", **shown} for name, shown in known.items()]

    def form(self, method: Method) -> Schema | None:
        """What a form with files may have; None if the method takes no file."""
        signature = method.signature
        if signature is None or not any(each.takes_file for each in signature.parameters):
            return None
        properties: dict[str, Schema | bool] = {}
        for each in signature.parameters:
            schema = self._text(each)
            if each.takes_file:
                schema = {**schema, "items": FILE} if schema.get("type") == "array" else FILE
            properties[each.name] = {**schema, **_described(each)}
        return _with_own(method, _object(properties, _required(signature), False))

    def success(self, method: Method) -> Schema:
        """The body of a response with a result."""
        session = {"$ref": f"{REFERENCE}TotoSession"}
        return _object({"result": self.result(method), "session": session}, ["result"])

    def result(self, method: Method) -> Schema:
        """What the method gives: anything, if it doesn't say."""
        returns = NOTHING if method.signature is None else method.signature.returns
        return {} if returns in UNTYPED else self._types.of(returns)

    def _typed(self, signature: Signature) -> Schema:
        properties: dict[str, Schema | bool] = {
            each.name: {**self._schema(each), **_described(each), **_default(each.default)}
            for each in signature.parameters
        }
        return _object(properties, _required(signature), False)

    def _text(self, parameter: Parameter) -> Schema:
        """What a parameter may be as text: "" is as if it had not been sent, where it is not a value."""
        schema = without_null(self._schema(parameter))
        if parameter.required or field_of(parameter).keeps_nothing:
            return schema
        if schema.get("type") == "array":
            return schema  # an empty item of a list is left out
        return {"anyOf": [schema, {"const": ""}]}

    def _schema(self, parameter: Parameter) -> Schema:
        return self._types.of(parameter.type)


def _object(
    properties: Mapping[str, Any], required: Iterable[str], others: Schema | bool | None = None
) -> Schema:
    schema: Schema = {"type": "object", "properties": dict(properties)}
    if others is not None:
        schema["additionalProperties"] = others
    names = sorted(required)
    return {**schema, "required": names} if names else schema


def _with_own(method: Method, schema: Schema) -> Schema:
    """The schema of parameters with those that decorators take."""
    own: dict[str, Schema] = {}
    if method.rules.guard is Guard.PARAMETER:
        own["session_id"] = SESSION_ID
        schema = {**schema, "required": sorted({*schema.get("required", ()), "session_id"})}
    if method.rules.jsonp:
        own[method.rules.jsonp] = CALLBACK
    return {**schema, "properties": {**schema.get("properties", {}), **own}} if own else schema


def _required(signature: Signature) -> list[str]:
    return [each.name for each in signature.parameters if each.required]


def _described(parameter: Parameter) -> Schema:
    return {"description": parameter.description} if parameter.description else {}


def _default(value: Any) -> Schema:
    """The default of a parameter, if it has one and JSON has such values."""
    if value is NODEFAULT or value is UNSET:
        return {}
    try:
        return {"default": msgspec.to_builtins(value, str_keys=True)}
    except (TypeError, ValueError):
        return {}


UNTYPED = (NOTHING, Admission)
"""Annotations that don't say what a function gives: an admission to a channel has any data."""
COMMON: Mapping[str, Schema] = {
    "TotoValue": {
        "description": "Anything that JSON has: integers have 64 bits, objects are nested at most 64 deep.",
        "anyOf": [
            {"type": ["null", "boolean", "string", "number"]},
            # Not of TotoValue itself: TypeScript refuses a type that consists of itself.
            {"type": "array", "items": {}},
            {"type": "object", "additionalProperties": {}},
        ],
    },
    "TotoSession": {
        "description": "The session of the caller.",
        "type": "object",
        "properties": {
            "session_id": {
                "type": "string",
                "description": "What the client shows from now on; left out where a cookie has it.",
            },
            "expires": {"type": "number", "description": "When it expires, in Unix seconds."},
            "user_id": {"type": "string", "description": "The user; empty if the session is anonymous."},
            "key": {"type": "string", "description": "The key for signatures, if it was just made: base64."},
        },
        "required": ["expires", "user_id"],
    },
    "TotoError": {
        "type": "object",
        "properties": {
            "code": {"type": "integer", "description": "What went wrong; clients decide by it."},
            "value": {"description": "The same for people, or what the method says about it."},
            "retry_after": {"type": "integer", "description": "The seconds to wait (code 1012)."},
            "problems": {
                "description": "Everything that is wrong with the parameters (code 1003).",
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "path": {"type": "string"},
                        "kind": {"enum": ["missing", "unknown", "type", "value"]},
                        "expected": {"type": "string"},
                        "got": {"type": "string"},
                        "nearest": {"type": "string"},
                    },
                    "required": ["path", "kind"],
                },
            },
        },
        "required": ["code", "value"],
    },
    "TotoFailure": {
        "type": "object",
        "properties": {
            "error": {"$ref": f"{REFERENCE}TotoError"},
            "session": {"$ref": f"{REFERENCE}TotoSession"},
        },
        "required": ["error"],
    },
}
"""The schemas that every document has."""
