"""``redis://host/0``: events between processes and machines, over Redis pub/sub.

Every process listens to the deployment's one channel. It has two connections, however many handlers there
are, as redis-py cannot wait for a message and for a reply on the same one. One connection listens. The
other, a ``RedisConnection``, sends: it writes the events of one turn of the loop together and sends none
twice, and a caller that is cancelled does not take the reply of another.

Pub/sub stores nothing: a process misses what is sent while it is not connected, and is notified of that.
"""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection

from toto_aio import redis_connection
from toto_aio.brokers import Receiver
from toto_aio.exceptions import Unavailable
from toto_aio.redis_connection import ERRORS, Argument, RedisConnection
from toto_aio.redis_eviction import Evictions
from toto_aio.redis_url import connection_pool, pool_like, unopened_connection
from toto_aio.settings.urls import address_of
from toto_aio.tasks import Tasks

logger = logging.getLogger(__name__)

PUBLISH_LIMIT = 5.0
"""Seconds in which an event is sent, or its sender gets an error."""
MAX_PENDING = 64 * 2**20
"""Bytes of events that may be on their way to Redis; while there are more, new ones are refused."""
HEARTBEAT = 10.0
"""Seconds without a message after which the connection is checked with a PING."""
MIN_RECONNECT_DELAY, MAX_RECONNECT_DELAY = 0.1, 0.8
"""Seconds between attempts to reconnect. The delay doubles, but events must be back within a second."""
CHANNEL = "toto:events:"
"""The channel's name before the number of the database, as pub/sub does not separate databases."""
CLAIM = b"toto:claim:"
"""The prefix of a claim: a key, named by the id of an event for one process, that exists until it is taken.

The process that deletes the key has the event. A process that was frozen for longer than ``CLAIM_TTL`` and
receives the event then finds no key. A key that the first process had to set could be set a second time.
"""
CLAIM_TTL = 60
"""Seconds in which an event for one process can be taken."""
PUBLISH_WITH_CLAIM = (
    "redis.call('SET', KEYS[1], 1, 'EX', ARGV[1]) return redis.call('PUBLISH', ARGV[2], ARGV[3])"
)
"""The script that sends an event for one process."""

FOR_ALL, FOR_ONE, HANDED_BACK = b"*", b"1", b"2"
"""The first byte of a message. Without ``FOR_ALL``, an id of 32 characters comes next, and then the event.

An event that is ``HANDED_BACK`` is not for a process that would have to drop another one for it.
"""
OFFER_LIMIT = 1.0
"""Seconds in which others can take an event for one process that is sent by a process that takes none."""
HAND_BACK_PORTION = 100
"""Events that are handed back in one write."""
MIN_POLL, MAX_POLL = 0.01, 0.2
"""Seconds between two checks of whether other processes have taken what was handed back."""
ID_LENGTH = 32
EVICTION_INTERVAL = 60.0
"""Seconds between two looks for keys that Redis has dropped."""
OVERHEAD = 1000
"""About how many bytes an event on its way takes in addition to its payload."""
YIELD_EVERY = 100
"""Messages after which other tasks of the loop get a turn."""


class RedisBroker:
    """Events over one Redis server: that of a URL or of a ready client, which is left open."""

    def __init__(self, server: str | Redis) -> None:
        if isinstance(server, str):
            self._pool, self._name = connection_pool(server, "events"), address_of(server)
        else:
            self._pool, self._name = pool_like(server, "events"), "Redis of the client"
        self._channel = f"{CHANNEL}{self._pool.connection_kwargs.get('db') or 0}"
        self._receiver: Receiver | None = None
        self._subscribed = asyncio.Event()
        self._pending = 0
        self._tasks = Tasks()
        self._claims = Tasks()
        self._is_taking = True

    async def start(self, receiver: Receiver) -> None:
        self._sender = RedisConnection(_new_connection(self._pool))
        try:
            self._listener = await self._subscribe()
        except ERRORS as exc:
            await self._sender.close()
            raise Unavailable(f"Cannot open the events {self._name}: {str(exc) or 'no answer'}") from exc
        except BaseException:
            await self._sender.close()
            raise
        self._receiver = receiver
        self._subscribed.set()
        self._tasks.start(self._listen(receiver), "events")
        self._tasks.start(self._watch_evictions(), "events evictions")

    async def publish(self, payload: bytes, *, broadcast: bool) -> None:
        if self._receiver is None:
            raise Unavailable("Events are not running.")
        if self._pending > MAX_PENDING:
            raise Unavailable("Too many events are waiting to be sent.")
        if not broadcast and not self._is_taking:
            await self._publish_to_others(payload, self._receiver)
            return
        weight = len(payload) + OVERHEAD
        self._pending += weight
        try:
            async with asyncio.timeout(PUBLISH_LIMIT):
                # A sender that waits for an event in reply must be able to receive it.
                await self._subscribed.wait()
                await self._sender.call(*self._command(payload, broadcast))
        except ERRORS as exc:
            raise Unavailable from exc
        finally:
            self._pending -= weight

    async def check(self) -> None:
        if self._receiver is None or not self._subscribed.is_set():
            raise Unavailable("Events cannot be received now.")
        try:
            await self._sender.read("PING")
        except ERRORS as exc:
            raise Unavailable from exc

    async def close(self) -> None:
        if self._receiver is None:
            return
        self._receiver = None
        await self._claims.cancel()
        await self._tasks.cancel()
        await _disconnect(self._listener)
        await self._sender.close()
        self._subscribed.set()  # callers of ``publish`` that wait for it find the connection closed

    async def stop_taking(self) -> None:
        self._is_taking = False
        await self._claims.finish()

    async def hand_back(self, payloads: Sequence[bytes], limit: float) -> Sequence[bytes]:
        left, unknown = await self._offer(payloads, limit)
        if unknown:
            logger.warning("%d events for one process may be lost, as Redis did not answer", unknown)
        return left

    async def _publish_to_others(self, payload: bytes, receiver: Receiver) -> None:
        """Send an event for one process, which this one takes only if no other does."""
        left, unknown = await self._offer([payload], OFFER_LIMIT)
        if unknown:
            raise Unavailable
        if left and receiver.wanted(payload):
            _deliver(payload, receiver)

    async def _offer(self, payloads: Sequence[bytes], limit: float) -> tuple[list[bytes], int]:
        """Offer events to the others: those that none has taken, and how many of which that is unknown."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limit
        try:
            await self._sender.read("PING")
        except ERRORS:
            return list(payloads), 0  # nothing was sent yet
        offers = {_new_claim(): payload for payload in payloads}
        unknown = 0
        for portion in _portions(list(offers)):
            commands = (self._command_for_one(HANDED_BACK, claim, offers[claim]) for claim in portion)
            replies = await self._call_all(commands)
            for claim, reply in zip(portion, replies, strict=True):
                if isinstance(reply, BaseException):
                    del offers[claim]
                    unknown += 1
        pause = MIN_POLL
        while offers and loop.time() < deadline:
            await asyncio.sleep(pause)
            pause = min(2 * pause, MAX_POLL)
            offers, failed = await self._still(offers, "EXISTS")
            unknown += failed
        offers, failed = await self._still(offers, "DEL")
        return list(offers.values()), unknown + failed

    async def _still(self, offers: dict[bytes, bytes], command: str) -> tuple[dict[bytes, bytes], int]:
        """The offers whose claims are still there when asked by a command, and the number of errors."""
        found: dict[bytes, bytes] = {}
        failed = 0
        for portion in _portions(list(offers)):
            replies = await self._call_all((command, CLAIM + claim) for claim in portion)
            found.update(
                {claim: offers[claim] for claim, reply in zip(portion, replies, strict=True) if reply == 1}
            )
            failed += sum(isinstance(reply, BaseException) for reply in replies)
        return found, failed

    async def _call_all(self, commands: Iterable[tuple[Argument, ...]]) -> list[Any]:
        return await asyncio.gather(
            *(self._sender.call(*command) for command in commands), return_exceptions=True
        )

    def _command(self, payload: bytes, broadcast: bool) -> tuple[Argument, ...]:
        if broadcast:
            return "PUBLISH", self._channel, FOR_ALL + payload
        return self._command_for_one(FOR_ONE, _new_claim(), payload)

    def _command_for_one(self, kind: bytes, claim: bytes, payload: bytes) -> tuple[Argument, ...]:
        message = kind + claim + payload
        return "EVAL", PUBLISH_WITH_CLAIM, 1, CLAIM + claim, CLAIM_TTL, self._channel, message

    async def _listen(self, receiver: Receiver) -> None:
        """Receive messages until cancelled; reconnect whenever the connection is lost."""
        while True:
            reason = await self._receive(self._listener, receiver)
            if self._receiver is None:
                return
            self._subscribed.clear()
            logger.warning("lost the connection to %s, reconnecting: %s", self._name, reason)
            await _disconnect(self._listener)
            self._listener = await self._resubscribe()
            logger.warning("reconnected to %s; events sent in the meantime were missed", self._name)
            self._subscribed.set()
            receiver.interrupted()

    async def _receive(self, connection: AbstractConnection, receiver: Receiver) -> Exception:
        """Handle messages until the connection is lost. Returns the error that ended it."""
        count = 0
        try:
            while True:
                message = await connection.read_response(timeout=HEARTBEAT, disconnect_on_error=False)
                if message is None:
                    await connection.send_command("PING", check_health=False)
                    # redis-py sends with asyncio.wait_for, which before Python 3.12 may swallow the
                    # cancellation of ``close``: https://github.com/python/cpython/issues/86296
                    if self._receiver is None:
                        return ConnectionAbortedError("the broker is closed")
                    message = await connection.read_response(disconnect_on_error=False)
                if message[0] == b"message":
                    self._handle(message[2], receiver)
                count += 1
                if count % YIELD_EVERY == 0:
                    await asyncio.sleep(0)
        except Exception as exc:
            return exc

    def _handle(self, message: bytes, receiver: Receiver) -> None:
        if message.startswith(FOR_ALL):
            _deliver(message[1:], receiver)
        elif message.startswith((FOR_ONE, HANDED_BACK)):
            claim, payload = message[1 : 1 + ID_LENGTH], message[1 + ID_LENGTH :]
            if not self._is_taking or not receiver.wanted(payload):
                return
            if message.startswith(FOR_ONE) or receiver.room(payload) > len(self._claims):
                self._claims.start(self._claim(claim, payload, receiver), "event claim")
        else:
            logger.error("dropped an event that cannot be read: %.100r", message)

    async def _claim(self, claim: bytes, payload: bytes, receiver: Receiver) -> None:
        try:
            async with asyncio.timeout(PUBLISH_LIMIT):
                claimed = await self._sender.call("DEL", CLAIM + claim)
        except ERRORS as exc:
            logger.warning("an event for one process may be lost, as Redis did not answer: %s", exc)
            receiver.interrupted()
            return
        if claimed:
            _deliver(payload, receiver)

    async def _watch_evictions(self) -> None:
        """Report, until cancelled, that Redis drops claims. A look that fails is made again later."""
        evictions = Evictions(
            self._sender,
            "events",
            kept="claims",
            risk="an event that is sent to one process, with broadcast=False, may reach none",
        )
        look = evictions.begin
        while True:
            with suppress(*ERRORS):
                async with asyncio.timeout(redis_connection.OPERATION_LIMIT):
                    await look()
                look = evictions.look
            await asyncio.sleep(EVICTION_INTERVAL)

    async def _subscribe(self) -> AbstractConnection:
        """Return a new connection that is subscribed to the channel, once the sending one is open, too."""
        connection = _new_connection(self._pool)
        try:
            async with asyncio.timeout(redis_connection.CONNECT_LIMIT):
                await connection.connect()  # type: ignore[no-untyped-call]
                await connection.send_command("SUBSCRIBE", self._channel, check_health=False)
                await connection.read_response(disconnect_on_error=False)
                await self._sender.read("PING")
        except BaseException:
            await _disconnect(connection)
            raise
        return connection

    async def _resubscribe(self) -> AbstractConnection:
        delay = MIN_RECONNECT_DELAY
        while True:
            # With jitter, as many processes lose their connections at the same time.
            await asyncio.sleep(delay * random.uniform(0.5, 1))  # noqa: S311  # not a secret
            try:
                return await self._subscribe()
            except Exception as exc:
                logger.debug("cannot reconnect to %s yet: %s", self._name, exc)
            delay = min(2 * delay, MAX_RECONNECT_DELAY)


def _new_connection(pool: ConnectionPool) -> AbstractConnection:
    connection = unopened_connection(pool)
    # With version 3 of the protocol redis-py formats each message for its debug log.
    connection.protocol = 2
    return connection


def _new_claim() -> bytes:
    return uuid.uuid4().hex.encode()


def _portions(claims: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    return (claims[start : start + HAND_BACK_PORTION] for start in range(0, len(claims), HAND_BACK_PORTION))


def _deliver(payload: bytes, receiver: Receiver) -> None:
    try:
        receiver.deliver(payload)
    except Exception:
        logger.exception("an event could not be delivered")


async def _disconnect(connection: AbstractConnection) -> None:
    with suppress(*ERRORS):
        await connection.disconnect()
