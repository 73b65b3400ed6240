"""Toto's flags for a service in the background: ``--start``, ``--stop``, ``--restart`` and ``--status``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from toto_aio.settings import SettingsError
from toto_aio.settings.command_line import Parser, add_options, parse

DESCRIPTIONS = {
    "start": "serve in the background",
    "stop": "stop the service in the background",
    "restart": "stop and start, with new code and settings",
    "status": "report whether the service is running",
}
"""The commands for a service in the background, as ``--help`` describes them."""


def read_arguments(arguments: Sequence[str]) -> tuple[str, dict[str, str]]:
    """The command on a script's command line, ``serve`` by default, and its options.

    Raises ``SettingsError`` for an unknown option.
    """
    parser = Parser()
    add_flags(parser)
    add_options(parser)
    options = parse(parser, arguments)
    return take_command(options), options


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add Toto's flags to a parser."""
    group = parser.add_argument_group("In the background")
    flags = group.add_mutually_exclusive_group()
    for command, description in DESCRIPTIONS.items():
        flags.add_argument(
            f"--{command}", action="store_const", const=command, dest="command", help=description
        )
    add_rolling(group)


def add_rolling(parser: argparse._ActionsContainer) -> None:
    """Add the flag ``--rolling``, which only ``restart`` accepts."""
    parser.add_argument(
        "--rolling",
        action="store_true",
        help="restart without a pause: the old processes stop once new ones serve",
    )


def take_command(options: dict[str, Any]) -> str:
    """Remove the command from parsed arguments and return it. Raises ``SettingsError``."""
    command: str = options.pop("command", "serve")
    if not options.pop("rolling", False):
        return command
    if command != "restart":
        raise SettingsError("--rolling: write it with restart")
    return "restart_rolling"
