"""The command line: ``toto-aio COMMAND [FILE] [--option=value]``.

What a command needs is imported when it runs: help, and the line about a wrong option, need no server.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import toto_aio
from toto_aio.cli.arguments import (
    add_client,
    add_contract,
    add_json,
    add_login,
    add_nothing,
    add_output,
    add_project,
    add_shell,
    add_url,
)
from toto_aio.cli.entry import output_written
from toto_aio.failures import describe_failure
from toto_aio.importer import import_from_here
from toto_aio.server import flags
from toto_aio.settings import Settings, SettingsError, describe_options
from toto_aio.settings.command_line import Parser, add_options, add_sources, parse, take_sources
from toto_aio.settings.sources import Sources


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``toto-aio``; a wrong option ends the process with one line that says what to write instead."""
    if arguments is None:
        arguments = sys.argv[1:]
    parser = _parser(next((argument for argument in arguments if not argument.startswith("-")), None))
    with output_written():
        try:
            given = _own_arguments(arguments) or parse(parser, arguments)
            if given.get("command") is None:
                parser.print_help()
            else:
                COMMANDS[given["command"]].run(given)
        except SettingsError as exc:
            sys.exit(f"toto-aio: {exc}")


def _serve(given: dict[str, Any]) -> None:
    command = flags.take_command(given)
    sources = _sources(given)
    settings = sources.read()
    from toto_aio.server.launcher import launch

    launch(command, settings, sources)


def _methods(given: dict[str, Any]) -> None:
    as_json = given.pop("json", False)
    settings = _sources(given).read()
    from toto_aio.cli.methods import list_methods

    import_from_here()
    with _failures_described("the methods cannot be listed"):
        listed = list_methods(settings, as_json=as_json)
    print(listed)


def _openapi(given: dict[str, Any]) -> None:
    file = given.pop("output", None)
    settings = _sources(given).read()
    from toto_aio.cli.openapi import describe

    import_from_here()
    with _failures_described("the methods cannot be described"):
        document = describe(settings)
    _write(document, file)


def _contract(given: dict[str, Any]) -> None:
    file = given.pop("output", None)
    settings = _sources(given).read()
    from toto_aio.cli.contract import describe

    import_from_here()
    with _failures_described("the methods cannot be described"):
        contract = describe(settings)
    _write(contract, file)


def _client(given: dict[str, Any]) -> None:
    from toto_aio.cli.client import make_client

    _write(make_client(given), given.get("output"))


def _write(text: str, file: str | None) -> None:
    """Write a text into a file, or print it. Raises ``SettingsError``."""
    if file is None:
        print(text, end="")
        return
    try:
        Path(file).write_text(text, encoding="utf-8")
    except OSError as exc:
        raise SettingsError(f"{file}: {exc.strerror}") from exc


def _check(given: dict[str, Any]) -> None:
    contract = given.pop("contract", None)
    settings = _sources(given).read()
    if contract is not None:
        _compare(settings, contract)
    import asyncio

    from toto_aio.cli.check import check, report

    import_from_here()
    with _failures_described("the service cannot be checked"):
        findings = asyncio.run(check(settings))
    print(report(findings))
    sys.exit(1 if any(finding.rule.gravity == "grave" for finding in findings) else 0)


def _compare(settings: Settings, file: str) -> NoReturn:
    """Print what has changed since a contract was written; the status tells whether it breaks clients."""
    from toto_aio.cli.contract import compare, report

    import_from_here()
    with _failures_described("the methods cannot be described"):
        found = compare(settings, file)
    print(report(found))
    sys.exit(1 if any(change.breaks for change in found) else 0)


def _user_ids(given: dict[str, Any]) -> None:
    settings = _sources(given).read()
    import asyncio

    from toto_aio.cli.user_ids import look
    from toto_aio.exceptions import Unavailable

    try:
        found = asyncio.run(look(settings))
    except Unavailable as exc:
        sys.exit(f"toto-aio: {exc.value}")
    print(found)
    sys.exit(0 if found.is_clean else 1)


def _new(given: dict[str, Any]) -> None:
    from toto_aio.cli.new import make_project

    print(make_project(given["name"], given.get("template", "simple")))


@contextmanager
def _failures_described(doing: str) -> Iterator[None]:
    """Show what the import of a module raises as ``serve`` does."""
    try:
        yield
    except SettingsError:
        raise
    except Exception as exc:
        sys.exit(f"toto-aio: {describe_failure(exc, doing)}")


def _call(given: dict[str, Any]) -> None:
    from toto_aio.cli.call.command import call

    call(given["arguments"])


def _accounts(given: dict[str, Any]) -> None:
    from toto_aio.cli.accounts.command import accounts

    accounts(given["arguments"])


def _login(given: dict[str, Any]) -> None:
    from toto_aio.cli.call.login import log_in

    log_in(given)


def _logout(given: dict[str, Any]) -> None:
    from toto_aio.cli.call.login import log_out

    log_out(given)


def _completion(given: dict[str, Any]) -> None:
    from toto_aio.cli.call.completion import completions, script

    if "line" not in given:
        sys.stdout.write(script(given["shell"]))
        return
    commands = {name: partial(_option_names, name) for name in COMMANDS}
    for each in completions(given["line"], commands, given.get("breaks", "")):
        print(each)


def _option_names(command: str) -> list[str]:
    """The options that the help of a command shows, each as one begins to write it."""
    shown = COMMANDS[command].options
    own = Parser(add_help=False)
    COMMANDS[command].add_arguments(own)
    found = [each.flag for each in describe_options() if shown is None or each.name in shown]
    flags = [text for text in own.format_help().split() if text.startswith("--")]
    return [*(f"{flag}=" for flag in found), *flags, "--help"]


def _own_arguments(arguments: Sequence[str]) -> dict[str, Any] | None:
    """The arguments of a command that parses them itself, as what it does has options of its own."""
    if arguments and arguments[0] in ("call", "accounts"):
        return {"command": arguments[0], "arguments": arguments[1:]}
    return None


def _sources(given: dict[str, Any]) -> Sources:
    """The sources of the settings, once a command has removed its own arguments from ``given``."""
    given.pop("command", None)
    application, file = take_sources(given)
    return Sources({}, file, given, application, is_script=False)


def _parser(chosen: str | None) -> Parser:
    """The parser, with the arguments of the ``chosen`` command only: the others cost time."""
    parser = Parser(prog="toto-aio", description="Serve methods, and manage the service.")
    parser.add_argument("--version", action="version", version=toto_aio.__version__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, command in COMMANDS.items():
        description = f"{command.description.capitalize()}."
        if command.options is None:
            description += (
                " Options can also be set in FILE (TOML, or Toto's name = value) and, as TOTO_AIO_NAME, in "
                "the environment. Times are in seconds, or written 30d, 12h, 15m or 90s."
            )
        added = commands.add_parser(name, help=command.description, description=description)
        if name == chosen:
            if command.options != ():
                add_sources(added, application=command.run is _serve)
            command.add_arguments(added)
            if command.options != ():
                add_options(added, command.options)
    return parser


class Command(NamedTuple):
    """A command: its description, its function, and its arguments besides the options.

    Its help shows all ``options`` if they are None. It takes the others too, so that the same options can be
    given to all commands, except if it has none.
    """

    description: str
    run: Callable[[dict[str, Any]], None]
    add_arguments: Callable[[argparse.ArgumentParser], None] = add_nothing
    options: Collection[str] | None = None


COMMANDS: dict[str, Command] = {
    "new": Command("create a project", _new, add_project, ()),
    "serve": Command("serve the methods of a package, or an application", _serve, flags.add_flags),
    "start": Command(flags.DESCRIPTIONS["start"], _serve),
    "stop": Command(flags.DESCRIPTIONS["stop"], _serve, options=("shutdown_timeout", "pidfile", "log_file")),
    "restart": Command(flags.DESCRIPTIONS["restart"], _serve, flags.add_rolling),
    "status": Command(flags.DESCRIPTIONS["status"], _serve, options=("pidfile",)),
    "methods": Command("list the methods of a service", _methods, add_json),
    "openapi": Command("print the OpenAPI document of a service", _openapi, add_output),
    "call": Command("call a method, of a service that runs or of the one in this folder", _call, options=()),
    "client": Command(
        "make a client in TypeScript or Python with the methods of a service", _client, add_client, ()
    ),
    "login": Command("log in to a service, for call", _login, add_login, ()),
    "logout": Command("end the session with a service", _logout, add_url, ()),
    "accounts": Command("list and change accounts, and end their sessions", _accounts, options=()),
    "completion": Command("print the script by which a shell completes commands", _completion, add_shell, ()),
    "contract": Command("print what clients of a service rely on, to commit it", _contract, add_output),
    "check": Command("report settings that are unsafe in production", _check, add_contract),
    "user-ids": Command(
        "list accounts whose user ids look the same, or are in an older form",
        _user_ids,
        options=("database",),
    ),
}
