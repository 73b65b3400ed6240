"""What a call costs in a batch, compared with the same call by itself.

python -m benchmarks.batch [--cycles N] [--seconds N]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.figures import Goal, Report, markdown, ratio, spread
from benchmarks.harness import (
    PARAMETERS,
    check,
    cost,
    costs,
    in_turns,
    load,
    print_table,
    serving,
    toto_aio,
    write_script,
)

OURS, SINGLE = "toto_aio", "toto_aio, one call in a request"
SIZES = (10, 50)
GOAL = 25.0
"""How many times cheaper a call in the larger batch must be than a single call, at least."""


def run(options: argparse.Namespace) -> Report:
    """Measure both."""
    with serving({OURS: toto_aio}) as servers, tempfile.TemporaryDirectory() as folder:
        server = servers[OURS]
        check(server)
        turns = {SINGLE: partial(load, server, write_script(Path(folder) / "1.lua"), options.seconds)}
        for size in SIZES:
            call = {"method": "echo", "parameters": PARAMETERS}
            body = json.dumps({"batch": {str(number): call for number in range(size)}}, separators=(",", ":"))
            check(server, body, {"batch": {str(number): {"result": PARAMETERS} for number in range(size)}})
            script = write_script(Path(folder) / f"{size}.lua", body)
            turns[batch_of(size)] = partial(load, server, script, options.seconds, calls=size)
        for turn in turns.values():
            turn()
        slices = in_turns(turns, options.cycles, cost, "CPU microseconds per call")
    spent = {name: costs(of_turn) for name, of_turn in slices.items()}
    times = {name: ratio(spent[SINGLE], values) for name, values in spent.items()}
    bars = {name: spread(values) for name, values in spent.items()}
    return Report(
        "batch",
        "CPU µs per call, median and quartiles",
        bars,
        markdown(
            ["", "CPU µs per call", "times cheaper"],
            [[name, bar.shown(2), times[name].shown(1)] for name, bar in bars.items()],
        ),
        [Goal(5, "times cheaper a call in a batch of 50", GOAL, times[batch_of(SIZES[-1])])],
        digits=2,
    )


def batch_of(size: int) -> str:
    """The label of a batch in the table."""
    return f"toto_aio, {size} calls in a batch"


if __name__ == "__main__":
    print_table(run, "A call in a batch, and by itself.")
