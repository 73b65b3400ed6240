"""The help of ``toto-aio call``: its options, the methods of a service, and the parameters of a method."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from toto_aio.cli.call.document import Described, Document, Parameter, Schema
from toto_aio.cli.call.line import MAY_BE_BARE, OWN, option_of
from toto_aio.cli.call.outcome import aligned, printable, to_json
from toto_aio.cli.call.values import placeholder
from toto_aio.dispatch.bounds import amount, between

USAGE = """\
usage: toto-aio call SERVICE [METHOD] [--NAME=VALUE ...] [options]

Call a method. SERVICE is the URL of a service, such as http://127.0.0.1:8888/service; or a dot, for the
service of this folder with its toto.toml, or another file with its options, which is then called in this
process. Without a METHOD, the methods are listed; --help behind it shows what it takes.

A list is written --tags=a,b or --tags=a --tags=b, an object as JSON, a file as @FILE or @- for the standard
input, and a true boolean without a value. A dash reads a JSON object of parameters from the standard input.
"""
STATUSES = """\
exit status: 0 done; 1 the method gives an error; 2 the command or its parameters are wrong; 3 not authorized;
4 no such method; 5 unavailable, too busy or out of time; 6 no connection; 7 not the response of a service, or
not signed by it; 130 interrupted. docs/shell.md has more.
"""
HEADING = ("METHOD", "PARAMETERS", "WHAT IT DOES")
WIDTH = 100


def command_help() -> str:
    """What the command does, and its own options."""
    return f"{USAGE}\noptions:\n{_columns(_own_options())}\n\n{STATUSES}"


def method_list(document: Document, *, as_json: bool) -> str:
    """The methods, sorted by name."""
    methods = [document.methods[name] for name in sorted(document.methods)]
    if as_json:
        return to_json([_described(each, document) for each in methods])
    rows = [
        (each.name, ", ".join(map(_short, each.parameters)), printable(_plain(each.summary)))
        for each in methods
    ]
    return aligned([HEADING, *rows])


def method_help(target: str, method: Described, document: Document, *, as_json: bool) -> str:
    """What a method does and takes."""
    if as_json:
        return to_json(_described(method, document))
    needed = [_usage(each, document) for each in method.parameters if each.required]
    more = ["[--NAME=VALUE ...]"] if method.is_open or len(needed) < len(method.parameters) else []
    usage = " ".join([f"usage: toto-aio call {target} {method.name}", *needed, *more])
    parts = [usage, _plain(method.summary), _plain(method.description)]
    rows = [(_usage(each, document), _explained(each)) for each in method.parameters]
    if rows:
        parts.append("parameters:\n" + _columns(rows))
    if method.is_open:
        parts.append("It may take other parameters, which it does not name.")
    if method.is_idempotent:
        parts.append("A call with --idempotency-key may be repeated with the same key, and is done once.")
    if method.needs_user:
        parts.append("It is for users who have logged in: toto-aio login, or --user in process.")
    return "\n\n".join(printable(each, lines=True) for each in parts if each) + "\n"


def _plain(documentation: str) -> str:
    """A docstring without the marks of code, as ``toto-aio methods`` shows it."""
    return documentation.replace("``", "")


def _usage(parameter: Parameter, document: Document) -> str:
    return f"{option_of(parameter.name)}={_value(parameter, document)}"


def _value(parameter: Parameter, document: Document) -> str:
    return "@FILE" if parameter.takes_file else placeholder(parameter.schema, document)


def _short(parameter: Parameter) -> str:
    default = parameter.schema.get("default", ...)
    shown = parameter.name if default is ... else f"{parameter.name}={to_json(default)}"
    return printable(shown)


def _explained(parameter: Parameter) -> str:
    notes = [_plain(parameter.description)]
    rules = _rules(parameter.schema)
    if "default" in parameter.schema:
        rules.append(f"default {to_json(parameter.schema['default'])}")
    elif not parameter.required:
        rules.append("may be left out")
    if rules:
        notes.append(f"({', '.join(rules)})")
    return " ".join(filter(None, notes))


def _rules(schema: Schema) -> list[str]:
    """The bounds of a value, and its pattern."""
    found = {name: value for name, value in schema.items() if value not in _EVERY_INTEGER}
    rules = [
        between(*(found.get(name) for name in _LIMITS)),
        amount(found.get("minLength"), found.get("maxLength"), "character"),
        amount(found.get("minItems"), found.get("maxItems"), "value"),
    ]
    rules += [text.format(found[name]) for name, text in _OTHERS.items() if name in found]
    return [rule for rule in rules if rule]


def _own_options() -> list[tuple[str, str]]:
    forms = {name: "--{}[={}]" if name in MAY_BE_BARE else "--{}={}" for name in OWN}
    return [
        (forms[name].format(name, value) if value else f"--{name}", text)
        for name, (value, text) in OWN.items()
    ]


def _columns(rows: Sequence[tuple[str, str]]) -> str:
    """Options beside their descriptions, which may take several lines."""
    indent = min(max(len(option) for option, _ in rows), 28) + 4
    lines: list[str] = []
    for option, text in rows:
        wrapped = textwrap.wrap(text, WIDTH - indent) or [""]
        head = f"  {option}"
        if len(head) + 2 > indent:
            lines.append(head)
            head = ""
        lines.append(f"{head:{indent}}{wrapped[0]}".rstrip())
        lines += [" " * indent + each for each in wrapped[1:]]
    return "\n".join(lines)


def _described(method: Described, document: Document) -> dict[str, Any]:
    return {
        "method": method.name,
        "summary": method.summary,
        "description": method.description,
        "needs_user": method.needs_user,
        "takes_others": method.is_open,
        "is_idempotent": method.is_idempotent,
        "parameters": [
            {
                "name": each.name,
                "option": option_of(each.name),
                "required": each.required,
                "schema": each.schema,
            }
            for each in method.parameters
        ],
    }


_EVERY_INTEGER = (-(2**63), 2**63 - 1)
_LIMITS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_OTHERS = {"multipleOf": "a multiple of {}", "pattern": "like {}"}
