"""A Redis cluster: one pipelined connection for each of its primaries, and which of them has which keys.

A command goes to the server that has its key. What a server does not have it has not run, so a command that
it redirects is sent again without being done twice.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from redis.asyncio.connection import AbstractConnection
from redis.crc import key_slot
from redis.exceptions import ResponseError

from toto_aio import redis_connection
from toto_aio.redis_connection import ERRORS, Argument, RedisConnection, RedisLink

MAP_LIMIT = 0.5
"""Seconds that each server has to say which keys are where before the next one is asked."""
MAX_REDIRECTS = 5

Address = tuple[str, int]
SOMEWHERE: Address = ("", 0)
"""Stands for a server that is not known."""


class Range(NamedTuple):
    """Slots that follow each other, and the primary that has them."""

    first: int
    last: int
    primary: Address


class ClusterConnection:
    """The connections to the primaries of a cluster, of which ``seeds`` are some.

    ``connect`` makes an unopened connection to an address.
    """

    def __init__(self, connect: Callable[[str, int], AbstractConnection], seeds: Sequence[Address]) -> None:
        self._connect = connect
        self._seeds = seeds
        self._links: dict[Address, RedisConnection] = {}
        self._ranges: Sequence[Range] = ()
        self._failed: Address | None = None
        """The server that was out of reach last, or ``SOMEWHERE``: the map may have changed since."""
        self._mapping: asyncio.Task[Sequence[Range]] | None = None
        self._closed = False

    @property
    def is_prompt(self) -> bool:
        return False  # it may have to ask which server has the key

    async def call(self, *command: Argument) -> Any:
        return await self._send(command, RedisConnection.call)

    async def read(self, *command: Argument) -> Any:
        try:
            return await self._send(command, RedisConnection.read)
        except ConnectionError:  # the server may have a successor
            return await self._send(command, RedisConnection.read)

    async def call_in_run(self, *command: Argument) -> Any:
        return await self._send(command, RedisConnection.call_in_run)

    def send_and_forget(self, *command: Argument) -> None:
        address = self._address(_slot(command))
        if address is not None and address in self._links:
            self._links[address].send_and_forget(*command)

    async def primaries(self) -> Sequence[RedisLink]:
        await self._know()
        return [self._link(address) for address in dict.fromkeys(each.primary for each in self._ranges)]

    async def locate(self, key: str) -> AbstractConnection:
        """Return an unopened connection to the server that has a key."""
        self._failed = self._failed or SOMEWHERE  # ask: whoever connects anew has lost a server
        await self._know()
        address = self._address(key_slot(key.encode()))
        if address is None:
            raise ConnectionRefusedError(NOT_COVERED)
        return self._connect(*address)

    async def close(self) -> None:
        self._closed = True
        if self._mapping is not None:
            self._mapping.cancel()
            await asyncio.wait([self._mapping])
        await asyncio.gather(*(link.close() for link in self._links.values()))

    async def _send(self, command: Sequence[Argument], send: Callable[..., Awaitable[Any]]) -> Any:
        slot = _slot(command)
        await self._know()
        address = self._address(slot)
        if address is None:
            self._failed = SOMEWHERE
            raise ConnectionRefusedError(NOT_COVERED)
        asking = False
        for _ in range(MAX_REDIRECTS):
            link = self._link(address)
            try:
                if not asking:
                    return await send(link, *command)
                if send is RedisConnection.call_in_run:
                    return await link.call_in_run(*command, after="ASKING")
                return await link.call_after("ASKING", *command)
            except ResponseError as exc:
                kind, *target = str(exc).split(" ")
                if kind == "CLUSTERDOWN":
                    self._failed = address
                if kind not in ("MOVED", "ASK") or len(target) != 2:
                    raise
                asking = kind == "ASK"  # only this once: the slot is on its way
                if not asking:
                    self._failed = self._failed or SOMEWHERE
                host, _, port = target[1].rpartition(":")
                address = (host or address[0], int(port))
            except OSError:
                self._failed = address
                raise
        raise ConnectionRefusedError("the servers of the cluster do not agree who has a key")

    def _address(self, slot: int) -> Address | None:
        """Return the primary that has a slot, as far as that is known."""
        place = bisect_right(self._ranges, slot, key=lambda each: each.first) - 1
        if place >= 0 and slot <= self._ranges[place].last:
            return self._ranges[place].primary
        return None

    def _link(self, address: Address) -> RedisConnection:
        if self._closed:
            raise ConnectionAbortedError("the connection to Redis is closed")
        if address not in self._links:

            async def locate() -> AbstractConnection:
                return self._connect(*address)

            self._links[address] = RedisConnection(locate)
        return self._links[address]

    async def _know(self) -> None:
        """Ask which primary has which slots, if that is not known or may have changed."""
        if self._ranges and self._failed is None:
            return
        if self._closed:
            raise ConnectionAbortedError("the connection to Redis is closed")
        if self._mapping is None:
            self._mapping = asyncio.create_task(self._ask(), name="toto-aio redis cluster")
            self._mapping.add_done_callback(self._mapped)
        # Several callers may wait for it, so one that is cancelled must not cancel it.
        async with asyncio.timeout(redis_connection.OPERATION_LIMIT):
            await asyncio.shield(self._mapping)

    def _mapped(self, mapping: asyncio.Task[Sequence[Range]]) -> None:
        self._mapping = None
        if not mapping.cancelled() and mapping.exception() is None:
            self._ranges, self._failed = mapping.result(), None

    async def _ask(self) -> Sequence[Range]:
        """Ask one server after the other; the one that was out of reach comes last."""
        known = dict.fromkeys((*(each.primary for each in self._ranges), *self._seeds))
        error: Exception = ConnectionRefusedError(NOT_COVERED)
        for address in sorted(known, key=lambda each: each == self._failed):
            try:
                async with asyncio.timeout(MAP_LIMIT):
                    found = _ranges(await self._link(address).read("CLUSTER", "SLOTS"), address[0])
            except ERRORS as exc:
                error = exc
                continue
            if found:
                await self._forget({each.primary for each in found} | set(self._seeds))
                return found
        raise error

    async def _forget(self, kept: set[Address]) -> None:
        """Close the connections to servers that are no longer primaries."""
        gone = [self._links.pop(address) for address in [*self._links] if address not in kept]
        await asyncio.gather(*(link.close() for link in gone))


NOT_COVERED = "no server of the cluster has this key now"


def _slot(command: Sequence[Argument]) -> int:
    """Return the slot of a command's key; every command of ours has just one."""
    key = command[3] if command[0] in ("EVAL", "EVALSHA") else command[1]
    return key_slot(key if isinstance(key, bytes) else str(key).encode())


def _ranges(reply: Any, asked: str) -> Sequence[Range]:
    """Return a reply to CLUSTER SLOTS; a server without a name is at the address that was ``asked``."""
    return sorted(
        Range(first, last, (str(host or b"", "utf-8") or asked, port))
        for first, last, (host, port, *_), *_ in reply
    )
