"""Who is present is right within ten seconds, whatever happens to processes and to Redis.

    python -m torture.presence [--kills N] [--freezes N] [--restarts N] [--clients N] [--processes N]

Clients subscribe to the channels of a real service of several processes. Each process is asked again and
again who is present in each channel, and must name exactly the clients whose sockets are open. One after the
other,

- a process is killed (KILL), so that nobody says that its clients have left; the master starts another one,
- a process is frozen (STOP) until the others no longer count its clients, and goes on (CONT),
- Redis is killed and started again, with AOF, and without, so that it has forgotten everybody.

At the same time some clients leave and others come. There are two controls. In one no process is taken for
dead, so that the clients of a killed one stay. In the other nothing is put back, so that those of a frozen
one stay away. Both must be found out.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import signal
import statistics
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.servers import Server, redis

from torture.drill import Failure, progress, read_sizes, run_drill, workshop
from torture.guests import METHODS, Guests
from torture.services import ProcessHandle, Service, serving, until

SIZES = {
    "kills": (10, 1),
    "freezes": (5, 1),
    "restarts": (10, 2),
    "clients": (200, 8),
    "processes": (4, 2),
}
WITHIN = 10.0
"""Seconds in which it has to be right."""
LATE = 30.0
"""Seconds after which it never will be."""
LATE_CONTROL = 15.0
"""The same in a control."""
START_LIMIT = 120.0
"""Seconds within which processes must have started."""
NOBODY_DIES = "from toto_aio.brokers import redis_processes\n\nredis_processes.DEAD_AFTER = 3600.0\n"
NOTHING_IS_PUT_BACK = """from toto_aio.brokers.redis_presence import RedisPresence

RedisPresence._put_back = lambda self, tells: None
"""
"""What makes a service a control."""


@dataclass(frozen=True)
class Plan:
    """What happens to a service."""

    name: str
    kills: int = 0
    freezes: int = 0
    restarts: int = 0
    aof: bool = True
    change: str = ""
    """What each process does before it starts."""
    is_control: bool = False


@dataclass
class Run:
    """How it went: the seconds after each disturbance until it was right, or infinity."""

    plan: Plan
    seconds: list[float] = field(default_factory=list)

    @property
    def wanted(self) -> int:
        """How often it has to become right: twice for a process that is frozen and goes on."""
        return self.plan.kills + 2 * self.plan.freezes + self.plan.restarts


def main() -> None:
    """Run the drill."""
    run_drill("presence", lambda: measure(**vars(read_options())), table, verdict)


def read_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    return read_sizes("Who is present is right within ten seconds.", SIZES, arguments)


def measure(kills: int, freezes: int, restarts: int, clients: int, processes: int) -> list[Run]:
    """How it goes, with the service and with the controls."""
    half = -(-restarts // 2)
    plans = [
        Plan("killed processes", kills=kills),
        Plan("frozen processes", freezes=freezes),
        Plan("kills of Redis, with AOF", restarts=half),
        Plan("kills of Redis, without", restarts=half, aof=False),
        Plan("control, nobody dies", kills=1, change=NOBODY_DIES, is_control=True),
        Plan("control, nothing is put back", freezes=1, change=NOTHING_IS_PUT_BACK, is_control=True),
    ]
    with workshop() as (folder, loop):
        runs = []
        for number, plan in enumerate(plans):
            (place := folder / str(number)).mkdir()
            late = LATE_CONTROL if plan.is_control else LATE
            runs.append(loop.run(disturbed(plan, place, clients, processes, late)))
        return runs


async def disturbed(plan: Plan, folder: Path, clients: int, processes: int, late: float) -> Run:
    """Run a service with clients, and disturb it; whatever isn't right after ``late`` seconds never is."""
    run = Run(plan)
    options = {"appendonly": "yes" if plan.aof else "no", "appendfsync": "everysec"}
    with redis.server(**options) as server:
        methods = {"rooms": METHODS, "__init__": plan.change}
        events = f"--events=redis://127.0.0.1:{server.port}/0"
        # A process that is frozen is not to be replaced.
        starting = serving(folder, methods, f"--processes={processes}", events, "--root=/", "--stuck-after=0")
        service = await asyncio.to_thread(starting.__enter__)
        try:
            async with Guests(service.port) as guests:
                disturbances = Disturbances(run, guests, service, server, processes, late)
                await disturbances.begin(clients)
                todo = [disturbances.kill] * plan.kills + [disturbances.freeze] * plan.freezes
                for work in todo + [disturbances.restart] * plan.restarts:
                    await work()
                    if math.inf in run.seconds:
                        break
        finally:
            await asyncio.to_thread(starting.__exit__, None, None, None)
    progress(f"{plan.name}: {', '.join(f'{each:.1f}' for each in run.seconds)} s")
    return run


class Disturbances:
    """What is done to a service and its Redis; each returns when who is present is right again."""

    def __init__(
        self, run: Run, guests: Guests, service: Service, server: Server, processes: int, late: float
    ) -> None:
        self._run = run
        self._guests = guests
        self._service = service
        self._server = server
        self._processes = processes
        self._late = late

    async def begin(self, clients: int) -> None:
        """Let clients come, until there are so many, and some in each process."""
        await self._staffed()
        await asyncio.gather(*(self._guests.come() for _ in range(clients)))
        await self._attended()
        if math.isinf(await self._guests.right_after(LATE)):
            raise Failure(f"who is present is not right from the beginning: {self._guests.difference}")

    async def kill(self) -> None:
        """Kill a process; those who come afterwards are others."""
        with ProcessHandle(self._guests.busiest()) as victim:
            victim.send(signal.SIGKILL)
            await until(victim.is_gone, START_LIMIT, "the end of a process")
        self._guests.forget(victim.pid)
        await self._settle(self._guests.some_change)
        await self._staffed()
        await self._attended()

    async def freeze(self) -> None:
        """Freeze a process until its clients have left, and let it go on."""
        with ProcessHandle(self._guests.busiest()) as victim:
            victim.send(signal.SIGSTOP)
            try:
                with self._guests.without(victim.pid):
                    await self._settle(self._guests.some_change)
            finally:
                victim.send(signal.SIGCONT)
        if math.inf not in self._run.seconds:
            await self._settle(self._guests.some_change)

    async def restart(self) -> None:
        """Kill Redis while clients leave, and start it again."""
        self._server.kill()
        leaving = asyncio.create_task(self._guests.some_leave())
        await asyncio.sleep(random.uniform(0, 3))  # noqa: S311  # no secret
        await asyncio.to_thread(self._server.start)
        await leaving
        await self._settle(self._guests.some_come)

    async def _settle(self, meanwhile: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Wait until who is present is right, and note how long that took."""
        changing = asyncio.create_task(meanwhile())
        try:
            self._run.seconds.append(await self._guests.right_after(self._late, changing))
        finally:
            changing.cancel()

    async def _staffed(self) -> None:
        """Wait until all processes serve."""
        await until(lambda: len(self._service.workers()) == self._processes, START_LIMIT, "a start")

    async def _attended(self) -> None:
        """Let more clients come until each process has some."""
        end = time.monotonic() + START_LIMIT
        while not self._service.workers() <= self._guests.processes():
            if time.monotonic() > end:
                raise Failure("a process gets no clients")
            await self._guests.come()
            await asyncio.sleep(0.1)  # it may be about to serve


def verdict(runs: Sequence[Run]) -> tuple[bool, str]:
    """Whether the drill passed, and a line that says why."""
    for run in runs:
        if run.plan.is_control:
            continue
        if len(run.seconds) != run.wanted or math.inf in run.seconds:
            return False, f"FAILED: {run.plan.name}: it was not right in the end"
        if (slowest := max(run.seconds)) > WITHIN:
            return False, f"FAILED: {run.plan.name}: it was not right for {slowest:.1f} s"
    for run in runs:
        if run.plan.is_control and math.inf not in run.seconds:
            return False, f"FAILED: this proves nothing, {run.plan.name}, was right"
    return True, f"Passed: who is present was right within {WITHIN:g} s; the controls never were"


def table(runs: Sequence[Run]) -> str:
    """The figures of all runs."""
    names = ("times", "never", "median s", "slowest s")
    rows = ["| run | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for run in runs:
        found = [each for each in run.seconds if math.isfinite(each)]
        figures = (statistics.median(found), max(found)) if found else (math.nan, math.nan)
        never = len(run.seconds) - len(found)
        rows.append(
            f"| {run.plan.name} | {len(run.seconds)} | {never} | {figures[0]:.1f} | {figures[1]:.1f} |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    main()
