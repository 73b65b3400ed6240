"""The frames that arrive over a WebSocket, each answered in the task that has read it.

Most calls never wait, and a task costs as much as everything else about a call. When a call does wait,
another task continues to read, and the call stays in the task where it began. So one task reads at a time,
and no call holds up those behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from typing import Any

from aiohttp import WSMsgType, web

from toto_aio.tasks import cancel
from toto_aio.websocket.frames import FORMATS, Format, Formats
from toto_aio.websocket.strictness import reply_code

MAX_CALLS = 32
"""Calls of one socket that run at the same time; further frames aren't read until one has finished."""
ROUND = 16
"""Frames of one socket that are answered before other sockets have their turn."""
POLL_INTERVAL = 0.5
"""Seconds between two checks whether the client of a socket that isn't read has left."""

Take = Callable[[Format, bytes], Awaitable[Any]]


class FrameReceiver:
    """The frames of one socket. ``answer`` gets each, except the first if there is a ``first`` that takes it.

    ``is_over`` returns whether the client has left, or the socket is being closed. ``control`` takes a
    ping or a pong, and returns False for anything else.
    """

    def __init__(
        self,
        response: web.WebSocketResponse[Any],
        answer: Take,
        first: Take | None,
        is_over: Callable[[], bool],
        control: Callable[[WSMsgType, bytes], bool],
        formats: Formats = FORMATS,
    ) -> None:
        self._response = response
        self._answer = answer
        self._first = first
        self._is_over = is_over
        self._control = control
        self._formats = formats
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        self._end: asyncio.Future[None] = self._loop.create_future()
        self._reader: asyncio.Task[None] | None = None
        self._calls: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Event()
        self._answering = self._will_check = False

    @property
    def is_full(self) -> bool:
        """Whether nothing is read, as enough calls are running."""
        return len(self._calls) >= MAX_CALLS

    async def read(self) -> None:
        """Read and answer until the socket is closed; calls may still be running then."""
        self._read_on()
        await self._end

    async def finish(self) -> None:
        """Wait for the calls in progress."""
        await asyncio.gather(*self._calls, return_exceptions=True)

    async def stop(self) -> None:
        """Cancel the calls in progress, and stop reading."""
        await cancel(*self._calls, self._reader)

    def _read_on(self) -> None:
        self._reader = self._loop.create_task(
            self._read(), name="toto-aio socket", context=self._context.copy()
        )
        self._reader.add_done_callback(self._done)

    async def _read(self) -> None:
        """Read until the socket is closed, or the answer to a frame has to wait."""
        task, receive, clean = asyncio.current_task(), self._response.receive, copy_context()
        assert task is not None
        while True:
            for _ in range(ROUND):
                if self.is_full and not await self._has_turn():
                    return
                try:
                    kind, data, _ = await receive()
                except ConnectionError:  # of the answer to a ping of a client that has disconnected
                    return
                if kind is WSMsgType.CLOSE:
                    await self._response.close(code=reply_code(data), drain=False)
                    return
                encoding = self._formats.get(kind)
                if encoding is None:
                    if self._is_over() or not self._control(kind, data):
                        return
                    continue
                if self._first is not None:
                    first, self._first = self._first, None
                    if await first(encoding, data):
                        continue
                if not self._will_check:
                    self._will_check = True
                    self._loop.call_soon(self._check)
                self._answering = True
                await self._answer(encoding, data)
                if task is not self._reader:
                    return
                self._answering = False
                if task.cancelling() or _differ(copy_context(), clean):
                    self._read_on()  # the next call must not find what this one did to its task
                    return
            await asyncio.sleep(0)

    def _check(self) -> None:
        """Let another task read, if the answer of the one that reads has to wait."""
        self._will_check = False
        if self._answering and self._reader is not None and not self._end.done():
            self._answering = False
            self._calls.add(self._reader)
            self._read_on()

    async def _has_turn(self) -> bool:
        """Wait until another call may run; False if the client, which isn't read meanwhile, has left."""
        while self.is_full:
            self._turn.clear()
            try:
                async with asyncio.timeout(POLL_INTERVAL):
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
            self._read_on()  # something that an earlier call has left behind cancelled it
        elif not self._end.done():
            exc = None if task.cancelled() else task.exception()
            self._end.set_result(None) if exc is None else self._end.set_exception(exc)


def _differ(one: Context, other: Context) -> bool:
    """Whether context variables differ; if none was set, this compares two pointers."""
    try:
        return one != other
    except Exception:  # of a value that can't be compared
        return True
