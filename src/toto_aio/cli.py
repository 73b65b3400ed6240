"""The command line: ``toto-aio serve [FILE] [--option=value]``."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Sequence

from toto_aio.arguments import Parser, add_options, parse
from toto_aio.server import serve
from toto_aio.settings import SettingsError, read_settings


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``toto-aio``; a wrong option ends it with one line that says what to write."""
    try:
        given = parse(_parser(), sys.argv[1:] if arguments is None else arguments)
        given.pop("command")
        file = given.pop("file", None)
        settings = read_settings({}, file, os.environ, given)
    except SettingsError as exc:
        sys.exit(f"toto-aio: {exc}")
    serve(settings)


def _parser() -> Parser:
    parser = Parser(prog="toto-aio", description="A service of callable methods.")
    parser.add_argument("--version", action="version", version=importlib.metadata.version("toto-aio"))
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    serve_parser = commands.add_parser(
        "serve",
        help="serve the methods of a package",
        description="Serve the methods of a package. Options may also stand in FILE (TOML, or Toto's "
        "name = value) and, as TOTO_AIO_NAME, in the environment.",
    )
    serve_parser.add_argument("file", nargs="?", metavar="FILE", help="a file with options")
    add_options(serve_parser)
    return parser
