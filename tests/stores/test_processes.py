"""Several real processes on one store. Each waits for a line from the test, so that all start together."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import argon2
import pytest

from tests.support.limits import patience_of_a_process
from toto_aio.auth.accounts import Accounts
from toto_aio.auth.passwords import Passwords
from toto_aio.auth.sessions import Sessions
from toto_aio.models import Account, Record
from toto_aio.settings import Settings
from toto_aio.stores import open_store

PROCESS = """
import asyncio
import gc
import json
import sys
import textwrap

import argon2

from toto_aio.auth.accounts import Accounts
from toto_aio.exceptions import InvalidSessionID, UserIDExists
from toto_aio.models import Account, Record
from toto_aio.auth.passwords import Passwords
from toto_aio.auth.sessions import Sessions
from toto_aio.settings import Settings
from toto_aio.stores import open_store


def say(*words):
    print(*words, flush=True)


def wait_for_start():
    say("ready")
    sys.stdin.readline()


def sessions_in(store):
    passwords = Passwords(argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    return Sessions(store, Accounts(store, passwords), Settings())


while line := sys.stdin.readline():
    task = json.loads(line)
    exec(task["patience"])
    names = {**globals(), **task["names"]}
    exec("async def main():\\n" + textwrap.indent(task["body"], "    "), names)
    asyncio.run(names["main"]())
    del names
    gc.collect()
    say("done")
"""


class Process:
    """A process that runs one body after another, as starting it takes longer than most of them."""

    def __init__(self) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  # close() closes it
        command = [sys.executable, "-W", "error", "-c", PROCESS]
        pipe = subprocess.PIPE
        self._popen = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self._errors, text=True)

    @property
    def is_running(self) -> bool:
        """Whether it can be told anything."""
        return self._popen.poll() is None

    def tell(self, line: str) -> None:
        """Write a line to its input."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(line + "\n")
        self._popen.stdin.flush()

    def line(self) -> str:
        """The next line that it says. Raises ``AssertionError`` if it ends with an error, or warns."""
        assert self._popen.stdout is not None
        line = self._popen.stdout.readline()
        assert (line[-1:], self.errors()) == ("\n", "")
        return line[:-1]

    def lines(self) -> list[str]:
        """What it says until the body has ended."""
        return list(iter(self.line, "done"))

    def errors(self) -> str:
        """What it wrote to stderr."""
        self._errors.seek(0)
        return self._errors.read()

    def kill(self) -> list[str]:
        """Kill it, and return the lines that it has said since the last one."""
        self._popen.kill()
        rest, _ = self._popen.communicate()
        return rest.splitlines()

    def close(self) -> None:
        """End it, unless it has ended."""
        was_running = self.is_running
        for pipe in (self._popen.stdin, self._popen.stdout):
            assert pipe is not None
            pipe.close()
        status = self._popen.wait()
        with self._errors:
            assert not was_running or (status, self.errors()) == (0, "")


class Crew:
    """Processes for all tests of the module; those that a test has killed are replaced."""

    def __init__(self) -> None:
        self._processes: list[Process] = []

    @contextmanager
    def run(self, url: str, count: int, body: str, *arguments: str) -> Iterator[list[Process]]:
        """``count`` processes that run ``body`` and have reached ``wait_for_start``; a failure kills them."""
        for process in [process for process in self._processes if not process.is_running]:
            process.close()
            self._processes.remove(process)
        self._processes += [Process() for _ in range(count - len(self._processes))]
        used = self._processes[:count]
        try:
            for number, process in enumerate(used):
                names = {"url": url, "number": str(number), "arguments": arguments}
                task = {"body": body, "names": names, "patience": patience_of_a_process(url)}
                process.tell(json.dumps(task))
            for process in used:
                assert process.line() == "ready"
            yield used
        except BaseException:
            for process in used:
                process.kill()
            raise

    def close(self) -> None:
        """End all of them."""
        for process in self._processes:
            process.close()


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    """Processes to run something in."""
    crew = Crew()
    yield crew
    crew.close()


def start(processes: list[Process]) -> None:
    """Let each process continue."""
    for process in processes:
        process.tell("start")


def outputs(processes: list[Process]) -> list[list[str]]:
    """The lines that each process said until its body ended, which must be without an error."""
    return [process.lines() for process in processes]


@pytest.fixture
def passwords() -> Passwords:
    """Password hashing that costs little."""
    return Passwords(argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


async def test_a_hundred_updates_count_a_hundred(crew: Crew, shared_url: str, passwords: Passwords) -> None:
    """Four processes increment a number in one session 25 times each, at the same time, and none is lost."""
    store = await open_store(shared_url)
    sessions = Sessions(store, Accounts(store, passwords), Settings())
    session = await sessions.create("ada")
    session["kept"] = "as it is"
    await session.save()
    body = """
store = await open_store(url)
sessions = sessions_in(store)
loaded = [await sessions.load(arguments[0]) for _ in range(25)]
wait_for_start()

def add(state):
    state["n"] = state.get("n", 0) + 1
    return state["n"]

say(*await asyncio.gather(*(session.update(add) for session in loaded)))
await store.close()
"""
    with crew.run(shared_url, 4, body, session.session_id) as started:
        start(started)
        answers = outputs(started)
    seen = [int(number) for lines in answers for number in lines[0].split()]
    assert sorted(seen) == list(range(1, 101))
    await session.refresh()
    assert dict(session.state) == {"kept": "as it is", "n": 100}
    await store.close()


async def test_saves_of_other_keys_keep_each_other(crew: Crew, shared_url: str, passwords: Passwords) -> None:
    """Four processes write ten keys each to one session, at the same time: all forty are kept."""
    store = await open_store(shared_url)
    sessions = Sessions(store, Accounts(store, passwords), Settings())
    session = await sessions.create("ada")
    body = """
store = await open_store(url)
sessions = sessions_in(store)
session = await sessions.load(arguments[0])
wait_for_start()
for n in range(10):
    session[f"{number}.{n}"] = n
    await session.save()
await store.close()
"""
    with crew.run(shared_url, 4, body, session.session_id) as started:
        start(started)
        outputs(started)
    await session.refresh()
    assert dict(session.state) == {f"{number}.{n}": n for number in range(4) for n in range(10)}
    await store.close()


async def test_updates_of_an_account_keep_each_other(crew: Crew, shared_url: str) -> None:
    """Four processes write ten fields each to one account, at the same time: all forty are kept."""
    store = await open_store(shared_url)
    await store.add_account(Account("ada", "hash"))
    body = """
store = await open_store(url)
wait_for_start()
for n in range(10):
    assert await store.update_account("ada", {f"{number}.{n}": n})
await store.close()
"""
    with crew.run(shared_url, 4, body) as started:
        start(started)
        outputs(started)
    values = {f"{number}.{n}": n for number in range(4) for n in range(10)}
    assert await store.get_account("ada") == Account("ada", "hash", values, 41)
    await store.close()


@pytest.mark.parametrize("count", [2, 4])
async def test_one_account_is_made_once(crew: Crew, shared_url: str, count: int) -> None:
    """Of processes that create an account at the same time one succeeds; the others get ``UserIDExists``."""
    body = """
store = await open_store(url)
accounts = sessions_in(store).accounts
wait_for_start()
for n in range(20):
    try:
        await accounts.create(f"user {n}", f"password {number}", number=number)
        say("made", n)
    except UserIDExists:
        say("exists", n)
await store.close()
"""
    with crew.run(shared_url, count, body) as started:
        start(started)
        answers = outputs(started)
    store = await open_store(shared_url)
    for n in range(20):
        makers = [str(number) for number in range(count) if f"made {n}" in answers[number]]
        assert len(makers) == 1
        assert sum(f"exists {n}" in lines for lines in answers) == count - 1
        account = await store.get_account(f"user {n}")
        assert account is not None
        assert account.values["number"] == makers[0]
    await store.close()


async def test_a_limit_of_calls_is_one_for_all_processes(crew: Crew, shared_url: str) -> None:
    """Of 160 mixed calls to four processes exactly 50 pass a limit of 50."""
    body = """
from aiohttp.test_utils import TestClient, TestServer
from toto_aio import create_app
from toto_aio.invocation import rate

@rate(50, per=3600, by="address")
async def hit(handler, parameters):
    return "passed"

app = create_app(method_module={"hit": hit}, database=url, slow_call=3600)  # which would log to stderr
async with TestClient(TestServer(app)) as client:
    async def post(path, message):
        return await (await client.post("/service" + path, json=message)).json()

    async def frames():
        async with client.ws_connect("/service/websocket") as socket:
            for number in range(10):
                await socket.send_json({"id": number, "method": "hit"})
            return [await socket.receive_json() for _ in range(10)]

    batch = {"batch": {str(n): {"method": "hit"} for n in range(10)}}
    request = {"jsonrpc": "2.0", "method": "hit", "id": 1}
    wait_for_start()
    answers = await asyncio.gather(
        *(post("/hit", {}) for _ in range(10)), post("", batch), frames(), post("/rpc", [request] * 10)
    )
    say(json.dumps(answers).count('"passed"'), json.dumps(answers).count('"code": 1012'))
"""
    with crew.run(shared_url, 4, body) as started:
        start(started)
        counts = [list(map(int, line.split())) for [line] in outputs(started)]
    passed, refused = (sum(column) for column in zip(*counts, strict=True))
    # JSON-RPC has the code a second time, as the one of its own.
    assert passed == 50
    assert refused >= 110


async def test_one_record_is_added_saved_and_removed_once(crew: Crew, shared_url: str) -> None:
    """Of four processes that add, save or remove a record at the same time one is told that it did."""
    body = """
store = await open_store(url)
wait_for_start()
for n in range(20):
    if await store.add_record(Record("code", f"{n}", "ada", number.encode(), version=1)):
        say("added", n)
    if await store.save_record(Record("key", f"{n}", "ada", number.encode(), version=1)):
        say("saved", n)
    if await store.remove_record("gone", f"{n}", 1):
        say("removed", n)
await store.close()
"""
    store = await open_store(shared_url)
    for n in range(20):
        for kind in ("key", "gone"):
            await store.add_record(Record(kind, f"{n}", "ada", b"", version=1))
    with crew.run(shared_url, 4, body) as started:
        start(started)
        answers = outputs(started)
    for n in range(20):
        for what, kind, version in (("added", "code", 1), ("saved", "key", 2), ("removed", "gone", 0)):
            winners = [str(number) for number, lines in enumerate(answers) if f"{what} {n}" in lines]
            assert len(winners) == 1, (what, n, winners)
            record = await store.get_record(kind, f"{n}")
            found = None if record is None else (record.value.decode(), record.version)
            assert found == ((winners[0], version) if version else None), (what, n)
    assert len(await store.list_records("ada", "code")) == 20
    await store.close()


async def test_four_processes_open_a_new_store(crew: Crew, shared_url: str) -> None:
    """Four processes create the tables at the same time, and each can write to them."""
    body = """
wait_for_start()
store = await open_store(url)
await store.add_account(Account(f"user {number}", None))
await store.close()
"""
    with crew.run(shared_url, 4, body) as started:
        start(started)
        outputs(started)
    store = await open_store(shared_url)
    for number in range(4):
        assert await store.get_account(f"user {number}") == Account(f"user {number}", None)
    await store.close()


async def test_an_end_wins_over_saves_in_progress(crew: Crew, shared_url: str, passwords: Passwords) -> None:
    """While processes save and renew a session, another ends it: nothing revives it."""
    store = await open_store(shared_url)
    sessions = Sessions(store, Accounts(store, passwords), Settings())
    session = await sessions.create("ada")
    key = session.record.key
    body = """
import time
store = await open_store(url)
sessions = sessions_in(store)
session = await sessions.load(arguments[0])
key = session.record.key
wait_for_start()
try:
    while True:
        session["n"] = (session["n"] or 0) + 1
        await session.save()
        await store.touch_session(key, session.expires + session["n"], time.time())
        if session["n"] == 3:
            say("in progress")
except InvalidSessionID:
    assert not await store.touch_session(key, session.expires, time.time())
    assert not await store.save_session(session.record)
    assert await sessions.load(arguments[0]) is None
    say("ended")
await store.close()
"""
    with crew.run(shared_url, 3, body, session.session_id) as started:
        start(started)
        for process in started:
            assert process.line() == "in progress"
        await sessions.end(session)
        ends = outputs(started)
    assert [lines[-1] for lines in ends] == ["ended"] * 3
    assert await store.get_session(key) is None
    assert await store.list_sessions("ada") == []
    await store.close()


async def test_what_was_acknowledged_survives_a_kill(crew: Crew, shared_url: str) -> None:
    """A process that is killed in the middle of its writes loses none that was acknowledged."""
    body = """
store = await open_store(url)
wait_for_start()
n = 0
while True:
    await store.add_account(Account(f"user {n}", None))
    say(n)
    n += 1
"""
    with crew.run(shared_url, 1, body) as [process]:
        start([process])
        for n in range(20):
            assert process.line() == str(n)
        last = int((process.kill() or ["19"])[-1])
    store = await open_store(shared_url)
    for n in range(last + 1):
        assert await store.get_account(f"user {n}") is not None
    await store.add_account(Account("ada", None))
    await store.close()
