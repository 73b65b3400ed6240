"""One connection to Redis for a whole process: all commands of one turn of the event loop leave in one write.

Redis answers in the order in which it was asked, so that each reply finds the caller who waits for it, and
the reply for one who was cancelled meanwhile is dropped. It costs a twentieth of a pool of connections.
A connection that ends is noticed when it ends, and not when the next command is written to it.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, cast

import hiredis
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.credentials import UsernamePasswordCredentialProvider
from redis.exceptions import RedisError, ResponseError

CONNECT_LIMIT = 2.0
"""Seconds in which a connection has to be made, and to have answered."""
OPERATION_LIMIT = 5.0
"""Seconds that Redis has to answer a command."""

ERRORS = (OSError, RedisError, hiredis.HiredisError)
"""What a command raises: the network's errors (also ``TimeoutError``), and the server's."""

Argument = str | bytes | int | float


class Link:
    """The connection that ``template``, a connection of redis-py's that is not open, describes."""

    def __init__(self, template: AbstractConnection) -> None:
        self._template = template
        self._line: Line | None = None
        self._opening: asyncio.Task[Line] | None = None
        self._closed = False

    async def call(self, *command: Argument) -> Any:
        """The reply to a command, which is sent once at most."""
        line = self._line
        if line is not None and line.is_open:
            return await line.send(command)
        async with asyncio.timeout(OPERATION_LIMIT):
            return await (await self._connect()).send(command)

    async def read(self, *command: Argument) -> Any:
        """The reply to a command that changes nothing, sent again if the connection ends meanwhile."""
        start = time.monotonic()
        line = self._line
        try:
            if line is not None and line.is_open:  # as in ``call``, which is a coroutine more
                return await line.send(command)
            return await self.call(*command)
        except ConnectionError:
            async with asyncio.timeout(start + OPERATION_LIMIT - time.monotonic()):
                return await self.call(*command)

    def post(self, *command: Argument) -> None:
        """Send a command whose reply nobody waits for, if there is a connection."""
        if self._line is not None and self._line.is_open:
            self._line.send(command).add_done_callback(_ignore)

    async def close(self) -> None:
        """End the connection. Who still waits gets a ``ConnectionError``."""
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        if self._line is not None:
            self._line.end(ConnectionAbortedError("the store is closed"))
            await self._line.gone

    async def _connect(self) -> Line:
        if self._closed:
            raise ConnectionAbortedError("the store is closed")
        if self._line is not None and self._line.is_open:
            return self._line
        if self._opening is None:
            self._opening = asyncio.create_task(_open(self._template), name="toto-aio redis")
            self._opening.add_done_callback(self._opened)
        # Others wait for it too: a caller who is cancelled does not end it.
        return await asyncio.shield(self._opening)

    def _opened(self, opening: asyncio.Task[Line]) -> None:
        self._opening = None
        _ignore(opening)
        if not opening.cancelled() and opening.exception() is None:
            self._line = opening.result()


class Line(asyncio.Protocol):
    """An open connection."""

    def __init__(self) -> None:
        self.is_open = True
        self._loop = asyncio.get_running_loop()
        self.gone = self._loop.create_future()
        """Done when the socket is closed."""
        self._reader = hiredis.Reader(replyError=ResponseError, notEnoughData=_MORE)
        self._outgoing: list[bytes] = []
        self._waiting: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none of asyncio's

    def send(self, command: Sequence[Argument]) -> asyncio.Future[Any]:
        """Send a command at the end of this turn of the loop; its reply will be here."""
        reply = self._loop.create_future()
        if not self.is_open:
            reply.set_exception(ConnectionResetError("Redis closed the connection"))
            return reply
        packed = hiredis.pack_command(tuple(command))  # type: ignore[arg-type]  # its tuple is of one
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(packed)
        deadline = self._loop.time() + OPERATION_LIMIT
        self._waiting.append((deadline, reply))
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._look)
        return reply

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while (answer := self._reader.gets()) is not _MORE:
                _, reply = self._waiting.popleft()
                if reply.done():
                    continue
                if not isinstance(answer, ResponseError):
                    reply.set_result(answer)
                    continue
                reply.set_exception(answer)
                if str(answer).startswith("READONLY"):  # another server is the primary now: look for it
                    self.end(ConnectionAbortedError(str(answer)))
        except (hiredis.HiredisError, IndexError) as exc:
            self.end(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self.end(exc or ConnectionResetError("Redis closed the connection"))
        self.gone.set_result(None)

    def end(self, reason: Exception) -> None:
        """Close the connection; those who wait get an error of the kind of ``reason``."""
        self.is_open = False
        self._transport.abort()
        if self._timer is not None:
            self._timer.cancel()
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

    def _look(self) -> None:
        # Behind one who waits in vain all others do: a frozen server is left, and the next command asks anew.
        self._timer = None
        if self._waiting:
            deadline = self._waiting[0][0]
            if deadline <= self._loop.time():
                self.end(TimeoutError(f"Redis did not answer within {OPERATION_LIMIT} s"))
            else:
                self._timer = self._loop.call_at(deadline, self._look)


async def _open(template: AbstractConnection) -> Line:
    async with asyncio.timeout(CONNECT_LIMIT):
        line = await _dial(template)
        try:
            await asyncio.gather(*map(line.send, await _greeting(template)))
        except BaseException:
            line.end(ConnectionAbortedError("Redis refused the connection"))
            raise
        return line


async def _dial(template: AbstractConnection) -> Line:
    loop = asyncio.get_running_loop()
    if isinstance(template, UnixDomainSocketConnection):
        return (await loop.create_unix_connection(Line, template.path))[1]
    assert isinstance(template, Connection)
    context = template.ssl_context.get() if isinstance(template, SSLConnection) else None
    transport, line = await loop.create_connection(Line, template.host, template.port, ssl=context)
    # A network that forgets an idle connection says nothing: only asking finds that out.
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in dict(template.socket_keepalive_options).items():  # type: ignore[call-overload]
        sock.setsockopt(socket.IPPROTO_TCP, option, value)
    return line


async def _greeting(template: AbstractConnection) -> list[Sequence[Argument]]:
    provider = template.credential_provider
    if provider is None and (template.username or template.password):
        provider = UsernamePasswordCredentialProvider(template.username, template.password)
    greeting: list[Sequence[Argument]] = [("SELECT", template.db)] if template.db else [("PING",)]
    if provider is not None:
        greeting.insert(0, ("AUTH", *await provider.get_credentials_async()))
    return greeting


def _ignore(future: asyncio.Future[Any]) -> None:
    """Take an error that nobody waits for, so that asyncio does not report it as forgotten."""
    if not future.cancelled():
        future.exception()


_MORE = object()
