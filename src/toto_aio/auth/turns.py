"""Turns at what keeps a core busy: bounded, and fair between the clients who wait."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

from toto_aio.exceptions import TooManyAttempts

HASHING = max(1, (os.cpu_count() or 1) // 2)
"""Cores that may hash passwords at the same time: a burst of logins leaves the others to the calls."""
MAX_WAITING = 256
"""How many may wait. With one core at work, the last of them has waited about ten seconds."""
FIRST_GUESS = 0.04
"""Seconds that a turn is expected to take, until some have been measured."""
WEIGHT = 0.1
"""How much the newest turn counts in the average."""


class Turns:
    """Lets ``at_once`` work at the same time, and the others wait: one of each client after the other.

    If too many wait, the newest of the client of whom the most wait is refused with ``TooManyAttempts``: no
    client can keep the others out.
    """

    def __init__(
        self, at_once: int = HASHING * 2
    ) -> None:  # one waits for the store while another one hashes
        self._at_once = self._free = at_once
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._average = FIRST_GUESS

    @asynccontextmanager
    async def turn(self, client: str = "") -> AsyncIterator[None]:
        """Wait for a turn of ``client``; a turn within a turn is the same one. Raises ``TooManyAttempts``."""
        if _held.get() is self:
            yield
            return
        await self._wait(client)
        token = _held.set(self)
        began = time.perf_counter()
        try:
            yield
        finally:
            _held.reset(token)
            self._average += WEIGHT * (time.perf_counter() - began - self._average)
            self._next()

    async def _wait(self, client: str) -> None:
        if self._free:
            self._free -= 1
            return
        if sum(map(len, self._waiting.values())) >= MAX_WAITING:
            self._make_room(client)
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(client, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._next()  # it came at the same time
            raise

    def _make_room(self, client: str) -> None:
        """Refuse the newest of the client of whom the most wait, perhaps this one."""
        refused = TooManyAttempts(retry_after=math.ceil(MAX_WAITING * self._average / self._at_once))
        longest = max(self._waiting.values(), key=len)
        if len(longest) <= len(self._waiting.get(client, ())) + 1:
            raise refused
        newest = longest.pop()
        if not newest.done():
            newest.set_exception(refused)

    def _next(self) -> None:
        """Give the turn that ended to the client who has waited longest for one, or keep it."""
        while self._waiting:
            client = next(iter(self._waiting))
            waiting = self._waiting.pop(client)
            turn = waiting.popleft()
            if waiting:
                self._waiting[client] = waiting  # behind the other clients
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


_held: ContextVar[Turns | None] = ContextVar("held", default=None)
"""Whose turn the current task has."""
