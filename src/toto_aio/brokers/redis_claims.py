"""Events for one process, in Redis: which process takes one, and how a process leaves them to the others.

Each has a claim: a key, named by the id of the event, that exists until it is taken. The process that deletes
the key has the event. A process that was frozen for longer than ``CLAIM_TTL`` and receives the event then
finds no key. A key that the first process had to set could be set a second time.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from toto_aio.redis_connection import ERRORS, Argument, RedisLink

CLAIM_TTL = 60
"""Seconds in which an event for one process can be taken."""
PUBLISH_WITH_CLAIM = (
    "redis.call('SET', KEYS[1], 1, 'EX', ARGV[1]) return redis.call('PUBLISH', ARGV[2], ARGV[3])"
)
"""The script that sends an event for one process."""
FOR_ONE, HANDED_BACK = b"1", b"2"
"""The first byte of a message, before the id of the event, and the event.

An event that is ``HANDED_BACK`` is not for a process that would have to drop another one for it.
"""
ID_LENGTH = 32
HAND_BACK_PORTION = 100
"""Events that are handed back in one write."""
MIN_POLL, MAX_POLL = 0.01, 0.2
"""Seconds between two checks of whether other processes have taken what was handed back."""


class Claims:
    """The claims of the events on one channel, which are keys that begin with ``prefix``."""

    def __init__(self, link: RedisLink, prefix: str, channel: str) -> None:
        self._link = link
        self._prefix = prefix.encode()
        self._channel = channel

    def command(self, event: bytes, payload: bytes) -> tuple[Argument, ...]:
        """Return the command that sends an event of a new id."""
        return self._command(FOR_ONE, event, payload)

    async def take(self, message: bytes) -> bytes | None:
        """Return the event in a message if this process is the one that has it."""
        taken = await self._link.call("DEL", self._prefix + id_of(message))
        return payload_of(message) if taken else None

    async def offer(self, payloads: Sequence[bytes], limit: float) -> tuple[list[bytes], int]:
        """Offer events to the others: those that none has taken, and how many of which that is unknown."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limit
        try:
            await self._link.read("EXISTS", self._prefix)
        except ERRORS:
            return list(payloads), 0  # nothing was sent yet
        offers = {new_id(): payload for payload in payloads}
        unknown = 0
        for portion in _portions(list(offers)):
            commands = (self._command(HANDED_BACK, event, offers[event]) for event in portion)
            replies = await self._call_all(commands)
            for event, reply in zip(portion, replies, strict=True):
                if isinstance(reply, BaseException):
                    del offers[event]
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
            replies = await self._call_all((command, self._prefix + event) for event in portion)
            found.update(
                {event: offers[event] for event, reply in zip(portion, replies, strict=True) if reply == 1}
            )
            failed += sum(isinstance(reply, BaseException) for reply in replies)
        return found, failed

    async def _call_all(self, commands: Iterable[tuple[Argument, ...]]) -> list[Any]:
        return await asyncio.gather(
            *(self._link.call(*command) for command in commands), return_exceptions=True
        )

    def _command(self, kind: bytes, event: bytes, payload: bytes) -> tuple[Argument, ...]:
        message = kind + event + payload
        return "EVAL", PUBLISH_WITH_CLAIM, 1, self._prefix + event, CLAIM_TTL, self._channel, message


def payload_of(message: bytes) -> bytes:
    """Return the event in a message for one process."""
    return message[1 + ID_LENGTH :]


def id_of(message: bytes) -> bytes:
    """Return the id of the event in a message for one process."""
    return message[1 : 1 + ID_LENGTH]


def new_id() -> bytes:
    """Return an id for an event."""
    return uuid.uuid4().hex.encode()


def _portions(events: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    return (events[start : start + HAND_BACK_PORTION] for start in range(0, len(events), HAND_BACK_PORTION))
