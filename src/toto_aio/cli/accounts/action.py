"""What the actions of ``toto-aio accounts`` have in common."""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from toto_aio.cli.call.failures import NOT_FOUND, FailedError
from toto_aio.cli.call.outcome import printable, to_json

if TYPE_CHECKING:
    from toto_aio.auth.user_account import UserAccount
    from toto_aio.in_process import OpenService

Given = Mapping[str, Any]
"""The arguments that were given."""


def _nothing(given: Given) -> Given:
    return {}


class Action(NamedTuple):
    """What one can do: its description, its arguments, and the function that does it in an open service.

    ``prepare`` asks questions before anything is opened, and returns what else was given by that.
    ``may_create``: also where no database is yet. ``of_sessions``: it needs those of the running service.
    """

    description: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[OpenService, Given], Awaitable[None]]
    prepare: Callable[[Given], Given] = _nothing
    may_create: bool = False
    of_sessions: bool = False
    ends_sessions: bool = False


def add_user(parser: argparse.ArgumentParser) -> None:
    """Add the argument that most actions have."""
    parser.add_argument("user", metavar="USER", help="user id of the account")


def add_json(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the option for programs."""
    parser.add_argument("--json", action="store_true", help=f"print {what}")


async def existing(service: OpenService, user_id: str) -> UserAccount:
    """The account of a user id. Raises ``FailedError`` if there is none."""
    account = await service.accounts.get(user_id)
    if account is None:
        raise no_account(user_id)
    return account


def no_account(user_id: str) -> FailedError:
    """The failure of an action on an account that does not exist."""
    text = f"there is no account {user_id!r}: see toto-aio accounts list"
    return FailedError(NOT_FOUND, [text], {})


def described(account: UserAccount) -> dict[str, Any]:
    """An account for programs: without its password, and with its custom fields apart."""
    fields = {name: value for name, value in account.items() if name != "user_id"}
    return {
        "user_id": account.user_id,
        "roles": list(account.roles),
        "has_password": account.has_password,
        "fields": fields,
    }


def fields_shown(fields: Mapping[str, Any]) -> str:
    """Custom fields in a line: ``email=ada@example.org, visits=3``."""
    texts = {name: value if isinstance(value, str) else to_json(value) for name, value in fields.items()}
    return printable(", ".join(f"{name}={text}" for name, text in texts.items()))


def time_shown(seconds: float) -> str:
    """A time in UTC, to the minute."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M")


def counted(number: int, noun: str) -> str:
    """A number of things: ``1 session``, ``2 sessions``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def say(text: str) -> None:
    """Tell what was done, on stderr: stdout is for what was asked for."""
    print(printable(text), file=sys.stderr)
