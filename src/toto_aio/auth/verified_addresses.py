"""The addresses of mail that accounts have shown to be theirs. One address belongs to one account."""

from __future__ import annotations

import time
from typing import NamedTuple

import msgspec

from toto_aio.exceptions import InvalidParameters
from toto_aio.models import Record
from toto_aio.stores import AccountStore, RecordStore

KIND = "address"
TAKEN = "email: this address belongs to another account."
NOBODY = ""
"""A user id that no account has, to be looked up in the place of one."""


class Holder(NamedTuple):
    """The account that an address belongs to, and the address as its owner has written it."""

    user_id: str
    address: str


class VerifiedAddresses:
    """Who has which address, in ``records``, beside the accounts in ``accounts``."""

    def __init__(self, records: RecordStore, accounts: AccountStore) -> None:
        self._records = records
        self._accounts = accounts

    async def of(self, user_id: str) -> str | None:
        """The verified address of an account, as it is stored; None if it has none."""
        record = await self._current(user_id)
        return None if record is None else _read(record)[0]

    async def holder(self, key: str) -> Holder | None:
        """Whom the address of this key belongs to; None: nobody, or an account that is gone.

        Whether it does or not, the same look-ups are made.
        """
        record = await self._records.get_record(KIND, key)
        owner = NOBODY if record is None else record.owner
        current = await self._current(owner)
        account = await self._accounts.get_account(owner)
        if record is None or account is None or current is None or current.key != key:
            return None
        return Holder(account.user_id, _read(record)[0])

    async def claim(self, user_id: str, key: str, address: str) -> str | None:
        """Give an account a verified address, in the place of the one that it has; returns that one.

        Raises ``InvalidParameters`` if the address belongs to another account. If it is cut off halfway, the
        account has the new address, and the old one counts no longer.
        """
        before = await self._records.list_records(user_id, KIND)
        value = msgspec.msgpack.encode((address, time.time()))
        while not await self._records.add_record(Record(KIND, key, user_id, value)):
            found = await self._records.get_record(KIND, key)
            if found is None:
                continue
            if found.owner == user_id:
                found.value = value
                if await self._records.save_record(found):
                    break
            elif await self.holder(key) is not None:
                raise InvalidParameters(TAKEN)
            else:  # of an account that is gone, or that has another one since
                await self._records.remove_record(KIND, key, found.version)
        former = _newest(before)
        for record in before:
            if record.key != key:
                await self._records.remove_record(KIND, record.key, record.version)
        return None if former is None or former.key == key else _read(former)[0]

    async def _current(self, user_id: str) -> Record | None:
        return _newest(await self._records.list_records(user_id, KIND))


def _newest(records: list[Record]) -> Record | None:
    """The one that was verified last: a change that was cut off has left the one before it."""
    return max(records, key=lambda record: (_read(record)[1], record.key), default=None)


def _read(record: Record) -> tuple[str, float]:
    return msgspec.msgpack.decode(record.value, type=tuple[str, float])
