"""A code works once, however many use it at the same time, in whichever process.

    python -m torture.codes [--rounds N] [--uses N] [--processes N] [--databases memory,sqlite,...]

A real service of several processes sends a code to log in with. Clients, each at an address of its own, open
their connections, and then all use the code at the same time. Exactly one must be logged in; all others are
told that the code is wrong, used or expired, or that the database is too slow for so many, and then try
again, as the code is valid again if it was too slow for the one whose use counted. That is done again and
again, on each database; in memory there is one process.

The control is the same service with codes that are used up without a look at whether somebody else has just
done so, and must log in more than one.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from torture.clients import Connection, connect
from torture.drill import Failure, progress, read_sizes, run_drill, workshop
from torture.idempotent import opened
from torture.services import Service, serving, until

DATABASES = ("memory", "sqlite", "postgresql", "mysql", "mongodb", "redis")
SIZES = {"rounds": (5, 1), "uses": (1000, 10), "processes": (4, 2)}
CONTROL_USES = 200
LIMIT = 600.0
"""Seconds within which all processes start, a mail is sent, and all uses of a code are answered.

The MongoDB of the tests takes some milliseconds for each write, on a core that it shares with the clients.
"""
CONNECT_AT_ONCE = 100
MAX_PAUSE = 2.0
"""Seconds, at most, before a use is repeated; twice as many after each further attempt, so that those in
flight become as few as the database can serve."""
LONGEST_PAUSE = 128.0
REFUSED = 1005
"""The code of the error that all get but one."""
AGAIN = 1011
"""The code of the error that says that the database was too slow: the call has used nothing up."""
ADDRESS = "ada@example.org"
CODE = re.compile(r"\b\d{6}\b")

METHODS = "from toto_aio.methods.account import login_code\n"
PREPARE = """
from hashlib import sha256
from toto_aio.invocation import method
from toto_aio.mail.addresses import read_address

async def require():
    pass  # the account is new

@method
async def invoke(handler, parameters):
    await handler.accounts.create("ada", "correct horse battery")
    address = read_address(parameters["email"])
    await handler.connection.coded_mail.addresses.claim("ada", address.key, address.text, require)
"""
"""Makes an account whose address is verified."""
CONTROL = """
from asyncio import sleep
from msgspec.structs import replace
from toto_aio.auth import codes

real = codes.Codes.__init__

def init(self, records, counters, secret_keys):
    real(self, Unlocked(records), counters, secret_keys)

class Unlocked:
    def __init__(self, records):
        self.records = records

    def __getattr__(self, name):
        return getattr(self.records, name)

    async def save_record(self, record):
        await sleep(1)  # a process has one use at a time: meanwhile the others read the code
        found = await self.records.get_record(record.kind, record.key)
        await self.records.save_record(replace(record, version=found.version))
        return True

codes.Codes.__init__ = init
"""


@dataclass
class Run:
    """What became of the codes on a database."""

    database: str
    rounds: int
    uses: int
    processes: int
    is_control: bool = False
    worked: list[int] = field(default_factory=list)
    """How many uses of each code were logged in."""
    errors: Counter[str] = field(default_factory=Counter)
    """What the others were told, except that the code is wrong, or that it is to be tried again."""
    repeats: int = 0
    """Uses that had no answer, as the database was too slow for so many at the same time."""
    seconds: float = 0.0


def main() -> None:
    """Run the drill."""
    run_drill("codes", lambda: measure(**vars(read_options())), table, verdict)


def read_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    return read_sizes("A code works once.", SIZES, arguments, DATABASES)


def measure(rounds: int, uses: int, processes: int, databases: Sequence[str] = DATABASES) -> list[Run]:
    """What becomes of the codes on each database, and of those of the control."""
    runs = [Run(name, rounds, uses, 1 if name == "memory" else processes) for name in databases]
    runs.append(Run("sqlite", rounds, min(uses, CONTROL_USES), processes, is_control=True))
    with workshop() as (folder, loop):
        for number, run in enumerate(runs):
            (place := folder / str(number)).mkdir()
            if run.database == "memory":
                loop.run(used(run, place, "memory://"))
                continue
            with opened(run.database, place) as url:
                loop.run(used(run, place, url))
    return runs


async def used(run: Run, folder: Path, url: str) -> None:
    """Run a service, and use its codes."""
    begun = time.monotonic()
    methods = {
        "__init__": METHODS + CONTROL * run.is_control,
        "prepare": PREPARE,
    }
    options = (
        f"--processes={run.processes}",
        f"--database={url}",
        "--mail=console",
        "--public-url=https://notes.example",
        "--trusted-proxies=127.0.0.1",
        "--root=/",
    )
    with serving(folder, methods, *options) as service:
        await until(
            lambda: run.processes == 1 or len(service.workers()) == run.processes,
            LIMIT,
            "the start of all workers",
        )
        async with aiohttp.ClientSession(f"http://127.0.0.1:{service.port}") as http:
            await answer(http, "prepare", {"email": ADDRESS})
            for number in range(run.rounds):
                await use(run, service, await new_code(http, service, number))
    run.seconds = time.monotonic() - begun
    progress(
        f"{run.database}: {run.uses:,} uses of each code, of which {run.worked} worked, {dict(run.errors)}"
    )


async def new_code(http: aiohttp.ClientSession, service: Service, number: int) -> dict[str, str]:
    """What a use of a new code has as parameters; its mail is in the log."""
    text = await asyncio.to_thread(service.log.read_text)
    known = len(text)
    ticket = (await answer(http, "login_code.request", {"email": ADDRESS}, number))["ticket"]
    code: list[str] = []

    def is_sent() -> bool:
        code[:] = CODE.findall(service.log.read_text()[known:])
        return bool(code)

    await until(is_sent, LIMIT, "a mail")
    return {"ticket": ticket, "code": code[-1]}


async def answer(http: aiohttp.ClientSession, method: str, parameters: Any, number: int = 0) -> Any:
    """The result of a call. Raises ``Failure``."""
    headers = {"x-forwarded-for": f"10.1.0.{number % 250}"}
    async with http.post("/", json={"method": method, "parameters": parameters}, headers=headers) as response:
        found = await response.json()
    if "error" in found:
        raise Failure(f"{method}: {found}")
    return found["result"]


async def use(run: Run, service: Service, code: Mapping[str, str]) -> None:
    """Use a code, by all clients at the same time; those that have no answer repeat that."""
    clients: dict[int, Connection] = {}
    while len(clients) < run.uses:
        some = range(len(clients), min(len(clients) + CONNECT_AT_ONCE, run.uses))
        opened = await asyncio.gather(*(connect(service.port) for _ in some))
        clients.update(zip(some, opened, strict=True))
    body = json.dumps({"method": "login_code.confirm", "parameters": code}).encode()
    async with asyncio.timeout(LIMIT):
        worked = await asyncio.gather(
            *(
                use_once(run, client, service.port, _request(number, body))
                for number, client in clients.items()
            )
        )
    run.worked.append(sum(worked))


async def use_once(run: Run, client: Connection, port: int, request: bytes) -> bool:
    """Use a code until that has an answer; returns whether it has worked."""
    for attempt in itertools.count(1):
        if client.closed:  # by the service, as it was idle for so long
            client = await connect(port)
        response = await client.ask(request)
        told = json.loads(response.body).get("error", {}).get("code", 0)
        if told != AGAIN:
            client.close()
            if told not in (0, REFUSED):
                run.errors[str(told)] += 1
            return not told
        run.repeats += 1
        await asyncio.sleep(random.uniform(0, min(LONGEST_PAUSE, MAX_PAUSE * 2 ** (attempt - 1))))  # noqa: S311  # no secret
    raise AssertionError


def _request(number: int, body: bytes) -> bytes:
    return (
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"X-Forwarded-For: 10.0.%d.%d\r\nContent-Length: %d\r\n\r\n%b"
        % (*divmod(number, 250), len(body), body)
    )


def verdict(runs: Sequence[Run]) -> tuple[bool, str]:
    """Whether the drill passed, and a line that says why."""
    *ours, control = runs
    for run in ours:
        if run.errors:
            return False, f"FAILED: {run.database}: clients were told {dict(run.errors)}"
        if run.worked != [1] * run.rounds:
            return False, f"FAILED: {run.database}: of {run.uses:,} uses so many worked: {run.worked}"
    if max(control.worked, default=0) <= 1:
        return False, "FAILED: this proves nothing, codes of the control worked once: take more rounds"
    return True, "Passed: each code worked once, those of the control more often"


def table(runs: Sequence[Run]) -> str:
    """The figures of all runs."""
    rows = ["| run | processes | codes | uses of each | worked | repeats | s |", "|---" * 7 + "|"]
    for run in runs:
        name = "control, not looked at" if run.is_control else run.database
        worked = ", ".join(map(str, run.worked))
        counts = f"{run.processes} | {len(run.worked)} | {run.uses:,} | {worked} | {run.repeats:,}"
        rows.append(f"| {name} | {counts} | {run.seconds:.0f} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
