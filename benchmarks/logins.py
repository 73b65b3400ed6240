"""How long the slowest calls wait while users log in: the echo's p99, with four logins a second and without.

    python -m benchmarks.logins [--cycles N] [--seconds N]

Each login hashes a password, which takes about 20 ms of a core.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.figures import Goal, Report, markdown, ratio, spread
from benchmarks.harness import (
    ECHO,
    Failure,
    Server,
    Slice,
    check,
    in_turns,
    load,
    post,
    print_table,
    serving,
    toto_aio,
    write_script,
)

OURS = "toto_aio"
WITHOUT, WITH = "toto_aio, without logins", "toto_aio, four logins a second"
PER_SECOND = 4
GOAL = 3.0
"""The maximum p99 with logins, as a multiple of the p99 without."""
USER = {"user_id": "ada", "password": "correct horse"}
ACCOUNT = """import toto_aio.methods.account.create as create
import toto_aio.methods.account.login as login
"""


def run(options: argparse.Namespace) -> Report:
    """Measure with logins and without."""
    with serving({OURS: with_accounts}) as servers, tempfile.TemporaryDirectory() as folder:
        server = servers[OURS]
        check(server)
        ask(server, "account.create")
        run_slice = partial(load, server, write_script(Path(folder) / "echo.lua"), options.seconds)
        run_slice()
        took: list[float] = []
        turns: dict[str, Callable[[], Slice]] = {
            WITHOUT: run_slice,
            WITH: lambda: with_logins(server, run_slice, took),
        }
        slices = in_turns(turns, options.cycles, lambda one: f"{one.p99_ms:.1f}", "p99 in ms")
    p99 = {name: [one.p99_ms for one in of_turn] for name, of_turn in slices.items()}
    times = ratio(p99[WITH], p99[WITHOUT])
    rate = {name: spread([one.requests_per_second for one in of_turn]) for name, of_turn in slices.items()}
    rows = [[name, spread(values).shown(1), f"{rate[name].median:.0f}"] for name, values in p99.items()]
    return Report(
        "logins",
        "p99 of the echo in ms, median and quartiles",
        {name: spread(values) for name, values in p99.items()},
        markdown(["", "p99 of the echo, ms", "requests/s"], rows)
        + f"\n\nTimes as long with logins: {times.shown(2)}. A login took {spread(took).shown(0)} ms.",
        [Goal(7, "times the p99 of the echo, with four logins a second", GOAL, times, at_most=True)],
    )


def with_accounts(directory: Path) -> list[str]:
    """This service, with the echo and logins."""
    command = toto_aio(directory, methods={"echo": ECHO})
    (directory / "methods" / "account").mkdir()
    (directory / "methods" / "account" / "__init__.py").write_text(ACCOUNT)
    return command


def with_logins(server: Server, run_slice: Callable[[], Slice], took: list[float]) -> Slice:
    """A slice of load while users log in."""
    over = threading.Event()
    errors: list[Failure] = []

    def log_in() -> None:
        due = time.monotonic()
        while not over.wait(max(0, due - time.monotonic())):
            due += 1 / PER_SECOND
            begun = time.monotonic()
            try:
                ask(server, "account.login")
            except Failure as exc:
                errors.append(exc)
            took.append((time.monotonic() - begun) * 1000)

    thread = threading.Thread(target=log_in, name="logins")
    thread.start()
    try:
        found = run_slice()
    finally:
        over.set()
        thread.join()
    if errors:
        raise errors[0]
    return found


def ask(server: Server, method: str) -> None:
    """Call a method with the user's name and password. Raises ``Failure`` unless that creates a session."""
    status, response = post(server, json.dumps({"method": method, "parameters": USER}))
    if status != 200 or "result" not in response:
        raise Failure(f"{server.name} responded to {method} with {status} {response!r}")


if __name__ == "__main__":
    print_table(run, "The echo's p99 with logins.")
