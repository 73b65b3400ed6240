"""The addresses of mail that accounts have shown to be theirs. One address belongs to one account."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from toto_aio.exceptions import InvalidParameters, Unavailable
from toto_aio.models import Record
from toto_aio.stores import AccountStore, RecordStore

KIND = "address"
TAKEN = "email: this address belongs to another account."
HAS_ONE = "email: the account has a verified address: call account.change_email."
MEANWHILE = "The address of the account was changed at the same time: try again."
NOBODY = ""
"""A user id that no account has, to be looked up in the place of one."""


class Holder(NamedTuple):
    """The account that an address belongs to, and the address as its owner has written it."""

    user_id: str
    address: str


class Claimed(msgspec.Struct, array_like=True, frozen=True):
    """An address as it is stored, and ``since`` when it is the account's, in Unix seconds.

    Until the claim is settled, ``former`` is what was stored before; None: nothing.
    """

    address: str
    since: float
    former: bytes | msgspec.UnsetType | None = msgspec.UNSET


class VerifiedAddresses:
    """Who has which address, in ``records``, beside the accounts in ``accounts``."""

    def __init__(self, records: RecordStore, accounts: AccountStore) -> None:
        self._records = records
        self._accounts = accounts

    async def of(self, user_id: str) -> str | None:
        """The verified address of an account, as it is stored; None if it has none."""
        record = await self._current(user_id)
        return None if record is None else read(record).address

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
        return Holder(account.user_id, read(record).address)

    async def claim(
        self,
        user_id: str,
        key: str,
        address: str,
        require: Callable[[], Awaitable[None]],
        *,
        replaces: bool = True,
    ) -> str | None:
        """Give an account a verified address, in the place of the one that it had; returns that one.

        Raises ``InvalidParameters`` if the address belongs to another account, and unless it ``replaces`` it,
        if the account has one. ``require`` is asked once the address is the account's: what was true before
        may no longer be true, however long the process was stopped. If that raises, or if the account has got
        another address in the meantime, which is ``Unavailable``, it has the former one again. After a kill
        halfway, the account has the new address, and the old one counts no longer; a repeat still returns it.
        """
        before = await self._all(user_id)
        former = _newest(before)
        if former is not None and former.key != key and not replaces:
            raise InvalidParameters(HAS_ONE)
        # It is the newest, whatever the clock says of the one before.
        since = (
            time.time() if former is None else max(time.time(), math.nextafter(read(former).since, math.inf))
        )
        others = [record for record in before if record.key != key]
        is_settled = False
        while not is_settled:  # each time another claim of this address comes in between
            written, undone = await self._write(user_id, key, address, since)
            try:
                if any(each.key != key and each not in others for each in await self._all(user_id)):
                    raise Unavailable(MEANWHILE)
                await require()
                is_settled = await self._records.save_record(replace(written, value=_value(address, since)))
            except BaseException:
                if undone is None:
                    await self._records.remove_record(KIND, key, written.version)
                else:
                    await self._records.save_record(replace(written, value=undone))
                raise
        for record in others:
            await self._records.remove_record(KIND, record.key, record.version)
        replaced = _newest(others)
        return None if replaced is None else read(replaced).address

    async def _write(self, user_id: str, key: str, address: str, since: float) -> tuple[Record, bytes | None]:
        """Let an address be an account's, not settled yet; and what its record has if that is undone.

        None: there is no record then. Of several claims at the same time the last undoes those before it, as
        none of them is settled.
        """
        written = Record(KIND, key, user_id, _value(address, since, None))
        while not await self._records.add_record(written):
            found = await self._records.get_record(KIND, key)
            if found is None:
                continue
            if found.owner == user_id:
                former = read(found).former
                undone = found.value if isinstance(former, msgspec.UnsetType) else former
                saved = replace(found, value=_value(address, since, undone))
                if await self._records.save_record(saved):
                    return replace(saved, version=found.version + 1), undone
            elif await self.holder(key) is not None:
                raise InvalidParameters(TAKEN)
            else:  # of an account that is gone, or that has another one since
                await self._records.remove_record(KIND, key, found.version)
        return written, None

    async def _all(self, user_id: str) -> list[Record]:
        return await self._records.list_records(user_id, KIND)

    async def _current(self, user_id: str) -> Record | None:
        return _newest(await self._all(user_id))


def read(record: Record) -> Claimed:
    """What the record of an address has."""
    return msgspec.msgpack.decode(record.value, type=Claimed)


def _newest(records: list[Record]) -> Record | None:
    """The one that was verified last: a change that was cut off has left the one before it."""
    return max(records, key=lambda record: (read(record).since, record.key), default=None)


def _value(address: str, since: float, *former: bytes | None) -> bytes:
    return msgspec.msgpack.encode((address, since, *former))
