"""What the tests of sessions share: sessions as stored, and operations that wait or are counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from toto_aio.auth.sessions import Sessions
from toto_aio.auth.user_session import UserSession
from toto_aio.models import Session
from toto_aio.stores import Store

MakeSessions = Callable[..., Sessions]

PASSWORD = "correct horse"
SOON = 20.0
"""Seconds that a test may take between two readings of the clock."""


class Held:
    """Make the first call of some store operations wait for ``go``; ``reached`` is set when it is waiting."""

    def __init__(self, store: Any, *operations: str) -> None:
        self.reached = asyncio.Event()
        self.go = asyncio.Event()
        for name in operations:
            setattr(store, name, self._hold(getattr(store, name)))

    def _hold(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        async def held(*args: Any, **kwargs: Any) -> Any:
            if not self.reached.is_set():
                self.reached.set()
                await self.go.wait()
            return await operation(*args, **kwargs)

        return held


def changes_of_accounts(store: Any) -> list[str]:
    """The operations of a store that change an existing account."""
    others = ("_", "get_", "add_", "open", "close", "sweep")
    names = [name for name in dir(store) if not name.startswith(others) and "session" not in name]
    return [name for name in names if callable(getattr(store, name))]


class Counted:
    """Counts the calls of a store operation."""

    def __init__(self, store: Any, operation: str) -> None:
        self.calls = 0
        original = getattr(store, operation)

        async def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            return await original(*args, **kwargs)

        setattr(store, operation, counted)


async def stored(store: Store, user_id: str = "ada") -> Session:
    """The only session of a user, as it is stored."""
    [session] = await store.list_sessions(user_id)
    return session


async def load(sessions: Sessions, session_id: str) -> UserSession:
    """A session that must exist."""
    session = await sessions.load(session_id)
    assert session is not None
    return session


async def state_of(sessions: Sessions, session: UserSession) -> dict[str, Any]:
    """The stored state of a session, as another request reads it."""
    return (await load(sessions, session.session_id)).state
