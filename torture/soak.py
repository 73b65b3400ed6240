"""A service that has worked for a long time is as large as before: it keeps no memory and no descriptor.

    python -m torture.soak [--minutes N]

A real service is visited by all kinds of clients at once: calls in each encoding, logins and work in
sessions, batches, WebSockets, calls that wait for events, and clients who leave in the middle of anything.
Each looks at its answers. After a time of warming up, a fifth of the whole, the clients leave and the open
descriptors are counted. Then they come back, and the memory that the service has to itself is read again and
again. At the end they leave, and there have to be no more descriptors than before.

The growth is the median of the slopes between all pairs of readings (Theil and Sen), which one larger piece
of memory that is taken for good does not tilt.

The control is the same service, with the same visitors at the same time, that keeps four times as much memory
as is allowed, and a descriptor every second. Unless it is found out by both the drill proves nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import uvloop

from torture.drill import Failure, progress, run_drill
from torture.services import SERVE, Service, serving
from torture.visitors import ACCOUNT, KINDS, METHODS, Crowd

KIB_PER_SECOND = 1.0
"""What the memory may grow by."""
WARM_UP = 0.2
"""How much of the time is for warming up."""
READINGS = 300
"""Readings of the memory, at most one each ``SHORTEST_PAUSE`` seconds."""
SHORTEST_PAUSE = 0.1
QUIET = 0.5
"""Seconds after which a count of descriptors that stays the same is believed."""
QUIET_LIMIT = 20.0
"""Seconds in which it has to: a service that was left takes a while to see it."""

OURS = "toto_aio"
CONTROL = "control, keeps memory and descriptors"
LEAK = """import asyncio, os

kept = []

def leak():
    kept.append(os.urandom({size}))
    if len(kept) % 10 == 0:
        os.dup(0)
    asyncio.get_running_loop().call_later(0.1, leak)

def start(connection, application):
    leak()
"""


@dataclass
class Run:
    """What was seen of a service."""

    service: str
    visits: Counter[str] = field(default_factory=Counter)
    """What was done to it, by kind."""
    memory: list[tuple[float, float]] = field(default_factory=list)
    """Seconds, and the KiB that it had to itself then."""
    before: int = 0
    """Open descriptors after warming up, when everybody had left."""
    after: int = 0
    """The same at the end."""

    @property
    def growth(self) -> float:
        """KiB per second."""
        return slope(self.memory)

    @property
    def leaked(self) -> int:
        """Descriptors that are open without a reason."""
        return max(0, self.after - self.before)


def main() -> None:
    """Run the drill."""
    run_drill("soak", lambda: uvloop.run(measure(read_options().minutes * 60)), table, verdict)


def read_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="A service that works for long keeps nothing.")
    parser.add_argument("--minutes", type=float, default=10, metavar="N", help="default %(default)s")
    options = parser.parse_args(arguments)
    if options.minutes <= 0:
        parser.error("--minutes: more than 0")
    return options


async def measure(seconds: float, bound: float = KIB_PER_SECOND) -> list[Run]:
    """What was seen of the service and of the control, both visited for so long."""
    runs = [Run(OURS), Run(CONTROL)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        services = [
            stack.enter_context(started(run.service, folder / str(number), bound))
            for number, run in enumerate(runs)
        ]
        progress(f"warming up for {WARM_UP * seconds:.0f} s")
        async with visited(services, runs):
            await asyncio.sleep(WARM_UP * seconds)
        counts = await asyncio.gather(*(quiet_descriptors(service.pid) for service in services))
        for run, count in zip(runs, counts, strict=True):
            run.before = count
            run.visits.clear()
        async with visited(services, runs):
            await watch(services, runs, (1 - WARM_UP) * seconds)
        counts = await asyncio.gather(*(quiet_descriptors(service.pid) for service in services))
        for run, count in zip(runs, counts, strict=True):
            run.after = count
    return runs


def started(name: str, folder: Path, bound: float) -> AbstractContextManager[Service]:
    """The service, or the control."""
    (folder / "methods" / "account").mkdir(parents=True)
    (folder / "methods" / "account" / "__init__.py").write_text(ACCOUNT)
    options = []
    if name == CONTROL:
        (folder / "control.py").write_text(LEAK.format(size=int(4 * bound * 1024 / 10)))
        options.append("--startup-function=control.start")
    return serving(folder, METHODS, *options, command=SERVE)


async def watch(services: Sequence[Service], runs: Sequence[Run], seconds: float) -> None:
    """Read the memory of the services for so long."""
    begun = said = time.monotonic()
    pause = max(SHORTEST_PAUSE, seconds / READINGS)
    while (now := time.monotonic()) < begun + seconds:
        for service, run in zip(services, runs, strict=True):
            run.memory.append((now, memory(service.pid)))
        if now > said + 10:
            said = now
            shown = (f"{run.service} {run.memory[-1][1] / 1024:.1f} MiB" for run in runs)
            progress(f"{now - begun:.0f} of {seconds:.0f} s: {', '.join(shown)}")
        await asyncio.sleep(pause)


@asynccontextmanager
async def visited(services: Sequence[Service], runs: Sequence[Run]) -> AsyncIterator[None]:
    """All services have visitors as long as the block lasts."""
    async with AsyncExitStack() as stack:
        for service, run in zip(services, runs, strict=True):
            await stack.enter_async_context(Crowd(f"http://127.0.0.1:{service.port}/service", run.visits))
        yield


def memory(pid: int) -> float:
    """KiB of memory that a process has to itself."""
    found = re.search(r"^RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    if found is None:
        raise Failure("the service has ended")
    return float(found[1])


async def quiet_descriptors(pid: int) -> int:
    """The open descriptors of a process that nobody visits any more."""
    deadline = time.monotonic() + QUIET_LIMIT
    count, since = descriptors(pid), time.monotonic()
    while time.monotonic() < min(deadline, since + QUIET):
        await asyncio.sleep(0.05)
        if (now := descriptors(pid)) < count:
            count, since = now, time.monotonic()
    return count


def descriptors(pid: int) -> int:
    """The open descriptors of a process."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def slope(readings: Sequence[tuple[float, float]]) -> float:
    """The median of the slopes between all pairs."""
    return statistics.median((y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(readings, 2))


def table(runs: Sequence[Run]) -> str:
    """What was seen, in Markdown."""
    header = ["service", "KiB per second", "MiB", "descriptors before, after", *KINDS]
    rows = [
        [
            run.service,
            f"{run.growth:.2f}",
            f"{run.memory[0][1] / 1024:.1f} to {run.memory[-1][1] / 1024:.1f}",
            f"{run.before}, {run.after}",
            *(str(run.visits[kind]) for kind in KINDS),
        ]
        for run in runs
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in [header, ["---"] * len(header), *rows])


def verdict(runs: Sequence[Run], bound: float = KIB_PER_SECOND) -> tuple[bool, str]:
    """Whether the drill was passed, and what to say."""
    ours, control = runs
    if control.growth < bound or not control.leaked:
        return False, "FAILED: the control was not found out, which proves nothing: let it run for longer"
    if missing := [kind for kind in KINDS if not ours.visits[kind]]:
        return False, f"FAILED: nobody came for {', '.join(missing)}"
    if ours.growth >= bound:
        return False, f"FAILED: the memory grew by {ours.growth:.2f} KiB per second"
    if ours.leaked:
        return False, f"FAILED: {ours.leaked} descriptors were left open"
    return True, f"PASSED: {ours.growth:.2f} KiB per second, no descriptor left; the control was found out"


if __name__ == "__main__":
    main()
