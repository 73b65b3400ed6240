"""What a call costs: CPU microseconds per echo, of this service and of one written by hand on aiohttp.

    python benchmarks/echo.py [--cycles N] [--seconds N] [--json FILE]

It needs Linux, two cores and wrk. All servers run at once on the first core, and wrk loads one of them at a
time from the second: in each cycle a slice for each server, in shuffled order. A slice is compared with the
base's slice of the same cycle alone, so that a machine that is slower for a while does not count against
the server that was measured then. benchmarks/README.md says how to read the table.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PARAMETERS = {"a": 1, "b": "hello", "c": [1, 2, 3]}
BODY = json.dumps({"method": "echo", "parameters": PARAMETERS}, separators=(",", ":"))
HEADERS = {"Content-Type": "application/json"}
CONNECTIONS = 32
GOAL = 1.15
"""What this service may cost at most, in costs of the base."""
START_LIMIT = 30.0
"""Seconds that a server has to come up."""
STOP_LIMIT = 10.0
"""Seconds that a server has to end before it is killed."""

ECHO = '''async def invoke(handler, parameters):
    """Return the parameters."""
    return parameters
'''

SCRIPT = f"""wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = [=[{BODY}]=]
function done(summary, latency, requests)
    local e = summary.errors
    io.write(string.format("%d %d %d %d\\n", summary.requests, summary.duration, e.status,
        e.connect + e.read + e.write + e.timeout))
end
"""


class Failure(Exception):
    """Nothing was measured that could be relied on; the message is for the user."""


def toto_aio(directory: Path) -> list[str]:
    """This service with a method ``echo``; only the port and the database differ from the defaults."""
    methods = directory / "methods"
    methods.mkdir()
    (methods / "__init__.py").touch()
    (methods / "echo.py").write_text(ECHO)
    return [sys.executable, "-m", "toto_aio", "serve", "--port=0", "--database=memory://"]


def handwritten(directory: Path) -> list[str]:
    """The same answer from a plain ``web.Application``."""
    return [sys.executable, str(Path(__file__).with_name("peers") / "handwritten.py")]


OURS = "toto_aio"
BASE = "hand-written aiohttp"
SERVERS: dict[str, Callable[[Path], list[str]]] = {BASE: handwritten, OURS: toto_aio}
"""The command of each server, to be run in the empty directory that it is given.

A server listens on 127.0.0.1, writes ``Serving on URL`` to stderr, and ends on TERM.
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs."""

    name: str
    pid: int
    url: str

    def cpu_ns(self) -> int:
        """Nanoseconds that its threads have been on a core so far."""
        tasks = Path(f"/proc/{self.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


@dataclass(frozen=True, slots=True)
class Slice:
    """What one slice of load has shown."""

    cpu_us_per_request: float
    requests_per_second: float


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of a figure over the cycles, and its quartiles."""

    lower: float
    median: float
    upper: float

    def shown(self, digits: int) -> str:
        """As it stands in the table."""
        return f"{self.median:.{digits}f} ({self.lower:.{digits}f} to {self.upper:.{digits}f})"


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of one server. ``cost_ratio`` is its cost divided by the base's, cycle by cycle."""

    cpu_us_per_request: Spread
    cost_ratio: Spread
    requests_per_second: Spread


def main() -> None:
    """Measure, and print the table."""
    # Only an exception ends the servers on the way out, and TERM raises none by itself.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    options = read_options()
    try:
        slices = measure(options.cycles, options.seconds)
    except Failure as exc:
        sys.exit(f"echo.py: {exc}")
    except KeyboardInterrupt:
        sys.exit("interrupted")
    rows = summarise(slices)
    print(table(rows))
    print()
    print(goal(rows[OURS]))
    if options.json is not None:
        options.json.write_text(json.dumps(report(options, slices, rows), indent=2) + "\n")


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="CPU microseconds per echo, beside a hand-written service.")
    parser.add_argument("--cycles", type=int, default=9, metavar="N", help="default %(default)s")
    parser.add_argument(
        "--seconds", type=int, default=1, metavar="N", help="length of a slice, default %(default)s"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every slice there too")
    options = parser.parse_args()
    if options.cycles < 2:
        parser.error("--cycles: quartiles need at least 2")
    if options.seconds < 1:
        parser.error("--seconds: wrk counts in whole seconds, at least 1")
    return options


def measure(cycles: int, seconds: int) -> dict[str, list[Slice]]:
    """The slices of each server, one for each cycle."""
    server_core, load_core = two_cores()
    wrk = shutil.which("wrk")
    if wrk is None:
        raise Failure("there is no wrk: install the package wrk")
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        script = directory / "echo.lua"
        script.write_text(SCRIPT)
        os.sched_setaffinity(0, {server_core})  # what is started inherits it, with all its threads
        servers = [
            stack.enter_context(running(name, command, directory / str(number)))
            for number, (name, command) in enumerate(SERVERS.items())
        ]
        os.sched_setaffinity(0, {load_core})
        for server in servers:
            check(server)
        for server in servers:
            progress(f"warming up {server.name}")
            load(wrk, script, server, seconds)
        slices: dict[str, list[Slice]] = {server.name: [] for server in servers}
        for cycle in range(1, cycles + 1):
            random.shuffle(servers)
            for server in servers:
                slices[server.name].append(load(wrk, script, server, seconds))
            costs = (f"{name} {of_server[-1].cpu_us_per_request:.1f}" for name, of_server in slices.items())
            progress(f"cycle {cycle} of {cycles}, CPU microseconds per request: {', '.join(costs)}")
    return slices


def two_cores() -> tuple[int, int]:
    """A core for the servers and one for the load."""
    if sys.platform != "linux":
        raise Failure("run it on Linux: it reads /proc and pins processes to cores")
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise Failure("it needs two cores, one for the servers and one for wrk (install the package wrk)")
    return cores[0], cores[1]


@contextmanager
def running(name: str, command: Callable[[Path], list[str]], directory: Path) -> Iterator[Server]:
    """A server, as long as the block lasts."""
    directory.mkdir()
    log = directory / "stderr"
    # An option from the caller's environment would make it another service than the one to be measured.
    environ = {key: value for key, value in os.environ.items() if not key.startswith("TOTO_AIO_")}
    arguments = command(directory)
    with log.open("wb") as stderr:
        process = subprocess.Popen(  # noqa: S603  # a row of SERVERS
            arguments, cwd=directory, env=environ, stdout=stderr, stderr=stderr
        )
    try:
        yield Server(name, process.pid, wait_for_url(name, process, log))
    finally:
        process.terminate()
        try:
            process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for_url(name: str, process: subprocess.Popen[bytes], log: Path) -> str:
    """The URL that a server says it listens on."""
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text().splitlines():
            if line.startswith("Serving on "):
                return line.removeprefix("Serving on ")
        time.sleep(0.05)
    raise Failure(f"{name} did not start:\n{log.read_text()}")


def check(server: Server) -> None:
    """Raise ``Failure`` unless the server gives the answer that it is to be timed for."""
    where = urlsplit(server.url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=START_LIMIT)
    try:
        connection.request("POST", where.path, BODY, HEADERS)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    is_json = response.status == 200 and response.msg.get_content_type() == "application/json"
    if not is_json or json.loads(body) != {"result": PARAMETERS}:
        raise Failure(f"{server.name} answered {response.status} {body!r}, not the parameters as JSON")


def load(wrk: str, script: Path, server: Server, seconds: int) -> Slice:
    """Call a server for a slice of time."""
    command = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", f"-s{script}", server.url]
    before = server.cpu_ns()
    done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603  # wrk on a server of ours
    spent = server.cpu_ns() - before
    if done.returncode:
        raise Failure(f"wrk on {server.name}: {done.stderr or done.stdout}")
    requests, duration_us, refused, broken = map(int, done.stdout.splitlines()[-1].split())
    if refused or broken or not requests:
        raise Failure(
            f"{server.name}: of {requests} requests {refused} were answered with an error, "
            f"and wrk met {broken} socket errors"
        )
    return Slice(spent / 1000 / requests, requests / duration_us * 1e6)


def summarise(slices: dict[str, list[Slice]]) -> dict[str, Row]:
    """The row of each server."""
    base = [one.cpu_us_per_request for one in slices[BASE]]
    rows = {}
    for name, of_server in slices.items():
        costs = [one.cpu_us_per_request for one in of_server]
        ratios = [cost / of_base for cost, of_base in zip(costs, base, strict=True)]
        rates = [one.requests_per_second for one in of_server]
        rows[name] = Row(spread(costs), spread(ratios), spread(rates))
    return rows


def spread(values: Sequence[float]) -> Spread:
    """The quartiles of some values."""
    return Spread(*statistics.quantiles(values, n=4, method="inclusive"))


def table(rows: dict[str, Row]) -> str:
    """The rows in Markdown, each figure as its median and quartiles."""
    lines = [
        "| server | CPU µs per request | cost ratio to hand-written | requests/s |",
        "| --- | --- | --- | --- |",
    ]
    for name, row in rows.items():
        figures = (
            row.cpu_us_per_request.shown(1),
            row.cost_ratio.shown(3),
            f"{row.requests_per_second.median:.0f}",
        )
        lines.append(f"| {name} | {' | '.join(figures)} |")
    return "\n".join(lines)


def goal(row: Row) -> str:
    """Whether this service is as cheap as it is to be."""
    median = row.cost_ratio.median
    outcome = "met" if median <= GOAL else "not met"
    return f"Goal: the general path costs at most {GOAL} times the hand-written: {outcome} ({median:.3f})"


def report(
    options: argparse.Namespace, slices: dict[str, list[Slice]], rows: dict[str, Row]
) -> dict[str, Any]:
    """What ``--json`` writes."""
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


def progress(line: str) -> None:
    """Say on stderr what is being done; the table alone goes to stdout."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
