"""The command line: ``toto-aio serve [FILE] [--option=value]``, made from the declaration of the options."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from toto_aio.settings import SettingsError, describe_options, read_settings, unknown_option


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``toto-aio``."""
    parser = _Parser(prog="toto-aio", description="A service of callable methods.")
    parser.add_argument("--version", action="version", version=importlib.metadata.version("toto-aio"))
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    serve_parser = commands.add_parser(
        "serve",
        help="serve the methods of a package",
        description="Serve the methods of a package. Options may also stand in FILE (TOML, or Toto's "
        "name = value) and, as TOTO_AIO_NAME, in the environment.",
    )
    serve_parser.add_argument("file", nargs="?", metavar="FILE", help="a file with options")
    _add_options(serve_parser)
    try:
        values = _parse(parser, sys.argv[1:] if arguments is None else arguments)
        values.pop("command")
        file = values.pop("file", None)
        settings = read_settings({}, file, os.environ, values)
    except SettingsError as exc:
        sys.exit(f"toto-aio: {exc}")
    from toto_aio.server import serve  # not needed for --help, and server reads its arguments here

    serve(settings)


def read_arguments(arguments: Sequence[str]) -> dict[str, str]:
    """The options on the command line of a script. Raises ``SettingsError`` for an unknown one."""
    parser = _Parser()
    _add_options(parser)
    return _parse(parser, arguments)


class _Parser(argparse.ArgumentParser):
    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, argument_default=argparse.SUPPRESS, **options)

    def error(self, message: str) -> NoReturn:
        raise SettingsError(message)


def _add_options(parser: argparse.ArgumentParser) -> None:
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


def _parse(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> dict[str, Any]:
    hyphened = [_hyphen(argument) for argument in arguments]
    parsed, unknown = parser.parse_known_args(hyphened)
    for argument in unknown:
        name = argument.lstrip("-").partition("=")[0].replace("-", "_")
        raise SettingsError(unknown_option(argument.partition("=")[0], name))
    return vars(parsed)


def _hyphen(argument: str) -> str:
    """``--session_ttl=5`` as ``--session-ttl=5``: both may be written."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    return name.replace("_", "-") + equals + value
