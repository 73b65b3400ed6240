"""``toto-aio accounts roles``: shows, gives and takes roles."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from toto_aio.auth.roles import role_names
from toto_aio.cli.accounts.action import Action, Given, add_user, existing, say
from toto_aio.cli.call.line import UsageError

if TYPE_CHECKING:
    from toto_aio.in_process import OpenService


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_user(parser)
    parser.add_argument("roles", nargs="*", metavar="ROLE", help="roles to give; without any, they are shown")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--remove", action="store_true", help="take these roles instead")
    how.add_argument("--replace", action="store_true", help="give these roles and take all others")


def _prepare(given: Given) -> Given:
    try:
        role_names(given.get("roles", []))
    except ValueError as exc:
        raise UsageError(str(exc)) from None
    if "remove" in given and not given.get("roles", []):
        raise UsageError("--remove: write the roles to take, or --replace to take all of them")
    return {}


async def _run(service: OpenService, given: Given) -> None:
    account = await existing(service, given["user"])
    named = set(given.get("roles", []))
    if named or "replace" in given:
        before = set(account.roles)
        after = named if "replace" in given else before - named if "remove" in given else before | named
        if after == before:
            say("Nothing to change")
        else:
            await service.accounts.set_roles(account.user_id, after)
        await account.load()
    for role in account.roles:
        print(role)


ACTION = Action("show the roles of an account, give it some, or take some", _add_arguments, _run, _prepare)
