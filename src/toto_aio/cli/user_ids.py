"""``toto-aio user-ids``: accounts whose user ids look the same, or are not in today's form."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from toto_aio.auth.user_ids import known_as, normal_user_id
from toto_aio.settings import Settings
from toto_aio.stores import AccountStore, open_store

PORTION = 1000
"""Accounts that are read at once."""


@dataclass(slots=True)
class Report:
    """What has been found: for each user id in today's form, the ids that are stored in another one."""

    accounts: int = 0
    others: dict[str, list[str]] = field(default_factory=dict)
    twins: dict[str, list[str]] = field(default_factory=dict)
    """For each user id in today's form that more than one account has, the ids of all of these accounts."""
    unreachable: list[str] = field(default_factory=list)
    """Ids that no login finds, as they have upper case."""

    @property
    def is_clean(self) -> bool:
        """Whether no two accounts look the same, and each can be logged in to."""
        return not self.twins and not self.unreachable

    def __str__(self) -> str:
        same = [f"these look the same: {', '.join(map(ascii, ids))}" for ids in self.twins.values()]
        lost = [f"nobody can log in to {user_id!a}: it has upper case" for user_id in self.unreachable]
        kept = [
            f"{user_id!a} is in an older form, and found as it is: today's is {normal!a}"
            for normal, ids in self.others.items()
            if normal not in self.twins
            for user_id in ids
        ]
        total = (
            f"{_counted(self.accounts, 'account')}: {_counted(len(self.twins), 'user id')} of more than one, "
            f"{len(kept)} in an older form, {len(lost)} out of reach"
        )
        return "\n".join([*same, *lost, *kept, total])


async def look(settings: Settings) -> Report:
    """Read the accounts of the ``database``. Raises ``SettingsError``, and ``Unavailable``."""
    store = await open_store(settings.database)
    try:
        return await find(store)
    finally:
        await store.close()


async def find(store: AccountStore) -> Report:
    """Read the accounts of a store, in portions. Only ids in another form than today's are kept meanwhile."""
    report = Report()
    async for user_id in _user_ids(store):
        report.accounts += 1
        if user_id not in known_as(user_id):
            report.unreachable.append(user_id)
        elif (normal := normal_user_id(user_id)) != user_id:
            report.others.setdefault(normal, []).append(user_id)
    for normal, ids in report.others.items():
        exists = await store.get_account(normal) is not None
        if exists or len(ids) > 1:
            report.twins[normal] = [normal, *ids] if exists else ids
    return report


async def _user_ids(store: AccountStore) -> AsyncIterator[str]:
    after = ""
    while found := await store.list_accounts(after, PORTION):
        for account in found:
            yield account.user_id
        after = found[-1].user_id


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
