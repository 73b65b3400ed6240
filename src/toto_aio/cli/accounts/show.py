"""``toto-aio accounts show``: one account."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from toto_aio.cli.accounts.action import Action, Given, add_json, add_user, described, existing
from toto_aio.cli.call.outcome import printable, to_json

if TYPE_CHECKING:
    from toto_aio.in_process import OpenService


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_user(parser)
    add_json(parser, "the account as JSON")


async def _run(service: OpenService, given: Given) -> None:
    account = await existing(service, given["user"])
    found = described(account)
    found["sessions"] = len(await service.sessions.list(account.user_id))
    found["api_keys"] = len(await service.connection.api_keys.list(account.user_id))
    second = await service.connection.second_factor.describe(account.user_id)
    found["second_factor"] = second["enabled"]
    if "json" in given:
        print(to_json(found))
        return
    lines = {
        "user": account.user_id,
        "roles": ", ".join(account.roles) or "none",
        "password": "yes" if account.has_password else "no",
        "second factor": "yes" if second["enabled"] else "no",
        "sessions": f"{found['sessions']}",
        "API keys": f"{found['api_keys']}",
    }
    fields = {
        name: value if isinstance(value, str) else to_json(value) for name, value in found["fields"].items()
    }
    for name, text in (*lines.items(), *((f"field {name}", text) for name, text in fields.items())):
        print(printable(f"{name}: {text}"))


ACTION = Action("show an account", _add_arguments, _run)
