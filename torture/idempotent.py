"""Calls that are repeated with their idempotency keys run at most once, while workers are killed.

    python -m torture.idempotent [--keys N] [--processes N] [--databases sqlite,postgresql,...]

Clients call two methods of a real service, each call with a key of its own, and repeat it until they have
an answer. One method appends a line to a file, and must have done so once at most for each key, and once for
each that has a result. The other adds a row in ``handler.transaction()``, and must have done so exactly once.
Meanwhile workers are killed (KILL), one after the other. The keys are spread over the databases; Redis has
no transactions, so there only the first method is called.

The control is the same service with a method that is not marked, and must run it twice for some keys.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from torture.drill import progress, read_sizes, run_drill, workshop
from torture.services import ProcessHandle, Service, serving, until

CLIENTS = 16
KEYS_BETWEEN = 40
"""Keys between two kills; while a worker is replaced, clients use twice as many at most."""
PAUSE = 0.2
"""Seconds before a call is repeated that has no answer yet."""
REPLACE_LIMIT = 60.0
"""Seconds within which a worker must be replaced."""
ANSWER_LIMIT = 90.0
"""Seconds within which a key has its answer: MongoDB ends the transaction of a killed worker after 60."""
REAP_INTERVAL = 5.0
"""Seconds between two looks of the server for such transactions."""
DATABASES = ("sqlite", "postgresql", "mysql", "mongodb", "redis")
SIZES = {"keys": (10_000, 20), "processes": (4, 2)}

APPEND = """import asyncio, os
from toto_aio.invocation import authenticated, idempotent, timeout

LINES = os.open("lines", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

@authenticated
{marked}
@timeout(2)
async def invoke(handler, parameters):
    await asyncio.sleep(0.004)
    os.write(LINES, parameters["key"].encode() + b"\\n")
    await asyncio.sleep(0.05)
    return parameters["key"]
"""
"""The method whose effect is outside of the database."""
PAY = """import asyncio
from toto_aio.invocation import authenticated, idempotent, method, timeout

@authenticated
@idempotent(transactional=True)
@timeout(2)
async def invoke(handler, parameters):
    async with handler.transaction() as connection:
        await asyncio.sleep(0.002)
        key = parameters["key"]
        if hasattr(connection, "start_transaction"):
            await handler.db.paid.insert_one({"name": key}, session=connection)
        else:
            await run(connection, f"INSERT INTO paid VALUES ('{key}')")
        await asyncio.sleep(0.002)
    await asyncio.sleep(0.002)
    return parameters["key"]

async def run(connection, statement):
    if hasattr(connection, "fetch") or hasattr(connection, "execute_fetchall"):
        await connection.execute(statement)
    else:
        async with connection.cursor() as cursor:
            await cursor.execute(statement)

@method
async def prepare(handler, parameters):
    if hasattr(handler.db, "create_collection"):
        await handler.db.create_collection("paid")
    else:
        async with handler.transaction() as connection:
            await run(connection, "CREATE TABLE paid (name varchar(99))")

@method
async def paid(handler, parameters):
    if hasattr(handler.db, "create_collection"):
        return [row["name"] async for row in handler.db.paid.find()]
    async with handler.transaction() as connection:
        statement = "SELECT name FROM paid"
        if hasattr(connection, "fetch"):
            return [row[0] for row in await connection.fetch(statement)]
        if hasattr(connection, "execute_fetchall"):
            return [row[0] for row in await connection.execute_fetchall(statement)]
        async with connection.cursor() as cursor:
            await cursor.execute(statement)
            return [row[0] for row in await cursor.fetchall()]
"""
"""The method whose effect is in a transaction."""
WHO = "import os\n\nasync def invoke(handler, parameters):\n    return os.getpid()\n"
"""Tells which process serves."""


@dataclass
class Run:
    """What became of the keys on a database; ``marked`` is False for the control."""

    database: str
    keys: int
    marked: bool = True
    killed: int = 0
    repeats: int = 0
    results: set[str] = field(default_factory=set)
    """The keys whose calls had a result."""
    unknown: set[str] = field(default_factory=set)
    """Those with error 1016."""
    appended: Counter[str] = field(default_factory=Counter)
    paid: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def doubled(self) -> int:
        """Keys for which something happened more than once."""
        return sum(count > 1 for count in (*self.appended.values(), *self.paid.values()))

    @property
    def lost(self) -> int:
        """Keys that had a result, or were to count exactly once, and for which nothing happened."""
        in_transactions = {key for key in (*self.results, *self.unknown) if key.startswith("pay")}
        happened = self.appended.keys() | self.paid.keys()
        return len((self.results | in_transactions) - happened)


def main() -> None:
    """Run the drill."""
    run_drill("idempotent", lambda: measure(**vars(read_options())), table, verdict)


def read_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    return read_sizes("Repeated calls run at most once.", SIZES, arguments, DATABASES)


def measure(keys: int, processes: int, databases: Sequence[str] = DATABASES) -> list[Run]:
    """What becomes of the keys on each database, and of those of the control."""
    each = -(-keys // len(databases))
    runs = [Run(database, each) for database in databases]
    runs.append(Run("sqlite", max(200, each // 4), marked=False))
    with workshop() as (folder, loop):
        for number, run in enumerate(runs):
            place = folder / str(number)
            place.mkdir()
            with opened(run.database, place) as url:
                loop.run(disturbed(run, place, url, processes))
    return runs


@contextmanager
def opened(database: str, folder: Path) -> Iterator[str]:
    """The URL of a new database of a kind, on a server of its own."""
    if database == "sqlite":
        yield f"sqlite:///{folder}/toto.db"
        return
    kind: Any = importlib.import_module(f"tests.support.servers.{database}")
    with kind.server() as server:
        yield kind.fresh_url(server)


async def disturbed(run: Run, folder: Path, url: str, processes: int) -> None:
    """Run a service, have clients call it, and kill its workers meanwhile."""
    begun = time.monotonic()
    marked = "@idempotent" if run.marked else ""
    methods = {
        "__init__": "from toto_aio.methods import account\n",
        "append": APPEND.format(marked=marked),
        "pay": PAY,
        "who": WHO,
    }
    lines = folder / "lines"
    lines.touch()
    with serving(folder, methods, f"--processes={processes}", f"--database={url}", "--root=/") as service:
        await until(lambda: len(service.workers()) == processes, REPLACE_LIMIT, "the start of all workers")
        async with aiohttp.ClientSession(f"http://127.0.0.1:{service.port}") as http:
            clients = Clients(run, http, lines)
            await clients.prepare()
            async with reaping(run.database, url):
                await clients.work(lambda: kill(run, service, processes))
            if run.database != "redis":
                run.paid.update(await clients.answer("pay.paid", {}, None))
    run.appended.update(lines.read_text().split())
    run.seconds = time.monotonic() - begun
    progress(f"{run.database}: {run.keys:,} keys, {run.killed} workers killed, {run.repeats:,} repeats")


@asynccontextmanager
async def reaping(database: str, url: str) -> AsyncIterator[None]:
    """Have the server look for transactions that are too old, for the duration of the block.

    A real MongoDB does that by itself. The one of the tests only does it when a transaction begins, and
    otherwise keeps the locks of a killed worker for good.
    """
    if database != "mongodb":
        yield
        return
    from pymongo import AsyncMongoClient

    async def reap() -> None:
        async with AsyncMongoClient[Any](url) as client:
            while True:
                await asyncio.sleep(REAP_INTERVAL)
                async with client.start_session() as session, await session.start_transaction():
                    await client.admin.reap.find_one({}, session=session)

    task = asyncio.create_task(reap(), name="reaper")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def kill(run: Run, service: Service, processes: int) -> None:
    """Kill a worker, and wait until another one serves in its place."""
    victim = random.choice(sorted(service.workers()))  # noqa: S311  # any of them
    with ProcessHandle(victim) as process:
        process.send(signal.SIGKILL)
    answered: set[int] = set()
    url = f"http://127.0.0.1:{service.port}/who"
    async with (
        asyncio.timeout(REPLACE_LIMIT),
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http,
    ):
        while len(answered & service.workers() - {victim}) < processes:
            with suppress(aiohttp.ClientError, OSError):
                async with http.post(url, json={}) as response:
                    answered.add((await response.json())["result"])
            await asyncio.sleep(0.005)
    run.killed += 1


class Clients:
    """Clients of one user, each with a key after the other."""

    def __init__(self, run: Run, http: aiohttp.ClientSession, lines: Path) -> None:
        self._run = run
        self._http = http
        self._lines = lines
        self._session = ""
        self._next = 0
        self._due = KEYS_BETWEEN
        """The key after which the next worker is killed."""

    async def prepare(self) -> None:
        """Create the account and the table."""
        account = {"user_id": "ada", "password": "correct horse"}
        self._session = (await self.answer("account.create", account, None))["session_id"]
        if self._run.database != "redis":
            await self.answer("pay.prepare", {}, None)

    async def work(self, disturb: Any) -> None:
        """Use all keys; ``disturb`` is awaited again and again meanwhile."""
        clients = [asyncio.create_task(self._use_keys(), name=f"client {n}") for n in range(CLIENTS)]
        while not all(client.done() for client in clients):
            if self._next >= self._due:
                await disturb()
                self._due += KEYS_BETWEEN
            await asyncio.sleep(0.01)
        await asyncio.gather(*clients)

    async def answer(self, method: str, parameters: Any, key: str | None) -> Any:
        """The result of a call, or its error as a number; the call is repeated until there is either."""
        headers = {"x-toto-session-id": self._session} if self._session else {}
        if key is not None:
            headers["idempotency-key"] = key
        end = time.monotonic() + ANSWER_LIMIT
        while time.monotonic() < end:
            try:
                async with self._http.post(
                    "/", json={"method": method, "parameters": parameters}, headers=headers
                ) as response:
                    answer = await response.json()
            except (aiohttp.ClientError, OSError, ValueError):
                answer = {}
            if "result" in answer:
                return answer["result"]
            code = answer.get("error", {}).get("code")
            if code not in (None, 1011, 1013, 1014):
                return code
            self._run.repeats += 1
            await asyncio.sleep(PAUSE)
        raise TimeoutError(f"{method} has no answer after {ANSWER_LIMIT} s: {answer}")

    async def _use_keys(self) -> None:
        while self._next < self._run.keys:
            if self._next >= self._due + KEYS_BETWEEN:
                await asyncio.sleep(0.01)
                continue
            self._next += 1
            in_transaction = self._run.marked and self._run.database != "redis" and self._next % 2
            key = f"{'pay' if in_transaction else 'append'}{self._next}"
            answer = await self.answer("pay" if in_transaction else "append", {"key": key}, key)
            if answer == key:
                self._run.results.add(key)
            elif answer == 1016:
                self._run.unknown.add(key)
            else:
                raise TimeoutError(f"{key}: {answer!r} is no answer")


def verdict(runs: Sequence[Run]) -> tuple[bool, str]:
    """Whether the drill passed, and a line that says why."""
    *ours, control = runs
    if any(run.killed < 1 or len(run.results) + len(run.unknown) < run.keys for run in ours):
        return False, "FAILED: not all keys were used, or no worker was killed"
    doubled, lost = (sum(getattr(run, what) for run in ours) for what in ("doubled", "lost"))
    if doubled or lost:
        return False, f"FAILED: {doubled} keys counted more than once, {lost} not at all"
    if not control.doubled:
        return False, "FAILED: this proves nothing, the control ran nothing twice: use more keys"
    return True, "Passed: no key counted twice, those in a transaction once; the control ran some twice"


def table(runs: Sequence[Run]) -> str:
    """The figures of all runs."""
    names = ("run", "keys", "killed", "repeats", "results", "1016", "twice", "lost", "s")
    rows = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    for run in runs:
        name = run.database if run.marked else "control, not marked"
        counts = (
            run.keys,
            run.killed,
            run.repeats,
            len(run.results),
            len(run.unknown),
            run.doubled,
            run.lost,
        )
        rows.append(f"| {name} | {' | '.join(f'{count:,}' for count in counts)} | {run.seconds:.0f} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
