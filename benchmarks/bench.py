"""The suite: ``python -m benchmarks [--cycles N] [--seconds N] [NAME ...]``.

Each benchmark prints its table, and writes its plot and its figures to ``results``. The last table has the
goals, each with its measurement.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import batch, calls, channels, frameworks, logins, scale, sessions, sockets, typed
from benchmarks.figures import Goal, Report, goals_table, plot
from benchmarks.harness import Failure, command_line, progress

RESULTS = Path(__file__).with_name("results")
SUITE: dict[str, Callable[[argparse.Namespace], Report]] = {
    "frameworks": frameworks.run,
    "sessions": sessions.run,
    "batch": batch.run,
    "sockets": sockets.run,
    "logins": logins.run,
    "channels": channels.run,
    "calls": calls.run,
    "typed": typed.run,
    "scale": scale.run,
}


def main() -> None:
    """Run the requested benchmarks, and print their tables and the goals."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What the service costs.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SUITE)}; default all")
    options = command_line(parser)
    if unknown := set(options.names) - set(SUITE):
        parser.error(f"no such benchmark: {', '.join(unknown)}")
    goals: list[Goal] = []
    failed = False
    try:
        for name in options.names or SUITE:
            progress(f"== {name}")
            try:
                report = SUITE[name](options)
            except Failure as exc:
                progress(f"{name}: {exc}")
                failed = True
                continue
            keep(report, options)
            goals += report.goals
            print(f"## {name}\n\n{report.table}\n", flush=True)
    except KeyboardInterrupt:
        sys.exit("interrupted")
    if goals:
        print(goals_table(goals))
    sys.exit(failed)


def keep(report: Report, options: argparse.Namespace) -> None:
    """Write the plot, and the figures with the data needed to interpret them."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{report.name}.svg").write_text(plot(report))
    figures = {
        "title": report.title,
        **about(),
        "cycles": options.cycles,
        "seconds": options.seconds,
        "figures": {name: asdict(bar) for name, bar in report.bars.items()},
        "goals": [{**asdict(goal), "met": goal.met} for goal in report.goals],
    }
    (RESULTS / f"{report.name}.json").write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n")


def about() -> dict[str, Any]:
    """The date, the versions and the machine of a measurement."""
    packages = ("toto-aio", "aiohttp", "msgspec", "uvloop")
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cpu": next(cpu_models(), platform.machine()),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
    }


def cpu_models() -> Iterator[str]:
    """The kernel's name of the processor."""
    yield from re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)


if __name__ == "__main__":
    main()
