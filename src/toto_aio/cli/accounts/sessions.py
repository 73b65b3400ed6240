"""``toto-aio accounts sessions``: where an account is logged in."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from toto_aio.cli.accounts.action import Action, Given, add_json, add_user, no_account, time_shown
from toto_aio.cli.accounts.table import Table
from toto_aio.cli.call.outcome import printable, to_json

if TYPE_CHECKING:
    from toto_aio.in_process import OpenService

HEADING = ("CREATED (UTC)", "LAST SEEN", "EXPIRES", "ADDRESS", "AGENT", "HANDLE")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_user(parser)
    add_json(parser, "a line of JSON for each session")


async def _run(service: OpenService, given: Given) -> None:
    found = await service.sessions.list(given["user"])
    if not found and await service.accounts.get(given["user"]) is None:
        raise no_account(given["user"])
    if "json" in given:
        for each in found:
            print(to_json(each))
        return
    times = "created", "seen", "expires"
    texts = "address", "agent", "handle"
    Table(HEADING).add(
        [
            [*(time_shown(each[name]) for name in times), *(printable(each[name]) for name in texts)]
            for each in found
        ]
    )


ACTION = Action("list the sessions of an account, the oldest first", _add_arguments, _run, of_sessions=True)
