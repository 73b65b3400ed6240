"""A store's connections to a database server.

Every wait is limited. A connection whose operation was cut off is closed and not used again, so that no
operation gets the result of another.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Generic, NamedTuple, Protocol, TypeVar

from toto_aio.exceptions import Unavailable
from toto_aio.stores.sql.connector import Connector
from toto_aio.tasks import Tasks

C = TypeVar("C")

CONNECT_LIMIT = 2.0
"""Seconds in which a connection must be made."""
POOL_LIMIT = 1.0
"""Seconds that an operation waits for a connection while all are in use."""
CLOSE_LIMIT = 1.0
"""Seconds in which a connection can be closed gracefully."""
IDLE_LIMIT = 300.0
"""Seconds after which an idle connection is not used again, as a firewall may have forgotten it."""
MAX_SIZE = 10
"""The most connections of a pool."""


class Use(NamedTuple):
    """How many connections of a pool are in use and idle, and how many it may have."""

    used: int
    idle: int
    limit: int


class ConnectionSource(Protocol[C]):
    """Provides connections, each to one operation at a time."""

    async def acquire(self) -> C:
        """Return a connection that is alive."""

    async def release(self, connection: C) -> None:
        """Take back a connection that can be used again."""

    def discard(self, connection: C, *, busy: bool) -> None:
        """Take back a connection that cannot be used again; ``busy``: the server may still work for it."""

    async def close(self) -> None:
        """Close what the source opened."""


class Pool(Generic[C]):
    """Opens and keeps connections, and provides the one that was used last first."""

    def __init__(self, connector: Connector[C]) -> None:
        self._connector = connector
        self._slots = asyncio.Semaphore(MAX_SIZE)
        self._idle: list[tuple[C, float]] = []
        self._in_use: set[C] = set()
        self._tasks = Tasks()
        self._is_closed = False

    @property
    def use(self) -> Use:
        """How many connections it has now."""
        return Use(len(self._in_use), len(self._idle), MAX_SIZE)

    async def acquire(self) -> C:
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
        self._in_use.add(connection)
        return connection

    async def release(self, connection: C) -> None:
        self._take_back(connection)
        if self._is_closed:
            self._connector.abort(connection)
        else:
            self._idle.append((connection, asyncio.get_running_loop().time()))

    def discard(self, connection: C, *, busy: bool) -> None:
        self._take_back(connection)
        if busy and not self._is_closed:
            self._close_in_background(connection)
            return
        self._connector.abort(connection)
        while self._idle:  # what broke one connection has most likely broken all
            self._connector.abort(self._idle.pop()[0])

    async def close(self) -> None:
        self._is_closed = True
        for connection in self._in_use:  # their operations fail now
            self._connector.abort(connection)
        for connection, _ in self._idle:
            self._close_in_background(connection)
        self._idle.clear()
        await self._tasks.finish()

    def _take_idle(self) -> C | None:
        oldest = asyncio.get_running_loop().time() - IDLE_LIMIT
        while self._idle:
            connection, since = self._idle.pop()
            if since > oldest and self._connector.is_alive(connection):
                return connection
            self._connector.abort(connection)
        return None

    async def _connect(self) -> C:
        self._require_open()
        connecting = self._tasks.start(self._open(), "database connect")
        try:
            # Cancelling the caller does not cancel the task: the drivers would leave something open.
            await asyncio.wait([connecting])
        except asyncio.CancelledError:
            connecting.add_done_callback(self._keep)
            raise
        return connecting.result()

    async def _open(self) -> C:
        async with asyncio.timeout(CONNECT_LIMIT):
            connection = await self._connector.connect()
        try:
            self._require_open()
        except Unavailable:
            self._connector.abort(connection)
            raise
        return connection

    def _keep(self, connecting: asyncio.Task[C]) -> None:
        """Keep a connection for others whose caller was cancelled while it was being made."""
        if connecting.cancelled() or connecting.exception():
            return
        if self._is_closed or len(self._idle) + len(self._in_use) >= MAX_SIZE:
            self._connector.abort(connecting.result())
        else:
            self._idle.append((connecting.result(), asyncio.get_running_loop().time()))

    def _require_open(self) -> None:
        if self._is_closed:
            raise Unavailable

    def _take_back(self, connection: C) -> None:
        self._in_use.discard(connection)
        self._slots.release()

    def _close_in_background(self, connection: C) -> None:
        self._tasks.start(close(self._connector, connection), "database close")


async def close(connector: Connector[C], connection: C) -> None:
    """Close a connection gracefully, or abort it after ``CLOSE_LIMIT`` seconds."""
    try:
        with suppress(Exception):
            async with asyncio.timeout(CLOSE_LIMIT):
                await connector.close(connection)
    finally:
        connector.abort(connection)
