"""``toto-aio methods``: the methods of a service, as a table or as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from toto_aio.dispatch.method import Method
from toto_aio.invocation import Guard
from toto_aio.registry import find_methods
from toto_aio.settings import Settings

CALLERS = {
    Guard.NONE: "anyone",
    Guard.OPTIONAL: "anyone, with their session",
    Guard.ANONYMOUS: "anyone, in a session",
    Guard.AUTHENTICATED: "logged in",
    Guard.PARAMETER: "logged in by session_id",
}
"""Who may call a method, by its guard."""
HEADING = ("METHOD", "CALLER", "BY", "PARAMETERS", "FROM", "WHAT IT DOES")


def list_methods(settings: Settings, *, as_json: bool = False) -> str:
    """The methods of a service, sorted by name.

    Raises ``SettingsError``, or what the import of a module raises.
    """
    methods = sorted(
        find_methods(settings.method_module, settings.method_timeout).values(), key=lambda method: method.name
    )
    if not as_json:
        return _aligned([HEADING, *(_row(method, settings.get_methods) for method in methods)])
    described = [_described(method, settings.get_methods) for method in methods]
    return msgspec.json.format(msgspec.json.encode(described, enc_hook=repr)).decode()


def _row(method: Method, get_methods: str) -> tuple[str, ...]:
    rules = method.rules
    needed = [name for name in rules.required if name not in rules.defaults]
    defaults = [f"{name}={value!r}" for name, value in rules.defaults.items()]
    return (
        method.name,
        CALLERS[rules.guard] + (f" as {' or '.join(rules.roles)}" if rules.roles else ""),
        "GET, POST" if method.reachable_by_get(get_methods) else "POST",
        ", ".join([*needed, *defaults]),
        method.source,
        ("deprecated: " if rules.deprecation else "") + _first_line(method.documentation),
    )


def _described(method: Method, get_methods: str) -> dict[str, Any]:
    rules = method.rules
    return {
        "method": method.name,
        "caller": rules.guard.name.lower(),
        "roles": rules.roles,
        "get": method.reachable_by_get(get_methods),
        "required": rules.required,
        "defaults": rules.defaults,
        "timeout": method.timeout,
        "deprecated": None if rules.deprecation is None else rules.deprecation._asdict(),
        "from": method.source,
        "documentation": method.documentation,
    }


def _first_line(documentation: str) -> str:
    """The first line that the author wrote: lines in asterisks come from decorators."""
    lines = documentation.replace("``", "").splitlines()
    return next((line for line in lines if line and not line.startswith("*")), "")


def _aligned(rows: Iterable[Sequence[str]]) -> str:
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)
