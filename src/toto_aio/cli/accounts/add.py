"""``toto-aio accounts add``: a new account, such as that of the first administrator."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from toto_aio.auth.roles import role_names
from toto_aio.cli.accounts.action import Action, Given, add_user, say
from toto_aio.cli.ask import ask_password
from toto_aio.cli.call.line import UsageError
from toto_aio.exceptions import Unavailable

if TYPE_CHECKING:
    from toto_aio.in_process import OpenService


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_user(parser)
    parser.add_argument("--roles", metavar="A,B", help="its roles")
    parser.add_argument(
        "--no-password", action="store_true", help="an account that nobody can log in to with a password"
    )


def _prepare(given: Given) -> Given:
    _roles(given)
    return {} if "no_password" in given else {"typed": ask_password(given["user"], twice=True)}


async def _run(service: OpenService, given: Given) -> None:
    account = await service.accounts.create(given["user"], given.get("typed"))
    if roles := _roles(given):
        try:
            await service.accounts.set_roles(account.user_id, roles)
        except Unavailable as exc:
            raise Unavailable(
                "The account is added, but has no roles: toto-aio accounts roles gives them"
            ) from exc
    say(f"Added {account.user_id}{' as ' + ', '.join(roles) if roles else ''}")


def _roles(given: Given) -> tuple[str, ...]:
    try:
        return role_names(filter(None, given.get("roles", "").split(",")))
    except ValueError as exc:
        raise UsageError(f"--{exc}") from None


ACTION = Action(
    "add an account, with a password that is asked for or read from stdin",
    _add_arguments,
    _run,
    _prepare,
    True,
)
