"""Clients that leave before they are answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from toto_aio.http.request import View

LOOK_INTERVAL = 0.2
"""Seconds between two looks for clients that have left."""


class Waiting(Protocol):
    """What is being made for a client that waits: ``HTTPReply``."""

    view: View


class ConnectionWatch:
    """Notices clients that leave while their answer is being waited for.

    aiohttp tells a handler only by cancelling it, and only if the whole server is set to do so; a look at
    the transports of those who wait costs less than a task for each request, and uses public names alone.
    """

    def __init__(self) -> None:
        self._callbacks: dict[Waiting, list[Callable[[], None]]] = {}
        self._task: asyncio.Task[None] | None = None

    def add(self, reply: Waiting, callback: Callable[[], None]) -> None:
        """Call back once if the client that waits for ``reply`` leaves before ``discard``."""
        self._callbacks.setdefault(reply, []).append(callback)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="toto-aio connection watch")

    def client_left(self, reply: Waiting) -> None:
        """Call back for a client that has left."""
        for callback in self._callbacks.pop(reply, ()):
            callback()

    def discard(self, reply: Waiting) -> None:
        """Watch for a client no more."""
        self._callbacks.pop(reply, None)

    async def close(self) -> None:
        """Watch nothing any more."""
        self._callbacks.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while self._callbacks:
            await asyncio.sleep(LOOK_INTERVAL)
            for reply in [reply for reply in self._callbacks if has_left(reply.view)]:
                self.client_left(reply)
        self._task = None


def has_left(view: View) -> bool:
    """Whether the client of a request is gone."""
    return view.transport is None or view.transport.is_closing()
