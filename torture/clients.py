"""Clients that never retry, and keep what became of each request."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import Counter
from typing import NamedTuple, Self, cast

ANSWER_LIMIT = 30.0
"""Seconds after which a request that has no answer is dropped."""
SHARE_OF_PAUSES = 0.1
"""How many of its requests a client waits before, so that a connection is idle now and then."""
LONGEST_PAUSE = 0.05
"""Seconds of such a wait."""
AFTER_A_FAILURE = 0.01
"""Seconds that a client waits after a failure, or one that meets nobody would do nothing but fail."""

ECHO = """import asyncio, os

async def invoke(handler, parameters):
    await asyncio.sleep(parameters.get("seconds", 0))
    return {"n": parameters["n"], "pid": os.getpid()}
"""
"""The method that is called."""
ECHOED = re.compile(rb'\{"result":\{"n":(\d+),"pid":(\d+)\}\}')
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
CLOSE = re.compile(rb"\r\nconnection: *close\r\n", re.IGNORECASE)


class Broken(Exception):
    """There is no whole answer; the message says what came in its place."""


class Answer(NamedTuple):
    """An answer that came whole."""

    status: int
    closes: bool
    """Whether it says ``Connection: close``."""
    body: bytes


class Connection(asyncio.Protocol):
    """A connection that carries one request after the other."""

    def __init__(self) -> None:
        self.closed = False
        self._received = b""
        self._answer: asyncio.Future[Answer] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)

    async def ask(self, request: bytes) -> Answer:
        """The answer to a request. Raises ``Broken``."""
        if self.closed:
            raise Broken("end of file")
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        """Look whether the answer is whole."""
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
            self._answer.set_result(Answer(int(head[9:12]), CLOSE.search(head) is not None, body))

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits for an answer gets none."""
        where = " within the answer" if self._received else ""
        self._break(("end of file" if exc is None else f"{type(exc).__name__}") + where)

    def close(self) -> None:
        """Leave."""
        self.closed = True
        self.transport.close()

    def _break(self, reason: str) -> None:
        self.closed = True
        self.transport.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(Broken(reason))


async def connect(port: int) -> Connection:
    """A new connection. Raises ``OSError``."""
    return (await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port))[1]


def echo_request(number: int, *, last: bool = False, seconds: float = 0) -> bytes:
    """The request for an echo of a number, after so many seconds; ``last``: on this connection."""
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


def check_echo(number: int, answer: Answer) -> int:
    """The process that has answered with this number. Raises ``Broken`` for any other answer."""
    echoed = ECHOED.fullmatch(answer.body)
    if answer.status != 200 or echoed is None or int(echoed[1]) != number:
        raise Broken(f"wrong answer: {answer.status} {answer.body[:100]!r}")
    return int(echoed[2])


class Drop(NamedTuple):
    """A request without a whole and right answer."""

    reason: str
    keeps: bool
    """Whether its client keeps its connection from one request to the next."""
    pid: int | None
    """The process that has answered on its connection before, if one has."""
    began: float
    ended: float


class Load:
    """Clients that call one after the other: ``async with Load(port, 120) as load``.

    Every second one keeps its connection until an answer says ``Connection: close``, the others make a new
    one for each request. At the end of the block they stop, after their last answers. An echo may take some
    ``seconds``, so that many are in flight.
    """

    def __init__(self, port: int, clients: int, *, seconds: float = 0) -> None:
        self.sent = 0
        self.answered: Counter[bool] = Counter()
        """Requests that were answered, by whether their client keeps its connection."""
        self.dropped: list[Drop] = []
        self.pids: Counter[int] = Counter()
        """How many answers each process has given."""
        self.kept: dict[int, int] = {}
        """The process that each client which keeps its connection is connected to."""
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
        """Whether so many requests have been sent. Raises what has ended a client, if anything has."""
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
                async with asyncio.timeout(ANSWER_LIMIT):
                    if connection is None or connection.closed:
                        pid = None
                        connection = await connect(self._port)
                    request = echo_request(number, last=not keeps, seconds=self._seconds)
                    answer = await connection.ask(request)
                pid = check_echo(number, answer)
            except (OSError, Broken) as exc:
                reason = str(exc) if isinstance(exc, Broken) else type(exc).__name__
                self.dropped.append(Drop(reason, keeps, pid, began, time.monotonic()))
                if connection is not None:
                    connection.close()
                await asyncio.sleep(AFTER_A_FAILURE)
                continue
            self.answered[keeps] += 1
            self.pids[pid] += 1
            if keeps:
                self.kept[client] = pid
            if answer.closes or not keeps:
                connection.close()
            if random.random() < SHARE_OF_PAUSES:  # noqa: S311  # no secret
                await asyncio.sleep(random.uniform(0, LONGEST_PAUSE))  # noqa: S311
        if connection is not None:
            connection.close()
