"""A service does what its OpenAPI document says: schemathesis tries it with what it makes of the document.

    python -m torture.contract [--cases N] [--seed N]

Thirty methods, classic and typed, are served with ``error_status=http``. schemathesis reads their document
and makes calls of it, some as the document has them and some that break it, in all its phases and with all
its checks. It must find no status 500, no status or content type that the document doesn't have, no response
that its schema refuses, no right call that is refused and no wrong one that is accepted. Five methods more
keep books: the document links those that give an id to those that take it, which the stateful phase follows.
A drill that is interrupted says what was found until then.

The control is a service with a method that fails for some values, and one whose results are not what it says.
Both must be found.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from aiohttp import web
from tests.support.shelf import shelf
from tests.support.thirty import METHODS

from torture.drill import Failure, progress, run_drill
from toto_aio import create_app
from toto_aio.http.fast import protocols
from toto_aio.lifespan import LIFESPAN
from toto_aio.models import ClientInfo

OURS, CONTROL = "thirty methods", "control"
CASES = 20_000
CONTROL_CASES = 60
LIMIT = 7200.0
"""Seconds within which schemathesis must have tried a service."""
PHASES = "examples,coverage,fuzzing,stateful"
CONTROL_PHASES = "examples,fuzzing,stateful"
HOOKS = f"hooks = {json.dumps(str(Path(__file__).with_name('fits.py')))}\n"
NOT_COVERED = """[[operations]]
include-path = {paths}
[operations.phases.coverage]
enabled = false
"""
"""Settings that leave operations out of the phase that makes as many cases as it likes, about 40 each."""
END_LIMIT = 60.0
"""Seconds within which schemathesis must have said what it has found so far."""
BEAT = 30.0
"""Seconds after which the drill says that it is still running."""
COUNTED = re.compile(r"(\d+) generated")
LINKS = re.compile(r"API Links: +\d+ covered / (\d+) selected")
PHASE = re.compile(r"^\W+(\w+) \(in .*\)$")
FOUND = re.compile(r"^- (ST\d+ .*)$", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """What schemathesis has found in a service."""

    service: str
    cases: int
    seconds: float
    found: list[str] = field(default_factory=list)
    output: str = ""
    links: int = 0
    """The links from one call to the next that the stateful phase had."""
    interrupted: bool = False


def main() -> None:
    """Run the drill as the command line asks for it."""
    options = read_options(sys.argv[1:])
    logging.disable()  # the control fails, and that is expected
    run_drill("contract", lambda: asyncio.run(measure(options.cases, options.seed)), table, verdict)


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m torture.contract", description=__doc__)
    parser.add_argument("--cases", type=int, default=CASES, help="about how many calls to make")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32, help="what the calls depend on")
    options = parser.parse_args(arguments)
    if options.cases < 1:
        parser.error("--cases: at least 1")
    return options


async def measure(cases: int, seed: int, *, covered: int = 1) -> list[Run]:
    """Try the service, and the control. One in ``covered`` operations has the cases of the coverage phase."""
    progress(f"seed {seed}")
    ours = await explore(OURS, METHODS | shelf(), cases, seed, covered=covered)
    if ours.interrupted:
        return [ours]
    return [ours, await explore(CONTROL, BROKEN, CONTROL_CASES, seed, CONTROL_PHASES)]


async def explore(
    name: str,
    methods: Mapping[str, Any],
    cases: int,
    seed: int,
    phases: str = PHASES,
    *,
    covered: int = 1,
) -> Run:
    """Serve some methods to schemathesis. Raises ``Failure`` if it cannot try them."""
    # It has no encoder for the other content types, and reports that.
    app = create_app(
        method_module=methods,
        database="memory://",
        error_status="http",
        signing="off",
        bson_enabled=False,
        msgpack_enabled=False,
    )
    began = time.monotonic()
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        make = protocols(app, cast(web.Server, runner.server), fast=True)
        server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        paths = [f"/service/{method.replace('.', '/')}" for method in methods]
        output, interrupted = await _schemathesis(
            name,
            port,
            await _session(app),
            max(1, cases // len(methods)),
            seed,
            phases,
            [path for number, path in enumerate(paths) if (number + seed) % covered],
        )
        server.close()
    finally:
        await runner.cleanup()
    counted = COUNTED.search(output)
    if counted is None and not interrupted:
        raise Failure(f"schemathesis has tried nothing: {output[-2000:]}")
    calls, links = (0 if found is None else int(found[1]) for found in (counted, LINKS.search(output)))
    seconds = time.monotonic() - began
    return Run(name, calls, seconds, FOUND.findall(output), output, links, interrupted)


async def _session(app: web.Application) -> str:
    """The id of a session of a user."""
    connection = app[LIFESPAN].runtime.connection
    await connection.accounts.create("ada", "correct horse")
    return (await connection.sessions.create("ada", ClientInfo("", "torture"))).session_id


async def _schemathesis(
    name: str, port: int, session_id: str, examples: int, seed: int, phases: str, not_covered: Sequence[str]
) -> tuple[str, bool]:
    """What schemathesis prints about a service, and whether it was interrupted.

    It exits with 1 if it has found something.
    """
    with tempfile.TemporaryDirectory() as folder:
        _write_settings(folder, not_covered)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "schemathesis.cli",
            "run",
            f"http://127.0.0.1:{port}/service/openapi.json",
            "--checks=all",
            f"--phases={phases}",
            f"--max-examples={examples}",
            f"--seed={seed}",
            f"--header=x-toto-session-id: {session_id}",
            "--continue-on-failure",
            "--generation-database=none",
            "--generation-with-security-parameters=false",  # beside the session of the header, a 400
            "--tls-verify=false",  # else it looks for certificates before each call, without TLS too
            "--warnings=off",
            "--no-color",
            cwd=folder,
            env={**os.environ, "NETRC": "none"},  # and for passwords
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # so that the terminal doesn't interrupt it as well
        )
        reading = asyncio.ensure_future(_read(name, process))
        interrupted = False
        try:
            try:
                text = await asyncio.wait_for(asyncio.shield(reading), LIMIT)
            except asyncio.CancelledError:
                interrupted = True
                process.send_signal(signal.SIGINT)
                text = await asyncio.wait_for(reading, END_LIMIT)
        except BaseException:
            process.kill()
            raise
        finally:
            await process.wait()
    if process.returncode not in (0, 1) and not interrupted:
        raise Failure(f"schemathesis has failed: {text[-2000:]}")
    return text, interrupted


async def _read(name: str, process: asyncio.subprocess.Process) -> str:
    """What a process prints until it ends. Its phases are progress, and so is time that passes."""
    output = cast(asyncio.StreamReader, process.stdout)
    began = time.monotonic()
    lines: list[str] = []
    next_line = asyncio.ensure_future(output.readline())
    while True:
        done, _ = await asyncio.wait([next_line], timeout=BEAT)
        if not done:
            progress(f"{name}: {time.monotonic() - began:.0f} s")
            continue
        line = next_line.result().decode(errors="replace")
        if not line:
            return "".join(lines)
        lines.append(line)
        if phase := PHASE.match(line):
            progress(f"{name}: {phase[1]} ends after {time.monotonic() - began:.0f} s")
        next_line = asyncio.ensure_future(output.readline())


def _write_settings(folder: str, not_covered: Sequence[str]) -> None:
    settings = HOOKS
    if not_covered:
        settings += NOT_COVERED.format(paths=json.dumps(not_covered))
    Path(folder, "schemathesis.toml").write_text(settings)


async def fails(handler: Any, number: int) -> int:
    """Fail for some numbers."""
    return 100 // (number % 3)


async def lies(handler: Any, word: str) -> int:
    """Return text, and say that it is a number."""
    return word  # type: ignore[return-value]


BROKEN = {"fails": fails, "lies": lies}


def verdict(runs: Sequence[Run]) -> tuple[bool, str]:
    """Whether the drill passed, and a line that says why."""
    if found := runs[0].found:
        return False, f"FAILED: schemathesis found {len(found)} faults\n\n{runs[0].output}"
    if any(run.interrupted for run in runs):
        return False, f"INTERRUPTED: schemathesis has found nothing so far\n\n{runs[0].output}"
    ours, control = runs
    if not ours.links:
        return False, "FAILED: this proves little, the stateful phase has no links to follow"
    if not all(any(kind in found for found in control.found) for kind in ("Server error", "schema")):
        return False, "FAILED: this proves nothing, the faults of the control were not found"
    return True, "Passed: the service does what its document says, and the faults of the control were found"


def table(runs: Sequence[Run]) -> str:
    """The runs in Markdown."""
    lines = ["| service | calls | links | faults | seconds |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {run.service} | {run.cases:,} | {run.links} | {len(run.found)} | {run.seconds:.0f} |"
        for run in runs
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
