"""``redis://host/0``: events between processes and machines, over Redis pub/sub.

Every process listens to the deployment's one channel. It has two connections, however many handlers there
are, as redis-py cannot wait for a message and for a reply on the same one. One connection listens. The
other sends: it writes the events of one turn of the loop together and sends none twice, and a caller that is
cancelled does not take the reply of another.

Pub/sub stores nothing: a process misses what is sent while it is not connected, and is notified of that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from toto_aio import redis_connection
from toto_aio.brokers import Receiver
from toto_aio.brokers.redis_claims import FOR_ONE, HANDED_BACK, Claims, id_of, new_id, payload_of
from toto_aio.brokers.redis_followed import FollowedChannels
from toto_aio.brokers.redis_listener import RedisListener
from toto_aio.brokers.redis_presence import RedisPresence
from toto_aio.brokers.redis_streams import RedisStreams, channel_prefix
from toto_aio.brokers.streams import Kept, Stretch
from toto_aio.channels import Channel, Position
from toto_aio.exceptions import Unavailable
from toto_aio.redis_connection import ERRORS
from toto_aio.redis_eviction import SEEN, Evictions
from toto_aio.redis_target import RedisTarget, redis_target
from toto_aio.tasks import Tasks

logger = logging.getLogger(__name__)

T = TypeVar("T")

PUBLISH_LIMIT = 5.0
"""Seconds in which an event is sent, or its sender gets an error; as many as ``OPERATION_LIMIT``."""
MAX_PENDING = 64 * 2**20
"""Bytes of events that may be on their way to Redis; while there are more, new ones are refused."""
CHANNEL = "toto:events:"
"""The channel's name before the number of the database, as pub/sub does not separate databases."""
CLAIM = "toto:claim:"
"""What the keys of claims begin with."""
FOR_ALL = b"*"
"""The first byte of a message for all processes, before the event."""
OWN_INTERVAL = 0.01
"""Seconds between two looks whether a process has received what it has sent itself, when it stops."""
OFFER_LIMIT = 1.0
"""Seconds in which others can take an event for one process that is sent by a process that takes none."""
EVICTION_INTERVAL = 60.0
"""Seconds between two looks for keys that Redis has dropped."""
OVERHEAD = 1000
"""About how many bytes an event on its way takes in addition to its payload."""


class RedisBroker:
    """Events over Redis: that of a URL, or of a ready client, which is left open."""

    def __init__(self, server: Any) -> None:
        self._target = redis_target(server, "events")
        self._channel = f"{self._target.prefix}{CHANNEL}{self._target.database}"
        self._receiver: Receiver | None = None
        self._pending = 0
        self._tasks = Tasks()
        self._taking = Tasks()
        self._is_taking = True
        self._own: set[bytes] = set()
        """The events for one process that this one has sent, while it took some, and has not received yet."""

    async def start(self, receiver: Receiver) -> None:
        self._sender = self._target.link(True)
        self._claims = Claims(self._sender, _claim_prefix(self._target, self._channel), self._channel)
        followed = FollowedChannels()
        self._streams = RedisStreams(self._target, self._sender, followed, receiver)
        self._presence = RedisPresence(self._target, self._sender, channel_prefix(self._target))
        self._listener = RedisListener(
            self._target,
            self._sender,
            self._channel,
            lambda message: self._handle(message, receiver),
            followed,
            self._streams.hear,
        )
        try:
            await self._listener.start()
        except ERRORS as exc:
            await self._close_connections()
            raise Unavailable(
                f"Cannot open the events {self._target.name}: {str(exc) or 'no answer'}"
            ) from exc
        except BaseException:
            await self._close_connections()
            raise
        self._receiver = receiver
        self._tasks.start(self._listener.run(self._interrupted), "events")
        self._tasks.start(self._watch_evictions(), "events evictions")

    async def publish(self, payload: bytes, *, broadcast: bool) -> None:
        receiver = self._running()
        if not broadcast and not self._is_taking:
            await self._publish_to_others(payload, receiver)
            return
        # A sender that waits for an event in reply must be able to receive it.
        ready = self._listener.listening
        after = None if ready.is_set() else ready
        if broadcast:
            message = FOR_ALL + payload
            await self._send(payload, lambda: self._sender.call("PUBLISH", self._channel, message), after)
            return
        event = new_id()
        command = self._claims.command(event, payload)
        self._own.add(event)
        try:
            await self._send(payload, lambda: self._sender.call(*command), after)
        except BaseException:
            self._own.discard(event)
            raise

    async def follow(self, name: str) -> None:
        await self._within_limit(lambda: self._streams.follow(name))

    def unfollow(self, name: str) -> None:
        if self._receiver is not None:
            self._streams.unfollow(name)

    async def publish_to(self, name: str, payload: bytes, rules: Channel, key: str) -> Position | None:
        self._running()
        return await self._send(payload, lambda: self._streams.publish_to(name, payload, rules, key))

    async def read(self, name: str, rules: Channel, since: Position | None) -> Stretch:
        return await self._within_limit(lambda: self._streams.read(name, rules, since))

    async def kept(self, name: str, rules: Channel, limit: int, *, newest: bool) -> Kept:
        return await self._within_limit(lambda: self._streams.kept(name, rules, limit, newest=newest))

    async def enter(self, name: str, client: str, member: bytes, rules: Channel) -> None:
        self._running()
        await self._presence.enter(name, client, member, rules)

    def leave(self, name: str, client: str) -> None:
        if self._receiver is not None:
            self._presence.leave(name, client)

    async def present(self, name: str) -> Sequence[bytes]:
        return await self._within_limit(lambda: self._presence.present(name))

    def _running(self) -> Receiver:
        if self._receiver is None:
            raise Unavailable("Events are not running.")
        return self._receiver

    async def _send(
        self, payload: bytes, work: Callable[[], Awaitable[T]], after: asyncio.Event | None = None
    ) -> T:
        """Do what sends a payload, when an event has happened, unless too much is on its way."""
        if self._pending > MAX_PENDING:
            raise Unavailable("Too many events are waiting to be sent.")
        weight = len(payload) + OVERHEAD
        self._pending += weight
        try:
            if after is None and self._sender.is_prompt:
                return await work()  # the connection has a limit for this, at a fraction of the cost
            async with asyncio.timeout(PUBLISH_LIMIT):
                if after is not None:
                    await after.wait()
                return await work()
        except ERRORS as exc:
            raise Unavailable from exc
        finally:
            self._pending -= weight

    async def _within_limit(self, work: Callable[[], Awaitable[T]]) -> T:
        self._running()
        try:
            async with asyncio.timeout(PUBLISH_LIMIT):
                return await work()
        except ERRORS as exc:
            raise Unavailable from exc

    async def check(self) -> None:
        if self._receiver is None or not self._listener.listening.is_set():
            raise Unavailable("Events cannot be received now.")
        try:
            await self._sender.read("EXISTS", self._channel)
        except ERRORS as exc:
            raise Unavailable from exc

    async def close(self) -> None:
        if self._receiver is None:
            return
        self._receiver = None
        await self._presence.close()
        await self._taking.cancel()
        await self._tasks.cancel()
        await self._close_connections()
        self._listener.listening.set()  # callers of ``publish`` that wait find the connection closed

    async def stop_taking(self) -> None:
        self._is_taking = False
        # All may stop at once: then nobody else takes what was sent before, and is on its way.
        now = asyncio.get_running_loop().time
        end = now() + PUBLISH_LIMIT
        while self._own and now() < end:  # noqa: ASYNC110 # no event for it
            await asyncio.sleep(OWN_INTERVAL)
        await self._taking.finish()

    async def hand_back(self, payloads: Sequence[bytes], limit: float) -> Sequence[bytes]:
        left, unknown = await self._claims.offer(payloads, limit)
        if unknown:
            logger.warning("%d events for one process may be lost, as Redis did not answer", unknown)
        return left

    async def _publish_to_others(self, payload: bytes, receiver: Receiver) -> None:
        """Send an event for one process, which this one takes only if no other does."""
        left, unknown = await self._claims.offer([payload], OFFER_LIMIT)
        if unknown:
            raise Unavailable
        if left and receiver.wanted(payload):
            _deliver(payload, receiver)

    def _interrupted(self) -> None:
        """Note that what was on its way is not received any more."""
        self._own.clear()
        if self._receiver is not None:  # else it is being closed
            self._receiver.interrupted()

    def _handle(self, message: bytes, receiver: Receiver) -> None:
        if message.startswith(FOR_ALL):
            _deliver(message[1:], receiver)
        elif message.startswith((FOR_ONE, HANDED_BACK)):
            payload, event = payload_of(message), id_of(message)
            takes = self._is_taking or event in self._own
            self._own.discard(event)
            if not takes or not receiver.wanted(payload):
                return
            if message.startswith(FOR_ONE) or receiver.room(payload) > len(self._taking):
                self._taking.start(self._take(message, receiver), "event claim")
        else:
            logger.error("dropped an event that cannot be read: %.100r", message)

    async def _take(self, message: bytes, receiver: Receiver) -> None:
        try:
            async with asyncio.timeout(PUBLISH_LIMIT):
                payload = await self._claims.take(message)
        except ERRORS as exc:
            logger.warning("an event for one process may be lost, as Redis did not answer: %s", exc)
            receiver.interrupted()
            return
        if payload is not None:
            _deliver(payload, receiver)

    async def _watch_evictions(self) -> None:
        """Report, until cancelled, that Redis drops claims. A look that fails is made again later."""
        evictions = Evictions(
            self._sender,
            f"{self._target.prefix}{SEEN}events",
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

    async def _close_connections(self) -> None:
        await self._listener.close()
        await self._sender.close()
        with suppress(*ERRORS):
            await self._target.close()


def _claim_prefix(target: RedisTarget, channel: str) -> str:
    """What claims begin with; in a cluster all are where the channel is, so that events keep their order."""
    return f"{target.prefix}{CLAIM}" + (f"{{{channel}}}:" if target.is_cluster else "")


def _deliver(payload: bytes, receiver: Receiver) -> None:
    try:
        receiver.deliver(payload)
    except Exception:
        logger.exception("an event could not be delivered")
