"""A service that has worked for a long time is as large as before: it leaks no memory and no descriptor.

    python -m torture.soak [--minutes N]

A real service is used by all kinds of clients at the same time: calls in each encoding, logins and work in
sessions, batches, WebSockets, calls that wait for events, and clients that disconnect in the middle of
anything. Each checks its responses. After a warm-up, which takes a fifth of the time, the clients disconnect
and the open descriptors are counted. Then they come back, and the service's private memory is read
repeatedly. At the end they disconnect, and there must be no more descriptors than before.

The growth is the median of the slopes between all pairs of readings (Theil and Sen), which is not skewed by
one larger allocation that is kept for good.

The control is the same service, with the same clients at the same time, that leaks four times as much memory
as is allowed, and a descriptor every second. Unless the drill detects both leaks, it proves nothing.
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
from torture.workload import ACCOUNT, KINDS, METHODS, Workload

KIB_PER_SECOND = 1.0
"""The most that the memory may grow by."""
WARM_UP = 0.2
"""The share of the time that is for warming up."""
READINGS = 300
"""The number of readings of the memory, at most one every ``SHORTEST_PAUSE`` seconds."""
SHORTEST_PAUSE = 0.1
QUIET = 0.5
"""Seconds for which a count of descriptors must stay the same to be final."""
QUIET_LIMIT = 20.0
"""Seconds within which it must be: a service needs some time to notice that clients have disconnected."""

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
    """What was measured of a service."""

    service: str
    uses: Counter[str] = field(default_factory=Counter)
    """The number of uses of each kind."""
    memory: list[tuple[float, float]] = field(default_factory=list)
    """Seconds, and the KiB of private memory at that time."""
    before: int = 0
    """Open descriptors after warming up, when all clients had disconnected."""
    after: int = 0
    """The same at the end."""

    @property
    def growth(self) -> float:
        """Growth of the memory in KiB per second."""
        return slope(self.memory)

    @property
    def leaked(self) -> int:
        """Descriptors that were left open."""
        return max(0, self.after - self.before)


def main() -> None:
    """Run the drill."""
    run_drill("soak", lambda: uvloop.run(measure(read_options().minutes * 60)), table, verdict)


def read_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="A service that works for a long time leaks nothing.")
    parser.add_argument("--minutes", type=float, default=10, metavar="N", help="default %(default)s")
    options = parser.parse_args(arguments)
    if options.minutes <= 0:
        parser.error("--minutes: more than 0")
    return options


async def measure(seconds: float, bound: float = KIB_PER_SECOND) -> list[Run]:
    """Measure the service and the control, both used for that long."""
    runs = [Run(OURS), Run(CONTROL)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        services = [
            stack.enter_context(started(run.service, folder / str(number), bound))
            for number, run in enumerate(runs)
        ]
        progress(f"warming up for {WARM_UP * seconds:.0f} s")
        async with under_load(services, runs):
            await asyncio.sleep(WARM_UP * seconds)
        counts = await asyncio.gather(*(quiet_descriptors(service.pid) for service in services))
        for run, count in zip(runs, counts, strict=True):
            run.before = count
            run.uses.clear()
        async with under_load(services, runs):
            await watch(services, runs, (1 - WARM_UP) * seconds)
        # Only what never ends is a leak. The control has some, for which nobody has to wait.
        most = [run.before if run.service == OURS else None for run in runs]
        pids = [service.pid for service in services]
        counts = await asyncio.gather(*map(quiet_descriptors, pids, most))
        for run, count in zip(runs, counts, strict=True):
            run.after = count
    return runs


def started(name: str, folder: Path, bound: float) -> AbstractContextManager[Service]:
    """Start the service or the control."""
    (folder / "methods" / "account").mkdir(parents=True)
    (folder / "methods" / "account" / "__init__.py").write_text(ACCOUNT)
    options = []
    if name == CONTROL:
        (folder / "control.py").write_text(LEAK.format(size=int(4 * bound * 1024 / 10)))
        options.append("--startup-function=control.start")
    return serving(folder, METHODS, *options, command=SERVE)


async def watch(services: Sequence[Service], runs: Sequence[Run], seconds: float) -> None:
    """Read the memory of the services for that long."""
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
async def under_load(services: Sequence[Service], runs: Sequence[Run]) -> AsyncIterator[None]:
    """Use all services for the duration of the block."""
    async with AsyncExitStack() as stack:
        for service, run in zip(services, runs, strict=True):
            await stack.enter_async_context(Workload(f"http://127.0.0.1:{service.port}/service", run.uses))
        yield


def memory(pid: int) -> float:
    """KiB of private memory of a process."""
    found = re.search(r"^RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    if found is None:
        raise Failure("the service has ended")
    return float(found[1])


async def quiet_descriptors(pid: int, most: int | None = None) -> int:
    """The open descriptors of a process that no client uses any more, once there are at most so many."""
    deadline = time.monotonic() + QUIET_LIMIT
    count, since = descriptors(pid), time.monotonic()
    while (now := time.monotonic()) < deadline and (
        now < since + QUIET or (most is not None and count > most)
    ):
        await asyncio.sleep(0.05)
        if (found := descriptors(pid)) < count:
            count, since = found, time.monotonic()
    return count


def descriptors(pid: int) -> int:
    """The open descriptors of a process."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def slope(readings: Sequence[tuple[float, float]]) -> float:
    """The median of the slopes between all pairs of readings."""
    return statistics.median((y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(readings, 2))


def table(runs: Sequence[Run]) -> str:
    """The measurements in Markdown."""
    header = ["service", "KiB per second", "MiB", "descriptors before, after", *KINDS]
    rows = [
        [
            run.service,
            f"{run.growth:.2f}",
            f"{run.memory[0][1] / 1024:.1f} to {run.memory[-1][1] / 1024:.1f}",
            f"{run.before}, {run.after}",
            *(str(run.uses[kind]) for kind in KINDS),
        ]
        for run in runs
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in [header, ["---"] * len(header), *rows])


def verdict(runs: Sequence[Run], bound: float = KIB_PER_SECOND) -> tuple[bool, str]:
    """Whether the drill passed, and a line that says why."""
    ours, control = runs
    if control.growth < bound or not control.leaked:
        return False, "FAILED: the control was not detected, so this proves nothing: run it for longer"
    if missing := [kind for kind in KINDS if not ours.uses[kind]]:
        return False, f"FAILED: no client did {', '.join(missing)}"
    if ours.growth >= bound:
        return False, f"FAILED: the memory grew by {ours.growth:.2f} KiB per second"
    if ours.leaked:
        return False, f"FAILED: {ours.leaked} descriptors were left open"
    return True, f"PASSED: {ours.growth:.2f} KiB per second, no descriptor leaked; the control was detected"


if __name__ == "__main__":
    main()
