"""Reads that are asked for together are answered by one query."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

from toto_aio.stores.tasks import Tasks

T = TypeVar("T")

MOST = 64
"""The most keys of a query."""


class Merged(Generic[T]):
    """Reads by key: those of one turn of the event loop become one call of ``read``, or one for each 64.

    ``read`` gives what it found by its key. Whoever is cancelled disturbs no other; an error reaches all.
    """

    def __init__(self, read: Callable[[Sequence[str]], Awaitable[Mapping[str, T]]]) -> None:
        self._read = read
        self._waiting: dict[str, list[asyncio.Future[T | None]]] = {}
        self._tasks = Tasks()

    async def get(self, key: str) -> T | None:
        """What is found under a key, or None. Who asks for the same key together gets the same object."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._send)
        future: asyncio.Future[T | None] = loop.create_future()
        self._waiting.setdefault(key, []).append(future)
        return await future

    async def finish(self) -> None:
        """Wait for the queries that are under way."""
        await self._tasks.finish()

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, {}
        keys = [key for key, futures in waiting.items() if not all(future.done() for future in futures)]
        for start in range(0, len(keys), MOST):
            self._tasks.start(self._answer({key: waiting[key] for key in keys[start : start + MOST]}))

    async def _answer(self, waiting: dict[str, list[asyncio.Future[T | None]]]) -> None:
        try:
            found = await self._read(list(waiting))
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
        for key, futures in waiting.items():
            for future in futures:
                if not future.done():
                    future.set_result(found.get(key))
