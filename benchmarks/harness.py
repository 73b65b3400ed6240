"""What the benchmarks share: servers on one core, load from another, and slices in shuffled order."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from benchmarks.figures import Report

T = TypeVar("T")
Command = Callable[[Path], Sequence[str]]
"""The command of a server; it is called with the empty directory in which the command will run.

A server listens on 127.0.0.1, writes ``Serving on URL`` to stderr, and stops on TERM.
"""

PARAMETERS = {"a": 1, "b": "hello", "c": [1, 2, 3]}
BODY = json.dumps({"method": "echo", "parameters": PARAMETERS}, separators=(",", ":"))
HEADERS = {"Content-Type": "application/json"}
CONNECTIONS = 32
START_LIMIT = 60.0
"""Seconds that a server has to start."""
STOP_LIMIT = 10.0
"""Seconds that a server has to stop before it is killed."""

ECHO = '''async def invoke(handler, parameters):
    """Return the parameters."""
    return parameters
'''

SCRIPT = """wrk.method = "POST"
{headers}
wrk.body = [=[{body}]=]
"""
DONE = """function done(summary, latency, requests)
    local e = summary.errors
    io.write(string.format("%d %d %d %d %d\\n", summary.requests, summary.duration, e.status,
        e.connect + e.read + e.write + e.timeout, latency:percentile(99)))
end
"""
"""The end of every script for wrk: it reports the results to ``load``."""


class Failure(Exception):
    """Nothing reliable could be measured; the message is for the user."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    name: str
    pid: int
    url: str

    def cpu_ns(self) -> int:
        """Nanoseconds that its threads, and those of its workers, have been on a core."""
        return sum(cpu_ns(pid) for pid in family(self.pid))


@dataclass(frozen=True, slots=True)
class Slice:
    """The results of one slice of load."""

    cpu_us_per_request: float
    requests_per_second: float
    p99_ms: float = 0.0


def command_line(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None = None
) -> argparse.Namespace:
    """Parse the command line, with the options ``cycles`` and ``seconds`` that every benchmark has."""
    parser.add_argument("--cycles", type=int, default=9, metavar="N", help="default %(default)s")
    parser.add_argument(
        "--seconds", type=int, default=1, metavar="N", help="length of a slice, default %(default)s"
    )
    options = parser.parse_args(arguments)
    if options.cycles < 2:
        parser.error("--cycles: quartiles need at least 2")
    if options.seconds < 1:
        parser.error("--seconds: wrk counts in whole seconds, at least 1")
    # Servers are stopped while an exception propagates, and TERM raises none by default.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    return options


def print_table(run: Callable[[argparse.Namespace], Report], description: str) -> None:
    """The main function of a benchmark: measure what the command line requests, and print the table."""
    options = command_line(argparse.ArgumentParser(description=description))
    try:
        print(run(options).table)
    except Failure as exc:
        sys.exit(f"{Path(sys.argv[0]).name}: {exc}")


@cache
def two_cores() -> tuple[int, int]:
    """One core for the servers and one for the load."""
    if sys.platform != "linux":
        raise Failure("run it on Linux: it reads /proc and pins processes to cores")
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise Failure("it needs two cores, one for the servers and one for wrk (install the package wrk)")
    return cores[0], cores[1]


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Keep this process, and what it starts, on one core for the duration of the block."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def serving(commands: Mapping[str, Command]) -> Iterator[dict[str, Server]]:
    """Run all servers on the first core, and this process on the second, for the duration of the block."""
    server_core, load_core = two_cores()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        with pinned(server_core):  # what is started inherits it, with all its threads
            servers = {
                name: stack.enter_context(running(name, command, directory / str(number)))
                for number, (name, command) in enumerate(commands.items())
            }
        stack.enter_context(pinned(load_core))
        yield servers


@contextmanager
def running(name: str, command: Command, directory: Path) -> Iterator[Server]:
    """Run a server for the duration of the block."""
    directory.mkdir()
    log = directory / "stderr"
    # An option in the caller's environment would change the service that is measured.
    environ = {key: value for key, value in os.environ.items() if not key.startswith("TOTO_AIO_")}
    arguments = command(directory)
    with log.open("wb") as stderr:
        process = subprocess.Popen(  # noqa: S603  # a server of the benchmark
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
    """The URL on which a server announces that it listens."""
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text().splitlines():
            if "Serving on " in line:
                return line.partition("Serving on ")[2].split()[0]
        time.sleep(0.05)
    raise Failure(f"{name} did not start:\n{log.read_text()}")


def toto_aio(
    directory: Path, *options: str, methods: Mapping[str, str] | None = None, database: str = "memory://"
) -> list[str]:
    """This service with these methods, by default ``echo``; other options have their defaults."""
    (directory / "methods").mkdir()
    (directory / "methods" / "__init__.py").touch()
    for name, code in (methods or {"echo": ECHO}).items():
        (directory / "methods" / f"{name}.py").write_text(code)
    return [sys.executable, "-m", "toto_aio", "serve", "--port=0", f"--database={database}", *options]


APPLICATION = f"""from aiohttp import web
from toto_aio import create_app
{ECHO}
async def page(request):
    return web.Response(text="A page of the application.")

application = web.Application()
application.router.add_get("/", page)
application.add_subapp("/api", create_app(method_module={{"echo": invoke}}, database="memory://"))
"""


def embedded(directory: Path, *options: str) -> list[str]:
    """An application with this service at ``/api/service``, served by it."""
    (directory / "page.py").write_text(APPLICATION)
    return [sys.executable, "-m", "toto_aio", "serve", "page:application", "--port=0", *options]


def peer(file: str, *arguments: str, python: str | Path = sys.executable) -> Command:
    """The command of a server in ``peers``."""
    return lambda _: [str(python), str(Path(__file__).with_name("peers") / file), *arguments]


def post(server: Server, body: str = BODY, headers: Mapping[str, str] = HEADERS) -> tuple[int, Any]:
    """The status and body of the response to one call; None if the body is not JSON."""
    where = urlsplit(server.url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=START_LIMIT)
    try:
        connection.request("POST", where.path, body, dict(headers))
        response = connection.getresponse()
        answer = response.read()
    finally:
        connection.close()
    is_json = response.msg.get_content_type() == "application/json"
    return response.status, json.loads(answer) if is_json else None


def check(server: Server, body: str = BODY, expected: Any = None) -> None:
    """Raise ``Failure`` unless the server gives the response that is to be timed."""
    status, answer = post(server, body)
    if (status, answer) != (200, expected or {"result": PARAMETERS}):
        raise Failure(f"{server.name} responded {status} {answer!r}, not the parameters as JSON")


def write_script(path: Path, body: str = BODY, headers: Mapping[str, str] = HEADERS) -> Path:
    """A script for wrk that sends one request repeatedly."""
    lines = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items())
    path.write_text(SCRIPT.format(headers=lines, body=body) + DONE)
    return path


def load(
    server: Server, script: Path, seconds: int, *, calls: int = 1, connections: int = CONNECTIONS
) -> Slice:
    """Load a server for a slice of time, with that many calls in each request."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise Failure("there is no wrk: install the package wrk (apt-get install wrk)")
    command = [wrk, "-t1", f"-c{connections}", f"-d{seconds}s", f"-s{script}", server.url]
    before = server.cpu_ns()
    done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603  # wrk on a server of ours
    spent = server.cpu_ns() - before
    if done.returncode or done.stderr:  # errors in a script are only reported on stderr
        raise Failure(f"wrk on {server.name}: {done.stderr or done.stdout}")
    requests, duration_us, refused, broken, p99_us = map(int, done.stdout.splitlines()[-1].split())
    if refused or broken or not requests:
        raise Failure(
            f"{server.name}: of {requests} requests {refused} got an error, "
            f"and wrk met {broken} socket errors"
        )
    requests *= calls
    return Slice(spent / 1000 / requests, requests / duration_us * 1e6, p99_us / 1000)


def in_turns(
    turns: Mapping[str, Callable[[], T]], cycles: int, shown: Callable[[T], str], what: str = ""
) -> dict[str, list[T]]:
    """The results of each turn, one for each cycle; every cycle runs them in a different order."""
    results: dict[str, list[T]] = {name: [] for name in turns}
    order = list(turns)
    for cycle in range(1, cycles + 1):
        random.shuffle(order)
        for name in order:
            results[name].append(turns[name]())
        last = ", ".join(f"{name} {shown(of_turn[-1])}" for name, of_turn in results.items())
        progress(f"cycle {cycle} of {cycles}{what and ', '}{what}: {last}")
    return results


def cost(measured_slice: Slice) -> str:
    """The cost of a slice, for a line of progress."""
    return f"{measured_slice.cpu_us_per_request:.1f}"


def costs(slices: Sequence[Slice]) -> list[float]:
    """The CPU microseconds per request of slices."""
    return [one.cpu_us_per_request for one in slices]


def family(pid: int) -> Iterator[int]:
    """A process and its descendants."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended in the meantime
            for child in children.read_text().split():
                yield from family(int(child))


def cpu_ns(pid: int) -> int:
    """Nanoseconds that the threads of a process have been on a core."""
    used = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended in the meantime
            used += int((task / "schedstat").read_text().split()[0])
    return used


def progress(line: str) -> None:
    """Report progress on stderr; only the tables go to stdout."""
    print(line, file=sys.stderr, flush=True)
