"""Clients that never retry, and record the outcome of each request."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import Counter
from typing import NamedTuple, Self, cast

RESPONSE_LIMIT = 30.0
"""Seconds after which a request without a response counts as dropped."""
PAUSE_SHARE = 0.1
"""The share of requests after which a client pauses, so that some connections are idle."""
MAX_PAUSE = 0.05
"""Maximum seconds of such a pause."""
FAILURE_PAUSE = 0.01
"""Seconds that a client waits after a failure, so that it does not produce failures in a tight loop."""

ECHO = """import asyncio, os

async def invoke(handler, parameters):
    await asyncio.sleep(parameters.get("seconds", 0))
    return {"n": parameters["n"], "pid": os.getpid()}
"""
"""The method that the clients call."""
ECHOED = re.compile(rb'\{"result":\{"n":(\d+),"pid":(\d+)\}\}')
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
CLOSE = re.compile(rb"\r\nconnection: *close\r\n", re.IGNORECASE)


class Broken(Exception):
    """There is no complete response; the message says what arrived instead."""


class Response(NamedTuple):
    """A complete response."""

    status: int
    closes: bool
    """Whether it has ``Connection: close``."""
    body: bytes


class Connection(asyncio.Protocol):
    """A connection that carries one request after another."""

    def __init__(self) -> None:
        self.closed = False
        self._received = b""
        self._answer: asyncio.Future[Response] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)

    async def ask(self, request: bytes) -> Response:
        """Send a request and return its response. Raises ``Broken``."""
        if self.closed:
            raise Broken("end of file")
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        """Check whether the response is complete."""
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return
        head += b"\r\n"
        length = LENGTH.search(head)
        if length is None or not head.startswith(b"HTTP/1.1 "):
            self._break("wrong bytes")
        elif len(body) >= int(length[1]):
            if len(body) > int(length[1]) or self._answer is None or self._answer.done():
                self._break("more bytes than were asked for")
                return
            self._received = b""
            self._answer.set_result(Response(int(head[9:12]), CLOSE.search(head) is not None, body))

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the request that is waiting for its response."""
        where = " within the response" if self._received else ""
        self._break(("end of file" if exc is None else f"{type(exc).__name__}") + where)

    def close(self) -> None:
        """Close the connection."""
        self.closed = True
        self.transport.close()

    def _break(self, reason: str) -> None:
        self.closed = True
        self.transport.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(Broken(reason))


async def connect(port: int) -> Connection:
    """Open a connection. Raises ``OSError``."""
    return (await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port))[1]


def echo_request(number: int, *, last: bool = False, seconds: float = 0) -> bytes:
    """A request that echoes a number after some seconds; if ``last``, it closes the connection."""
    wait = b',"seconds":%g' % seconds if seconds else b""
    body = b'{"method":"echo","parameters":{"n":%d%b}}' % (number, wait)
    return b"".join(
        (
            b"POST /service HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n",
            b"Connection: close\r\n" if last else b"",
            b"Content-Length: %d\r\n\r\n" % len(body),
            body,
        )
    )


def check_echo(number: int, response: Response) -> int:
    """The id of the process that echoed this number. Raises ``Broken`` for any other response."""
    echoed = ECHOED.fullmatch(response.body)
    if response.status != 200 or echoed is None or int(echoed[1]) != number:
        raise Broken(f"wrong response: {response.status} {response.body[:100]!r}")
    return int(echoed[2])


class Drop(NamedTuple):
    """A request without a complete and correct response."""

    reason: str
    keeps: bool
    """Whether its client keeps its connection open between requests."""
    pid: int | None
    """The process that responded on its connection before, if any."""
    began: float
    ended: float


class Load:
    """Clients that call in a loop: ``async with Load(port, 120) as load``.

    Every second client keeps its connection until a response has ``Connection: close``; the others open a new
    one for each request. At the end of the block they stop after their last responses. An echo may take some
    ``seconds``, so that many are in flight.
    """

    def __init__(self, port: int, clients: int, *, seconds: float = 0) -> None:
        self.sent = 0
        self.answered: Counter[bool] = Counter()
        """Requests with a response, by whether their client keeps its connection open."""
        self.dropped: list[Drop] = []
        self.pids: Counter[int] = Counter()
        """The number of responses from each process."""
        self.kept: dict[int, int] = {}
        """The process to which each client that keeps its connection is connected."""
        self._port = port
        self._clients = clients
        self._seconds = seconds
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.create_task(self._client(number, keeps=number % 2 == 0), name=f"client {number}")
            for number in range(self._clients)
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping = True
        await asyncio.gather(*self._tasks)

    def has_sent(self, count: int) -> bool:
        """Whether that many requests have been sent. Raises the exception that ended a client, if any."""
        for task in self._tasks:
            if task.done():
                task.result()
        return self.sent >= count

    async def _client(self, client: int, *, keeps: bool) -> None:
        connection: Connection | None = None
        pid = None
        while not self._stopping:
            self.sent += 1
            number = self.sent
            began = time.monotonic()
            try:
                async with asyncio.timeout(RESPONSE_LIMIT):
                    if connection is None or connection.closed:
                        pid = None
                        connection = await connect(self._port)
                    request = echo_request(number, last=not keeps, seconds=self._seconds)
                    response = await connection.ask(request)
                pid = check_echo(number, response)
            except (OSError, Broken) as exc:
                reason = str(exc) if isinstance(exc, Broken) else type(exc).__name__
                self.dropped.append(Drop(reason, keeps, pid, began, time.monotonic()))
                if connection is not None:
                    connection.close()
                await asyncio.sleep(FAILURE_PAUSE)
                continue
            self.answered[keeps] += 1
            self.pids[pid] += 1
            if keeps:
                self.kept[client] = pid
            if response.closes or not keeps:
                connection.close()
            if random.random() < PAUSE_SHARE:  # noqa: S311  # no secret
                await asyncio.sleep(random.uniform(0, MAX_PAUSE))  # noqa: S311
        if connection is not None:
            connection.close()
