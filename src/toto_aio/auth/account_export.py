"""Everything that is stored about an account, as plain data without secrets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from toto_aio.auth import verified_addresses
from toto_aio.auth.api_keys import ApiKeys
from toto_aio.auth.sessions import Sessions
from toto_aio.exceptions import InvalidUserID
from toto_aio.models import NEVER, Record
from toto_aio.stores import RecordStore

PAGE = 100
"""Records that are read at a time."""


async def export_account(sessions: Sessions, api_keys: ApiKeys, user_id: str) -> dict[str, Any]:
    """The fields of an account, its sessions, API keys, second factor, devices and other records.

    Raises ``InvalidUserID`` if there is no such account.
    """
    account = await sessions.accounts.get(user_id)
    if account is None:
        raise InvalidUserID("There is no such account.")
    owner, second = account.user_id, sessions.second_factor
    fields = {name: account[name] for name in account if name != "user_id"}
    records = sessions.accounts.records
    return {
        "user_id": owner,
        "roles": list(account.roles),
        "has_password": account.has_password,
        "fields": fields,
        "sessions": list(await sessions.list(owner)),
        "api_keys": list(await api_keys.list(owner)),
        "second_factor": None if second is None else await second.describe(owner),
        "devices": [] if second is None else list(await second.devices.list(owner)),
        **{name: await _read_all(records, owner, kind) for name, kind in OTHERS.items()},
    }


async def _read_all(records: RecordStore, owner: str, kind: str) -> list[dict[str, Any]]:
    found: list[Record] = []
    while True:
        page = await records.list_records(owner, kind, found[-1].key if found else "", PAGE)
        found += page
        if len(page) < PAGE:
            return [{**READ[kind](record), **_times(record)} for record in found]


def _times(record: Record) -> dict[str, Any]:
    return {} if record.expires == NEVER else {"expires": record.expires}


def _address(record: Record) -> dict[str, Any]:
    claimed = verified_addresses.read(record)
    return {"address": claimed.address, "verified": claimed.since}


OTHERS: Mapping[str, str] = {"addresses": "address"}
"""The kinds of other records that are about a user, by their names in an export."""
READ: Mapping[str, Callable[[Record], dict[str, Any]]] = {"address": _address}
"""What each of these has for its user."""
