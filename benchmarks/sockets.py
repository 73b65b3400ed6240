"""What a call over a WebSocket costs, and how soon an event reaches 1,000 of them.

    python -m benchmarks.sockets [--cycles N] [--seconds N]

This service is compared with a hand-written loop on aiohttp and with Tornado, in one run. README.md describes
how it is measured; here the load comes from this process, and only the server's CPU time counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast
from urllib.parse import urlsplit

import uvloop

from benchmarks.environment import peers_python
from benchmarks.figures import Goal, Report, markdown, ratio, spread
from benchmarks.harness import (
    PARAMETERS,
    Command,
    Failure,
    Server,
    in_turns,
    peer,
    print_table,
    serving,
    toto_aio,
)

FILES = 20_000
"""The maximum of open descriptors of a process."""
CONNECTIONS = 32
IN_FLIGHT = (1, 8)
LISTENERS = 1000
EVENTS = 20
"""Events of a slice."""
METHODS = {
    "echo": "async def invoke(handler, parameters):\n    return parameters\n",
    "listen": """async def invoke(handler, parameters):
    handler.register_event_handler("e", handler.send_message)
    return parameters
""",
    "tell": """async def invoke(handler, parameters):
    await handler.events.send("e", parameters["args"])
    return parameters
""",
}


OURS, TORNADO = "toto_aio", "Tornado"
SERVERS = (TORNADO, "hand-written aiohttp", OURS)
EVENT = "event"
CALLS = {f"{each} in flight": each for each in IN_FLIGHT}
TEXTS = {
    **{label: f"CPU µs per call, {CONNECTIONS} sockets, {label} each" for label in CALLS},
    EVENT: f"ms until an event has reached {LISTENERS} sockets",
}
GOALS = dict(zip(TEXTS, (3.0, 6.0, 0.6), strict=True))
"""Goal 6: how many times cheaper than Tornado a call is, and what share of its time an event takes."""


def run(options: argparse.Namespace) -> Report:
    """Measure each server."""
    more_files()
    python, modules = peers_python(["tornado"])
    if "tornado" not in modules:
        raise Failure("the peer Tornado could not be installed, and there is nothing to compare with")
    commands: dict[str, Command] = {
        TORNADO: peer("sockets_tornado.py", python=python),
        SERVERS[1]: peer("sockets_handwritten.py"),
        OURS: partial(toto_aio, methods=METHODS),
    }
    # asyncio's own loop takes longer to receive 1,000 events than a good server takes to send them.
    with serving(commands) as servers, asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        turns = {
            f"{name}, {label}": partial(
                lambda server, each: loop.run(
                    calls(server, each, options.seconds) if each else events(server)
                ),
                server,
                CALLS.get(label),
            )
            for label in TEXTS
            for name, server in servers.items()
        }
        figures = in_turns(turns, options.cycles, "{:.1f}".format)
    rows, goals = [], []
    for label, text in TEXTS.items():
        of_servers = {name: figures[f"{name}, {label}"] for name in SERVERS}
        ours, theirs = of_servers[OURS], of_servers[TORNADO]
        shown = [spread(values).shown(1) for values in of_servers.values()]
        rows.append([text, *shown, ratio(ours, theirs).shown(2)])
        if label == EVENT:
            goals.append(Goal(6, f"of Tornado's {text}", GOALS[label], ratio(ours, theirs), at_most=True))
        else:
            goals.append(Goal(6, f"times cheaper than Tornado, {label}", GOALS[label], ratio(theirs, ours)))
    return Report(
        "sockets",
        "CPU µs per call over a WebSocket, ms of an event; median and quartiles",
        {name: spread(values) for name, values in figures.items()},
        markdown(["", *SERVERS, f"{OURS} / {TORNADO}"], rows),
        goals,
    )


def more_files() -> None:
    """Let this process, and what it starts, have a descriptor for every socket."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(limit, FILES), limit))


async def calls(server: Server, each: int, seconds: float) -> float:
    """CPU microseconds of the server for each call, with that many calls of each socket in flight."""
    clients = await asyncio.gather(*(connect(server) for _ in range(CONNECTIONS)))
    size = len(await clients[0].ask("echo", PARAMETERS))
    request = frame({"id": 1, "method": "echo", "parameters": PARAMETERS})
    for client in clients:
        client.load(request, size, each)
    await asyncio.sleep(seconds / 4)
    before, count = server.cpu_ns(), sum(client.answered for client in clients)
    await asyncio.sleep(seconds)
    spent, count = server.cpu_ns() - before, sum(client.answered for client in clients) - count
    for client in clients:
        client.close()
    if not count:
        raise Failure(f"{server.name} sent no response")
    return spent / 1000 / count


async def events(server: Server) -> float:
    """Milliseconds from the sending of an event until the last of many sockets has received it."""

    def listen(client: Client) -> Awaitable[bytes]:
        return client.ask("listen", {})

    return await fan_out(server, listen, "tell", event)


def event(number: int) -> dict[str, Any]:
    """What is sent to many."""
    return {"n": number, "text": "hello"}


async def fan_out(
    server: Server,
    listen: Callable[[Client], Awaitable[bytes]],
    method: str,
    message: Callable[[int], dict[str, Any]],
) -> float:
    """Milliseconds from the call of a method, with an event, until the last of many sockets has a message."""
    teller, *listeners = await asyncio.gather(*(connect(server) for _ in range(LISTENERS + 1)))
    for client in listeners:
        await listen(client)
    times = []
    for number in range(EVENTS):
        size = len(frame(message(number), masked=False))
        arrivals = [client.next_bytes(size) for client in listeners]
        begun = time.perf_counter()
        teller.transport.write(frame({"id": 1, "method": method, "parameters": {"args": event(number)}}))
        async with asyncio.timeout(10):
            await asyncio.gather(*arrivals)
        times.append(time.perf_counter() - begun)
        await asyncio.sleep(0.01)
    for client in (teller, *listeners):
        client.close()
    return statistics.median(times) * 1000


async def connect(server: Server) -> Client:
    """Open a socket."""
    where = urlsplit(server.url)
    transport, client = await asyncio.get_running_loop().create_connection(
        Client, where.hostname or "", where.port or 0
    )
    transport.write(
        f"GET {where.path}/websocket HTTP/1.1\r\nHost: {where.netloc}\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    head = await client.next_bytes(1)
    if not head.startswith(b"HTTP/1.1 101"):
        raise Failure(f"{server.name} opened no socket: {head!r}")
    return client


class Client(asyncio.Protocol):
    """A cheap WebSocket client: as the coming frames are known, it only counts bytes."""

    def __init__(self) -> None:
        self.answered = 0
        self._received = b""
        self._wanted = 0
        self._arrived: asyncio.Future[bytes] | None = None
        self._request: bytes | None = None
        self._size = 0
        self._rest = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Count, and send the next call."""
        if self._request is not None:
            answers, self._rest = divmod(self._rest + len(data), self._size)
            self.answered += answers
            self.transport.write(self._request * answers)
            return
        self._received += data
        if self._arrived is not None and len(self._received) >= self._wanted:
            self._arrived.set_result(self._received)
            self._arrived, self._received = None, b""

    def next_bytes(self, count: int) -> asyncio.Future[bytes]:
        """Wait for at least that many bytes."""
        self._wanted = count
        self._arrived = asyncio.get_running_loop().create_future()
        return self._arrived

    async def ask(self, method: str, parameters: object) -> bytes:
        """The frame of a call's response."""
        size = len(frame({"id": 1, "result": parameters}, masked=False))
        arrived = self.next_bytes(size)
        self.transport.write(frame({"id": 1, "method": method, "parameters": parameters}))
        return await arrived

    def load(self, request: bytes, size: int, each: int) -> None:
        """Keep that many calls in flight; each response has ``size`` bytes."""
        self._request, self._size = request, size
        self.transport.write(request * each)

    def close(self) -> None:
        """Close the connection."""
        self._request = None
        self.transport.abort()


def frame(value: object, *, masked: bool = True) -> bytes:
    """A text frame; its mask of zero changes nothing (RFC 6455, 5.3)."""
    payload = json.dumps(value, separators=(",", ":")).encode()
    bit, mask = (0x80, bytes(4)) if masked else (0, b"")
    if len(payload) < 126:
        return bytes((0x81, bit | len(payload))) + mask + payload
    return bytes((0x81, bit | 126)) + len(payload).to_bytes(2, "big") + mask + payload


if __name__ == "__main__":
    print_table(run, "Calls over WebSockets, compared with Tornado and a hand-written loop.")
