"""What a call over a WebSocket costs, and how soon an event has reached 1,000 of them.

    python -m benchmarks.sockets [--cycles N] [--seconds N]

Beside this service are a hand-written loop on aiohttp and Tornado, all in one run. How it is measured is in
README.md; here the load comes from this process, and the server's CPU time is what counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import uvloop

from benchmarks.echo import PARAMETERS, Failure, Server, progress, running, spread, two_cores

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


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(
        description="Calls over WebSockets, beside Tornado and a hand-written loop."
    )
    parser.add_argument("--cycles", type=int, default=9, metavar="N", help="default %(default)s")
    parser.add_argument("--seconds", type=float, default=1.0, metavar="N", help="length of a slice")
    options = parser.parse_args()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(limit, 10_000), limit))
    try:
        # asyncio's own loop takes longer to hear of 1,000 events than a good server to send them.
        print(table(uvloop.run(measure(options.cycles, options.seconds))))
    except Failure as exc:
        sys.exit(f"sockets.py: {exc}")


def peer(name: str) -> Callable[[Path], list[str]]:
    """The command of a server in ``peers``."""
    return lambda folder: [sys.executable, str(Path(__file__).with_name("peers") / f"sockets_{name}.py")]


def toto_aio(folder: Path) -> list[str]:
    """This service, with three methods."""
    (folder / "methods").mkdir()
    for name, code in METHODS.items():
        (folder / "methods" / f"{name}.py").write_text(code)
    return [sys.executable, "-m", "toto_aio", "serve", "--port=0", "--database=memory://"]


OURS, TORNADO = "toto_aio", "Tornado"
SERVERS = {TORNADO: peer("tornado"), "hand-written aiohttp": peer("handwritten"), OURS: toto_aio}
Figures = dict[str, dict[str, list[float]]]


async def measure(cycles: int, seconds: float) -> Figures:
    """The figures of each server by what was measured, one for each cycle."""
    server_core, load_core = two_cores()
    figures: Figures = {}
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        os.sched_setaffinity(0, {server_core})
        servers = [
            stack.enter_context(running(name, command, directory / str(number)))
            for number, (name, command) in enumerate(SERVERS.items())
        ]
        os.sched_setaffinity(0, {load_core})
        for cycle in range(1, cycles + 1):
            random.shuffle(servers)
            for server in servers:
                for each in IN_FLIGHT:
                    name = f"CPU µs per call, {CONNECTIONS} sockets, {each} in flight each"
                    add(figures, name, server, await calls(server, each, seconds))
                name = f"ms until an event has reached {LISTENERS} sockets"
                add(figures, name, server, await events(server))
            progress(f"cycle {cycle} of {cycles}")
    return figures


def add(figures: Figures, name: str, server: Server, figure: float) -> None:
    """Keep a figure."""
    figures.setdefault(name, {}).setdefault(server.name, []).append(figure)


async def calls(server: Server, each: int, seconds: float) -> float:
    """CPU microseconds of the server for each call, with so many of each socket in flight."""
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
        raise Failure(f"{server.name} answered nothing")
    return spent / 1000 / count


async def events(server: Server) -> float:
    """Milliseconds from the sending of an event until the last of many sockets has it."""
    teller, *listeners = await asyncio.gather(*(connect(server) for _ in range(LISTENERS + 1)))
    for client in listeners:
        await client.ask("listen", {})
    times = []
    for number in range(EVENTS):
        size = len(frame({"n": number, "text": "hello"}, masked=False))
        arrivals = [client.next_bytes(size) for client in listeners]
        begun = time.perf_counter()
        teller.transport.write(
            frame({"id": 1, "method": "tell", "parameters": {"args": {"n": number, "text": "hello"}}})
        )
        async with asyncio.timeout(10):
            await asyncio.gather(*arrivals)
        times.append(time.perf_counter() - begun)
        await asyncio.sleep(0.01)
    for client in (teller, *listeners):
        client.close()
    return statistics.median(times) * 1000


async def connect(server: Server) -> Client:
    """An open socket."""
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
    """A WebSocket client that costs little: it counts bytes, as the frames to come are known."""

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
        """Count, and ask again."""
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
        """What comes next, at least so many bytes."""
        self._wanted = count
        self._arrived = asyncio.get_running_loop().create_future()
        return self._arrived

    async def ask(self, method: str, parameters: object) -> bytes:
        """The frame that answers a call."""
        size = len(frame({"id": 1, "result": parameters}, masked=False))
        arrived = self.next_bytes(size)
        self.transport.write(frame({"id": 1, "method": method, "parameters": parameters}))
        return await arrived

    def load(self, request: bytes, size: int, each: int) -> None:
        """Keep so many calls in flight; each answer has ``size`` bytes."""
        self._request, self._size = request, size
        self.transport.write(request * each)

    def close(self) -> None:
        """Leave."""
        self._request = None
        self.transport.abort()


def frame(value: object, *, masked: bool = True) -> bytes:
    """A text frame; its mask, zero, changes nothing (RFC 6455, 5.3)."""
    payload = json.dumps(value, separators=(",", ":")).encode()
    bit, mask = (0x80, bytes(4)) if masked else (0, b"")
    if len(payload) < 126:
        return bytes((0x81, bit | len(payload))) + mask + payload
    return bytes((0x81, bit | 126)) + len(payload).to_bytes(2, "big") + mask + payload


def table(figures: Figures) -> str:
    """The figures, each as its median and quartiles, and how they compare to Tornado's."""
    lines = [f"| | {' | '.join(SERVERS)} | {OURS} / {TORNADO} |", "| --- |" + " --- |" * (len(SERVERS) + 1)]
    for name, of_servers in figures.items():
        shown = [spread(of_servers[server]).shown(1) for server in SERVERS]
        ratios = [ours / theirs for ours, theirs in zip(of_servers[OURS], of_servers[TORNADO], strict=True)]
        lines.append(f"| {name} | {' | '.join(shown)} | {spread(ratios).shown(2)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
