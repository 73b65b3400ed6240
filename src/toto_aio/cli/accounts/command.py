"""The command line of ``toto-aio accounts``, and the table of its actions."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from typing import Any

from toto_aio.cli.accounts import (
    add,
    delete,
    end,
    export,
    listing,
    password,
    roles,
    sessions,
    show,
    totp,
)
from toto_aio.cli.accounts.action import Action
from toto_aio.cli.accounts.late import say_if_late
from toto_aio.cli.call.failures import FAILED, STATUSES, FailedError, failures_shown
from toto_aio.exceptions import TotoException, Unavailable, described
from toto_aio.settings import Settings, read_settings
from toto_aio.settings.command_line import Parser, add_options, parse, require_no_application

ACTIONS: Mapping[str, Action] = {
    "list": listing.ACTION,
    "show": show.ACTION,
    "add": add.ACTION,
    "password": password.ACTION,
    "roles": roles.ACTION,
    "totp": totp.ACTION,
    "sessions": sessions.ACTION,
    "end": end.ACTION,
    "delete": delete.ACTION,
    "export": export.ACTION,
}
SHOWN = ("database", "session_store", "events", "password_min_length", "log_format", "audit_event")
"""The options that the help of an action shows; it takes all of them, as other commands do."""
EPILOG = (
    "exit status: 0 done; 1 refused by the service; 2 the command is wrong, or nothing was done; 4 no such "
    "account; 5 the database or the broker is out of reach; 130 interrupted"
)


def accounts(arguments: Sequence[str]) -> None:
    """Run the command, and end the program with the status of its failure, if it fails."""
    with failures_shown():
        chosen = next((argument for argument in arguments if not argument.startswith("-")), None)
        parser = make_parser(chosen)
        given = parse(parser, _flags_first(arguments, chosen))
        name = given.pop("action", None)
        if name is None:
            parser.print_help()
            return
        action = ACTIONS[name]
        names = {each.dest for each in _own(action)._actions}
        own = {name: given.pop(name) for name in names & given.keys()}
        file = given.pop("file", None)
        if file is not None:
            require_no_application(file)
        settings = read_settings({}, file, os.environ, given)
        own |= action.prepare(own)
        asyncio.run(_run(action, settings, own))


def make_parser(chosen: str | None) -> Parser:
    """The parser, with the arguments of the ``chosen`` action only."""
    parser = Parser(
        prog="toto-aio accounts",
        description="List and change the accounts of a service, and end their sessions.",
        epilog=EPILOG,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    for name, action in ACTIONS.items():
        description = f"{action.description[0].upper()}{action.description[1:]}."
        added = actions.add_parser(name, help=action.description, description=description, epilog=EPILOG)
        if name == chosen:
            action.add_arguments(added)
            added.add_argument("--file", metavar="FILE", help="file with the options of the service")
            add_options(added, SHOWN)
    return parser


def words_after(before: Sequence[str]) -> Sequence[str]:
    """What may follow these words on the command line, for completion."""
    if not before:
        return list(ACTIONS)
    if before[0] not in ACTIONS:
        return []
    flags = [
        text if each.nargs == 0 else f"{text}="
        for each in _own(ACTIONS[before[0]])._actions
        for text in each.option_strings
        if text.startswith("--")
    ]
    return [*flags, "--file=", *(f"--{name.replace('_', '-')}=" for name in SHOWN), "--help"]


def _flags_first(arguments: Sequence[str], chosen: str | None) -> Sequence[str]:
    """The arguments with an action's flags right behind it: argparse takes no words behind a flag."""
    if chosen is None or chosen not in ACTIONS:
        return arguments
    flags = {
        text for each in _own(ACTIONS[chosen])._actions if each.nargs == 0 for text in each.option_strings
    }
    moved = [each for each in arguments if each in flags]
    rest = [each for each in arguments if each not in flags]
    place = rest.index(chosen) + 1
    return [*rest[:place], *moved, *rest[place:]]


def _own(action: Action) -> Parser:
    """A parser that has an action's own arguments alone."""
    parser = Parser(add_help=False)
    action.add_arguments(parser)
    return parser


async def _run(action: Action, settings: Settings, given: Mapping[str, Any]) -> None:
    from toto_aio.cli.accounts.opened import opened  # here, as help opens nothing

    try:
        async with opened(settings, may_create=action.may_create, of_sessions=action.of_sessions) as service:
            await action.run(service, given)
        if action.ends_sessions:
            say_if_late(settings)
    except TotoException as exc:
        text = str(exc.value)
        if text == Unavailable.VALUE and exc.__cause__ is not None:
            text = f"{text}: {described(exc.__cause__)}"
        raise FailedError(STATUSES.get(exc.code, FAILED), [text], exc.as_dict()) from exc
