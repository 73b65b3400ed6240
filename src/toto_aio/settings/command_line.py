"""The options on a command line, generated from their declaration."""

from __future__ import annotations

import argparse
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NoReturn

from toto_aio.names import shortened
from toto_aio.settings.declaration import SettingsError
from toto_aio.settings.options import describe_options, unknown_option

APPLICATION = re.compile(r"[^\W\d][\w.]*:[^\W\d][\w.]*")
"""What names an application, as ``package.module:attribute``; a file of that name is ``./a:b``."""

OPTIONS_OF_A_SERVICE = (
    "write the options of its service, such as --method-module=notes.methods, or a file that has them"
)
"""What to write where an application's options cannot be read, as they are in its code."""


class Parser(argparse.ArgumentParser):
    """A parser that omits options not given, and raises ``SettingsError`` with one line."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, argument_default=argparse.SUPPRESS, **options)

    def error(self, message: str) -> NoReturn:
        """Raise the error without argparse's usage text."""
        raise SettingsError(message)


def add_sources(parser: argparse.ArgumentParser, *, application: bool) -> None:
    """Add what stands before the options: the file that has more, and maybe the application to serve."""
    if application:
        parser.add_argument(
            "application",
            nargs="?",
            metavar="MODULE:APPLICATION",
            help="aiohttp application to serve, or a function that returns one, with services in it",
        )
    parser.add_argument("file", nargs="?", metavar="FILE", help="file with options")


def take_sources(given: dict[str, Any]) -> tuple[str | None, str | None]:
    """Remove the application and the file from parsed arguments and return them. Raises ``SettingsError``."""
    application, file = given.pop("application", None), given.pop("file", None)
    if application is None and file is not None:
        require_no_application(file)
    if application is None or APPLICATION.fullmatch(application):
        return application, file
    if file is not None:
        raise SettingsError(f"{application}: write package.module:application before the file {file}")
    return None, application


def require_no_application(file: str, instead: str = OPTIONS_OF_A_SERVICE) -> None:
    """Raise ``SettingsError`` if what should be a file is an application; ``instead`` says what to write."""
    if APPLICATION.fullmatch(file) and not Path(file).exists():
        raise SettingsError(f"{file}: this command takes no application; {instead}")


def add_options(parser: argparse.ArgumentParser, shown_names: Collection[str] | None = None) -> None:
    """Add every option to a parser, in groups; its help shows those of these names, by default all."""
    groups: dict[str, Any] = {}
    for option in describe_options():
        is_shown = shown_names is None or option.name in shown_names
        if option.group not in groups:
            groups[option.group] = parser.add_argument_group(option.group)
        shown = "" if option.default in (None, "", [], {}) else f" (default {option.default})"
        flag: dict[str, Any] = {"nargs": "?", "const": "true"} if option.type is bool else {}
        groups[option.group].add_argument(
            option.flag,
            dest=option.name,
            metavar=option.metavar,
            help=f"{option.description}{shown}".replace("%", "%%") if is_shown else argparse.SUPPRESS,
            **flag,
        )


def parse(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> dict[str, Any]:
    """The given arguments as text. Raises ``SettingsError``, which names an option that does not exist."""
    own = dict(map(_own_setting, filter(_is_own_setting, arguments)))
    others = [_hyphened(argument) for argument in arguments if not _is_own_setting(argument)]
    parsed, unknown = parser.parse_known_args(others)
    for argument in unknown:
        if not argument.startswith("-"):
            raise SettingsError(f"{shortened(argument)}: one argument too many; see --help")
        flag = argument.partition("=")[0]
        name = flag.lstrip("-").replace("-", "_")
        raise SettingsError(unknown_option(flag, name, _options(parser, parsed)))
    return {**vars(parsed), **own}


def _options(parser: argparse.ArgumentParser, parsed: argparse.Namespace) -> list[str]:
    """The names of the options that may follow the chosen command, which are what a misspelt one can mean."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) and (chosen := getattr(parsed, action.dest, None)):
            return _options(action.choices[chosen], parsed)
    flags = (flag for flag in parser._option_string_actions if flag.startswith("--"))
    return [flag.removeprefix("--").replace("-", "_") for flag in flags]


def _is_own_setting(argument: str) -> bool:
    return argument == "--app" or argument.startswith(("--app.", "--app="))


def _own_setting(argument: str) -> tuple[str, str]:
    """The name and the text of ``--app.mail=text``, a setting of the author's own."""
    name, equals, text = argument.removeprefix("--").partition("=")
    if not equals or name in ("app", "app."):
        raise SettingsError(f"{argument}: write --app.NAME=value")
    return name, text


def _hyphened(argument: str) -> str:
    """Turn ``--session_ttl=5`` into ``--session-ttl=5``: both are accepted."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    return name.replace("_", "-") + equals + value
