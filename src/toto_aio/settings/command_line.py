"""The options on a command line, made from their declaration in ``settings``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from toto_aio.settings.declaration import SettingsError, describe_options, unknown_option


class Parser(argparse.ArgumentParser):
    """A parser that leaves out what was not given, and raises ``SettingsError`` with one line."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, argument_default=argparse.SUPPRESS, **options)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, without argparse's usage around it."""
        raise SettingsError(message)


def read_arguments(arguments: Sequence[str]) -> tuple[str, dict[str, str]]:
    """The command on the command line of a script, ``serve`` by default, and its options.

    Raises ``SettingsError`` for an unknown one.
    """
    parser = Parser()
    add_commands(parser)
    add_options(parser)
    options = parse(parser, arguments)
    return take_command(options), options


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Let a parser know Toto's flags for a service in the background."""
    group = parser.add_argument_group("In the background")
    flags = group.add_mutually_exclusive_group()
    for command, description in COMMANDS.items():
        flags.add_argument(
            f"--{command}", action="store_const", const=command, dest="command", help=description
        )
    add_rolling(group)


def add_rolling(parser: argparse._ActionsContainer) -> None:
    """Let a parser know what only ``restart`` understands."""
    parser.add_argument(
        "--rolling",
        action="store_true",
        help="restart without a pause: new processes serve, then the old end",
    )


def take_command(options: dict[str, Any]) -> str:
    """The command among what was given, which is taken out. Raises ``SettingsError``."""
    command: str = options.pop("command", "serve")
    if not options.pop("rolling", False):
        return command
    if command != "restart":
        raise SettingsError("--rolling: write it with restart")
    return "restart_rolling"


COMMANDS = {
    "start": "serve in the background",
    "stop": "end the service in the background",
    "restart": "stop and start, with new code and settings",
    "status": "say whether it runs",
}
"""What can be done with a service in the background."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Let a parser know every option, in groups."""
    groups: dict[str, Any] = {}
    for option in describe_options():
        if option.group not in groups:
            groups[option.group] = parser.add_argument_group(option.group)
        shown = "" if option.default in (None, "", []) else f" (default {option.default})"
        flag: dict[str, Any] = {"nargs": "?", "const": "true"} if option.type is bool else {}
        groups[option.group].add_argument(
            f"--{option.name.replace('_', '-')}",
            dest=option.name,
            metavar=option.metavar,
            help=f"{option.description}{shown}".replace("%", "%%"),
            **flag,
        )


def parse(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> dict[str, Any]:
    """What was given, as text. Raises ``SettingsError`` that names an option that does not exist."""
    parsed, unknown = parser.parse_known_args([_hyphened(argument) for argument in arguments])
    for argument in unknown:
        flag = argument.partition("=")[0]
        raise SettingsError(unknown_option(flag, flag.lstrip("-").replace("-", "_")))
    return vars(parsed)


def _hyphened(argument: str) -> str:
    """``--session_ttl=5`` as ``--session-ttl=5``: both may be written."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    return name.replace("_", "-") + equals + value
