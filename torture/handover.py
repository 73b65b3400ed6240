"""Events for one process survive rolling restarts: each is handled exactly once.

    python -m torture.handover [--events N] [--restarts N] [--processes N]

Clients have a real service send events with ``broadcast=False`` over Redis. The handler takes some
milliseconds for each event, so that hundreds wait in the queues of the workers, which have taken them from
each other. Meanwhile the master is restarted (HUP) repeatedly, each time while the handlers are held for a
moment, so that some wait for certain. Every event whose call was answered must be handled once, by an old
worker or a new one. A handler counts an event at its end, so an event is lost if its handler is interrupted.

At the end the whole service is stopped (TERM) while events wait. No process is left to hand them to, so they
must be handled before the end.

The control is the same service whose workers are killed (KILL) instead of restarted. It must lose events.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.servers import redis

from torture.clients import Broken, Connection, check_echo, connect, echo_request
from torture.drill import progress, read_sizes, run_drill, workshop
from torture.services import ProcessHandle, Service, serving, until

CLIENTS = 8
BACKLOG = 600
"""Events that wait: the clients pause while there are more. A queue holds 1,000."""
HANDLER_SECONDS = 0.004
LOAD_LIMIT = 3600.0
"""Seconds within which the clients must send the events that one restart waits for."""
REPLACE_LIMIT = 60.0
"""Seconds within which workers must be replaced."""
SHUTDOWN_TIMEOUT = 30.0
"""Seconds that the last processes have for the events that wait."""
STALL_LIMIT = 5.0
"""Seconds without a handled event after which those that are missing are lost."""
OURS = "toto_aio"
KILLED = "control, killed workers"
SIZES = {"events": (10_000, 1), "restarts": (10, 1), "processes": (2, 2)}

SEND = """import os

async def invoke(handler, parameters):
    await handler.events.send("job", parameters["n"], broadcast=False)
    return {"n": parameters["n"], "pid": os.getpid()}
"""
"""The method that the clients call."""
JOBS = """import asyncio, os

HANDLED = os.open("handled", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

async def handle(number):
    await asyncio.sleep({seconds})
    while os.path.exists("hold"):
        await asyncio.sleep({seconds})
    os.write(HANDLED, b"%d\\n" % number)

async def invoke(events):
    events.register_handler("job", handle, persist=True)
"""
"""The handler of each worker; it does not end while there is the file ``hold``."""


@dataclass
class Run:
    """What became of the events of a service."""

    service: str
    events: int
    restarts: int
    disturbed: int = 0
    """Restarts that are complete, or workers that were killed and replaced."""
    waiting: list[int] = field(default_factory=list)
    """Events that waited at the moment of each."""
    sent: set[int] = field(default_factory=set)
    """The events whose calls were answered."""
    handled: Counter[int] = field(default_factory=Counter)
    dropped: int = 0
    """Calls that were not answered."""
    seconds: float = 0

    @property
    def lost(self) -> int:
        """Events that were sent and not handled."""
        return len(self.sent - self.handled.keys())

    @property
    def doubled(self) -> int:
        """Events that were handled more than once."""
        return sum(count > 1 for count in self.handled.values())


def main() -> None:
    """Run the drill."""
    run_drill("handover", lambda: measure(**vars(read_options())), table, verdict)


def read_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    return read_sizes("Events for one process survive rolling restarts.", SIZES, arguments)


def measure(events: int, restarts: int, processes: int) -> list[Run]:
    """What becomes of the events of the service and of the control."""
    runs = [Run(OURS, events, restarts), Run(KILLED, max(1, events // 4), min(restarts, 3))]
    with workshop() as (folder, loop), redis.server() as server:
        for run in runs:
            loop.run(disturbed(run, folder / run.service[:4], redis.fresh_url(server), processes))
    return runs


async def disturbed(run: Run, folder: Path, url: str, processes: int) -> None:
    """Run a service, have it send events, and restart it or kill its workers."""
    handled = Handled(folder)
    options = [f"--processes={processes}", f"--events={url}", "--event-init-module=jobs"]
    options.append(f"--shutdown-timeout={SHUTDOWN_TIMEOUT}")
    begun = time.monotonic()
    with serving(folder, {"echo": SEND}, *options) as service:
        await until(lambda: len(service.workers()) == processes, REPLACE_LIMIT, "the start of all workers")
        clients = Clients(run, handled, service.port)
        sending = [asyncio.create_task(clients.send(), name=f"client {n}") for n in range(CLIENTS)]
        for number in range(run.restarts):
            due = run.events * (number + 1) // (run.restarts + 1)
            await until(lambda due=due: clients.number >= due, LOAD_LIMIT, "the load")  # type: ignore[misc]
            with handled.held():
                await until(lambda: clients.waiting() >= CLIENTS, LOAD_LIMIT, "events that wait")
                run.waiting.append(clients.waiting())
                old, gone = disturb(run, service)
            await replaced(run, service, old, gone)
            progress(f"{run.service}: {clients.number:,} of {run.events:,} events, {run.disturbed} disturbed")
        await until(lambda: clients.number >= run.events, LOAD_LIMIT, "the load")
        with handled.held():
            await until(lambda: clients.waiting() >= CLIENTS, LOAD_LIMIT, "events that wait")
            clients.stopping = True
            await asyncio.gather(*sending)
            run.waiting.append(clients.waiting())
            service.send(signal.SIGTERM)
        await until(lambda: service.process.poll() is not None, REPLACE_LIMIT, "the end of the service")
    run.handled.update(handled.numbers())
    run.seconds = time.monotonic() - begun


def disturb(run: Run, service: Service) -> tuple[set[int], set[int]]:
    """Begin to restart a service, or kill a worker; its workers, and those of them that end."""
    old = service.workers()
    if run.service == OURS:
        service.send(signal.SIGHUP)
        gone = old
    else:
        gone = {min(old)}
        with ProcessHandle(*gone) as victim:
            victim.send(signal.SIGKILL)
    return old, gone


async def replaced(run: Run, service: Service, old: set[int], gone: set[int]) -> None:
    """Wait until a service is as before."""
    await until(
        lambda: len(service.workers()) == len(old) and not service.workers() & gone,
        REPLACE_LIMIT,
        "the replacement of workers",
    )
    run.disturbed += 1


class Handled:
    """The file in which the handlers of a service write the numbers of events."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "jobs.py").write_text(JOBS.format(seconds=HANDLER_SECONDS))
        self._file = folder / "handled"
        self._file.touch()
        self._hold = folder / "hold"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let no handler end for the duration of the block: events wait, however slow the clients are."""
        self._hold.touch()
        try:
            yield
        finally:
            self._hold.unlink()

    def numbers(self) -> list[int]:
        """The numbers so far."""
        return [int(line) for line in self._file.read_text().split()]

    def count(self) -> int:
        """How many there are so far."""
        return self._file.read_bytes().count(b"\n")

    async def stalled(self) -> bool:
        """Wait for another event; whether none is handled any more."""
        count = self.count()
        end = time.monotonic() + STALL_LIMIT
        while True:
            await asyncio.sleep(0.01)
            if self.count() != count or self._hold.exists():
                return False
            if time.monotonic() > end:
                return True


class Clients:
    """Clients that have events sent, and note which of them the service has confirmed."""

    def __init__(self, run: Run, handled: Handled, port: int) -> None:
        self.number = 0
        self.stopping = False
        self._lost = 0
        self._run = run
        self._handled = handled
        self._port = port

    def waiting(self) -> int:
        """How many events are sent and not handled."""
        return len(self._run.sent) - self._handled.count()

    async def send(self) -> None:
        """Send events, each with a call that is not repeated, until the restarts are over."""
        connection: Connection | None = None
        while not self.stopping:
            while self.waiting() - self._lost > BACKLOG and not self.stopping:
                if await self._handled.stalled():
                    self._lost = self.waiting()
            self.number += 1
            number = self.number
            try:
                if connection is None or connection.closed:
                    connection = await connect(self._port)
                response = await connection.ask(echo_request(number))
                check_echo(number, response)
            except (OSError, Broken):
                self._run.dropped += 1
                connection = None
                continue
            self._run.sent.add(number)
            if response.closes:
                connection.close()
        if connection is not None:
            with suppress(OSError):
                connection.close()


def verdict(runs: Sequence[Run]) -> tuple[bool, str]:
    """Whether the drill passed, and a line that says why."""
    ours, control = runs
    if ours.disturbed < ours.restarts or len(ours.sent) < ours.events:
        return False, "FAILED: not all events were sent, or not all restarts have happened"
    if ours.lost or ours.doubled:
        return False, f"FAILED: {ours.lost} events were lost, {ours.doubled} handled more than once"
    if min(ours.waiting) < 1:
        return False, "FAILED: this proves nothing, no event was waiting at a restart"
    if not control.lost:
        return False, "FAILED: this proves nothing, the control lost no event: send more"
    return True, "Passed: each event was handled once, the control lost some"


def table(runs: Sequence[Run]) -> str:
    """The runs in Markdown."""
    lines = [
        "| service | events | restarts or kills | waiting at each, and at the end | calls dropped | lost "
        "| handled twice | seconds |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for run in runs:
        waiting = ", ".join(map(str, run.waiting))
        lines.append(
            f"| {run.service} | {len(run.sent):,} | {run.disturbed} | {waiting} | {run.dropped} "
            f"| {run.lost} | {run.doubled} | {run.seconds:.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
