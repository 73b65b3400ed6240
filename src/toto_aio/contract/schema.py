"""JSON Schema (draft 2020-12) of what methods take and give, as far as their records tell."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from toto_aio.dispatch.method import Method
from toto_aio.invocation import Guard

Schema = dict[str, Any]

VALUE: Schema = {"$ref": "#/components/schemas/Value"}
SESSION_ID: Schema = {"type": "string", "description": "The id of the caller's session."}
CALLBACK: Schema = {
    "type": "string",
    "pattern": "^[A-Za-z_$][A-Za-z0-9_$.]{0,63}$",
    "description": "The function that the script calls; without it the response is like any other.",
}
TEXTS: Schema = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 2}]}
INTEGER: Schema = {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}


class Schemas:
    """The schemas of some methods, and the ``components`` that they refer to."""

    def __init__(self, methods: Iterable[Method]) -> None:
        self.components: dict[str, Schema] = dict(COMMON)

    def named(self, name: str, schema: Schema) -> Schema:
        """A reference to a schema that the document has once, under a name."""
        name = re.sub(r"[^A-Za-z0-9._-]", "_", name)
        self.components[name] = schema
        return {"$ref": f"#/components/schemas/{name}"}

    def body(self, method: Method) -> Schema:
        """What the body of a call by POST may be.

        A classic method takes an object; only what its decorators require or set is known of it.
        """
        rules = method.rules
        properties: dict[str, Schema | bool] = dict.fromkeys(rules.required, VALUE)
        for name, value in rules.defaults.items():
            properties[name] = {**VALUE, **_default(value)}
        required = [name for name in rules.required if name not in rules.defaults]
        if rules.guard is Guard.PARAMETER:
            properties["session_id"] = SESSION_ID
            required.append("session_id")
        if rules.jsonp:
            properties[rules.jsonp] = CALLBACK
        # With this key the body is no longer the parameters: they are what it has.
        properties.setdefault("parameters", False)
        schema: Schema = {"type": "object", "properties": properties, "additionalProperties": VALUE}
        return {**schema, "required": sorted(set(required))} if required else schema

    def query(self, method: Method) -> list[Schema]:
        """The parameters of a call by GET, as OpenAPI describes them: text, repeated for a list."""
        rules = method.rules
        known = {name: (TEXTS, name not in rules.defaults) for name in (*rules.required, *rules.defaults)}
        if rules.guard is Guard.PARAMETER:
            known["session_id"] = SESSION_ID, True
        if rules.jsonp:
            known[rules.jsonp] = CALLBACK, False
        listed: list[Schema] = [
            {"name": name, "in": "query", "required": required, "schema": schema}
            for name, (schema, required) in known.items()
        ]
        if not known.keys() - {rules.jsonp, "session_id"}:
            anything = {"type": "object", "additionalProperties": {"type": "string"}}
            free = {"style": "form", "explode": True, "schema": anything}
            listed.append({"name": "parameters", "in": "query", **free})
        return listed

    def form(self, method: Method) -> Schema | None:
        """What a form with files may have; None if the method takes no file."""
        return None

    def success(self, method: Method) -> Schema:
        """The body of a response with a result, which is anything if the method doesn't say what it gives."""
        session = {"$ref": "#/components/schemas/Session"}
        properties = {"result": {}, "session": session}
        return {"type": "object", "properties": properties, "required": ["result"]}


def _default(value: Any) -> Schema:
    """The default of a parameter, if JSON has such values."""
    try:
        return {"default": msgspec.to_builtins(value, str_keys=True)}
    except (TypeError, ValueError):
        return {}


COMMON: Mapping[str, Schema] = {
    "Value": {
        "description": "Anything that JSON has: integers have 64 bits, objects are nested at most 64 deep.",
        "anyOf": [
            {"type": ["null", "boolean", "string"]},
            INTEGER,
            {"type": "number", "not": {"type": "integer"}},
            {"type": "array", "items": VALUE},
            {"type": "object", "additionalProperties": VALUE},
        ],
    },
    "Session": {
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
    "Error": {
        "type": "object",
        "properties": {
            "code": {"type": "integer", "description": "What went wrong; clients decide by it."},
            "value": {"description": "The same for people, or what the method says about it."},
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
    "Failure": {
        "type": "object",
        "properties": {
            "error": {"$ref": "#/components/schemas/Error"},
            "session": {"$ref": "#/components/schemas/Session"},
        },
        "required": ["error"],
    },
}
"""The schemas that every document has."""
