"""A rolling restart drops no request, neither on a new connection nor on one that is kept alive.

    python -m torture.restarts [--requests N] [--restarts N] [--clients N] [--processes N]

Clients that never retry call a real service as fast as they can while its master is restarted (HUP)
repeatedly. Every second client keeps its connection until a response has ``Connection: close``; the others
open a new one for each request. Each client pauses from time to time, so that some connections are idle.
Every response must be complete and correct. A request that was sent, or whose connection was attempted, and
that has no such response counts as dropped, whatever the reason.

A few more clients call a method that takes seconds, which the old processes must complete.

Some WebSockets are open as well. A restart must close each with 1001, and each can be opened again.

A restart is recognized from outside: the master has as many workers as before, none of them is an old one,
and every one of them has responded.

The control is the same service in gunicorn with aiohttp's worker, which is known to drop requests on
kept-alive connections when it restarts.

The drill also shows how well the workers share connections: several times all clients connect at the same
time and stay, and the share of the worker with the most connections is counted.
"""

from __future__ import annotations

import asyncio
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Self

import aiohttp

from torture.clients import ECHO, FAILURE_PAUSE, Load, check_echo, connect, echo_request
from torture.drill import progress, read_sizes, run_drill, workshop
from torture.services import SERVE, Service, serving, until

SOCKETS = 10
"""WebSockets that are open in addition to the load."""
SLOW_CLIENTS = 6
SLOW_SECONDS = 4.0
"""Clients whose calls take longer than the service gives clients to close their connections."""
SPREADS = 10
"""How often all clients connect at the same time, to see which worker gets them."""
RESTART_LIMIT = 120.0
"""Seconds within which a restart must be complete while the clients keep the machine busy."""
CONTROL_SHARE = 20
"""The control gets this share of the requests, and at most ``CONTROL_RESTARTS`` restarts."""
CONTROL_RESTARTS = 2
LOAD_LIMIT = 3600.0
"""Seconds within which the clients must send the requests that one restart waits for."""
SAY_INTERVAL = 5.0
"""Seconds between two reports of progress."""
GONE_AWAY = 1001
SIZES = {"requests": (1_000_000, 1), "restarts": (20, 1), "clients": (120, 2), "processes": (2, 2)}

OURS = "toto_aio"
GUNICORN = "control, gunicorn with aiohttp's worker"
COMMANDS: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    OURS: (SERVE, ["--processes={processes}"]),
    GUNICORN: (
        [sys.executable, "-m", "gunicorn", "--worker-class=aiohttp.GunicornWebWorker"],
        ["--workers={processes}", "--bind=127.0.0.1:0", "--graceful-timeout=2", "toto_aio:create_app()"],
    ),
}
"""How a service is started, and its options."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done to a service."""

    requests: int
    restarts: int
    clients: int
    processes: int


@dataclass
class Run:
    """The outcome of the requests to a service."""

    service: str
    size: Size
    answered: Counter[bool] = field(default_factory=Counter)
    """Requests by whether their connection was kept open."""
    dropped: Counter[tuple[bool, str]] = field(default_factory=Counter)
    """Requests by whether their connection was kept open, and why."""
    restarts: int = 0
    """Completed restarts."""
    closed: Counter[int] = field(default_factory=Counter)
    """WebSockets by the code that they were closed with; 0 if they could not be opened."""
    spreads: list[float] = field(default_factory=list)
    """The share of the worker with the most connections, each time after all clients had connected."""
    seconds: float = 0

    @property
    def requests(self) -> int:
        """The number of requests that were sent."""
        return self.answered.total() + self.dropped.total()

    @property
    def badly_closed(self) -> int:
        """WebSockets whose clients were not notified that the service goes away."""
        return self.closed.total() - self.closed[GONE_AWAY]


def main() -> None:
    """Run the drill."""
    run_drill("restarts", lambda: measure(read_options()), table, verdict)


def read_options(arguments: Sequence[str] | None = None) -> Size:
    """Parse the command line."""
    return Size(**vars(read_sizes("A rolling restart drops no request.", SIZES, arguments)))


def measure(size: Size) -> list[Run]:
    """The outcome of the requests to the service and to the control."""
    control = Size(
        max(1, size.requests // CONTROL_SHARE),
        min(CONTROL_RESTARTS, size.restarts),
        size.clients,
        size.processes,
    )
    with workshop() as (folder, loop):
        return [
            loop.run(restarted(OURS, size, folder / "ours")),
            loop.run(restarted(GUNICORN, control, folder / "gunicorn")),
        ]


async def restarted(name: str, size: Size, folder: Path) -> Run:
    """Run a service, put it under load and restart it."""
    command, options = COMMANDS[name]
    options = [option.format(processes=size.processes) for option in options]
    run = Run(name, size)
    with serving(folder, {"echo": ECHO}, *options, command=command) as service:
        await until(
            lambda: len(service.workers()) == size.processes, RESTART_LIMIT, "the start of all workers"
        )
        run.spreads = [await spread(service.port, size.clients) for _ in range(SPREADS)]
        begun = time.monotonic()
        async with (
            Load(service.port, size.clients) as load,
            Load(service.port, SLOW_CLIENTS if name == OURS else 0, seconds=SLOW_SECONDS) as slow,
            Sockets(service.port) as sockets,
        ):
            talking = asyncio.create_task(talk(run, load), name="progress")
            try:
                for number in range(size.restarts):
                    due = size.requests * (number + 1) // (size.restarts + 1)
                    await until(partial(load.has_sent, due), LOAD_LIMIT, "the load")
                    await restart(service, load, sockets)
                    run.restarts += 1
                await until(partial(load.has_sent, size.requests), LOAD_LIMIT, "the load")
            finally:
                talking.cancel()
        run.seconds = time.monotonic() - begun
    run.answered, run.closed = load.answered + slow.answered, sockets.closed
    run.dropped.update((drop.keeps, drop.reason) for drop in load.dropped)
    run.dropped.update((drop.keeps, f"{drop.reason}, a slow call") for drop in slow.dropped)
    return run


async def spread(port: int, clients: int) -> float:
    """The share of the busiest worker when all clients connect at the same time, and stay."""
    connections = await asyncio.gather(*(connect(port) for _ in range(clients)))
    responses = await asyncio.gather(*(connection.ask(echo_request(1)) for connection in connections))
    for connection in connections:
        connection.close()
    pids = Counter(check_echo(1, response) for response in responses)
    return max(pids.values()) / clients


async def restart(service: Service, load: Load, sockets: Sockets) -> None:
    """Restart a service, and wait until other workers respond and all sockets are open again."""
    old, closed = service.workers(), sockets.closed.total()

    def is_over() -> bool:
        new = service.workers()
        replaced = len(new) == len(old) and not new & old and all(load.pids[pid] for pid in new)
        return replaced and sockets.closed.total() >= closed + SOCKETS and sockets.open == SOCKETS

    service.send(signal.SIGHUP)
    await until(is_over, RESTART_LIMIT, "a restart")


async def talk(run: Run, load: Load) -> None:
    """Report progress periodically."""
    while True:
        await asyncio.sleep(SAY_INTERVAL)
        progress(
            f"{run.service}: {load.sent:,} of {run.size.requests:,} requests, "
            f"{run.restarts} of {run.size.restarts} restarts, {len(load.dropped)} dropped"
        )


class Sockets:
    """WebSockets that are reopened whenever they are closed: ``async with Sockets(port)``."""

    def __init__(self, port: int) -> None:
        self.open = 0
        self.closed: Counter[int] = Counter()
        """The number that was closed with each code; 0 if one could not be opened."""
        self._url = f"http://127.0.0.1:{port}/service/websocket"
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._client = aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True))
        self._tasks = [asyncio.create_task(self._stay(), name=f"socket {n}") for n in range(SOCKETS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.close()

    async def _stay(self) -> None:
        while True:
            self.closed[await self._open_once()] += 1
            await asyncio.sleep(FAILURE_PAUSE)

    async def _open_once(self) -> int:
        """Open a socket, call, and wait until it is closed; returns the code."""
        try:
            async with self._client.ws_connect(self._url) as socket:
                await socket.send_json({"id": 1, "method": "echo", "parameters": {"n": 1}})
                message = await socket.receive()
                if message.type is aiohttp.WSMsgType.TEXT:
                    self.open += 1
                    try:
                        message = await socket.receive()
                    finally:
                        self.open -= 1
                return socket.close_code or 0
        except aiohttp.ClientError:
            return 0


def verdict(runs: Sequence[Run]) -> tuple[bool, str]:
    """Whether the drill passed, and a line that says why."""
    for run in runs:
        if run.service != OURS:
            missed = not run.dropped.total()
        elif run.restarts < run.size.restarts or run.requests < run.size.requests:
            return False, "FAILED: not all requests were sent, or not all restarts have happened"
        elif run.dropped:
            return False, f"FAILED: {run.dropped.total()} of {run.requests:,} requests were dropped"
        elif run.badly_closed or run.closed.total() < SOCKETS * run.restarts:
            return False, f"FAILED: sockets were closed with other codes than 1001: {dict(run.closed)}"
    if missed:
        return False, "FAILED: this proves nothing, the control dropped no request: send more"
    return (
        True,
        "Passed: no request was dropped, every socket was closed with 1001, the control dropped requests",
    )


def table(runs: Sequence[Run]) -> str:
    """The runs in Markdown, followed by the reasons why requests were dropped."""
    lines = [
        "| service | restarts | requests: kept / new connection | dropped: kept / new | sockets closed: 1001 "
        "/ else | most connections on one worker, median and worst | requests per second |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for run in runs:
        dropped = [sum(n for (kept, _), n in run.dropped.items() if kept is keeps) for keeps in (True, False)]
        lines.append(
            f"| {run.service} | {run.restarts} | {run.answered[True]:,} / {run.answered[False]:,} "
            f"| {dropped[0]} / {dropped[1]} | {run.closed[GONE_AWAY]} / {run.badly_closed} "
            f"| {statistics.median(run.spreads):.0%}, {max(run.spreads):.0%} "
            f"| {run.requests / run.seconds:,.0f} |"
        )
    for run in runs:
        for (keeps, reason), count in run.dropped.most_common():
            where = "a kept connection" if keeps else "a new connection"
            lines.append(f"\n{run.service}: {count} on {where}: {reason}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
