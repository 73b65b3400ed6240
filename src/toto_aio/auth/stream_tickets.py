"""Tickets for event streams: a page of another origin can set no header on one, and shows a ticket instead.

A ticket stands for the session that has asked for it, for a moment and for one stream. So what a URL may
tell a log or a proxy is worth nothing, and no session id is ever in one.
"""

from __future__ import annotations

import hashlib
import secrets
import time

from toto_aio.auth.sessions import Sessions
from toto_aio.auth.user_session import UserSession
from toto_aio.models import Record
from toto_aio.stores.records import records_of

KIND = "stream_ticket"
"""The kind of the records."""
TTL = 30.0
"""Seconds in which a ticket has to be shown."""
MAX_LENGTH = 64


class StreamTickets:
    """The tickets of a service, kept where its sessions are; each is stored as its SHA-256."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._records = records_of(sessions.store)

    async def issue(self, session: UserSession) -> str:
        """A new ticket of a session. Raises ``Unavailable``."""
        ticket = secrets.token_urlsafe(32)
        record = Record(KIND, _key(ticket), session.user_id, session.record.key.encode(), time.time() + TTL)
        await self._records.add_record(record)
        return ticket

    async def spend(self, ticket: str) -> UserSession | None:
        """The session of a ticket, which is used up; None if it is unknown, late or spent, or that has ended.

        Raises ``Unavailable``.
        """
        if len(ticket) > MAX_LENGTH:
            return None
        record = await self._records.get_record(KIND, _key(ticket))
        if record is None or not await self._records.remove_record(KIND, record.key):
            return None
        stored = await self._sessions.store.get_session(record.value.decode())
        if stored is None:
            return None
        session = UserSession(self._sessions, "", stored)  # nobody has shown its id
        session.hides_id = True
        return session


def _key(ticket: str) -> str:
    return hashlib.sha256(ticket.encode(errors="surrogatepass")).hexdigest()
