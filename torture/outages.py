"""How soon calls fail while a database is out of reach, and how soon the service serves again.

    python -m torture.outages [--rounds N]

For each kind of database, the server of a running service is frozen and thawed, then killed and started
again. Meanwhile every call that needs it must get 1011 within the limit of an operation and a quarter second,
and a call that does not must take as long as ever. The service must serve again within a second of the server
being ready, with nothing restarted. Finally, the CPU of a start is compared with that of its imports.

The tests show that all of this happens; this drill measures how soon, on a machine that does little else. Its
control is a service that waits for Redis for longer.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from tests.conftest import SERVER_KINDS, server_module
from tests.support.servers import Server

from torture.drill import Failure, progress, read_sizes, run_drill
from torture.services import IMPORTS, MOST_IMPORTS, Service, environment, serving

OPERATION_LIMIT = 5.0
"""Seconds that an operation of a store has."""
GRACE = 0.25
"""Seconds that a call may take in addition."""
AGAIN = 1.0
"""Seconds within which a service serves again."""
AS_EVER = 0.25
"""Seconds that a call that needs no database may take meanwhile."""
STARTS = 3
"""How often a service is started in each round."""
CLIENTS = 20
CONTROL = "redis, with a longer limit"
METHODS = {
    "who": """
from toto_aio.invocation import authenticated

@authenticated
async def invoke(handler, parameters):
    return handler.session.user_id
""",
    "echo": "async def invoke(handler, parameters):\n    return parameters\n",
    "__init__": "from toto_aio.methods import account\n",
    "_control": """
from toto_aio import redis_connection

def wait_longer(connection, application):
    redis_connection.OPERATION_LIMIT = 8
""",
}


@dataclass(slots=True)
class Run:
    """What was measured with one kind of database."""

    kind: str
    failing: list[float] = field(default_factory=list)
    """Seconds of the calls that could not be served."""
    as_ever: list[float] = field(default_factory=list)
    """Seconds of the calls that need no database, meanwhile."""
    again: list[float] = field(default_factory=list)
    """Seconds from a server being ready to the first call that was served."""
    wrong: list[str] = field(default_factory=list)
    """Responses that no client should get."""


@dataclass(slots=True)
class Found:
    """What the drill has measured."""

    runs: list[Run]
    starts: list[float]
    """Seconds of CPU that starts took, each beside its imports."""
    imports: list[float]
    """Seconds of CPU that the imports took."""


def main() -> None:
    """Run the drill."""
    run_drill("outages", lambda: asyncio.run(measure(read_options().rounds)), table, verdict)


def read_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    return read_sizes("What has to be soon is soon.", {"rounds": (3, 1)}, arguments)


async def measure(rounds: int, kinds: Sequence[str] = SERVER_KINDS) -> Found:
    """Measure each kind, the control, and starts."""
    runs = []
    for kind in kinds:
        with tempfile.TemporaryDirectory() as folder:
            runs.append(await outages(kind, kind, rounds, Path(folder)))
    with tempfile.TemporaryDirectory() as folder:
        options = ["--startup-function=methods._control.wait_longer"]
        runs.append(await outages(CONTROL, "redis", 1, Path(folder), *options))
    start()  # compiles the modules
    pairs = [(start(), imports()) for _ in range(rounds * STARTS)]
    return Found(runs, *map(list, zip(*pairs, strict=True)))


async def outages(name: str, kind: str, rounds: int, folder: Path, *options: str) -> Run:
    """Measure a service on one kind of database."""
    run, module = Run(name), server_module(kind)
    with ExitStack() as stack:
        server: Server = stack.enter_context(module.server())
        url = module.fresh_url(server)
        service = stack.enter_context(serving(folder, METHODS, f"--database={url}", *options))
        async with aiohttp.ClientSession() as client:
            body = {"user_id": "ada", "password": "correct horse"}
            _, created = await call(client, service, "account.create", body)
            headers = {"x-toto-session-id": created["result"]["session_id"]}
            for number in range(rounds):
                for begin, end in ((server.freeze, server.thaw), (server.kill, server.start)):
                    await asyncio.gather(
                        *(call(client, service, "who", headers=headers) for _ in range(CLIENTS))
                    )
                    await asyncio.to_thread(begin)
                    try:
                        await meanwhile(run, client, service, headers)
                    finally:
                        await asyncio.to_thread(end)
                    ready = time.monotonic()
                    while "result" not in (await call(client, service, "who", headers=headers))[1]:
                        if time.monotonic() > ready + 30:
                            raise Failure(f"{name}: the service does not serve again")
                    run.again.append(time.monotonic() - ready)
                progress(f"{name}: round {number + 1} of {rounds}")
    return run


async def meanwhile(run: Run, client: Any, service: Service, headers: dict[str, str]) -> None:
    """Call while the server is away."""
    failing = [asyncio.create_task(call(client, service, "who", headers=headers)) for _ in range(CLIENTS)]
    for _ in range(10):
        seconds, answer = await call(client, service, "echo")
        run.as_ever.append(seconds)
        run.wrong += [] if answer == {"result": {}} else [str(answer)]
        await asyncio.sleep(0.05)
    for seconds, answer in await asyncio.gather(*failing):
        run.failing.append(seconds)
        run.wrong += [] if answer.get("error", {}).get("code") == 1011 else [str(answer)]


async def call(
    client: aiohttp.ClientSession,
    service: Service,
    method: str,
    parameters: Any = None,
    headers: dict[str, str] | None = None,
) -> tuple[float, dict[str, Any]]:
    """The seconds that a call took, and its response."""
    begun = time.monotonic()
    url = f"http://127.0.0.1:{service.port}/service"
    body = {"method": method, "parameters": parameters or {}}
    async with client.post(url, json=body, headers=headers) as response:
        answer = await response.json()
    return time.monotonic() - begun, answer


def start() -> float:
    """Seconds of CPU that a service takes to start."""
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), {}) as service:
        return cpu_of(service.pid)


def imports() -> float:
    """Seconds of CPU that the imports of a service take by themselves."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(IMPORTS, check=True, env=environment())  # noqa: S603  # this interpreter
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def times_of_imports(found: Found) -> float:
    """How many times the CPU of its imports a start took. Machines differ, and so do their moments."""
    return statistics.median(found.starts) / statistics.median(found.imports)


def cpu_of(pid: int) -> float:
    """Seconds of CPU that a process has taken."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def table(found: Found) -> str:
    """The longest times, in Markdown."""
    lines = [
        "| database | calls that fail, s | other calls, s | served again after, s | wrong responses |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {run.kind} | {max(run.failing):.2f} | {max(run.as_ever):.3f} | {max(run.again):.2f} "
        f"| {len(run.wrong)} |"
        for run in found.runs
    ]
    return "\n".join([*lines, "", f"CPU of a start: {times_of_imports(found):.2f} times that of its imports"])


def verdict(found: Found) -> tuple[bool, str]:
    """Whether the drill was passed, and the line that says so."""
    said = []
    control = next(run for run in found.runs if run.kind == CONTROL)
    if max(control.failing) <= OPERATION_LIMIT + GRACE:
        return False, "FAILED: the control was not detected, so this run proves nothing"
    for run in (run for run in found.runs if run is not control):
        said += [f"{run.kind}: {answer}" for answer in run.wrong[:1]]
        for name, seconds, limit in (
            ("a call that could not be served took", run.failing, OPERATION_LIMIT + GRACE),
            ("a call that needs no database took", run.as_ever, AS_EVER),
            ("the service served again after", run.again, AGAIN),
        ):
            if max(seconds) > limit:
                said.append(f"{run.kind}: {name} {max(seconds):.2f} s, not {limit:g}")
    if (ratio := times_of_imports(found)) > MOST_IMPORTS:
        said.append(f"a start took {ratio:.2f} times the CPU of its imports, not {MOST_IMPORTS:g}")
    if said:
        return False, f"FAILED: {'; '.join(said)}"
    return True, "Passed: calls fail in time, others do not wait, and the service recovers by itself"


if __name__ == "__main__":
    main()
