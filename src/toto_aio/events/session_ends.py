"""Announces the end of sessions to every process of the deployment."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from toto_aio.events.manager import EventManager
from toto_aio.exceptions import Unavailable, described
from toto_aio.tasks import Tasks

logger = logging.getLogger(__name__)

SESSION_ENDED = "toto_aio.session_ended"
"""The event that announces the end of sessions."""

TELL_LIMIT = 60.0
"""Seconds after which the other processes, which look up the sessions of their sockets, know of an end."""
PAUSE = 1.0
"""Seconds between two attempts to tell them."""
GRACE = 0.5
"""Seconds that the broker has before this process hears of an end without it."""
MAX_TELLING = 1000
"""Ends that are being told at the same time."""
CLOSE_LIMIT = 1.0
"""Seconds that a shutdown waits for ends to be told."""
LATE = "sockets of other processes learn late that their session has ended"

End = dict[str, str]
"""A ``key``, or a ``user_id`` and the key of the session to ``keep``, as ``auth.sessions`` reports them.

One that is told late has the Unix time ``before`` which the sessions of the ``user_id`` were created.
"""


class SessionEnds:
    """The ends of sessions: announced in one process, and heard in all if events travel between them.

    Nobody waits for that. While the broker is out of reach the others are told again and again, until they
    have certainly found out by themselves that the sessions are gone.
    """

    def __init__(self, events: EventManager | None) -> None:
        self._events = events
        self._listeners: list[Callable[[End], Awaitable[None]]] = []
        self._telling = Tasks()
        if events is not None:
            events.handle_own(SESSION_ENDED, self._hear)

    def listen(self, listener: Callable[[End], Awaitable[None]]) -> None:
        """Call ``listener`` with each end."""
        self._listeners.append(listener)

    async def announce(self, end: End) -> None:
        """Announce an end. This process hears of it with the others, or soon without them."""
        if self._events is None:  # not yet: a call that ends its session has its response first
            self._telling.start(self._hear(end), "session end")
        elif len(self._telling) < MAX_TELLING:
            self._telling.start(self._tell(self._events, end), "session end")
        else:
            logger.warning("%s: too many are waiting to be told", LATE)
            await self._hear(end)

    async def close(self) -> None:
        """Tell what can still be told soon."""
        await self._telling.finish(CLOSE_LIMIT)
        await self._telling.cancel()

    async def _tell(self, events: EventManager, end: End) -> None:
        # Whoever logs in later is not meant, and may do so before the others are told.
        late = {**end, "before": repr(time.time())}
        deadline = time.monotonic() + TELL_LIMIT
        try:
            async with asyncio.timeout(GRACE):
                await events.send_own(SESSION_ENDED, end)
            return
        except (Unavailable, TimeoutError) as exc:
            logger.warning("%s: %s", LATE, described(exc.__cause__ or exc))
        await self._hear(end)
        told = 0
        while told < 2 and time.monotonic() < deadline:  # the others may be back a little later than this one
            await asyncio.sleep(PAUSE)
            with suppress(Unavailable):
                await events.send_own(SESSION_ENDED, late)
                told += 1

    async def _hear(self, end: End) -> None:
        for listener in self._listeners:
            await listener(end)
