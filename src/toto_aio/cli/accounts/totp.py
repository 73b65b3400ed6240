"""``toto-aio accounts totp``: shows a second factor, and turns off one that its user has lost."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from toto_aio.auth import audit_actions
from toto_aio.cli.accounts.action import Action, Given, add_user, existing, say
from toto_aio.cli.ask import require_certainty
from toto_aio.cli.call.line import UsageError

if TYPE_CHECKING:
    from toto_aio.in_process import OpenService


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_user(parser)
    parser.add_argument("--off", action="store_true", help="turn it off, and forget the remembered devices")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def _prepare(given: Given) -> Given:
    if "off" in given:
        require_certainty(f"Turn the second factor of {given['user']!r} off", is_certain="yes" in given)
    elif "yes" in given:
        raise UsageError("--yes: write --off too; without it the second factor is only shown")
    return {}


async def _run(service: OpenService, given: Given) -> None:
    account = await existing(service, given["user"])
    second = service.connection.second_factor
    if "off" in given:
        disabled = audit_actions.Action.TOTP_DISABLED
        with service.accounts.audit.recording(disabled, account.user_id) as happening:
            happening.happened = await second.disable(account.user_id)
        off = f"Turned the second factor of {account.user_id} off"
        say(off if happening.happened else "Nothing to change")
    print("on" if (await second.describe(account.user_id))["enabled"] else "off")


ACTION = Action(
    "show whether an account has a second factor, or turn it off",
    _add_arguments,
    _run,
    _prepare,
)
