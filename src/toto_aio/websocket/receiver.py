"""What comes over a WebSocket: frames, each of which is answered in the task that has read it.

Most calls never wait, and a task costs as much as all the rest of one. When a call does wait, another task
reads on, and the call stays in the task where it began. So one task at a time reads, and no call holds up
those behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from typing import Any

from aiohttp import web

from toto_aio.websocket.frames import FORMATS, Format

MAX_CALLS = 32
"""Calls of one socket that run at once; while there are so many its next frame is not read."""
ROUND = 16
"""Frames of one socket that are answered before others have their turn."""
LOOK_INTERVAL = 0.5
"""Seconds between two looks for the client of a socket whose frames are not read."""

Take = Callable[[Format, bytes], Awaitable[Any]]


class Inbox:
    """The frames of one socket. ``answer`` gets each, but not the first if ``first`` has taken it.

    ``is_over`` says whether the client has gone, or is to go.
    """

    def __init__(
        self, response: web.WebSocketResponse[Any], answer: Take, first: Take, is_over: Callable[[], bool]
    ) -> None:
        self._response = response
        self._answer = answer
        self._first: Take | None = first
        self._is_over = is_over
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        self._end: asyncio.Future[None] = self._loop.create_future()
        self._reader: asyncio.Task[None] | None = None
        self._calls: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Event()
        self._answering = self._will_look = False

    async def read(self) -> None:
        """Read and answer, until the socket is closed; calls may run on."""
        self._read_on()
        await self._end

    async def finish(self) -> None:
        """Let the calls that run come to their end."""
        await asyncio.gather(*self._calls, return_exceptions=True)

    async def stop(self) -> None:
        """Cancel all that runs."""
        tasks = [*self._calls, *([self._reader] if self._reader else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _read_on(self) -> None:
        self._reader = self._loop.create_task(
            self._read(), name="toto-aio socket", context=self._context.copy()
        )
        self._reader.add_done_callback(self._done)

    async def _read(self) -> None:
        """Be the one who reads, until the socket is closed or an answer has to wait."""
        task, receive, clean = asyncio.current_task(), self._response.receive, copy_context()
        assert task is not None
        while True:
            for _ in range(ROUND):
                if len(self._calls) >= MAX_CALLS and not await self._has_turn():
                    return
                kind, data, _ = await receive()
                format = FORMATS.get(kind)
                if format is None:
                    return
                if self._first is not None:
                    first, self._first = self._first, None
                    if await first(format, data):
                        continue
                if not self._will_look:
                    self._will_look = True
                    self._loop.call_soon(self._look)
                self._answering = True
                await self._answer(format, data)
                if task is not self._reader:
                    return
                self._answering = False
                if task.cancelling() or _differ(copy_context(), clean):
                    self._read_on()  # the next call is to find nothing of what this one did to its task
                    return
            await asyncio.sleep(0)

    def _look(self) -> None:
        """Let another task read on, if the one that reads is with an answer that waits."""
        self._will_look = False
        if self._answering and self._reader is not None and not self._end.done():
            self._answering = False
            self._calls.add(self._reader)
            self._read_on()

    async def _has_turn(self) -> bool:
        """Wait until one call more may run; False if the client, whose frames are not read now, is gone."""
        while len(self._calls) >= MAX_CALLS:
            self._turn.clear()
            try:
                async with asyncio.timeout(LOOK_INTERVAL):
                    await self._turn.wait()
            except TimeoutError:
                if self._is_over():
                    return False
        return True

    def _done(self, task: asyncio.Task[None]) -> None:
        if task is not self._reader:
            self._calls.discard(task)
            self._turn.set()
        elif task.cancelled() and not self._is_over():
            self._read_on()  # it was cancelled by what an earlier call of its own has left behind
        elif not self._end.done():
            exc = None if task.cancelled() else task.exception()
            self._end.set_result(None) if exc is None else self._end.set_exception(exc)


def _differ(one: Context, other: Context) -> bool:
    """Whether context variables differ; if none was set that is one comparison of pointers."""
    try:
        return one != other
    except Exception:  # by a value that cannot be compared
        return True
