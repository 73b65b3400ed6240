"""Several real processes on one store. Each waits for a line from the test, so that all start together."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import argon2
import pytest

from tests.support.limits import patience_of_a_process
from toto_aio.auth.accounts import Accounts
from toto_aio.auth.passwords import Passwords
from toto_aio.auth.sessions import Sessions
from toto_aio.models import Account
from toto_aio.settings import Settings
from toto_aio.stores import open_store

PRELUDE = """
import asyncio
import sys

import argon2

from toto_aio.auth.accounts import Accounts
from toto_aio.exceptions import InvalidSessionID, UserIDExists
from toto_aio.models import Account
from toto_aio.auth.passwords import Passwords
from toto_aio.auth.sessions import Sessions
from toto_aio.settings import Settings
from toto_aio.stores import open_store

url, number, *arguments = sys.argv[1:]
{patience}

def say(*words):
    print(*words, flush=True)


def wait_for_start():
    say("ready")
    sys.stdin.readline()


def sessions_in(store):
    passwords = Passwords(argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    return Sessions(store, Accounts(store, passwords), Settings())


async def main():
    {body}


asyncio.run(main())
"""


@asynccontextmanager
async def processes(
    tmp_path: Path, url: str, count: int, body: str, *arguments: str
) -> AsyncIterator[list[Process]]:
    """``count`` processes that run ``body`` and have reached ``wait_for_start``; killed at the end."""
    script = tmp_path / "script.py"
    lines = body.strip().splitlines()
    script.write_text(PRELUDE.format(body="\n    ".join(lines), patience=patience_of_a_process(url)))
    command = [sys.executable, "-W", "error", str(script), url]
    started: list[Process] = []
    try:
        for number in range(count):
            started.append(
                await asyncio.create_subprocess_exec(
                    *command, str(number), *arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE
                )
            )
        for process in started:
            assert process.stdout is not None
            line = await process.stdout.readline()
            assert line == b"ready\n", (await process.communicate())[1].decode()
        yield started
    finally:
        for process in started:
            if process.returncode is None:
                process.kill()
            await process.communicate()


def start(processes: list[Process]) -> None:
    """Let each process continue."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"start\n")


async def outputs(processes: list[Process]) -> list[list[str]]:
    """The lines that each process wrote until it ended, which must be without an error."""
    answers = await asyncio.gather(*(process.communicate() for process in processes))
    for process, (_, errors) in zip(processes, answers, strict=True):
        assert (process.returncode, errors.decode()) == (0, "")
    return [output.decode().splitlines() for output, _ in answers]


@pytest.fixture
def passwords() -> Passwords:
    """Password hashing that costs little."""
    return Passwords(argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


async def test_a_hundred_updates_count_a_hundred(
    tmp_path: Path, shared_url: str, passwords: Passwords
) -> None:
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
    async with processes(tmp_path, shared_url, 4, body, session.session_id) as started:
        start(started)
        answers = await outputs(started)
    seen = [int(number) for lines in answers for number in lines[0].split()]
    assert sorted(seen) == list(range(1, 101))
    await session.refresh()
    assert dict(session.state) == {"kept": "as it is", "n": 100}
    await store.close()


async def test_saves_of_other_keys_keep_each_other(
    tmp_path: Path, shared_url: str, passwords: Passwords
) -> None:
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
    async with processes(tmp_path, shared_url, 4, body, session.session_id) as started:
        start(started)
        await outputs(started)
    await session.refresh()
    assert dict(session.state) == {f"{number}.{n}": n for number in range(4) for n in range(10)}
    await store.close()


async def test_updates_of_an_account_keep_each_other(tmp_path: Path, shared_url: str) -> None:
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
    async with processes(tmp_path, shared_url, 4, body) as started:
        start(started)
        await outputs(started)
    values = {f"{number}.{n}": n for number in range(4) for n in range(10)}
    assert await store.get_account("ada") == Account("ada", "hash", values, 41)
    await store.close()


@pytest.mark.parametrize("count", [2, 4])
async def test_one_account_is_made_once(tmp_path: Path, shared_url: str, count: int) -> None:
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
    async with processes(tmp_path, shared_url, count, body) as started:
        start(started)
        answers = await outputs(started)
    store = await open_store(shared_url)
    for n in range(20):
        makers = [str(number) for number in range(count) if f"made {n}" in answers[number]]
        assert len(makers) == 1
        assert sum(f"exists {n}" in lines for lines in answers) == count - 1
        account = await store.get_account(f"user {n}")
        assert account is not None
        assert account.values == {"number": makers[0]}
    await store.close()


async def test_four_processes_open_a_new_store(tmp_path: Path, shared_url: str) -> None:
    """Four processes create the tables at the same time, and each can write to them."""
    body = """
wait_for_start()
store = await open_store(url)
await store.add_account(Account(f"user {number}", None))
await store.close()
"""
    async with processes(tmp_path, shared_url, 4, body) as started:
        start(started)
        await outputs(started)
    store = await open_store(shared_url)
    for number in range(4):
        assert await store.get_account(f"user {number}") == Account(f"user {number}", None)
    await store.close()


async def test_an_end_wins_over_saves_in_progress(
    tmp_path: Path, shared_url: str, passwords: Passwords
) -> None:
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
    async with processes(tmp_path, shared_url, 3, body, session.session_id) as started:
        start(started)
        for process in started:
            assert process.stdout is not None
            assert await process.stdout.readline() == b"in progress\n"
        await sessions.end(session)
        ends = await outputs(started)
    assert [lines[-1] for lines in ends] == ["ended"] * 3
    assert await store.get_session(key) is None
    assert await store.list_sessions("ada") == []
    await store.close()


async def test_what_was_acknowledged_survives_a_kill(tmp_path: Path, shared_url: str) -> None:
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
    async with processes(tmp_path, shared_url, 1, body) as [process]:
        start([process])
        assert process.stdout is not None
        for n in range(20):
            assert await process.stdout.readline() == b"%d\n" % n
        process.kill()
        rest, _ = await process.communicate()
        last = int((rest.splitlines() or [b"19"])[-1])
    store = await open_store(shared_url)
    for n in range(last + 1):
        assert await store.get_account(f"user {n}") is not None
    await store.add_account(Account("ada", None))
    await store.close()
