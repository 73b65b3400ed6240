"""A service does what its OpenAPI document says: schemathesis tries it with what it makes of the document.

    python -m torture.contract [--cases N] [--seed N]

Thirty methods, classic and typed, are served with ``error_status=http``. schemathesis reads their document
and makes calls of it, some as the document has them and some that break it, in all its phases and with all
its checks. It must find no status 500, no status or content type that the document doesn't have, no response
that its schema refuses, no right call that is refused and no wrong one that is accepted.

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
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from aiohttp import web
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
NOT_COVERED = """[[operations]]
include-path = {paths}
[operations.phases.coverage]
enabled = false
"""
"""Settings that leave operations out of the phase that makes as many cases as it likes, about 40 each."""
COUNTED = re.compile(r"(\d+) generated")
FOUND = re.compile(r"^- (ST\d+ .*)$", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """What schemathesis has found in a service."""

    service: str
    cases: int
    seconds: float
    found: list[str] = field(default_factory=list)
    output: str = ""


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
    return [
        await explore(OURS, METHODS, cases, seed, covered=covered),
        await explore(CONTROL, BROKEN, CONTROL_CASES, seed, CONTROL_PHASES),
    ]


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
        output = await _schemathesis(
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
    if counted is None:
        raise Failure(f"schemathesis has tried nothing: {output[-2000:]}")
    return Run(name, int(counted[1]), time.monotonic() - began, FOUND.findall(output), output)


async def _session(app: web.Application) -> str:
    """The id of a session of a user."""
    connection = app[LIFESPAN].runtime.connection
    await connection.accounts.create("ada", "correct horse")
    return (await connection.sessions.create("ada", ClientInfo("", "torture"))).session_id


async def _schemathesis(
    port: int, session_id: str, examples: int, seed: int, phases: str, not_covered: Sequence[str]
) -> str:
    """What schemathesis prints about a service. It exits with 1 if it has found something."""
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
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), LIMIT)
        except BaseException:
            process.kill()
            await process.wait()
            raise
    text = output.decode(errors="replace")
    if process.returncode not in (0, 1):
        raise Failure(f"schemathesis has failed: {text[-2000:]}")
    return text


def _write_settings(folder: str, not_covered: Sequence[str]) -> None:
    settings = NOT_COVERED.format(paths=json.dumps(not_covered)) if not_covered else ""
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
    ours, control = runs
    if ours.found:
        return False, f"FAILED: schemathesis found {len(ours.found)} faults\n\n{ours.output}"
    if not all(any(kind in found for found in control.found) for kind in ("Server error", "schema")):
        return False, "FAILED: this proves nothing, the faults of the control were not found"
    return True, "Passed: the service does what its document says, and the faults of the control were found"


def table(runs: Sequence[Run]) -> str:
    """The runs in Markdown."""
    lines = ["| service | calls | faults | seconds |", "| --- | --- | --- | --- |"]
    lines += [f"| {run.service} | {run.cases:,} | {len(run.found)} | {run.seconds:.0f} |" for run in runs]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
