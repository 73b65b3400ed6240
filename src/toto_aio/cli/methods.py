"""``toto-aio methods``: the methods of a service, as a table or as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import UNSET

from toto_aio.dispatch.method import Method
from toto_aio.dispatch.signature import NOTHING, Parameter
from toto_aio.method_rules import CALLERS, Rules
from toto_aio.registry import functions_of, is_callable
from toto_aio.settings import Settings

HEADING = ("METHOD", "CALLER", "BY", "PARAMETERS", "FROM", "WHAT IT DOES")


def list_methods(settings: Settings, *, as_json: bool = False) -> str:
    """The methods of a service, and the functions that admit to its channels, sorted by name.

    Raises ``SettingsError``, or what the import of a module raises.
    """
    methods = sorted(functions_of(settings).values(), key=lambda method: method.name)
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
        _caller(rules),
        _ways(method, get_methods),
        ", ".join(map(_shown, method.signature.parameters) if method.signature else [*needed, *defaults]),
        method.source,
        ("deprecated: " if rules.deprecation else "") + _first_line(method.documentation),
    )


def _ways(method: Method, get_methods: str) -> str:
    """How clients reach it: ``GET, POST`` or ``channel room:{room}``."""
    channel = method.rules.channel
    ways = ["GET, POST" if method.reachable_by_get(get_methods) else "POST"] if is_callable(method) else []
    return ", ".join(ways if channel is None else [*ways, f"channel {channel.pattern}"])


def _caller(rules: Rules) -> str:
    """Who may call a method, and how often: ``logged in, within 300 s; 10 calls in 60 s by user``."""
    who = CALLERS[rules.guard] + (f" as {' or '.join(rules.roles)}" if rules.roles else "")
    fresh = "" if rules.fresh is None else f", within {rules.fresh:g} s"
    return "; ".join([f"{who}{fresh}", *map(str, rules.rates)])


def _described(method: Method, get_methods: str) -> dict[str, Any]:
    rules, signature = method.rules, method.signature
    described = {
        "method": method.name,
        "caller": rules.guard.name.lower(),
        "roles": rules.roles,
        "fresh": rules.fresh,
        "rates": [rate._asdict() for rate in rules.rates],
        "get": is_callable(method) and method.reachable_by_get(get_methods),
        "call": is_callable(method),
        "channel": None if rules.channel is None else rules.channel.pattern,
        "required": rules.required,
        "defaults": rules.defaults,
        "idempotent": rules.idempotent,
        "timeout": method.timeout,
        "deprecated": None if rules.deprecation is None else rules.deprecation._asdict(),
        "from": method.source,
        "documentation": method.documentation,
    }
    if signature is not None:
        described["parameters"] = [_parameter(each) for each in signature.parameters]
        if signature.returns is not NOTHING:
            described["returns"] = type_name(signature.returns)
    return described


def _shown(parameter: Parameter) -> str:
    """A parameter as its method has it: ``limit: int=10``."""
    text = f"{parameter.name}: {type_name(parameter.type)}"
    return text if parameter.required or parameter.default is UNSET else f"{text}={parameter.default!r}"


def _parameter(parameter: Parameter) -> dict[str, Any]:
    described: dict[str, Any] = {"name": parameter.name, "type": type_name(parameter.type)}
    described["required"] = parameter.required
    if not parameter.required and parameter.default is not UNSET:
        described["default"] = parameter.default
    if parameter.description:
        described["description"] = parameter.description
    return described


def type_name(kind: Any) -> str:
    """A type as one would write it, without the modules of its parts: ``list[Note] | None``."""
    if get_origin(kind) is Annotated:
        return type_name(get_args(kind)[0])
    if isinstance(kind, type) and not get_args(kind):
        return "None" if kind is NoneType else kind.__name__
    if get_origin(kind) in (Union, UnionType):
        return " | ".join(map(type_name, get_args(kind)))
    if get_args(kind) and get_origin(kind) is not Literal:
        parts = ", ".join("..." if each is ... else type_name(each) for each in get_args(kind))
        return f"{getattr(get_origin(kind), '__name__', kind)}[{parts}]"
    return str(kind).replace("typing.", "")


def _first_line(documentation: str) -> str:
    """The first line that the author wrote: lines in asterisks come from decorators."""
    lines = documentation.replace("``", "").splitlines()
    return next((line for line in lines if line and not line.startswith("*")), "")


def _aligned(rows: Iterable[Sequence[str]]) -> str:
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)
