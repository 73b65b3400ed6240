"""One method as operations of OpenAPI: by POST, and by GET if that may call it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from toto_aio.contract.failures import error_statuses, name_of
from toto_aio.contract.links import Links
from toto_aio.contract.policy import described_policy
from toto_aio.contract.schema import Schemas
from toto_aio.contract.security import requirements
from toto_aio.contract.types import Schema
from toto_aio.dispatch.method import Method
from toto_aio.settings import Settings

JSON = "application/json"
SCRIPT = "application/javascript"


def path_of(method: Method, root: str) -> str:
    """Where a method is called: ``/service/notes/add`` for ``notes.add``."""
    return f"{root}/{quote(method.name.replace('.', '/'), safe='/')}"


def operations(method: Method, settings: Settings, schemas: Schemas, links: Links) -> dict[str, Any]:
    """The operations of a method by their verbs."""
    found = {"post": _operation(method, settings, schemas, by_get=False)}
    if method.reachable_by_get(settings.get_methods):
        found["get"] = _operation(method, settings, schemas, by_get=True)
    if linked := links.of(method):
        for operation in found.values():
            operation["responses"]["200"]["links"] = linked
    return found


def any_call(methods: Iterable[Method], settings: Settings, schemas: Schemas) -> dict[str, Any]:
    """The one operation of a service whose calls name the method in their body."""
    calls: list[Schema] = []
    for method in methods:
        parameters = schemas.named(f"{method.name}.parameters", schemas.body(method))
        properties = {"method": {"const": method.name}, "parameters": parameters}
        text = documented(method.documentation).get("summary", method.name)
        calls.append({"type": "object", "title": text, "properties": properties, "required": ["method"]})
    return {
        "operationId": "call",
        "requestBody": {"content": in_each(encodings(settings), {"oneOf": calls}), "required": True},
        "responses": {"default": {"$ref": "#/components/responses/Failure"}},
    }


def encodings(settings: Settings) -> list[str]:
    """The content types that requests may have, and responses then have."""
    enabled = {
        JSON: True,
        "application/msgpack": settings.msgpack_enabled,
        "application/bson": settings.bson_enabled,
    }
    return [name for name, is_on in enabled.items() if is_on]


def in_each(types: Iterable[str], schema: Schema) -> dict[str, Any]:
    """The ``content`` of what may come in each of these types."""
    return {name: {"schema": schema} for name in types}


def documented(documentation: str) -> dict[str, str]:
    """The summary and the description: the first line of a docstring, and the rest."""
    first, _, rest = documentation.strip().partition("\n")
    if first.startswith("*"):  # the author has written none: it is a decorator's
        first, rest = "", documentation
    parts = {"summary": first.strip().removesuffix("."), "description": rest.strip()}
    return {name: text for name, text in parts.items() if text}


def _operation(method: Method, settings: Settings, schemas: Schemas, *, by_get: bool) -> dict[str, Any]:
    operation: dict[str, Any] = {"operationId": f"{method.name}:get" if by_get else method.name}
    operation |= documented(method.documentation)
    package = method.name.rpartition(".")[0]
    if package:
        operation["tags"] = [package]
    if by_get:
        operation["parameters"] = schemas.query(method)
    else:
        if method.rules.idempotent:
            operation["parameters"] = [KEY]
        operation["requestBody"] = _body(method, settings, schemas)
    operation["responses"] = _responses(method, settings, schemas, by_get=by_get)
    operation["security"] = requirements(method, settings)
    if method.rules.deprecation is not None:
        operation["deprecated"] = True
    if method.rules.safe:
        operation["x-safe"] = True
    return operation | described_policy(method.rules)


def _body(method: Method, settings: Settings, schemas: Schemas) -> dict[str, Any]:
    schema = schemas.body(method)
    content = in_each(encodings(settings), schemas.named(f"{method.name}.parameters", schema))
    form = schemas.form(method)
    if form is not None:
        content["multipart/form-data"] = {"schema": form}
    return {"content": content, "required": bool(schema.get("required"))}


def _responses(method: Method, settings: Settings, schemas: Schemas, *, by_get: bool) -> dict[str, Any]:
    types = [JSON] if by_get else encodings(settings)
    rules = method.rules
    result = schemas.success(method)
    if settings.error_status == "toto":
        result = {"anyOf": [result, {"$ref": "#/components/schemas/TotoFailure"}]}
    result = schemas.named(f"{method.name}.response", result)
    content: dict[str, Any] = {"*/*": {}} if rules.raw else in_each(types, result)
    if rules.jsonp:
        content[SCRIPT] = {"schema": {"type": "string"}}
    text = "Bytes of the method's own." if rules.raw else "The result."
    found: dict[str, Any] = {"200": {"description": text, "content": content}}
    if rules.idempotent:
        found["200"]["headers"] = _REPLAYED
    if rules.redirects or rules.default_redirect:
        found["302"] = {"description": "An error leads somewhere else.", "headers": _LOCATION}
    for status in error_statuses(method, settings):
        found[str(status)] = {"$ref": f"#/components/responses/{name_of(status)}"}
    found["default"] = {"$ref": "#/components/responses/Failure"}
    return found


KEY = {
    "name": "idempotency-key",
    "in": "header",
    "description": "Names the call: one that repeats it within a day gets the same outcome.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}
_REPLAYED = {
    "idempotent-replayed": {
        "description": "The result is that of an earlier call with this key.",
        "schema": {"const": "true"},
    }
}
_LOCATION = {"Location": {"description": "Where.", "schema": {"type": "string"}}}
