"""Saves sessions, so that what other requests wrote at the same time is kept."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec.structs import replace

from toto_aio.auth.session_state import apply, difference, pack, unpack
from toto_aio.exceptions import InvalidSessionID, Unavailable
from toto_aio.locks import Locks
from toto_aio.models import Session
from toto_aio.stores import SessionStore

if TYPE_CHECKING:
    from toto_aio.auth.user_session import UserSession

SAVE_LIMIT = 5.0
"""Seconds that a save competes with others before it gives up."""

T = TypeVar("T")


class SessionSaves:
    """Writes the state of sessions, optimistically: a write counts only onto the version that was read."""

    def __init__(self, store: SessionStore) -> None:
        self._store = store
        self._locks = Locks()

    async def save(self, session: UserSession, change: Callable[[dict[str, Any]], T]) -> T:
        """Write a session's changed keys and what ``change`` does, as one step; returns ``change``'s result.

        A write onto another version is repeated on the newer one. The tasks of this process queue for a
        session, so that only processes compete. Raises ``InvalidSessionID`` if the session has ended.
        """
        key = session.record.key
        lock = self._locks[key]
        try:
            # The limit includes the wait for other tasks: with the database away, each would add its own
            # limit.
            async with asyncio.timeout(SAVE_LIMIT) as limit, lock:
                record = session.record
                before = pack(session.state)
                changed, removed = difference(unpack(record.state), unpack(before))
                changes = pack(changed)  # a repetition must not see what ``change`` did to them before
                deadline = time.monotonic() + SAVE_LIMIT
                while True:
                    state = apply(unpack(record.state), unpack(changes), removed)
                    result = change(state)
                    written = replace(record, state=pack(state))
                    if await self._store.save_session(written):
                        written.version += 1
                        session.settle(written, unpack(before))
                        return result
                    if time.monotonic() > deadline:
                        raise Unavailable("The session is being changed too often.")
                    await asyncio.sleep(random.uniform(0, 0.005))  # noqa: S311  # jitter, not a secret
                    record = await self.read(key)
        except TimeoutError as exc:
            if not limit.expired():
                raise  # it came from ``change``
            raise Unavailable from exc

    async def read(self, key: str) -> Session:
        """The session as it is stored. Raises ``InvalidSessionID`` if it has ended."""
        record = await self._store.get_session(key)
        if record is None:
            raise InvalidSessionID
        return record
