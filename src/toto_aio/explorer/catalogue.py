"""What the explorer knows of a service: its methods and channels, its accounts, its errors."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Any

from toto_aio.contract.openapi import described_service
from toto_aio.contract.operations import documented
from toto_aio.contract.schema import Schemas
from toto_aio.deprecation import Deprecation
from toto_aio.dispatch.method import BUILT_IN_ACCOUNTS, Method
from toto_aio.explorer.errors import described_errors
from toto_aio.method_rules import CALLERS
from toto_aio.registry import callable_methods
from toto_aio.settings import Settings
from toto_aio.settings.urls import root_path
from toto_aio.signing import SCHEMES

ACCOUNTS = {
    "create": ("create", ""),
    "login": ("login", ""),
    "logout": ("logout", ""),
    "second_step": ("totp", "login"),
}
"""The account methods that the page itself calls: the module and, of several methods in it, the function."""
NOTES = re.compile(
    r"\*(?:Requires|Required|Default|Creates|Uses|At most|Takes at most|Can be|Deprecated|Admits)\b"
)
"""How the lines begin that decorators add to a docstring, as far as the page says the same elsewhere."""


def described(
    functions: Mapping[str, Method], accounts: Mapping[str, str], settings: Settings
) -> dict[str, Any]:
    """The service with these methods and functions that admit to channels, and with its account methods."""
    methods = callable_methods(functions)
    named = [methods[name] for name in sorted(methods)]
    schemas = Schemas(named)
    shown = [_method(each, settings, schemas) for each in named]
    admitting = [each for each in functions.values() if each.rules.channel is not None]
    has_channels = settings.use_web_sockets and settings.events not in ("", "off")
    return {
        **described_service(settings.method_module),
        **_ways(settings),
        "accounts": accounts,
        "errors": described_errors(settings),
        "methods": shown,
        "channels": sorted(map(_channel, admitting), key=_pattern) if has_channels else [],
        "schemas": schemas.components,
    }


def account_methods(methods: Mapping[str, Method]) -> dict[str, str]:
    """The names of the methods by which the page logs users in and out, as far as a service has them."""
    found = {}
    for purpose, (module, function) in ACCOUNTS.items():
        for name, method in methods.items():
            is_it = not function or name.rpartition(".")[2] == function
            if method.source == f"{BUILT_IN_ACCOUNTS}{module}" and is_it:
                found[purpose] = name
    return found


def _ways(settings: Settings) -> dict[str, Any]:
    """How the service is called."""
    root = root_path(settings) or "/"
    socket = settings.socket_path or posixpath.join(root, "websocket")
    return {
        "by_url": settings.method_select != "parameter",
        "batch_limit": settings.batch_limit if settings.method_select != "url" else 0,
        "signing": settings.signing if settings.signing in SCHEMES else "unknown",
        "cookies": settings.use_cookies,
        # From the root, as only the browser knows what stands in front of it.
        "socket": posixpath.relpath(socket, root) if settings.use_web_sockets else None,
    }


def _method(method: Method, settings: Settings, schemas: Schemas) -> dict[str, Any]:
    rules = method.rules
    return {
        "name": method.name,
        **_documented(method),
        **_policy(method),
        "timeout": method.timeout,
        "idempotent": rules.idempotent,
        "safe": rules.safe,
        "by_get": method.reachable_by_get(settings.get_methods) and settings.method_select != "parameter",
        "by_key": not method.post_only,
        "deprecated": _deprecated(rules.deprecation),
        "raw": rules.raw,
        "typed": method.signature is not None,
        "parameters": schemas.body(method),
        "files": _files(schemas.form(method)),
        "result": schemas.result(method),
    }


def _channel(function: Method) -> dict[str, Any]:
    channel = function.rules.channel
    assert channel is not None
    return {
        "pattern": channel.pattern,
        **_documented(function),
        **_policy(function),
        "history": channel.history,
        "ttl": channel.ttl,
        "presence": channel.presence,
    }


def _documented(method: Method) -> dict[str, str]:
    paragraphs = method.documentation.split("\n\n")
    return documented("\n\n".join(each for each in paragraphs if not NOTES.match(each)))


def _policy(method: Method) -> dict[str, Any]:
    rules = method.rules
    return {
        "caller": CALLERS[rules.guard],
        "roles": list(rules.roles),
        "rates": [str(rate) for rate in rules.rates],
        "fresh": rules.fresh,
    }


def _deprecated(deprecation: Deprecation | None) -> dict[str, str | None] | None:
    if deprecation is None:
        return None
    sunset = deprecation.sunset
    return {
        "since": deprecation.since.date().isoformat(),
        "sunset": None if sunset is None else sunset.date().isoformat(),
    }


def _files(form: dict[str, Any] | None) -> list[str]:
    """The parameters that a form sends as files."""
    properties = {} if form is None else form["properties"]
    return [name for name, schema in properties.items() if _is_file(schema) or _is_file(schema.get("items"))]


def _is_file(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("format") == "binary"


def _pattern(channel: Mapping[str, Any]) -> str:
    return str(channel["pattern"])
