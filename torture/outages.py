"""What has to be soon is soon: calls while a database is out of reach, service afterwards, and a start.

    python -m torture.outages [--rounds N]

A real service with accounts, sessions and, on Redis, events meets a server that is frozen, thawed, killed and
started again, for each kind of database. Every call meanwhile is answered with 1011 within the limit of an
operation and a quarter second, a call that needs no database as ever, and the service serves again within a
second of the server being ready, with nothing to restart. In the end a service starts with its default
database, in less CPU than is promised.

The tests show that all of this happens; how soon is asked here, on a machine that does little else.
"""

from __future__ import annotations

import argparse
import asyncio
import os
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

from torture.drill import Failure, progress, run_drill
from torture.services import Service, serving

OPERATION_LIMIT = 5.0
"""Seconds that an operation of a store has."""
GRACE = 0.25
"""Seconds by which a call may take longer."""
AGAIN = 1.0
"""Seconds after which a service serves again."""
AS_EVER = 0.25
"""Seconds that a call which needs no database may take meanwhile."""
CPU_SECONDS = 0.5
"""What a start may take of the CPU."""
CLIENTS = 20
METHODS = {
    "who": """
from toto_aio.invocation import authenticated

@authenticated
async def invoke(handler, parameters):
    return handler.session.user_id
""",
    "echo": "async def invoke(handler, parameters):\n    return parameters\n",
    "account": "from toto_aio.methods.account import *\n",
}


@dataclass(slots=True)
class Run:
    """What was seen of one kind of database."""

    kind: str
    failing: list[float] = field(default_factory=list)
    """Seconds of the calls that could not be served."""
    as_ever: list[float] = field(default_factory=list)
    """Seconds of the calls that need no database, meanwhile."""
    again: list[float] = field(default_factory=list)
    """Seconds from a server being ready to the first call that was served."""
    wrong: list[str] = field(default_factory=list)
    """Answers that nobody should get."""


@dataclass(slots=True)
class Found:
    """What the drill has measured."""

    runs: list[Run]
    starts: list[float]
    """Seconds of CPU that starts took."""


def main() -> None:
    """Run the drill."""
    run_drill("outages", lambda: asyncio.run(measure(read_options().rounds)), table, verdict)


def read_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="What has to be soon is soon.")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="default %(default)s")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error("--rounds: at least 1")
    return options


async def measure(rounds: int, kinds: Sequence[str] = SERVER_KINDS) -> Found:
    """What was seen of each kind, and of starts."""
    runs = []
    for kind in kinds:
        with tempfile.TemporaryDirectory() as folder:
            runs.append(await outages(kind, rounds, Path(folder)))
    return Found(runs, [start() for _ in range(rounds)])


async def outages(kind: str, rounds: int, folder: Path) -> Run:
    """What was seen of one kind."""
    run, module = Run(kind), server_module(kind)
    with ExitStack() as stack:
        server: Server = stack.enter_context(module.server())
        url = module.fresh_url(server)
        service = stack.enter_context(serving(folder, METHODS, f"--database={url}"))
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
                            raise Failure(f"{kind}: the service does not serve again")
                    run.again.append(time.monotonic() - ready)
                progress(f"{kind}: round {number + 1} of {rounds}")
    return run


async def meanwhile(run: Run, client: Any, service: Service, headers: dict[str, str]) -> None:
    """Calls while the server is away."""
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
    """How long an answer took, and what it is."""
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


def cpu_of(pid: int) -> float:
    """Seconds of CPU that a process has taken."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def table(found: Found) -> str:
    """What was seen, in Markdown: the most of each."""
    lines = [
        "| database | calls that fail, s | others meanwhile, s | served again after, s | wrong answers |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {run.kind} | {max(run.failing):.2f} | {max(run.as_ever):.3f} | {max(run.again):.2f} "
        f"| {len(run.wrong)} |"
        for run in found.runs
    ]
    return "\n".join([*lines, "", f"CPU of a start: {max(found.starts):.2f} s"])


def verdict(found: Found) -> tuple[bool, str]:
    """Whether the drill was passed, and what to say of it."""
    said = []
    for run in found.runs:
        said += [f"{run.kind}: {answer}" for answer in run.wrong[:1]]
        for name, seconds, limit in (
            ("a call that could not be served took", run.failing, OPERATION_LIMIT + GRACE),
            ("a call that needs no database took", run.as_ever, AS_EVER),
            ("the service served again after", run.again, AGAIN),
        ):
            if max(seconds) > limit:
                said.append(f"{run.kind}: {name} {max(seconds):.2f} s, not {limit:g}")
    if max(found.starts) > CPU_SECONDS:
        said.append(f"a start took {max(found.starts):.2f} s of the CPU, not {CPU_SECONDS:g}")
    if said:
        return False, f"FAILED: {'; '.join(said)}"
    return True, "Passed: calls fail in time, others do not wait, and service comes back by itself"


if __name__ == "__main__":
    main()
