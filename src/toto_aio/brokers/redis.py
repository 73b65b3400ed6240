"""``redis://host/0``: events between processes and machines, over Redis pub/sub.

Every process listens to the one channel of the deployment. It has two connections, however many handlers:
redis-py's client cannot wait for a message and for a reply on the same one, so one listens, and a ``Link``
sends: it writes the events of one turn of the loop at once, sends none twice, and a caller who is cancelled
takes nobody else's reply.

Pub/sub keeps nothing: what is sent while a process is not connected, it has missed, and is told so.
"""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from toto_aio import redis_connection
from toto_aio.brokers import Receiver
from toto_aio.exceptions import Unavailable
from toto_aio.redis_connection import ERRORS, Argument, Link
from toto_aio.settings import SettingsError
from toto_aio.settings.urls import without_password
from toto_aio.stores.redis import connection_pool

logger = logging.getLogger(__name__)

PUBLISH_LIMIT = 5.0
"""Seconds in which an event is sent, or its sender is told that it was not."""
MAX_PENDING = 64 * 2**20
"""Bytes of events that may be on their way to Redis; while there are more, none is taken."""
HEARTBEAT = 10.0
"""Seconds without a message after which Redis is asked whether it is still there."""
FIRST_DELAY, LONGEST_DELAY = 0.1, 0.8
"""Seconds between attempts to connect again: they double, but events have to be back within a second."""
CHANNEL = "toto:events:"
"""The channel's name before the number of the database, since pub/sub knows no databases."""
CLAIM = b"toto:claim:"
"""Before the id of an event for one process: the key that is there until a process has taken the event.

Who deletes it has the event. One who was frozen for longer than the key lives, and hears of the event then,
finds none; a key that the first had to set, it could set for a second time.
"""
CLAIM_TTL = 60
"""Seconds in which an event can be taken."""
OFFER = "redis.call('SET', KEYS[1], 1, 'EX', ARGV[1]) return redis.call('PUBLISH', ARGV[2], ARGV[3])"
"""The script that sends an event for one process."""

FOR_ALL, FOR_ONE = b"*", b"1"
"""How a message begins. After ``FOR_ONE`` come the 32 characters of an id, and after those the event."""
ID_LENGTH = 32
OVERHEAD = 1000
"""Bytes that an event on its way takes beside its payload, about."""
TURN = 100
"""Messages after which other tasks have a turn."""


class RedisBroker:
    """Events by way of one Redis."""

    def __init__(self, url: str) -> None:
        self._pool = _pool(url)
        self._name = without_password(url)
        self._channel = f"{CHANNEL}{self._pool.connection_kwargs.get('db') or 0}"
        self._receiver: Receiver | None = None
        self._subscribed = asyncio.Event()
        self._pending = 0
        self._claims: set[asyncio.Task[None]] = set()

    async def start(self, receiver: Receiver) -> None:
        self._link = Link(_connection(self._pool))
        try:
            self._connection = await self._subscribe()
        except ERRORS as exc:
            await self._link.close()
            raise Unavailable(f"Cannot open the events {self._name}: {str(exc) or 'no answer'}") from exc
        except BaseException:
            await self._link.close()
            raise
        self._receiver = receiver
        self._subscribed.set()
        self._listener = asyncio.create_task(self._listen(receiver), name="toto-aio events")

    async def publish(self, payload: bytes, *, broadcast: bool) -> None:
        if self._receiver is None:
            raise Unavailable("Events are not running.")
        if self._pending > MAX_PENDING:
            raise Unavailable("Too many events are on their way.")
        weight = len(payload) + OVERHEAD
        self._pending += weight
        try:
            async with asyncio.timeout(PUBLISH_LIMIT):
                # Who waits for an answer to its event has to hear it.
                await self._subscribed.wait()
                await self._link.call(*self._command(payload, broadcast))
        except ERRORS as exc:
            raise Unavailable from exc
        finally:
            self._pending -= weight

    async def check(self) -> None:
        if self._receiver is None or not self._subscribed.is_set():
            raise Unavailable("Events are out of reach.")
        try:
            await self._link.read("PING")
        except ERRORS as exc:
            raise Unavailable from exc

    async def close(self) -> None:
        if self._receiver is None:
            return
        self._receiver = None
        await _cancel(self._listener, *self._claims)
        await _disconnect(self._connection)
        await self._link.close()
        self._subscribed.set()  # who waits for it meets a link that is closed

    def _command(self, payload: bytes, broadcast: bool) -> tuple[Argument, ...]:
        if broadcast:
            return "PUBLISH", self._channel, FOR_ALL + payload
        claim = uuid.uuid4().hex.encode()
        return "EVAL", OFFER, 1, CLAIM + claim, CLAIM_TTL, self._channel, FOR_ONE + claim + payload

    async def _listen(self, receiver: Receiver) -> None:
        """Receive until the end, over one connection after the other."""
        while True:
            reason = await self._receive(self._connection, receiver)
            self._subscribed.clear()
            logger.warning("the events of %s are out of reach, connecting again: %s", self._name, reason)
            await _disconnect(self._connection)
            self._connection = await self._subscribe_again()
            logger.warning("the events of %s are back; those in between were missed", self._name)
            self._subscribed.set()
            receiver.interrupted()

    async def _receive(self, connection: AbstractConnection, receiver: Receiver) -> Exception:
        """Hand on what comes until the connection is lost; why it was."""
        count = 0
        try:
            while True:
                message = await connection.read_response(timeout=HEARTBEAT, disconnect_on_error=False)
                if message is None:
                    await connection.send_command("PING", check_health=False)
                    message = await connection.read_response(disconnect_on_error=False)
                if message[0] == b"message":
                    self._hear(message[2], receiver)
                count += 1
                if count % TURN == 0:
                    await asyncio.sleep(0)
        except Exception as exc:
            return exc

    def _hear(self, message: bytes, receiver: Receiver) -> None:
        if message.startswith(FOR_ALL):
            _deliver(message[1:], receiver)
        elif message.startswith(FOR_ONE):
            claim, payload = message[1 : 1 + ID_LENGTH], message[1 + ID_LENGTH :]
            if receiver.wanted(payload):
                task = asyncio.create_task(self._claim(claim, payload, receiver))
                self._claims.add(task)
                task.add_done_callback(self._claims.discard)
        else:
            logger.error("an event that cannot be read was dropped: %.100r", message)

    async def _claim(self, claim: bytes, payload: bytes, receiver: Receiver) -> None:
        try:
            async with asyncio.timeout(PUBLISH_LIMIT):
                claimed = await self._link.call("DEL", CLAIM + claim)
        except ERRORS as exc:
            logger.warning("an event for one process may be lost, as Redis did not answer: %s", exc)
            receiver.interrupted()
            return
        if claimed:
            _deliver(payload, receiver)

    async def _subscribe(self) -> AbstractConnection:
        """A new connection that hears the channel; the link is open as well then."""
        connection = _connection(self._pool)
        try:
            async with asyncio.timeout(redis_connection.CONNECT_LIMIT):
                await connection.connect()  # type: ignore[no-untyped-call]
                await connection.send_command("SUBSCRIBE", self._channel, check_health=False)
                await connection.read_response(disconnect_on_error=False)
                await self._link.read("PING")
        except BaseException:
            await _disconnect(connection)
            raise
        return connection

    async def _subscribe_again(self) -> AbstractConnection:
        delay = FIRST_DELAY
        while True:
            # Many processes lose their connections at the same time.
            await asyncio.sleep(delay * random.uniform(0.5, 1))  # noqa: S311  # no secret
            try:
                return await self._subscribe()
            except Exception as exc:
                logger.debug("the events of %s are still out of reach: %s", self._name, exc)
            delay = min(2 * delay, LONGEST_DELAY)


def _pool(url: str) -> ConnectionPool:
    """What makes the connections for a URL. Raises ``SettingsError``."""
    if not url.startswith("unix"):
        try:
            return connection_pool(url)
        except SettingsError as exc:
            raise SettingsError(f"events: {str(exc).removeprefix('database: ')}") from None
    try:
        parts = urlsplit(url)
        if parts.path in ("", "/") or parts.hostname or set(parse_qs(parts.query)) - {"db"}:
            raise ValueError
        options: dict[str, Any] = {**parse_url(url), "retry": Retry(NoBackoff(), 0)}
        return ConnectionPool(**options, socket_timeout=redis_connection.OPERATION_LIMIT)
    except ValueError:
        raise SettingsError(
            f"events: cannot open {without_password(url)!r}; write unix:///path/of/redis.sock?db=0"
        ) from None


def _connection(pool: ConnectionPool) -> AbstractConnection:
    connection: AbstractConnection = pool.make_connection()  # type: ignore[no-untyped-call]
    # With version 3 of the protocol redis-py writes each message, as text, for a log that nobody reads.
    connection.protocol = 2
    return connection


def _deliver(payload: bytes, receiver: Receiver) -> None:
    try:
        receiver.deliver(payload)
    except Exception:
        logger.exception("an event could not be delivered")


async def _disconnect(connection: AbstractConnection) -> None:
    with suppress(*ERRORS):
        await connection.disconnect()


async def _cancel(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
