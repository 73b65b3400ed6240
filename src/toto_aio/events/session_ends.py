"""Announces the end of sessions to every process of the deployment."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from toto_aio.events.manager import EventManager
from toto_aio.exceptions import Unavailable, described

logger = logging.getLogger(__name__)

SESSION_ENDED = "toto_aio.session_ended"
"""The event that announces the end of sessions."""

End = dict[str, str]
"""A ``key``, or a ``user_id`` and the key of the session to ``keep``, as ``auth.sessions`` reports them."""


class SessionEnds:
    """The ends of sessions: announced in one process, and heard in all if events travel between them."""

    def __init__(self, events: EventManager | None) -> None:
        self._events = events
        self._listeners: list[Callable[[End], Awaitable[None]]] = []
        if events is not None:
            events.handle_own(SESSION_ENDED, self._hear)

    def listen(self, listener: Callable[[End], Awaitable[None]]) -> None:
        """Call ``listener`` with each end."""
        self._listeners.append(listener)

    async def announce(self, end: End) -> None:
        """Announce an end. If the broker is out of reach only this process hears of it."""
        if self._events is None:
            await self._hear(end)
            return
        try:
            await self._events.send_own(SESSION_ENDED, end)
        except Unavailable as exc:
            reason = described(exc.__cause__ or exc)
            logger.warning("sockets of other processes learn late that their session has ended: %s", reason)
            await self._hear(end)

    async def _hear(self, end: End) -> None:
        for listener in self._listeners:
            await listener(end)
