"""The channels that a process listens to, beside that of events: told to Redis in portions, and confirmed."""

from __future__ import annotations

import asyncio
from collections import deque

from redis.asyncio.connection import AbstractConnection

from toto_aio.redis_connection import ERRORS
from toto_aio.tasks import Tasks

PORTION = 500
"""Channels that are named in one command."""


class FollowedChannels:
    """The channels of one listener, over whatever connection it has."""

    def __init__(self) -> None:
        self._confirmed: dict[str, asyncio.Event] = {}
        self._outstanding: dict[str, int] = {}
        """The confirmations that are still to come: a channel may be removed and added again meanwhile."""
        self._connection: AbstractConnection | None = None
        self._outgoing: deque[tuple[str, str]] = deque()
        self._flushing = False
        self._tasks = Tasks()

    async def add(self, name: str) -> None:
        """Listen to a channel; return when Redis has confirmed that."""
        confirmed = self._confirmed.get(name)
        if confirmed is None:
            confirmed = self._confirmed[name] = asyncio.Event()
            self._send("SUBSCRIBE", name)
        await confirmed.wait()

    def remove(self, name: str) -> None:
        """Listen to a channel no longer."""
        if self._confirmed.pop(name, None) is not None:
            self._send("UNSUBSCRIBE", name)

    def connected(self, connection: AbstractConnection) -> None:
        """Listen to all of them over a new connection."""
        self._connection = connection
        for name in self._confirmed:
            self._send("SUBSCRIBE", name)

    async def disconnected(self) -> None:
        """Nothing is heard until there is another connection."""
        self._connection = None
        self._outgoing.clear()
        self._outstanding.clear()
        for confirmed in self._confirmed.values():
            confirmed.clear()
        await self._tasks.cancel()
        self._flushing = False

    def confirm(self, name: str) -> None:
        """Take a confirmation of Redis."""
        left = self._outstanding.pop(name, 1) - 1
        if left:
            self._outstanding[name] = left
        elif name in self._confirmed:
            self._confirmed[name].set()

    def _send(self, command: str, name: str) -> None:
        if self._connection is None:
            return
        if command == "SUBSCRIBE":
            self._outstanding[name] = self._outstanding.get(name, 0) + 1
        self._outgoing.append((command, name))
        if not self._flushing:
            self._flushing = True
            self._tasks.start(self._flush(self._connection), "channels followed")

    async def _flush(self, connection: AbstractConnection) -> None:
        """Send what is to be said, in its order."""
        try:
            while self._outgoing:
                command = self._outgoing[0][0]
                names: list[str] = []
                while self._outgoing and self._outgoing[0][0] == command and len(names) < PORTION:
                    names.append(self._outgoing.popleft()[1])
                await connection.send_command(command, *names, check_health=False)
            self._flushing = False
        except ERRORS:  # the listener notices, and says all of it again over the next connection
            await connection.disconnect()
