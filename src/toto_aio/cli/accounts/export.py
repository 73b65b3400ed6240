"""``toto-aio accounts export``: what the service knows of an account, as JSON."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

import msgspec

from toto_aio.auth.account_export import export_account
from toto_aio.auth.audit import Action as Audited
from toto_aio.cli.accounts.action import Action, Given, add_user, existing
from toto_aio.cli.call.line import UsageError
from toto_aio.cli.call.outcome import to_json

if TYPE_CHECKING:
    from toto_aio.in_process import OpenService


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_user(parser)
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="write it into this new file, for its owner only"
    )


async def _run(service: OpenService, given: Given) -> None:
    text = msgspec.json.format(to_json(await _exported(service, given["user"])), indent=2)
    if "output" not in given:
        print(text)
        return
    _write_new(given["output"], f"{text}\n")


def _write_new(path: str, text: str) -> None:
    """Write a new file, and not through a link: an export is personal."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as exc:
        raise UsageError(f"{path}: {exc.strerror}") from exc
    with open(file, "w", encoding="utf-8") as written:
        written.write(text)


async def _exported(service: OpenService, user_id: str) -> dict[str, Any]:
    account = await existing(service, user_id)
    found = await export_account(service.sessions, service.connection.api_keys, account.user_id)
    service.accounts.audit.record(Audited.ACCOUNT_EXPORTED, account.user_id)
    return found


ACTION = Action("print what the service knows of an account, as JSON", _add_arguments, _run)
