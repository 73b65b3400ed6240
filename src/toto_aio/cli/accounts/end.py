"""``toto-aio accounts end``: logs an account out everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toto_aio.cli.accounts.action import Action, Given, add_user, counted, no_account, say

if TYPE_CHECKING:
    from toto_aio.in_process import OpenService


async def _run(service: OpenService, given: Given) -> None:
    ended = await service.sessions.end_all(given["user"])
    if not ended and await service.accounts.get(given["user"]) is None:
        raise no_account(given["user"])
    say(f"Ended {counted(ended, 'session')} of {given['user']}")


ACTION = Action(
    "end the sessions of an account, and close their sockets in every process",
    add_user,
    _run,
    of_sessions=True,
    ends_sessions=True,
)
