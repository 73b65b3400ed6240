"""What a call costs: CPU microseconds per echo, for this service and for one written by hand on aiohttp.

    python benchmarks/echo.py [--cycles N] [--seconds N] [--json FILE]

It needs Linux, two cores and wrk. All servers run on the first core at the same time, and wrk loads one of
them at a time from the second: each cycle has one slice for each server, in shuffled order. A slice is only
compared with the base's slice of the same cycle, so that a temporarily slower machine does not count against
the server that was measured at that time. benchmarks/README.md explains the table.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

if not __package__:  # it is run by its path, and the other modules are next to its folder
    sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.figures import Spread, markdown, ratio, spread
from benchmarks.harness import (
    CONNECTIONS,
    Command,
    Failure,
    Slice,
    check,
    command_line,
    cost,
    costs,
    embedded,
    in_turns,
    load,
    peer,
    progress,
    serving,
    toto_aio,
    write_script,
)

OURS = "toto_aio"
EMBEDDED = "toto_aio, embedded"
GENERAL = "toto_aio, general path"
BASE = "hand-written aiohttp"
SERVERS: dict[str, Command] = {
    BASE: peer("handwritten.py"),
    OURS: toto_aio,
    EMBEDDED: embedded,
    GENERAL: lambda directory: toto_aio(directory, "--fast-path=false"),
}
GOALS = {OURS: 0.5, EMBEDDED: 0.5, GENERAL: 0.8}
"""The maximum cost of this service, as a multiple of the base's."""


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of one server. ``cost_ratio`` is its cost divided by the base's, cycle by cycle."""

    cpu_us_per_request: Spread
    cost_ratio: Spread
    requests_per_second: Spread


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description="What an echo costs, here and written by hand.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every slice there too")
    options = command_line(parser)
    try:
        slices = measure(options.cycles, options.seconds)
    except Failure as exc:
        sys.exit(f"echo.py: {exc}")
    except KeyboardInterrupt:
        sys.exit("interrupted")
    rows = {
        name: Row(
            spread(costs(of_server)),
            ratio(costs(of_server), costs(slices[BASE])),
            spread([one.requests_per_second for one in of_server]),
        )
        for name, of_server in slices.items()
    }
    print(table(rows))
    print()
    for name, most in GOALS.items():
        print(goal(name, rows[name], most))
    if options.json is not None:
        options.json.write_text(json.dumps(report(options, slices, rows), indent=2) + "\n")


def measure(cycles: int, seconds: int) -> dict[str, list[Slice]]:
    """The slices of each server, one for each cycle."""
    with serving(SERVERS) as servers, tempfile.TemporaryDirectory() as folder:
        servers[EMBEDDED] = replace(servers[EMBEDDED], url=f"{servers[EMBEDDED].url}api/service")
        script = write_script(Path(folder) / "echo.lua")
        turns = {name: partial(load, server, script, seconds) for name, server in servers.items()}
        for name, server in servers.items():
            check(server)
            progress(f"warming up {name}")
            turns[name]()
        return in_turns(turns, cycles, cost, "CPU microseconds per request")


def table(rows: Mapping[str, Row]) -> str:
    """The rows in Markdown, each figure as its median and quartiles."""
    return markdown(
        ["server", "CPU µs per request", "cost ratio to hand-written", "requests/s"],
        [
            [
                name,
                row.cpu_us_per_request.shown(1),
                row.cost_ratio.shown(3),
                f"{row.requests_per_second.median:.0f}",
            ]
            for name, row in rows.items()
        ],
    )


def goal(name: str, row: Row, most: float) -> str:
    """Whether this service meets its goal."""
    median = row.cost_ratio.median
    outcome = "met" if median <= most else "not met"
    return f"Goal: {name} costs at most {most} times the hand-written: {outcome} ({median:.3f})"


def report(
    options: argparse.Namespace, slices: Mapping[str, Sequence[Slice]], rows: Mapping[str, Row]
) -> dict[str, Any]:
    """The content of the file that ``--json`` names."""
    return {
        "python": platform.python_version(),
        "packages": {name: version(name) for name in ("aiohttp", "msgspec", "uvloop", "toto-aio")},
        "seconds": options.seconds,
        "connections": CONNECTIONS,
        "base": BASE,
        "servers": {
            name: {**asdict(rows[name]), "slices": [asdict(one) for one in of_server]}
            for name, of_server in slices.items()
        },
    }


if __name__ == "__main__":
    main()
