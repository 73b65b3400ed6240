"""The connection on which a process listens for events in Redis, and how it is found to have been lost.

A connection may stay open to a server that no longer is the primary: then nothing arrives any more, and
nothing fails. So each process also listens to a channel of its own, on which it sends itself an echo now and
then, over the connection that sends its events. A process that does not hear it connects again.
"""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections.abc import Callable
from contextlib import suppress

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ResponseError

from toto_aio import redis_connection
from toto_aio.brokers.redis_followed import FollowedChannels
from toto_aio.redis_connection import DEMOTED, ERRORS, RedisLink, is_replica
from toto_aio.redis_target import RedisTarget
from toto_aio.tasks import cancel, is_being_cancelled

logger = logging.getLogger(__name__)

HEARTBEAT = 5.0
"""Seconds between two echoes."""
ECHO_LIMIT = 5.0
"""Seconds without any message in which an echo must arrive."""
MIN_RECONNECT_DELAY, MAX_RECONNECT_DELAY = 0.1, 0.8
"""Seconds between attempts to reconnect. The delay doubles, but events must be back within a second."""
YIELD_EVERY = 100
"""Messages after which other tasks of the loop get a turn."""
SILENCES = 5
"""The parts of ``ECHO_LIMIT`` that are waited for one by one, so that a loop that hung counts as one."""


class RedisListener:
    """Listens to a channel, and calls ``handle`` with each message. ``link`` sends the echoes.

    ``hear`` gets the channel and the message of what arrives on ``followed`` ones.
    """

    def __init__(
        self,
        target: RedisTarget,
        link: RedisLink,
        channel: str,
        handle: Callable[[bytes], None],
        followed: FollowedChannels,
        hear: Callable[[bytes, bytes], None],
    ) -> None:
        self._target = target
        self._link = link
        self._channel = channel
        # In a cluster, the part in braces puts it on the same server.
        self._own = f"{target.prefix}toto:echo:{{{channel}}}:{uuid.uuid4().hex}"
        self._handle = handle
        self._hear = hear
        self._followed = followed
        self._echo = asyncio.Event()
        self._count = 0
        self._connection: AbstractConnection | None = None
        self.listening = asyncio.Event()
        """Set while the connection is open and listens."""

    async def start(self) -> None:
        """Listen. Raises one of ``ERRORS`` if that is impossible."""
        self._connection = await self._subscribe()
        self._followed.connected(self._connection)
        self.listening.set()

    async def run(self, interrupted: Callable[[], None]) -> None:
        """Handle messages until cancelled; connect again when the connection is lost, and report that."""
        while True:
            assert self._connection is not None
            reason = await self._until_lost(self._connection)
            self.listening.clear()
            await self._followed.disconnected()
            logger.warning("lost the connection to %s, reconnecting: %s", self._target.name, reason)
            await _disconnect(self._connection)
            self._connection = None
            self._connection = await self._resubscribe()
            _require_not_cancelled()
            self._followed.connected(self._connection)
            logger.warning("reconnected to %s; events sent in the meantime were missed", self._target.name)
            self.listening.set()
            interrupted()

    async def close(self) -> None:
        """End the connection. The task of ``run`` has been cancelled before."""
        await self._followed.disconnected()
        if self._connection is not None:
            await _disconnect(self._connection)

    async def _until_lost(self, connection: AbstractConnection) -> Exception:
        """Handle messages. Returns what has ended it: the connection, or the echo that did not come."""
        tasks = [
            asyncio.create_task(self._receive(connection), name="toto-aio events receive"),
            asyncio.create_task(self._watch(), name="toto-aio events echo"),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel(*tasks)
        return done.pop().result()

    async def _receive(self, connection: AbstractConnection) -> Exception:
        channel, own = self._channel.encode(), self._own.encode()
        try:
            while True:
                message = await connection.read_response(timeout=HEARTBEAT, disconnect_on_error=False)
                if message is None:
                    continue
                self._count += 1
                if message[0] == b"message":
                    if message[1] == channel:
                        self._handle(message[2])
                    elif message[1] == own:
                        self._echo.set()
                    else:
                        self._hear(message[1], message[2])
                elif message[0] == b"subscribe":
                    self._followed.confirm(message[1].decode())
                if self._count % YIELD_EVERY == 0:
                    await asyncio.sleep(0)
        except Exception as exc:
            return exc

    async def _watch(self) -> Exception:
        """Send echoes, and return why the connection is of no use any more."""
        while True:
            await asyncio.sleep(HEARTBEAT)
            self._echo.clear()
            try:
                await self._link.call("PUBLISH", self._own, b"")
                await self._echoed()
            except Exception as exc:
                return exc

    async def _echoed(self) -> None:
        silences, count = 0, self._count
        while silences < SILENCES:
            with suppress(TimeoutError):
                async with asyncio.timeout(ECHO_LIMIT / SILENCES):
                    await self._echo.wait()
                    return
            # Behind many other messages an echo takes its time.
            silences = silences + 1 if self._count == count else 0
            count = self._count
        raise ConnectionAbortedError("it is connected to another server than the one that events are sent to")

    async def _subscribe(self) -> AbstractConnection:
        """Return a new connection that is subscribed, once the sending one is open, too."""
        async with asyncio.timeout(redis_connection.CONNECT_LIMIT):
            connection = await self._target.locate(self._channel)
            # With version 3 of the protocol redis-py formats each message for its debug log.
            connection.protocol = 2
            try:
                await connection.connect()  # type: ignore[no-untyped-call]
                await self._refuse_replica(connection)
                await connection.send_command("SUBSCRIBE", self._channel, self._own, check_health=False)
                for _ in (self._channel, self._own):
                    await connection.read_response(disconnect_on_error=False)
                await self._link.read("EXISTS", self._channel)
            except BaseException:
                await _disconnect(connection)
                raise
        return connection

    async def _refuse_replica(self, connection: AbstractConnection) -> None:
        await connection.send_command("ROLE", check_health=False)
        with suppress(ResponseError):  # the user may not ask
            if is_replica(await connection.read_response(disconnect_on_error=False)):
                raise ConnectionAbortedError(DEMOTED)

    async def _resubscribe(self) -> AbstractConnection:
        delay = MIN_RECONNECT_DELAY
        while True:
            # With jitter, as many processes lose their connections at the same time.
            await asyncio.sleep(delay * random.uniform(0.5, 1))  # noqa: S311  # not a secret
            try:
                return await self._subscribe()
            except Exception as exc:
                logger.debug("cannot reconnect to %s yet: %s", self._target.name, exc)
                _require_not_cancelled()
            delay = min(2 * delay, MAX_RECONNECT_DELAY)


async def _disconnect(connection: AbstractConnection) -> None:
    with suppress(*ERRORS):
        await connection.disconnect()


def _require_not_cancelled() -> None:
    """Raise ``CancelledError`` in a task that was cancelled, and goes on all the same.

    redis-py sends within ``asyncio.wait_for``, which before Python 3.12 may swallow a cancellation.
    """
    if is_being_cancelled():
        raise asyncio.CancelledError
