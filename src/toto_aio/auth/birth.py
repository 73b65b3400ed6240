"""The birth of an account: a random text that is made with it, and tells it from a later one of the same id.

A call may be stopped while its account is deleted and the user id is given to somebody else. What it does
then must not be for that one: a session, a ticket, a device or a code. A password would tell the two apart as
well, but an account may have none.
"""

from __future__ import annotations

import secrets
from typing import Any

from toto_aio.models import Account

STORED = "toto_aio.birth"
"""The value of an account that has it. No custom field can have this name, so no client sets it."""


def new_birth() -> str:
    """The birth of a new account."""
    return secrets.token_hex(8)


def take_birth(values: dict[str, Any]) -> str:
    """That of an account, taken out of its values; "" for an account of version 0.1."""
    return str(values.pop(STORED, ""))


def credentials_of(account: Account) -> str:
    """A text that is another one once the account has another password, or is another account."""
    password, birth = account.password or "", account.values.get(STORED)
    return f"{birth} {password}" if birth else password
