"""``none``: no database, for a service without accounts and sessions. Counters are those of one process."""

from __future__ import annotations

from typing import NoReturn

from toto_aio.models import Account, Session
from toto_aio.stores.memory import MemoryStore


async def from_url(url: str) -> NoStore:
    """Return a store that keeps nothing."""
    return NoStore()


class NoStore(MemoryStore):
    """Has no account and no session, and takes none."""

    async def add_account(self, account: Account) -> None:
        _refuse("accounts")

    async def add_session(self, session: Session) -> None:
        _refuse("sessions")


def _refuse(what: str) -> NoReturn:
    raise RuntimeError(f"The service has no {what}, by database=none: write database=sqlite:///toto.db")
