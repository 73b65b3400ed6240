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
from toto_aio.importer import import_from_here
from toto_aio.server import flags
from toto_aio.server.launcher import launch
from toto_aio.settings import SettingsError
from toto_aio.settings.command_line import Parser, add_options, add_sources, parse, take_sources
from toto_aio.settings.sources import Sources


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``toto-aio``; a wrong option ends the process with one line that says what to write instead."""
    try:
        given = parse(_parser(), sys.argv[1:] if arguments is None else arguments)
        COMMANDS[given["command"]].run(given)
    except SettingsError as exc:
        sys.exit(f"toto-aio: {exc}")


def _serve(given: dict[str, Any]) -> None:
    command = flags.take_command(given)
    sources = _sources(given)
    launch(command, sources.read(), sources)


def _methods(given: dict[str, Any]) -> None:
    as_json = given.pop("json", False)
    settings = _sources(given).read()
    import_from_here()
    print(list_methods(settings, as_json=as_json))


def _check(given: dict[str, Any]) -> None:
    settings = _sources(given).read()
    import_from_here()
    findings = asyncio.run(check(settings))
    print(report(findings))
    sys.exit(1 if any(finding.rule.gravity == "grave" for finding in findings) else 0)


def _new(given: dict[str, Any]) -> None:
    print(make_project(given["name"], given.get("template", "simple")))


def _sources(given: dict[str, Any]) -> Sources:
    """The sources of the settings, once a command has removed its own arguments from ``given``."""
    given.pop("command", None)
    application, file = take_sources(given)
    return Sources({}, file, given, application)


def _parser() -> Parser:
    parser = Parser(prog="toto-aio", description="Serve methods, and manage the service.")
    parser.add_argument("--version", action="version", version=importlib.metadata.version("toto-aio"))
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        description = f"{command.description.capitalize()}."
        if command.has_options:
            description += (
                " Options can also be set in FILE (TOML, or Toto's name = value) and, as TOTO_AIO_NAME, in "
                "the environment."
            )
        added = commands.add_parser(name, help=command.description, description=description)
        if command.has_options:
            add_sources(added, application=command.run is _serve)
        command.add_arguments(added)
        if command.has_options:
            add_options(added)
    return parser


def _add_nothing(parser: argparse.ArgumentParser) -> None:
    pass


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_project(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="name of the project and of its folder")
    listed = "; ".join(f"{name}: {template.description}" for name, template in TEMPLATES.items())
    parser.add_argument("--template", metavar="|".join(TEMPLATES), help=f"{listed} (default simple)")


class Command(NamedTuple):
    """A command: its description, its function, and the arguments that it takes besides the options."""

    description: str
    run: Callable[[dict[str, Any]], None]
    add_arguments: Callable[[argparse.ArgumentParser], None] = _add_nothing
    has_options: bool = True


COMMANDS: dict[str, Command] = {
    "new": Command("create a project", _new, _add_project, has_options=False),
    "serve": Command("serve the methods of a package", _serve, flags.add_flags),
    **{name: Command(description, _serve) for name, description in flags.DESCRIPTIONS.items()},
    "restart": Command(flags.DESCRIPTIONS["restart"], _serve, flags.add_rolling),
    "methods": Command("list the methods of a service", _methods, _add_json),
    "check": Command("report settings that are unsafe in production", _check),
}
