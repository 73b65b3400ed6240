"""A client's subscription to a channel, which outlives its connections: what was missed is made up.

It reads no faster than its program does. What the program is too slow for is dropped by the socket, which
leaves a gap, and is made up like anything else that was missed.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, TypeVar

import aiohttp
import msgspec

from toto_aio.channels import Position
from toto_aio.client.protocol import UnreadableResponseError
from toto_aio.client.socket import ClientSocket
from toto_aio.exceptions import TimedOut, TooManyAttempts, Unavailable, described
from toto_aio.members import Member, PresenceStats

logger = logging.getLogger(__name__)

T = TypeVar("T")

MIN_PAUSE, MAX_PAUSE = 0.2, 10.0
"""Seconds between two attempts to connect, of which a random part is left out."""
PASSING = (Unavailable, TimedOut, TooManyAttempts, aiohttp.ClientConnectionError, OSError, TimeoutError)
"""Errors after which it is tried again, beside statuses of proxies."""


class Publication(msgspec.Struct, frozen=True):
    """What was published to a channel, and its position if the channel has a history."""

    data: Any
    position: Position | None = None


class ClientSubscription:
    """The publications of a channel, in order, each once: iterate over it.

    Lost connections are made again, after a random pause that grows from 0.2 to 10 seconds, and what was
    published in the meantime comes first. If a part of that is gone, ``on_missed`` is called and ``missed``
    counts it. The iteration raises the ``TotoException`` of a service that admits no longer.

    In a channel with ``join_leave`` it calls ``on_join`` and ``on_leave`` with each ``Member``, in the order
    in which that comes with the publications.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractAsyncContextManager[ClientSocket]],
        channel: str,
        since: Position | None,
        on_missed: Callable[[], None] | None,
        on_join: Callable[[Member], None] | None = None,
        on_leave: Callable[[Member], None] | None = None,
    ) -> None:
        self.channel = channel
        self.position = since
        """The position of the last publication that was read, for ``since``; None without a history."""
        self.data: Any = None
        """What the service told with the subscription."""
        self.client = ""
        """The id by which others see this subscription in a channel with ``presence``, until it is lost."""
        self.missed = 0
        """How often publications were missed that couldn't be made up."""
        self._connect = connect
        self._on_missed = on_missed
        self._on_change = {"joined": on_join, "left": on_leave}
        self._last = since
        self._ready: deque[Publication] = deque()
        self._opened = AsyncExitStack()
        self._socket: ClientSocket | None = None
        self._dropped = 0
        self._begun = self._closed = False
        self._pause = MIN_PAUSE

    async def open(self) -> None:
        """Connect and subscribe. Raises what the service responds with, and errors of the network."""
        opened = AsyncExitStack()
        try:
            socket = await opened.enter_async_context(self._connect())
            since = None if self._last is None else msgspec.to_builtins(self._last)
            result = await socket.ask({"subscribe": self.channel, "since": since})
            self._begin(result)
        except BaseException:
            await opened.aclose()
            raise
        self._opened, self._socket = opened, socket
        self._dropped = socket.dropped

    async def close(self) -> None:
        """End the subscription; the iteration ends."""
        self._closed = True
        await self._leave()

    async def presence(self) -> list[Member]:
        """Who has subscribed to the channel, which has ``presence=True``, in no order.

        Raises the ``TotoException`` of the service, ``TimeoutError``, and ``ConnectionError`` while the
        connection is lost: the iteration makes another.
        """
        return _read(await self._ask("presence"), _Present).members

    async def presence_stats(self) -> PresenceStats:
        """How many clients and users have subscribed to it. Raises the same as ``presence``."""
        return _read(await self._ask("presence_stats"), PresenceStats)

    async def _ask(self, kind: str) -> Any:
        if self._socket is None:
            raise ConnectionError(f"The subscription to {self.channel!r} is not connected now")
        return await self._socket.ask({kind: self.channel})

    def __aiter__(self) -> ClientSubscription:
        return self

    async def __anext__(self) -> Publication:
        while not self._ready:
            if self._closed:
                raise StopAsyncIteration
            if self._socket is None:
                await self._open_again()
                continue
            try:
                frame = await anext(self._socket)
            except StopAsyncIteration:
                await self._leave()
                continue
            if not self._take(frame, self._socket):
                await self._leave()
        publication = self._ready.popleft()
        self.position = publication.position or self.position
        return publication

    def _begin(self, result: Any) -> None:
        """Take the response to a subscription."""
        begun = _read(result, _Begun)
        knew, self._last = self._last, begun.position
        missed = (knew is not None or self._begun) and not begun.recovered
        if begun.position is not None:
            self._ready += [
                Publication(each.data, Position(begun.position.epoch, each.offset or 0))
                for each in begun.publications
            ]
            if not begun.publications:
                self.position = begun.position
        self.data, self.client, self._begun = begun.data, begun.client, True
        if missed:
            self._miss()

    def _take(self, frame: Any, socket: ClientSocket) -> bool:
        """Take a frame; False if something is missing before it, or the subscription has ended."""
        if not isinstance(frame, dict) or frame.get("channel") != self.channel:
            return True
        if "unsubscribed" in frame:
            return False
        for kind, on_change in self._on_change.items():
            if kind in frame:
                member = _read(frame[kind], Member)
                if on_change is not None:
                    on_change(member)
                return True
        offset = frame.get("offset")
        if self._last is None or offset is None:
            if socket.dropped > self._dropped:
                self._dropped = socket.dropped
                self._miss()
            self._ready.append(Publication(frame.get("data")))
            return True
        if offset != self._last.offset + 1:
            return False
        self._last = Position(self._last.epoch, offset)
        self._ready.append(Publication(frame.get("data"), self._last))
        return True

    def _miss(self) -> None:
        self.missed += 1
        if self._on_missed is not None:
            self._on_missed()

    async def _leave(self) -> None:
        self._socket = None
        await self._opened.aclose()

    async def _open_again(self) -> None:
        # With jitter, as many clients lose their connections at the same time.
        await asyncio.sleep(self._pause * random.uniform(0.5, 1))  # noqa: S311  # not a secret
        self._pause = min(2 * self._pause, MAX_PAUSE)
        try:
            await self.open()
        except PASSING as exc:
            logger.debug("cannot subscribe to %s yet: %s", self.channel, described(exc))
        except aiohttp.WSServerHandshakeError as exc:
            if exc.status < 500 and exc.status != 429:
                raise
            logger.debug("cannot subscribe to %s yet: %d", self.channel, exc.status)
        else:
            self._pause = MIN_PAUSE


class _Published(msgspec.Struct):
    data: Any
    offset: int | None = None


class _Begun(msgspec.Struct):
    position: Position | None
    recovered: bool
    publications: list[_Published]
    data: Any = None
    client: str = ""


class _Present(msgspec.Struct):
    members: list[Member]


def _read(found: Any, kind: type[T]) -> T:
    """What the service says. Raises ``UnreadableResponseError``."""
    try:
        return msgspec.convert(found, kind)
    except msgspec.ValidationError as exc:
        raise UnreadableResponseError(f"The service responds to a subscription with {exc}") from exc
