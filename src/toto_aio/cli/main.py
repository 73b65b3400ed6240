"""The command line: ``toto-aio COMMAND [FILE] [--option=value]``."""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from toto_aio.cli.check import check, report
from toto_aio.cli.methods import list_methods
from toto_aio.cli.new import TEMPLATES, make_project
from toto_aio.registry import import_from_here
from toto_aio.server.toto_server import run
from toto_aio.settings import SettingsError
from toto_aio.settings.command_line import (
    COMMANDS,
    Parser,
    add_commands,
    add_options,
    add_rolling,
    parse,
    take_command,
)
from toto_aio.settings.sources import Sources


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``toto-aio``; a wrong option ends it with one line that says what to write."""
    try:
        given = parse(_parser(), sys.argv[1:] if arguments is None else arguments)
        ACTIONS[given["command"]].act(given)
    except SettingsError as exc:
        sys.exit(f"toto-aio: {exc}")


def _serve(given: dict[str, Any]) -> None:
    command = take_command(given)
    sources = _sources(given)
    run(command, sources.read(), sources)


def _methods(given: dict[str, Any]) -> None:
    as_json = given.pop("json", False)
    settings = _sources(given).read()
    import_from_here()
    print(list_methods(settings, as_json=as_json))


def _check(given: dict[str, Any]) -> None:
    findings = asyncio.run(check(_sources(given).read()))
    print(report(findings))
    sys.exit(1 if any(finding.rule.gravity == "grave" for finding in findings) else 0)


def _new(given: dict[str, Any]) -> None:
    print(make_project(given["name"], given.get("template", "simple")))


def _sources(given: dict[str, Any]) -> Sources:
    """Where the settings come from, when what else was given has been taken out."""
    given.pop("command", None)
    return Sources({}, given.pop("file", None), given)


def _parser() -> Parser:
    parser = Parser(prog="toto-aio", description="A service of callable methods.")
    parser.add_argument("--version", action="version", version=importlib.metadata.version("toto-aio"))
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command, action in ACTIONS.items():
        described = f"{action.description.capitalize()}."
        if action.has_options:
            described += (
                " Options may also stand in FILE (TOML, or Toto's name = value) and, as TOTO_AIO_NAME, in "
                "the environment."
            )
        added = commands.add_parser(command, help=action.description, description=described)
        if action.has_options:
            added.add_argument("file", nargs="?", metavar="FILE", help="a file with options")
        action.add(added)
        if action.has_options:
            add_options(added)
    return parser


def _add_nothing(parser: argparse.ArgumentParser) -> None:
    pass


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="write JSON")


def _add_project(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the project's name, and that of its folder")
    listed = "; ".join(f"{name}: {template.description}" for name, template in TEMPLATES.items())
    parser.add_argument("--template", metavar="|".join(TEMPLATES), help=f"{listed} (default simple)")


class Action(NamedTuple):
    """What a command does: in words, the function for it, and what may be given beside the options."""

    description: str
    act: Callable[[dict[str, Any]], None]
    add: Callable[[argparse.ArgumentParser], None] = _add_nothing
    has_options: bool = True


ACTIONS: dict[str, Action] = {
    "new": Action("make a project", _new, _add_project, has_options=False),
    "serve": Action("serve the methods of a package", _serve, add_commands),
    **{command: Action(description, _serve) for command, description in COMMANDS.items()},
    "restart": Action(COMMANDS["restart"], _serve, add_rolling),
    "methods": Action("list what a service serves", _methods, _add_json),
    "check": Action("name the settings that are unsafe in production", _check),
}
"""The commands."""
