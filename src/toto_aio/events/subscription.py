"""The events of one name for one reader: a bounded queue that never drops events silently.

async with handler.events.subscribe("message", on_lagged=print) as messages:
    async for message in messages: ...
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal

import msgspec

from toto_aio.events.taken import Taken

logger = logging.getLogger(__name__)

QUEUE_SIZE = 1000
"""Events that may wait to be read."""

WhenFull = Literal["drop-oldest", "disconnect"]
"""What a reader that is too slow loses: the oldest events, or its subscription."""
WARNINGS: dict[WhenFull, str] = {
    "drop-oldest": "a subscriber of the event %r is too slow: events are dropped",
    "disconnect": "a subscriber of the event %r is too slow: its subscription is closed",
}


class Lagged(Exception):  # named after what happened, as Toto's exceptions are
    """A subscription with ``when_full="disconnect"`` was full, and is closed; it lost ``count`` events."""

    def __init__(self, count: int) -> None:
        super().__init__(f"The subscriber was too slow: {count} events were dropped.")
        self.count = count


class Arrival:
    """An event's arguments as they arrived: each receiver decodes a copy of its own."""

    __slots__ = ("_encoded", "_packed", "taken")

    def __init__(self, packed: msgspec.Raw, taken: Taken | None = None) -> None:
        self.taken = taken
        """The event if it is for one process; each receiver holds it until it has handled it."""
        self._packed = packed
        self._encoded: dict[Callable[[Any], bytes], bytes] = {}

    def args(self) -> Any:
        """A new copy of the arguments."""
        return _decoder.decode(self._packed)

    def encoded(self, encode: Callable[[Any], bytes]) -> bytes:
        """The arguments as ``encode`` encodes them, once for all receivers."""
        if encode not in self._encoded:
            self._encoded[encode] = encode(self.args())
        return self._encoded[encode]


class Subscription:
    """The events of one name, in order, for one reader, as ``EventManager.subscribe`` returns it.

    ``dropped`` counts the events that it was too slow for, and ``missed`` those that didn't reach this
    process: at least that many, as it is unknown how many were sent while a connection was lost.
    """

    def __init__(
        self,
        name: str,
        size: int,
        when_full: WhenFull,
        on_lagged: Callable[[int], None] | None,
        forget: Callable[[Subscription], None],
        take: Callable[[Arrival], bool] | None = None,
        on_slow: Callable[[str], None] | None = None,
    ) -> None:
        if size < 1:
            raise ValueError(f"size: write 1 or more, not {size}")
        if when_full not in WARNINGS:
            raise ValueError(f"when_full: write one of {', '.join(WARNINGS)}, not {when_full!r}")
        self.name = name
        self.dropped = 0
        self.missed = 0
        self._size = size
        self._when_full = when_full
        self._on_lagged = on_lagged
        self._forget = forget
        self._take = take
        self._on_slow = on_slow
        self._queue: deque[Arrival] = deque()
        self._in_progress: Taken | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._unreported = 0
        self._is_slow = False
        self._overflowed = False
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many events wait to be read."""
        return len(self._queue)

    @property
    def room(self) -> int:
        """How many more can wait before one is dropped."""
        return self._size - len(self._queue)

    def put(self, event: Arrival) -> None:
        """Add an event; when the queue is full, ``when_full`` decides what is dropped."""
        if self._take is not None and not self._queue and not self._unreported and self._take(event):
            if event.taken is not None:
                event.taken.begun = True
            return
        if len(self._queue) >= self._size:
            if self._when_full == "disconnect":
                self._drop(len(self._queue) + 1)
                _give_up(event, *self._queue)
                self._overflowed = True
                self.close()
                return
            oldest = self._queue.popleft()
            _give_up(oldest)
            _release(oldest)
            self._drop(1)
        if event.taken is not None:
            event.taken.hold()
        self._queue.append(event)
        self._wake()

    def miss(self, count: int) -> None:
        """Note that ``count`` events didn't reach this process; some may have had other names."""
        self.missed += count
        self._unreported += count
        self._wake()

    def close(self) -> None:
        """Stop receiving; the iteration ends."""
        self._closed = True
        self._forget(self)
        self._end_progress()
        left = tuple(self._queue)
        self._queue.clear()
        _release(*left)
        self._wake()

    def withdraw(self) -> None:
        """Release the events for one process that wait here and that no receiver has seen."""
        queued, self._queue = self._queue, deque()
        for event in queued:
            if event.taken is None or event.taken.begun:
                self._queue.append(event)
            else:
                event.taken.release()

    async def __aenter__(self) -> Subscription:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Any:
        self._end_progress()  # whoever asks for the next event has handled the one before
        while True:
            if self._overflowed:
                self._overflowed = False
                raise Lagged(self._take_unreported())
            if self._closed:
                raise StopAsyncIteration
            if self._unreported and self._on_lagged is not None:
                self._on_lagged(self._take_unreported())
            elif self._queue:
                event = self._queue.popleft()
                if event.taken is not None:
                    event.taken.begun = True
                    self._in_progress = event.taken
                self._is_slow = self._is_slow and bool(self._queue)
                return event.args()
            else:
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter

    def _end_progress(self) -> None:
        if self._in_progress is not None:
            taken, self._in_progress = self._in_progress, None
            taken.release()

    def _drop(self, count: int) -> None:
        self.dropped += count
        self._unreported += count
        if not self._is_slow:
            self._is_slow = True
            if self._on_slow is None:
                logger.warning(WARNINGS[self._when_full], self.name)
            else:
                self._on_slow(self.name)

    def _take_unreported(self) -> int:
        count, self._unreported = self._unreported, 0
        return count

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _give_up(*events: Arrival) -> None:
    """Regard events as seen: a queue that is full is no reason to send them around."""
    for event in events:
        if event.taken is not None:
            event.taken.begun = True


def _release(*events: Arrival) -> None:
    for event in events:
        if event.taken is not None:
            event.taken.release()


_decoder = msgspec.msgpack.Decoder()
