"""Coalescing of reads: those that come together are answered by one query."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import islice
from typing import Generic, TypeVar

from toto_aio.tasks import Tasks

T = TypeVar("T")

MAX_KEYS = 64
"""The most keys of a query."""
MAX_QUERIES = 2
"""Queries in progress at a time, while further reads wait to share one; more would each have fewer keys."""
MAX_WAIT = 0.02
"""The most seconds that a read waits to share a query, so that a slow query does not hold up others."""


class Coalescer(Generic[T]):
    """Turns the reads of one turn of the event loop, and those that wait, into one call of ``read``.

    ``read`` takes the keys and returns the values found, by key. A caller that is cancelled does not affect
    the others; an error reaches all of them.
    """

    def __init__(self, read: Callable[[Sequence[str]], Awaitable[Mapping[str, T]]]) -> None:
        self._read = read
        self._waiting: dict[str, list[asyncio.Future[T | None]]] = {}
        self._in_progress = 0
        self._timer: asyncio.TimerHandle | None = None
        self._tasks = Tasks()

    async def get(self, key: str) -> T | None:
        """Return the value of a key, or None. Callers that read the same key together get the same object."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._send, MAX_QUERIES)
        future: asyncio.Future[T | None] = loop.create_future()
        self._waiting.setdefault(key, []).append(future)
        return await future

    async def finish(self) -> None:
        """Wait for the queries in progress, and for the reads that still wait."""
        self._send_all()
        await self._tasks.finish()

    def _send(self, max_queries: float) -> None:
        """Query for the reads that wait, while fewer than ``max_queries`` are in progress."""
        while self._waiting and self._in_progress < max_queries:
            keys = list(islice(self._waiting, MAX_KEYS))
            waiting = {key: self._waiting.pop(key) for key in keys}
            if all(future.done() for futures in waiting.values() for future in futures):
                continue
            self._in_progress += 1
            self._tasks.start(self._query(waiting), "coalesced read")
        if self._waiting and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(MAX_WAIT, self._send_all)

    def _send_all(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._send(float("inf"))

    async def _query(self, waiting: dict[str, list[asyncio.Future[T | None]]]) -> None:
        try:
            found = await self._read(_wanted(waiting))
        except BaseException as exc:
            for future in [future for futures in waiting.values() for future in futures if not future.done()]:
                if isinstance(exc, Exception):
                    future.set_exception(exc)
                    future.exception()  # retrieved, as a caller that is cancelled in this same turn does not
                else:
                    future.cancel()
            if not isinstance(exc, Exception):
                raise
            return
        finally:
            self._in_progress -= 1
            self._send(MAX_QUERIES)
        for key, futures in waiting.items():
            for future in futures:
                if not future.done():
                    future.set_result(found.get(key))


def _wanted(waiting: Mapping[str, Sequence[asyncio.Future[T]]]) -> list[str]:
    """Return the keys that some caller still waits for."""
    return [key for key, futures in waiting.items() if not all(future.done() for future in futures)]
