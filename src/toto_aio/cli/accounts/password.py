"""``toto-aio accounts password``: a new password for somebody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toto_aio.cli.accounts.action import Action, Given, add_user, existing, say
from toto_aio.cli.ask import ask_password

if TYPE_CHECKING:
    from toto_aio.in_process import OpenService


def _prepare(given: Given) -> Given:
    return {"typed": ask_password(given["user"], twice=True)}


async def _run(service: OpenService, given: Given) -> None:
    account = await existing(service, given["user"])
    await service.accounts.set_password(account.user_id, given["typed"])
    say(f"Set the password of {account.user_id}, whose sessions have ended")


ACTION = Action(
    "set a password, asked for or read from stdin, and end the sessions of the account",
    add_user,
    _run,
    _prepare,
    of_sessions=True,
    ends_sessions=True,
)
