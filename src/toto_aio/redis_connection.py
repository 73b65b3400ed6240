"""One connection to Redis for a whole process: the commands of one turn of the event loop share one write.

Redis replies in the order of the commands, so each reply reaches the caller that waits for it; a reply for a
caller that was cancelled is dropped. A command costs a twentieth of what it costs with a pool of connections.
A connection that ends is noticed when it ends, not when the next command is written to it.
"""

from __future__ import annotations

import asyncio
import math
import re
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, cast

import hiredis
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.credentials import UsernamePasswordCredentialProvider
from redis.exceptions import RedisError, ResponseError

CONNECT_LIMIT = 2.0
"""Seconds in which a connection must be made and its greeting answered."""
OPERATION_LIMIT = 5.0
"""Seconds that Redis has to reply to a command."""
ROLE_INTERVAL = 5.0
"""Seconds between two questions whether the server still is the primary."""

RUN_ID = {"server": b"run_id", "replication": b"master_replid"}
"""What tells one run of a server from another, by section of INFO: a restart, and each time it takes over.

The second one also changes when a server gets its first replica, and an hour after it has lost the last one.
"""
RUN_ID_LENGTH = 31
"""The digits of each that are used: 124 bits of the 160."""

ERRORS = (OSError, RedisError, hiredis.HiredisError)
"""What a command raises: errors of the network (including ``TimeoutError``) and of the server."""

Argument = str | bytes | int | float

Locate = Callable[[], Awaitable[AbstractConnection]]
"""Returns a connection of redis-py that is not open, which supplies an address and the credentials for it."""


class RedisLink(Protocol):
    """What sends commands to Redis: a ``RedisConnection``, or a ``ClusterConnection`` with many of them."""

    @property
    def is_prompt(self) -> bool:
        """Whether a command is written now, and so answered or given up within ``OPERATION_LIMIT``."""

    async def call(self, *command: Argument) -> Any:
        """Return the reply to a command, which is sent at most once."""

    async def read(self, *command: Argument) -> Any:
        """Return the reply to a command that changes nothing; it is sent again if the connection ends."""

    async def call_in_run(self, *command: Argument) -> Any:
        """Return the reply to a command, which is sent at most once, with one more argument.

        That is the id of the run of the server that gets it, see ``RUN_ID``. It may be some seconds old.
        """

    def send_and_forget(self, *command: Argument) -> None:
        """Send a command whose reply nobody needs, if the connection is open."""

    async def primaries(self) -> Sequence[RedisLink]:
        """Return the links to every server that takes writes: what has no key is asked of each of them."""

    async def close(self) -> None:
        """End the connection. Callers that still wait get a ``ConnectionError``."""


class RedisConnection:
    """A connection to one server, which is opened by the first command and opened again after it ends.

    The server is the one that ``locate`` names at that moment. With ``primary`` a replica is refused.
    """

    def __init__(self, locate: Locate, *, primary: bool = False) -> None:
        self._locate = locate
        self._primary = primary
        self._protocol: RedisProtocol | None = None
        self._opening: asyncio.Task[RedisProtocol] | None = None
        self._closed = False

    @property
    def is_prompt(self) -> bool:
        return self._protocol is not None and self._protocol.is_open

    async def call(self, *command: Argument) -> Any:
        protocol = self._protocol
        if protocol is not None and protocol.is_open:
            return await protocol.send(command)
        async with asyncio.timeout(OPERATION_LIMIT):
            return await (await self._connect()).send(command)

    async def read(self, *command: Argument) -> Any:
        start = time.monotonic()
        protocol = self._protocol
        try:
            if (
                protocol is not None and protocol.is_open
            ):  # as in ``call``, which would cost one more coroutine
                return await protocol.send(command)
            return await self.call(*command)
        except ConnectionError:
            async with asyncio.timeout(start + OPERATION_LIMIT - time.monotonic()):
                return await self.call(*command)

    async def call_in_run(self, *command: Argument, after: Argument | None = None) -> Any:
        """As ``RedisLink.call_in_run``; ``after`` is a command that is sent in front of it."""
        protocol = self._protocol
        if protocol is not None and protocol.is_open and protocol.run_id:
            return await protocol.send_in_run(command, after)
        async with asyncio.timeout(OPERATION_LIMIT):
            protocol = await self._connect()
            await protocol.learn_run_id()
            return await protocol.send_in_run(command, after)

    async def call_after(self, first: Argument, *command: Argument) -> Any:
        """Return the reply to the second of two commands, between which no other is sent."""
        async with asyncio.timeout(OPERATION_LIMIT):
            protocol = await self._connect()
            protocol.send((first,)).add_done_callback(_retrieve_error)
            return await protocol.send(command)

    def send_and_forget(self, *command: Argument) -> None:
        if self._protocol is not None and self._protocol.is_open:
            self._protocol.send(command).add_done_callback(_retrieve_error)

    async def primaries(self) -> Sequence[RedisLink]:
        return [self]

    async def close(self) -> None:
        self._closed = True
        if self._opening is not None:  # its error, if any, is for the callers that wait for it
            self._opening.cancel()
            await asyncio.wait([self._opening])
        if self._protocol is not None:
            self._protocol.end(ConnectionAbortedError("the connection to Redis is closed"))
            await self._protocol.closed

    async def _connect(self) -> RedisProtocol:
        if self._closed:
            raise ConnectionAbortedError("the connection to Redis is closed")
        if self._protocol is not None and self._protocol.is_open:
            return self._protocol
        if self._opening is None:
            self._opening = asyncio.create_task(_open(self._locate, self._primary), name="toto-aio redis")
            self._opening.add_done_callback(self._opened)
        # Several callers may wait for it, so one that is cancelled must not cancel it.
        return await asyncio.shield(self._opening)

    def _opened(self, opening: asyncio.Task[RedisProtocol]) -> None:
        self._opening = None
        _retrieve_error(opening)
        if not opening.cancelled() and opening.exception() is None:
            self._protocol = opening.result()


class RedisProtocol(asyncio.Protocol):
    """An open connection, from when it is made until it ends."""

    def __init__(self) -> None:
        self.is_open = True
        self.run_id = b""
        """Which run of the server this is, once somebody has asked, and as of some seconds ago."""
        self._loop = asyncio.get_running_loop()
        self.closed = self._loop.create_future()
        """Done when the socket is closed."""
        self._reader = hiredis.Reader(replyError=ResponseError, notEnoughData=_INCOMPLETE)
        self._outgoing: list[bytes] = []
        self._waiting: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._checked = math.inf
        """When the timer looks for replies that are late."""
        self._role_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not a subclass of asyncio's

    def send(self, command: Sequence[Argument]) -> asyncio.Future[Any]:
        """Send a command at the end of this turn of the loop; the future receives the reply."""
        reply = self._loop.create_future()
        if not self.is_open:
            reply.set_exception(ConnectionResetError("Redis closed the connection"))
            return reply
        packed = hiredis.pack_command(tuple(command))  # type: ignore[arg-type]  # typed as a tuple of one item
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(packed)
        deadline = self._loop.time() + OPERATION_LIMIT
        self._waiting.append((deadline, reply))
        if deadline < self._checked:
            self._check_at(deadline)
        return reply

    def watch_role(self) -> None:
        """End the connection when the server turns out to have become a replica.

        Such a server answers reads from what it has, and takes events that nobody hears. Another one is the
        primary now, and may have taken over the name.
        """
        self._role_timer = self._loop.call_later(
            ROLE_INTERVAL, lambda: self.send(("ROLE",)).add_done_callback(self._role_told)
        )

    def _role_told(self, reply: asyncio.Future[Any]) -> None:
        if reply.cancelled() or reply.exception() is not None:
            return  # the connection has ended, or the user may not ask
        if is_replica(reply.result()):
            self.end(ConnectionAbortedError(DEMOTED))
        elif self.is_open:
            if self.run_id:  # it may have been a replica in between
                self._ask_run_id().add_done_callback(self._run_id_told)
            self.watch_role()

    def send_in_run(self, command: Sequence[Argument], after: Argument | None) -> asyncio.Future[Any]:
        """Send a command with the id of the run, in front of which ``after`` is sent, if it is a command."""
        if after is not None:
            self.send((after,)).add_done_callback(_retrieve_error)
        return self.send((*command, self.run_id))

    async def learn_run_id(self) -> None:
        """Ask for the id of the run, if nobody has."""
        if not self.run_id:
            self.run_id = read_run_id(await self._ask_run_id())

    def _ask_run_id(self) -> asyncio.Future[Any]:
        return asyncio.gather(*(self.send(("INFO", section)) for section in RUN_ID))

    def _run_id_told(self, reply: asyncio.Future[Any]) -> None:
        if not reply.cancelled() and reply.exception() is None:
            self.run_id = read_run_id(reply.result())

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while (answer := self._reader.gets()) is not _INCOMPLETE:
                _, reply = self._waiting.popleft()
                if reply.done():
                    continue
                if not isinstance(answer, ResponseError):
                    reply.set_result(answer)
                    continue
                reply.set_exception(answer)
                if "READONLY " in str(answer):  # before Redis 7, it is quoted in the error of a script
                    # Another server is the primary now, and may have taken over the name: connect again.
                    self.end(ConnectionAbortedError(str(answer)))
        except (hiredis.HiredisError, IndexError) as exc:
            self.end(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self.end(exc or ConnectionResetError("Redis closed the connection"))
        self.closed.set_result(None)

    def end(self, reason: Exception) -> None:
        """Close the connection.

        Callers that wait get a ``TimeoutError`` if ``reason`` is one, else a ``ConnectionResetError``.
        """
        self.is_open = False
        self._transport.abort()
        for timer in (self._timer, self._role_timer):
            if timer is not None:
                timer.cancel()
        kind = TimeoutError if isinstance(reason, TimeoutError) else ConnectionResetError
        while self._waiting:
            _, reply = self._waiting.popleft()
            if not reply.done():
                error = kind(str(reason))
                error.__cause__ = reason
                reply.set_exception(error)

    def _flush(self) -> None:
        if self.is_open:
            self._transport.write(b"".join(self._outgoing))
        self._outgoing.clear()

    def _check_at(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._checked = self._loop.call_at(deadline, self._check_deadline), deadline

    def _check_deadline(self) -> None:
        # Replies come in order, so if the first is late, all are: leave a frozen server and connect again.
        self._timer, self._checked = None, math.inf
        if self._waiting:
            deadline = self._waiting[0][0]
            if deadline <= self._loop.time():
                self.end(TimeoutError(f"Redis did not answer within {OPERATION_LIMIT} s"))
            else:
                self._check_at(deadline)


def is_replica(role: Any) -> bool:
    """Whether a reply to ROLE is that of a replica."""
    return bool(role) and role[0] == b"slave"


def read_run_id(sections: Sequence[bytes]) -> bytes:
    """The id of a run in the sections of INFO: both of ``RUN_ID``; the second one may be missing.

    Each is cut to ``RUN_ID_LENGTH``, as a hash with a value of more than 64 bytes takes twice the memory.
    """
    found = [
        re.search(field + rb":(\w+)", section)
        for field, section in zip(RUN_ID.values(), sections, strict=True)
    ]
    if found[0] is None:
        raise ConnectionRefusedError("this Redis does not say which run it is (INFO server)")
    return b":".join(b"" if each is None else each[1][:RUN_ID_LENGTH] for each in found)


DEMOTED = "this Redis is a replica, not the primary"


async def _open(locate: Locate, primary: bool) -> RedisProtocol:
    async with asyncio.timeout(CONNECT_LIMIT):
        template = await locate()
        protocol = await _dial(template)
        try:
            await asyncio.gather(*map(protocol.send, await _greeting(template)))
            if primary:
                await _refuse_replica(protocol)
        except BaseException as exc:
            # A Redis that cannot write to its disk refuses a PING like a write, and still answers reads.
            if not (isinstance(exc, ResponseError) and str(exc).startswith("MISCONF")):
                protocol.end(ConnectionAbortedError("Redis refused the connection"))
                raise
        protocol.watch_role()
        return protocol


async def _refuse_replica(protocol: RedisProtocol) -> None:
    try:
        role = await protocol.send(("ROLE",))
    except ResponseError:
        return  # the user may not ask
    if is_replica(role):
        raise ConnectionAbortedError(DEMOTED)


async def _dial(template: AbstractConnection) -> RedisProtocol:
    loop = asyncio.get_running_loop()
    if isinstance(template, UnixDomainSocketConnection):
        return (await loop.create_unix_connection(RedisProtocol, template.path))[1]
    assert isinstance(template, Connection)
    context = template.ssl_context.get() if isinstance(template, SSLConnection) else None
    transport, protocol = await loop.create_connection(
        RedisProtocol, template.host, template.port, ssl=context
    )
    # A network that forgets an idle connection does not report it: only probes find that out.
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in dict(template.socket_keepalive_options).items():  # type: ignore[call-overload]
        sock.setsockopt(socket.IPPROTO_TCP, option, value)
    return protocol


async def _greeting(template: AbstractConnection) -> list[Sequence[Argument]]:
    """Return the commands that log in and select the database."""
    provider = template.credential_provider
    if provider is None and (template.username or template.password):
        provider = UsernamePasswordCredentialProvider(template.username, template.password)
    greeting: list[Sequence[Argument]] = [("SELECT", template.db)] if template.db else [("PING",)]
    if provider is not None:
        greeting.insert(0, ("AUTH", *await provider.get_credentials_async()))
    return greeting


def _retrieve_error(future: asyncio.Future[Any]) -> None:
    """Take an error that nobody waits for, so that asyncio does not report it as never retrieved."""
    if not future.cancelled():
        future.exception()


_INCOMPLETE = object()
