"""``toto-aio accounts delete``: removes an account."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from toto_aio.cli.accounts.action import Action, Given, add_user, no_account, say
from toto_aio.cli.ask import require_certainty

if TYPE_CHECKING:
    from toto_aio.in_process import OpenService


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_user(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask")


def _prepare(given: Given) -> Given:
    what = f"Delete the account {given['user']!r} and end its sessions"
    require_certainty(what, is_certain="yes" in given)
    return {}


async def _run(service: OpenService, given: Given) -> None:
    # The id as it was written: of accounts that look the same, only that one is meant. If it is gone already,
    # its sessions are ended, as a deletion may have been cut off.
    if not await service.accounts.delete(given["user"]):
        raise no_account(given["user"])
    say(f"Deleted {given['user']}, whose sessions have ended")


ACTION = Action(
    "delete an account, and end its sessions",
    _add_arguments,
    _run,
    _prepare,
    of_sessions=True,
    ends_sessions=True,
)
