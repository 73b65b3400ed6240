"""A store's connections to a database server, and how an operation is tried on one of them.

Every wait has an end. A connection whose operation was cut off is closed and never lent again, so that
nobody gets the answer to another's question.
"""

from __future__ import annotations

import asyncio
import random
import select
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import Enum
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from toto_aio.exceptions import Unavailable
from toto_aio.stores.sql.driver import DuplicateKeyError
from toto_aio.tasks import Tasks

C = TypeVar("C")
T = TypeVar("T")

CONNECT_LIMIT = 2.0
"""Seconds until a new connection must be there."""
POOL_LIMIT = 1.0
"""Seconds that an operation waits for a connection while all are in use."""
OPERATION_LIMIT = 5.0
"""Seconds that an operation has in all."""
CLOSE_LIMIT = 1.0
"""Seconds that a connection has to be closed politely."""
MIGRATION_LIMIT = 3600.0
"""Seconds that a change of the schema has, with the wait for another process that is at it."""
IDLE_LIMIT = 300.0
"""Seconds after which an idle connection is not trusted: a firewall may have forgotten it."""
SIZE = 10
"""The most connections of a pool."""


class Use(NamedTuple):
    """How many connections of a pool there are, and may be."""

    used: int
    idle: int
    limit: int


class Verdict(Enum):
    """What the error of a driver means."""

    DUPLICATE = "the row exists already"
    AGAIN = "the server undid the statement, which stood in another's way"
    REFUSED = "the server answered that it cannot"
    LOST = "the connection is of no use any more"


class Client(Protocol[C]):
    """What a driver does with its connections."""

    async def connect(self) -> C:
        """A new connection."""

    def is_alive(self, connection: C) -> bool:
        """Whether the server still holds its end, without asking it."""

    def judge(self, error: Exception) -> Verdict | None:
        """What an error means; None if it is none of the database's."""

    async def close(self, connection: C) -> None:
        """Close a connection, and end what the server may still be doing for it."""

    def abort(self, connection: C) -> None:
        """Close a connection at once, whatever state it is in, or was closed already."""


class Lender(Protocol[C]):
    """Who lends connections, each to one operation at a time."""

    async def take(self) -> C:
        """A connection that is alive."""

    async def give_back(self, connection: C) -> None:
        """Take a connection back that can be lent again."""

    def drop(self, connection: C, *, busy: bool) -> None:
        """Take a connection back that cannot; ``busy``: the server may still be working for it."""

    async def close(self) -> None:
        """Close what the lender opened."""


class Pool(Generic[C]):
    """Lends connections of its own, the one that was used last first."""

    def __init__(self, client: Client[C]) -> None:
        self._client = client
        self._slots = asyncio.Semaphore(SIZE)
        self._idle: list[tuple[C, float]] = []
        self._lent: set[C] = set()
        self._tasks = Tasks()
        self._is_closed = False

    @property
    def use(self) -> Use:
        """Its connections now."""
        return Use(len(self._lent), len(self._idle), SIZE)

    async def take(self) -> C:
        if self._slots.locked():
            async with asyncio.timeout(POOL_LIMIT):
                await self._slots.acquire()
        else:
            await self._slots.acquire()
        try:
            connection = self._take_idle() or await self._connect()
        except BaseException:
            self._slots.release()
            raise
        self._lent.add(connection)
        return connection

    async def give_back(self, connection: C) -> None:
        self._take_back(connection)
        if self._is_closed:
            self._client.abort(connection)
        else:
            self._idle.append((connection, asyncio.get_running_loop().time()))

    def drop(self, connection: C, *, busy: bool) -> None:
        self._take_back(connection)
        if busy and not self._is_closed:
            self._tasks.start(close(self._client, connection), "closing")
            return
        self._client.abort(connection)
        while self._idle:  # what broke one has most likely broken all
            self._client.abort(self._idle.pop()[0])

    async def close(self) -> None:
        self._is_closed = True
        for connection in self._lent:  # whose operations fail now
            self._client.abort(connection)
        for connection, _ in self._idle:
            self._tasks.start(close(self._client, connection), "closing")
        self._idle.clear()
        await self._tasks.finish()

    def _take_idle(self) -> C | None:
        oldest = asyncio.get_running_loop().time() - IDLE_LIMIT
        while self._idle:
            connection, since = self._idle.pop()
            if since > oldest and self._client.is_alive(connection):
                return connection
            self._client.abort(connection)
        return None

    async def _connect(self) -> C:
        self._require_open()
        connecting = self._tasks.start(self._open(), "connecting")
        try:
            # Nobody cuts a connection off that is being made: the drivers leave something open then.
            await asyncio.wait([connecting])
        except asyncio.CancelledError:
            connecting.add_done_callback(self._keep)
            raise
        return connecting.result()

    async def _open(self) -> C:
        async with asyncio.timeout(CONNECT_LIMIT):
            connection = await self._client.connect()
        try:
            self._require_open()
        except Unavailable:
            self._client.abort(connection)
            raise
        return connection

    def _keep(self, connecting: asyncio.Task[C]) -> None:
        """Lend to others what was made for somebody who has gone."""
        if connecting.cancelled() or connecting.exception():
            return
        if self._is_closed or len(self._idle) + len(self._lent) >= SIZE:
            self._client.abort(connecting.result())
        else:
            self._idle.append((connecting.result(), asyncio.get_running_loop().time()))

    def _require_open(self) -> None:
        if self._is_closed:
            raise Unavailable

    def _take_back(self, connection: C) -> None:
        self._lent.discard(connection)
        self._slots.release()


class Operations(Generic[C]):
    """Carries out operations on connections of a lender. Each raises ``Unavailable`` if it cannot."""

    def __init__(self, client: Client[C], lender: Lender[C]) -> None:
        self._client = client
        self._lender = lender

    async def run(
        self, work: Callable[[C], Awaitable[T]], *, is_read: bool = False, limit: float | None = None
    ) -> T:
        """What ``work`` returns, within ``limit`` seconds. Raises ``DuplicateKeyError``.

        A read whose connection is lost is tried once more; a write is not, as it may have been done.
        """
        try:
            async with asyncio.timeout(OPERATION_LIMIT if limit is None else limit):
                while True:
                    try:
                        connection = await self._lender.take()
                    except Exception as exc:
                        if self._client.judge(exc) is None:
                            raise
                        raise Unavailable from exc
                    try:
                        result = await work(connection)
                    except Exception as exc:
                        verdict = self._client.judge(exc)
                        await self._take_back(connection, verdict)
                        if verdict is Verdict.DUPLICATE:
                            raise DuplicateKeyError from exc
                        if verdict is None:
                            raise
                        if verdict is Verdict.REFUSED or (verdict is Verdict.LOST and not is_read):
                            raise Unavailable from exc
                        is_read = is_read and verdict is not Verdict.LOST
                    except BaseException:
                        self._lender.drop(connection, busy=True)
                        raise
                    else:
                        await self._lender.give_back(connection)
                        return result
        except TimeoutError as exc:
            raise Unavailable from exc

    async def _take_back(self, connection: C, verdict: Verdict | None) -> None:
        """Take a connection back after an error."""
        if verdict is None or verdict is Verdict.LOST:
            self._lender.drop(connection, busy=verdict is None)
        else:
            await self._lender.give_back(connection)
        if verdict is Verdict.AGAIN:
            await asyncio.sleep(random.uniform(0, 0.02))  # noqa: S311  # jitter, not a secret


async def close(client: Client[C], connection: C) -> None:
    """Close a connection, politely if that is soon done."""
    try:
        with suppress(Exception):
            async with asyncio.timeout(CLOSE_LIMIT):
                await client.close(connection)
    finally:
        client.abort(connection)


def has_hung_up(transport: Any) -> bool:
    """Whether the other end has closed a connection, even if the event loop was not told yet."""
    if transport is None or transport.is_closing():
        return True
    poll = select.poll()
    poll.register(transport.get_extra_info("socket"), getattr(select, "POLLRDHUP", 0))
    return bool(poll.poll(0))
