"""``toto-aio accounts list``: the accounts of a service, page by page as they arrive."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

from toto_aio.auth.roles import role_names
from toto_aio.cli.accounts.action import Action, Given, add_json, described, fields_shown, say
from toto_aio.cli.accounts.table import Table
from toto_aio.cli.call.line import UsageError
from toto_aio.cli.call.outcome import printable, to_json
from toto_aio.cli.call.progress import progress
from toto_aio.names import shortened

if TYPE_CHECKING:
    from toto_aio.auth.user_account import UserAccount
    from toto_aio.in_process import OpenService

PAGE = 500
"""Accounts that are read at once."""
HEADING = ("USER", "ROLES", "PASSWORD", "FIELDS")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--role", metavar="ROLE", help="only those who have this role")
    parser.add_argument("--limit", metavar="N", help="at most so many (default all)")
    parser.add_argument("--after", metavar="USER", help="only those whose user ids come after this one")
    add_json(parser, "a line of JSON for each account")


def _prepare(given: Given) -> Given:
    _limit(given)
    if "role" in given:
        _require_role(given["role"])
    return {}


async def _run(service: OpenService, given: Given) -> None:
    rows = _Rows(as_json="json" in given)
    left, cursor = _limit(given), given.get("after")
    # Rows that a terminal shows are progress enough.
    async with nullcontext() if sys.stdout.isatty() else progress():
        while True:
            page = await service.accounts.list(cursor, PAGE)
            found = [each for each in page.accounts if "role" not in given or given["role"] in each.roles]
            rows.add(found[:left])
            cursor = page.cursor
            if left is not None:
                if len(found) > left or (len(found) == left and cursor is not None):
                    say(f"there may be more: write --after={found[left - 1].user_id}")
                    return
                left -= len(found)
            if cursor is None:
                return


class _Rows:
    """Prints accounts, as a table or as lines of JSON."""

    def __init__(self, *, as_json: bool) -> None:
        self._table = None if as_json else Table(HEADING)

    def add(self, accounts: Sequence[UserAccount]) -> None:
        if self._table is not None:
            self._table.add([_row(account) for account in accounts])
            return
        for account in accounts:
            print(to_json(described(account)))


def _row(account: UserAccount) -> Sequence[str]:
    shown = described(account)
    return (
        printable(account.user_id),
        ", ".join(account.roles),
        "yes" if account.has_password else "no",
        fields_shown(shown["fields"]),
    )


def _limit(given: Given) -> int | None:
    text = given.get("limit")
    if text is None:
        return None
    if not text.isdecimal() or len(text) > 9 or not int(text):
        raise UsageError(f"--limit: write a number from 1 on, not {shortened(text)!r}")
    return int(text)


def _require_role(role: str) -> None:
    try:
        role_names([role])
    except ValueError as exc:
        raise UsageError(f"--role: {exc}") from None


ACTION = Action("list the accounts, in the order of their user ids", _add_arguments, _run, _prepare)
