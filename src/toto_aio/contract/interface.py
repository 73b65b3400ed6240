"""What clients of a service rely on, read from its OpenAPI document, which may be a stranger's.

Generated clients and the comparison of contracts are made of this, so that a service is the same to them
whether its document comes from its methods or over the network. What is not as it should be there is passed
over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from toto_aio.channels import Channel
from toto_aio.contract.rates import Limit, read_limits
from toto_aio.contract.types import REFERENCE, Schema
from toto_aio.dispatch.idempotency import HEADER

JSON = "application/json"
MAX_DEPTH = 64
"""The deepest that a document is read."""
UNPRINTABLE = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What no text has in a generated file: it would end lines, or show code in another order than it has."""
OWN_SCHEMA = re.compile(r"^Toto(Value|Session|Error|Failure)$|\.(parameters|response)$")


class Operation(Struct, frozen=True):
    """A method. ``parameters`` is the schema of an object, ``result`` that of what the method gives.

    ``files`` names the parameters that a form may have files for. ``session`` is ``none``, ``optional`` or
    ``required``; ``fresh`` the seconds since the login, at most, and 0 if any time will do. If the method
    ``is_idempotent``, a call with an idempotency key may be repeated.
    """

    name: str
    parameters: Schema
    result: Schema | bool
    summary: str = ""
    description: str = ""
    files: tuple[str, ...] = ()
    session: str = "none"
    roles: tuple[str, ...] = ()
    fresh: float = 0
    is_safe: bool = False
    is_raw: bool = False
    is_deprecated: bool = False
    is_idempotent: bool = False
    rates: tuple[Limit, ...] = ()


class Interface(Struct, frozen=True):
    """The methods by their names, and the schemas that they refer to, both sorted.

    ``channels`` are by their patterns: of each the ``parameters`` are the variables, and the ``result`` is
    what comes with a subscription.
    """

    methods: dict[str, Operation]
    types: dict[str, Schema]
    channels: dict[str, Operation] = field(default_factory=dict)


def read_interface(document: Any) -> Interface:
    """The interface in a document."""
    schemas = _object(_object(_object(document).get("components")).get("schemas"))
    methods: dict[str, Operation] = {}
    for path in _object(_object(document).get("paths")).values():
        post = _object(_object(path).get("post"))
        name, body = post.get("operationId"), _content(post.get("requestBody"), JSON, schemas)
        if "oneOf" in body:  # the method is named in the body, and nothing is known of results
            for call in filter(None, map(_object, body["oneOf"] if isinstance(body["oneOf"], list) else ())):
                properties = _object(call.get("properties"))
                called = _object(properties.get("method")).get("const")
                if isinstance(called, str):
                    parameters = _resolved(properties.get("parameters"), schemas)
                    methods[called] = Operation(called, parameters, True, _text(call, "title"))
        elif isinstance(name, str):
            methods[name] = _operation(name, post, body, schemas)
    types = {name: _object(schemas[name]) for name in sorted(schemas) if not OWN_SCHEMA.search(name)}
    channels = _channels(_object(document).get("x-channels"))
    return Interface({name: methods[name] for name in sorted(methods)}, types, channels)


def _channels(listed: Any) -> dict[str, Operation]:
    found: dict[str, Operation] = {}
    for each in map(_object, listed if isinstance(listed, list) else ()):
        try:
            channel = Channel(each.get("pattern"))  # type: ignore[arg-type]  # it may be anything
        except (TypeError, ValueError):
            continue
        stated = _object(_object(each.get("variables")).get("properties"))
        variables: Schema = {
            "type": "object",
            "properties": {name: _object(stated.get(name)) for name in channel.variables},
            "additionalProperties": False,
            "required": sorted(channel.variables),
        }
        data = _object(each.get("data"))
        found[channel.pattern] = Operation(
            channel.pattern,
            variables,
            data or True,
            _text(each, "summary"),
            _text(each, "description"),
            (),
            *_policy(each),
            rates=read_limits(each.get("x-rates")),
        )
    return {pattern: found[pattern] for pattern in sorted(found)}


def _operation(name: str, post: Schema, body: Schema, schemas: Schema) -> Operation:
    success = _object(_object(post.get("responses")).get("200"))
    form = _object(_content(post.get("requestBody"), "multipart/form-data", schemas).get("properties"))
    return Operation(
        name,
        body,
        _result(_content(success, JSON, schemas), schemas),
        _text(post, "summary"),
        _text(post, "description"),
        tuple(sorted(each for each, schema in form.items() if _is_file(schema))),
        *_policy(post),
        post.get("x-safe") is True,
        "*/*" in _object(success.get("content")),
        post.get("deprecated") is True,
        _takes_key(post),
        read_limits(post.get("x-rates")),
    )


def _policy(stated: Schema) -> tuple[str, tuple[str, ...], float]:
    """The session that a caller needs, one of the roles, and the seconds since the login."""
    security, roles, fresh = stated.get("security"), stated.get("x-roles"), stated.get("x-fresh")
    session = "none" if not security else "optional" if {} in security else "required"
    return (
        session,
        tuple(each for each in roles if isinstance(each, str)) if isinstance(roles, list) else (),
        fresh if isinstance(fresh, int | float) else 0,
    )


def _takes_key(post: Schema) -> bool:
    """Whether it has the header of idempotency keys."""
    listed = post.get("parameters")
    headers = [_object(each) for each in listed] if isinstance(listed, list) else []
    return any(each.get("in") == "header" and each.get("name") == HEADER for each in headers)


def _result(response: Schema, schemas: Schema) -> Schema | bool:
    """The schema of the result in that of a response, which may be an error instead."""
    for each in (response, *map(_object, response.get("anyOf", ()))):
        properties = _object(_resolved(each, schemas).get("properties"))
        if "result" in properties:
            result = properties["result"]
            return result if isinstance(result, dict) and result else True
    return True


def _content(message: Any, content_type: str, schemas: Schema) -> Schema:
    content = _object(_object(message).get("content"))
    return _resolved(_object(content.get(content_type)).get("schema"), schemas)


def _resolved(schema: Any, schemas: Schema) -> Schema:
    """The schema that a reference leads to."""
    found = _object(schema)
    for _ in range(MAX_DEPTH):
        reference = found.get("$ref")
        if not isinstance(reference, str):
            return found
        found = _object(schemas.get(reference.removeprefix(REFERENCE)))
    return {}


def _is_file(schema: Any) -> bool:
    found = _object(schema)
    return "binary" in (found.get("format"), _object(found.get("items")).get("format"))


def _text(schema: Mapping[str, Any], name: str) -> str:
    text = schema.get(name)
    return text if isinstance(text, str) else ""


def _object(value: Any) -> Schema:
    return value if isinstance(value, dict) else {}
