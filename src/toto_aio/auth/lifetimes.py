"""How long sessions live, and when they are renewed."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from toto_aio.exceptions import Unavailable, described
from toto_aio.models import Session
from toto_aio.settings import Settings
from toto_aio.stores import SessionStore

if TYPE_CHECKING:
    from toto_aio.auth.user_session import UserSession

logger = logging.getLogger(__name__)

PAUSE = 10.0
"""Seconds without a renewal after one that could not be written, so that few requests wait for that."""


class Lifetimes:
    """The lifetimes of sessions in a store: others for those of users than for anonymous ones."""

    def __init__(self, store: SessionStore, settings: Settings) -> None:
        self._store = store
        self._longest = settings.session_max_ttl
        self._of_users = _lifetime(settings.session_ttl, settings.session_renew)
        self._of_anonymous = _lifetime(settings.anon_session_ttl, settings.anon_session_renew)
        self._no_renewal_before = 0.0

    def end_of_new(self, user_id: str, now: float) -> float:
        """When a session that begins now expires, if it is not renewed, as Unix time."""
        ttl, _ = self._of(user_id)
        return now + min(ttl, self._longest)

    def is_due(self, record: Session) -> bool:
        """Whether a session is to be renewed."""
        _, renew = self._of(record.user_id)
        return record.expires - time.time() < renew

    async def renew(self, session: UserSession) -> bool:
        """Extend the lifetime of a session that is due; returns False if it has ended meanwhile.

        A database that only answers reads, as on a full disk or a replica, doesn't log anybody out: the
        session is used as it is, and renewed by a later request.
        """
        record, now = session.record, time.time()
        ttl, _ = self._of(record.user_id)
        expires = min(now + ttl, record.created + self._longest)
        if expires <= record.expires or time.monotonic() < self._no_renewal_before:
            return True
        try:
            if not await self._store.touch_session(record.key, expires, now):
                return False
        except Unavailable as exc:
            self._no_renewal_before = time.monotonic() + PAUSE
            reason = described(exc.__cause__ or exc)
            logger.warning("sessions cannot be renewed, and are used as they are: %s", reason)
            return True
        record.expires, record.seen = expires, now
        session.renewed = True
        return True

    def _of(self, user_id: str) -> tuple[float, float]:
        """The seconds that a session lives, and those before its end from which on it is renewed."""
        return self._of_users if user_id else self._of_anonymous


def _lifetime(ttl: float, renew: float) -> tuple[float, float]:
    return ttl, renew or ttl * 0.99  # as the option says of 0
