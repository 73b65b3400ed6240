"""Closes the sockets and event streams whose sessions have ended."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Sequence
from typing import Protocol

from toto_aio.auth.user_session import UserSession

logger = logging.getLogger(__name__)

POLL_INTERVAL = 1.0
"""Seconds between two checks for expired sessions."""
LOOKUP_INTERVAL = 30.0
"""Seconds between two look-ups of every session, in case no event has announced its end."""
LOOKUPS = 16
"""Sessions that are looked up at the same time."""


class Connected(Protocol):
    """What lasts no longer than a session: a socket, or an event stream."""

    replaced: str | None
    """The key of the session in whose place a password change has put the current one."""

    def sessions(self) -> Sequence[UserSession]:
        """The sessions that it, or something of it, depends on."""

    def session_ended(self, session: UserSession) -> None:
        """End what depends on a session."""


class SessionWatch:
    """Watches the sessions of what is open. Sessions that end are announced to ``session_ended``."""

    def __init__(self, sockets: Collection[Connected]) -> None:
        self._sockets = sockets

    async def session_ended(self, end: dict[str, str]) -> None:
        """Close the sockets of the session ``key``, or of those of ``user_id`` except the one to ``keep``.

        If the end has a time ``before``, sessions that were created later are not meant.
        """
        before = float(end.get("before", "inf"))
        for socket in tuple(self._sockets):
            for session in socket.sessions():
                key = session.record.key
                # It may be heard after the session to keep was replaced.
                of_user = session.user_id == end.get("user_id") and end.get("keep") not in (
                    key,
                    socket.replaced,
                )
                if key == end.get("key") or (of_user and session.record.created <= before):
                    socket.session_ended(session)

    async def run(self) -> None:
        """Close the sockets whose sessions have expired, or have ended without an announcement."""
        turn = asyncio.Semaphore(LOOKUPS)
        due = time.monotonic() + LOOKUP_INTERVAL
        while True:
            await asyncio.sleep(POLL_INTERVAL)
            everyone = time.monotonic() >= due
            if everyone:
                due = time.monotonic() + LOOKUP_INTERVAL
            now = time.time()
            lookups = [
                self._look_up(socket, session, turn)
                for socket in tuple(self._sockets)
                for session in socket.sessions()
                if everyone or session.expires <= now
            ]
            await asyncio.gather(*lookups)

    async def _look_up(self, socket: Connected, session: UserSession, turn: asyncio.Semaphore) -> None:
        try:
            async with turn:
                expires = await session.expiry()
        except Exception:
            logger.debug("the session of a socket could not be looked up", exc_info=True)
            return
        if expires is None:
            socket.session_ended(session)
        else:
            session.record.expires = expires
