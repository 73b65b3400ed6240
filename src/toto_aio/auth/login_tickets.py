"""Tickets of the second step of a login: whoever has one has shown the password, within the last minutes."""

from __future__ import annotations

import hashlib
import secrets
import time
from typing import NamedTuple

from toto_aio.models import Record
from toto_aio.stores import RecordStore

KIND = "login_ticket"
"""The kind of the records."""
TTL = 300.0
"""Seconds in which the second step has to follow."""
MAX_LENGTH = 64


class Ticket(NamedTuple):
    """Whose login it is, and the ``mark`` that the account had at the first step."""

    key: str
    user_id: str
    mark: bytes


class LoginTickets:
    """The tickets of a service, stored as SHA-256. Each is good for one session."""

    def __init__(self, store: RecordStore) -> None:
        self._store = store

    async def issue(self, user_id: str, mark: bytes) -> str:
        """A new ticket."""
        ticket = secrets.token_urlsafe(32)
        await self._store.add_record(Record(KIND, _key(ticket), user_id, mark, time.time() + TTL))
        return ticket

    async def find(self, ticket: str) -> Ticket | None:
        """What a ticket is for; None if there is none, or it has expired or been spent."""
        if len(ticket) > MAX_LENGTH:
            return None
        record = await self._store.get_record(KIND, _key(ticket))
        return None if record is None else Ticket(record.key, record.owner, record.value)

    async def spend(self, ticket: Ticket) -> bool:
        """Use a ticket up. Returns False if somebody has before."""
        return await self._store.remove_record(KIND, ticket.key)


def _key(ticket: str) -> str:
    return hashlib.sha256(ticket.encode(errors="surrogatepass")).hexdigest()
