"""A process that is killed loses only what it was doing.

    python -m torture.crashes [--kills N] [--idle-kills N] [--masters N] [--pauses N]

A real service of a master and two workers is subjected to this, one after the other:

- Random workers are killed (KILL) while clients call. Each must be replaced. A request may fail only if it
  was in flight on the worker that was killed: on a connection on which this worker had responded, or on one
  that was opened before the worker ended. No connection may be refused.
- The same without load: how long it takes until there is a new process, and until it responds, beside what
  the imports of any worker take.
- One worker is killed repeatedly, each time as soon as it has started. The delay before it is replaced must
  grow from 0.1 to 30 seconds, while the other worker serves, and be reset once it is stable.
- The master is killed, every second time while a call is in flight that would take a minute. The workers
  must end within ``shutdown_timeout`` and free the port.

The control is a program of three lines that starts the service, and starts it again when it has ended. Its
two flaws must be detected: connections are refused until the new process listens, and when the program itself
is killed, the service keeps running and keeps the port.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import re
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.support.servers import free_port

from torture.clients import ECHO, Broken, Drop, Load, check_echo, connect, echo_request
from torture.drill import Failure, progress, read_sizes, run_drill, workshop
from torture.services import (
    IMPORTS,
    MOST_IMPORTS,
    SERVE,
    ProcessHandle,
    Service,
    is_free,
    serving,
    until,
)
from toto_aio.server.generation import FIRST_BACKOFF, MAX_BACKOFF, STABLE_AFTER

CLIENTS = 20
CALL_SECONDS = 0.005
"""Seconds that an echo takes, so that some are in flight whenever a worker is killed."""
SHUTDOWN_TIMEOUT = 3.0
MARGIN = 0.5
"""Seconds beyond ``STABLE_AFTER`` after which the master must regard a worker as stable."""
REPLACE_LIMIT = 60.0
"""Seconds within which it must be replaced on any machine."""
END_LIMIT = 60.0
"""Seconds within which the workers of a killed master must end on any machine."""
SAY_INTERVAL = 5.0
REFUSED = ConnectionRefusedError.__name__

OURS = "toto_aio"
NAIVE = "control, a loop that starts it again"
LOOP = """
import subprocess, sys
while True:
    subprocess.call([sys.executable, "-m", "toto_aio", "serve", *sys.argv[1:]])
"""
SIZES = {"kills": (60, 1), "idle_kills": (30, 2), "masters": (10, 1), "pauses": (11, 1)}
CONTROL_KILLS = 3
PAUSE = re.compile(r"starting its replacement in ([\d.]+) s")


@dataclass
class Run:
    """What was measured of a service."""

    service: str
    kills: int = 0
    """Workers that were killed under load."""
    requests: int = 0
    in_flight: list[float] = field(default_factory=list)
    """For each of them, the failed requests that may have been its own."""
    others: list[str] = field(default_factory=list)
    """Why other requests failed."""
    loaded: list[float] = field(default_factory=list)
    """Seconds until another process responded, under load."""
    started: list[float] = field(default_factory=list)
    """Seconds until there was another process, without load."""
    answered: list[float] = field(default_factory=list)
    """Seconds until it responded."""
    imports: list[float] = field(default_factory=list)
    """Seconds that ``IMPORTS`` took, each just before such a kill."""
    delays: list[float] = field(default_factory=list)
    """Seconds before a worker that kept dying was replaced; the last after it had been stable."""
    ends: list[float] = field(default_factory=list)
    """Seconds from the death of a master until all its workers had ended and the port was free."""


def main() -> None:
    """Run the drill."""
    run_drill(
        "crashes",
        lambda: measure(**vars(read_options())),
        lambda runs: table(*runs),
        lambda runs: verdict(*runs),
    )


def read_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    return read_sizes("A process that is killed takes nothing with it.", SIZES, arguments)


def measure(kills: int, idle_kills: int, masters: int, pauses: int) -> tuple[Run, Run]:
    """Measure the service and the control."""
    ours, naive = Run(OURS), Run(NAIVE)
    with workshop() as (folder, loop):
        with started(OURS, folder / "workers") as service:
            loop.run(kill_under_load(ours, service, kills))
            loop.run(kill_idle(ours, service, idle_kills))
            loop.run(keep_killing(ours, service, pauses))
        with started(NAIVE, folder / "naive") as service:
            loop.run(kill_under_load(naive, service, min(kills, CONTROL_KILLS)))
        for number in range(masters):
            loop.run(kill_master(ours, folder / f"master{number}", busy=number % 2 == 0))
        loop.run(kill_master(naive, folder / "naive_master", busy=False))
    return ours, naive


@contextmanager
def started(name: str, folder: Path) -> Iterator[Service]:
    """Start the service or the control, with its workers."""
    command: Sequence[str]
    if name == OURS:
        command, option = SERVE, "--processes=2"
    else:
        command, option = [sys.executable, "-c", LOOP], f"--port={free_port()}"
    limit = f"--shutdown-timeout={SHUTDOWN_TIMEOUT}"
    with serving(folder, {"echo": ECHO}, limit, option, command=command) as service:
        yield service


async def kill_under_load(run: Run, service: Service, kills: int) -> None:
    """Kill random workers while clients call."""
    said = time.monotonic()
    async with Load(service.port, CLIENTS, seconds=CALL_SECONDS) as load:
        judged = 0
        for _ in range(kills):
            await asyncio.sleep(STABLE_AFTER + random.uniform(0.1, 0.5))  # noqa: S311  # no secret
            before = service.workers()
            with ProcessHandle(random.choice(sorted(before))) as victim:  # noqa: S311
                killed = time.monotonic()
                victim.send(signal.SIGKILL)
                await until(victim.is_gone, REPLACE_LIMIT, "the end of a worker that was killed")
                ended = time.monotonic()
            await until(partial(others_answer, service, load, before), REPLACE_LIMIT, "a replacement")
            run.kills += 1
            run.loaded.append(time.monotonic() - killed)
            dropped, judged = load.dropped[judged:], len(load.dropped)
            others = [drop.reason for drop in dropped if not was_in_flight(drop, victim.pid, ended)]
            run.in_flight.append(len(dropped) - len(others))
            run.others += others
            if time.monotonic() > said + SAY_INTERVAL:
                said = time.monotonic()
                progress(f"{run.service}: {run.kills} of {kills} workers killed under load")
    run.others += [drop.reason for drop in load.dropped[judged:]]
    run.requests += load.sent


def others_answer(service: Service, load: Load, before: set[int]) -> bool:
    """Whether a new process has responded."""
    return any(load.pids[pid] for pid in service.workers() - before)


def was_in_flight(drop: Drop, pid: int, ended: float) -> bool:
    """Whether a failed request may have been in flight on the process that was killed."""
    if drop.reason in (REFUSED, TimeoutError.__name__):
        return False
    return drop.pid == pid or (drop.pid is None and drop.began <= ended)


async def kill_idle(run: Run, service: Service, kills: int) -> None:
    """Kill random workers while no client calls."""
    for _ in range(kills):
        await asyncio.sleep(STABLE_AFTER + random.uniform(0.1, 0.5))  # noqa: S311  # no secret
        run.imports.append(await seconds_of_imports())
        before = service.workers()
        with ProcessHandle(random.choice(sorted(before))) as victim:  # noqa: S311
            killed = time.monotonic()
            victim.send(signal.SIGKILL)
            await until(lambda: service.workers() - before, REPLACE_LIMIT, "a replacement")  # noqa: B023
            run.started.append(time.monotonic() - killed)
            await wait_for_response(service, service.workers() - before)
            run.answered.append(time.monotonic() - killed)
    progress(f"{run.service}: {kills} workers killed while idle")


async def seconds_of_imports() -> float:
    """How long the imports of a worker take now."""
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(*IMPORTS)
    if await process.wait():
        raise Failure(f"{' '.join(IMPORTS)} failed")
    return time.monotonic() - began


async def wait_for_response(service: Service, pids: set[int]) -> None:
    """Call until one of these processes has responded."""
    async with asyncio.timeout(REPLACE_LIMIT):
        while True:
            connection = await connect(service.port)
            with suppress(Broken):
                if check_echo(1, await connection.ask(echo_request(1, last=True))) in pids:
                    return
            connection.close()
            await asyncio.sleep(0.002)


async def keep_killing(run: Run, service: Service, pauses: int) -> None:
    """Kill a worker and each of its replacements while the other serves; the last once it is stable."""
    await asyncio.sleep(STABLE_AFTER + MARGIN)
    before = len(PAUSE.findall(service.log.read_text()))
    pid, spared = sorted(service.workers())
    pid = await replaced(service, pid, spared)
    async with Load(service.port, 2) as load:
        for number in range(1, pauses + 1):
            pid = await replaced(service, pid, spared)
            progress(f"{run.service}: {number} of {pauses} replacements killed")
    run.others += [drop.reason for drop in load.dropped]
    await wait_for_response(service, {pid})
    await asyncio.sleep(STABLE_AFTER + MARGIN)
    await wait_for_response(service, {await replaced(service, pid, spared)})
    said = PAUSE.findall(service.log.read_text())
    run.delays = [float(pause) for pause in said[before:]]


async def replaced(service: Service, pid: int, spared: int) -> int:
    """Kill a worker and wait for its replacement, but not until it is ready."""
    with ProcessHandle(pid) as victim:
        victim.send(signal.SIGKILL)
    await until(lambda: service.workers() - {pid, spared}, MAX_BACKOFF + REPLACE_LIMIT, "a replacement")
    return min(service.workers() - {pid, spared})


async def kill_master(run: Run, folder: Path, *, busy: bool) -> None:
    """Kill a master, and wait until its workers have ended and the port is free."""
    with ExitStack() as stack, started(run.service, folder) as service:
        workers = [stack.enter_context(ProcessHandle(pid)) for pid in service.workers()]

        def is_over() -> bool:
            return all(worker.is_gone() for worker in workers) and is_free(service.port)

        async with Load(service.port, 4):
            connection = await connect(service.port)
            if busy:
                connection.transport.write(echo_request(1, seconds=60))
            await asyncio.sleep(0.3)
            killed = time.monotonic()
            service.send(signal.SIGKILL)
            service.process.wait()
            try:
                limit = END_LIMIT if run.service == OURS else 2 * SHUTDOWN_TIMEOUT
                await until(is_over, limit, "the end of all workers")
                run.ends.append(time.monotonic() - killed)
            except Failure:
                run.ends.append(math.inf)
            finally:
                for worker in workers:
                    worker.send(signal.SIGKILL)
            connection.close()
    progress(f"{run.service}: {len(run.ends)} masters killed")


def expected_delays(count: int) -> list[float]:
    """The delays before replacing a worker that was stable, then died repeatedly, and was stable again."""
    return [0, *(min(FIRST_BACKOFF * 2**number, MAX_BACKOFF) for number in range(count)), 0]


def verdict(ours: Run, naive: Run) -> tuple[bool, str]:
    """Whether the drill passed, and a line that says why."""
    if ours.others:
        return False, f"FAILED: {len(ours.others)} requests failed that were not on a killed process"
    if not all(map(math.isclose, ours.delays, expected_delays(len(ours.delays) - 2))):
        return False, f"FAILED: the delays do not grow as they should: {ours.delays}"
    if max(ours.ends) > SHUTDOWN_TIMEOUT:
        return False, "FAILED: after the death of a master its workers ran for too long"
    # Machines differ, and so do their moments: what counts is the ratio to what any worker has to do.
    if (ratio := statistics.median(ours.answered) / statistics.median(ours.imports)) > MOST_IMPORTS:
        return False, f"FAILED: replacing a dead worker takes {ratio:.2f} times as long as its imports"
    if REFUSED not in naive.others or max(naive.ends) <= SHUTDOWN_TIMEOUT:
        return False, "FAILED: this proves nothing, the flaws of the control were not detected"
    return (
        True,
        "Passed: only requests in flight were lost, all was replaced or ended in time; the control was not",
    )


def table(ours: Run, naive: Run) -> str:
    """The measurements in Markdown."""
    lines = ["| | toto_aio | control |", "| --- | --- | --- |"]
    for what, show in ROWS.items():
        lines.append(f"| {what} | {show(ours)} | {show(naive)} |")
    return "\n".join(lines)


def spread(values: Sequence[float]) -> str:
    """The minimum, median and maximum, in seconds."""
    if not values:
        return "-"
    return " / ".join(f"{value:.2f}" for value in (min(values), statistics.median(values), max(values)))


ROWS: dict[str, Callable[[Run], str]] = {
    "workers killed under load": lambda run: str(run.kills),
    "requests in that time": lambda run: f"{run.requests:,}",
    "failed in flight on a killed worker, each time": lambda run: spread(run.in_flight),
    "failed otherwise": lambda run: ", ".join(f"{n} {why}" for why, n in Counter(run.others).items()) or "0",
    "seconds until a replacement responded, under load": lambda run: spread(run.loaded),
    "seconds until it was started, idle": lambda run: spread(run.started),
    "seconds until it responded, idle": lambda run: spread(run.answered),
    "seconds that the imports of a worker take": lambda run: spread(run.imports),
    "delays when it keeps dying, s": lambda run: " ".join(f"{delay:g}" for delay in run.delays) or "-",
    "masters killed": lambda run: str(len(run.ends)),
    "seconds until all had ended": lambda run: spread(run.ends),
}
"""The rows of the table."""


if __name__ == "__main__":
    main()
