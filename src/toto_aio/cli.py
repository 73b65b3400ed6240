"""The command line: ``toto-aio COMMAND [FILE] [--option=value]``."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Sequence
from functools import partial

from toto_aio.arguments import (
    COMMANDS,
    Parser,
    add_commands,
    add_options,
    add_rolling,
    parse,
    take_command,
)
from toto_aio.server import run
from toto_aio.settings import SettingsError, read_settings


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``toto-aio``; a wrong option ends it with one line that says what to write."""
    try:
        given = parse(_parser(), sys.argv[1:] if arguments is None else arguments)
        command = take_command(given)
        read = partial(read_settings, {}, given.pop("file", None), os.environ, given)
        settings = read()
    except SettingsError as exc:
        sys.exit(f"toto-aio: {exc}")
    run(command, settings, read)


def _parser() -> Parser:
    parser = Parser(prog="toto-aio", description="A service of callable methods.")
    parser.add_argument("--version", action="version", version=importlib.metadata.version("toto-aio"))
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command, description in {"serve": "serve the methods of a package", **COMMANDS}.items():
        added = commands.add_parser(
            command,
            help=description,
            description=f"{description.capitalize()}. Options may also stand in FILE (TOML, or Toto's "
            "name = value) and, as TOTO_AIO_NAME, in the environment.",
        )
        added.add_argument("file", nargs="?", metavar="FILE", help="a file with options")
        if command == "serve":
            add_commands(added)
        if command == "restart":
            add_rolling(added)
        add_options(added)
    return parser
