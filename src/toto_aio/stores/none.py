"""``none``: no database, for a service without accounts and sessions. Counters are those of one process."""

from __future__ import annotations

from typing import NoReturn

from toto_aio.models import Account, Record, Session
from toto_aio.stores.memory import MemoryStore


async def from_url(url: str) -> NoStore:
    """Return a store that keeps nothing."""
    return NoStore()


class NoStore(MemoryStore):
    """Has no account, no session and no record, and takes none."""

    async def add_account(self, account: Account) -> None:
        _refuse("accounts")

    async def add_session(self, session: Session) -> None:
        _refuse("sessions")

    async def add_record(self, record: Record) -> bool:
        _refuse("records")

    async def put_record(self, record: Record) -> None:
        _refuse("records")


def _refuse(what: str) -> NoReturn:
    raise RuntimeError(f"The service has no {what}, by database=none: write database=sqlite:///toto.db")
