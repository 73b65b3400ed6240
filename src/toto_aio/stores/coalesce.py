"""Reads that are asked for together are answered by one query."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import islice
from typing import Generic, TypeVar

from toto_aio.tasks import Tasks

T = TypeVar("T")

MOST = 64
"""The most keys of a query."""
AT_ONCE = 2
"""Queries under way for which others wait, to ask together: with more of them each has fewer keys."""
PATIENCE = 0.02
"""Seconds for which they wait at most; a query that takes longer is in nobody's way."""


class Merged(Generic[T]):
    """Reads by key: those of one turn of the event loop, and those that wait, become one call of ``read``.

    ``read`` gives what it found by its key. Whoever is cancelled disturbs no other; an error reaches all.
    """

    def __init__(self, read: Callable[[Sequence[str]], Awaitable[Mapping[str, T]]]) -> None:
        self._read = read
        self._waiting: dict[str, list[asyncio.Future[T | None]]] = {}
        self._under_way = 0
        self._timer: asyncio.TimerHandle | None = None
        self._tasks = Tasks()

    async def get(self, key: str) -> T | None:
        """What is found under a key, or None. Who asks for the same key together gets the same object."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._send, AT_ONCE)
        future: asyncio.Future[T | None] = loop.create_future()
        self._waiting.setdefault(key, []).append(future)
        return await future

    async def finish(self) -> None:
        """Wait for the queries that are under way, and for those who wait for them."""
        self._send_all()
        await self._tasks.finish()

    def _send(self, at_once: float) -> None:
        """Ask for those who wait, unless so many queries are under way."""
        while self._waiting and self._under_way < at_once:
            keys = list(islice(self._waiting, MOST))
            waiting = {key: self._waiting.pop(key) for key in keys}
            if all(future.done() for futures in waiting.values() for future in futures):
                continue
            self._under_way += 1
            self._tasks.start(self._answer(waiting), "query")
        if self._waiting and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PATIENCE, self._send_all)

    def _send_all(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._send(float("inf"))

    async def _answer(self, waiting: dict[str, list[asyncio.Future[T | None]]]) -> None:
        try:
            found = await self._read(_wanted(waiting))
        except BaseException as exc:
            for future in [future for futures in waiting.values() for future in futures if not future.done()]:
                if isinstance(exc, Exception):
                    future.set_exception(exc)
                    future.exception()  # who is cancelled in this very turn does not look at it
                else:
                    future.cancel()
            if not isinstance(exc, Exception):
                raise
            return
        finally:
            self._under_way -= 1
            self._send(AT_ONCE)
        for key, futures in waiting.items():
            for future in futures:
                if not future.done():
                    future.set_result(found.get(key))


def _wanted(waiting: Mapping[str, Sequence[asyncio.Future[T]]]) -> list[str]:
    """The keys that somebody waits for still."""
    return [key for key, futures in waiting.items() if not all(future.done() for future in futures)]
