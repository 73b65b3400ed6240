"""The OpenRPC 1.3 document of a service (https://spec.open-rpc.org), made of the records of its methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toto_aio.contract.failures import KEYS
from toto_aio.contract.openapi import described_service
from toto_aio.contract.operations import documented
from toto_aio.contract.policy import described_policy
from toto_aio.contract.schema import Schemas
from toto_aio.dispatch.method import Method
from toto_aio.exceptions import NotAuthorized, TooManyAttempts
from toto_aio.jsonrpc.messages import INVALID_PARAMS, MEANINGS
from toto_aio.method_rules import Guard
from toto_aio.settings import Settings

VERSION = "1.3.2"


def openrpc(methods: Mapping[str, Method], settings: Settings, url: str) -> dict[str, Any]:
    """The document of these methods, which JSON-RPC calls at this URL.

    A method that always responds with bytes of its own is left out, as JSON-RPC has no place for them.
    """
    named = [methods[name] for name in sorted(methods) if not methods[name].rules.raw]
    schemas = Schemas(named)
    return {
        "openrpc": VERSION,
        "info": described_service(settings.method_module),
        "servers": [{"name": "http", "url": url}],
        "methods": [_method(method, schemas) for method in named],
        "components": {"schemas": schemas.components},
    }


def _method(method: Method, schemas: Schemas) -> dict[str, Any]:
    rules = method.rules
    params = _params(method, schemas)
    errors = [{"code": INVALID_PARAMS, "message": MEANINGS[INVALID_PARAMS]}] if params else []
    if rules.guard in (Guard.AUTHENTICATED, Guard.PARAMETER):
        errors.append({"code": NotAuthorized.CODE, "message": NotAuthorized().value})
    if rules.idempotent:
        errors += [{"code": kind.CODE, "message": kind.VALUE} for kind in KEYS]
    if rules.rates:
        errors.append({"code": TooManyAttempts.CODE, "message": TooManyAttempts().value})
    found: dict[str, Any] = {
        "name": method.name,
        **documented(method.documentation),
        "paramStructure": "either" if _by_position(method) else "by-name",
        "params": params,
        "result": {"name": "result", "schema": schemas.result(method)},
        "errors": errors,
    }
    package = method.name.rpartition(".")[0]
    if package:
        found["tags"] = [{"name": package}]
    if rules.deprecation is not None:
        found["deprecated"] = True
    if rules.idempotent:
        found["x-idempotent"] = True
    return found | described_policy(rules)


def _params(method: Method, schemas: Schemas) -> list[dict[str, Any]]:
    """The parameters, the required ones first, as OpenRPC wants them."""
    body = schemas.body(method)
    required = body.get("required", ())
    found = [
        {"name": name, "required": name in required, "schema": schema}
        for name, schema in body.get("properties", {}).items()
        if schema is not False and name != method.rules.jsonp
    ]
    return sorted(found, key=lambda each: not each["required"])


def _by_position(method: Method) -> bool:
    """Whether an array can have the parameters: a decorator's own have no place in it."""
    signature = method.signature
    if signature is None or signature.model is not None or method.rules.guard is Guard.PARAMETER:
        return False
    return not any(each.by_keyword for each in signature.parameters)
