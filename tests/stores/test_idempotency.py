"""Idempotency keys on every store: one run for each key, and a transaction that the key is committed with."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

import pytest
from msgspec.structs import replace

from tests.conftest import OTHER_DRIVERS, SERVER_KINDS, url_of
from tests.support import notes
from tests.support.disturbed import Failing
from tests.support.limits import WATCHDOG
from tests.support.service import Serve, Service
from toto_aio import Handler, TotoException
from toto_aio.dispatch.claim import Claim, EndsCallError
from toto_aio.dispatch.idempotency import KIND
from toto_aio.dispatch.key_entry import Entry, State, pack, unpack
from toto_aio.exceptions import Unavailable
from toto_aio.invocation import idempotent, timeout
from toto_aio.lifespan import LIFESPAN
from toto_aio.models import Record
from toto_aio.stores import Store
from toto_aio.stores.records import RecordStore

Parameters = dict[str, Any]
runs: list[str] = []
failed: list[str] = []
gates: dict[str, asyncio.Event] = {}


async def create(handler: Handler, parameters: Parameters) -> None:
    """Create the table."""
    await notes.create(handler.connection.db)


async def listed(handler: Handler, parameters: Parameters) -> list[str]:
    """The notes that everyone sees."""
    return await notes.listed(handler.connection.db)


@idempotent
async def count(handler: Handler, parameters: Parameters) -> int:
    """Count the run, unless it fails the first time."""
    if parameters and not failed.count(parameters["once"]):
        failed.append(parameters["once"])
        raise RuntimeError
    runs.append("count")
    await asyncio.sleep(0)
    return len(runs)


@idempotent
@timeout(WATCHDOG)
async def add(handler: Handler, parameters: Parameters) -> int:
    """Add a note, which can be added once, and do what the parameters say within or after the transaction."""
    runs.append(parameters["text"])
    async with handler.transaction() as connection:
        await notes.add(connection, handler.connection.db, parameters["text"])
        await _do(parameters.get("within"))
    await _do(parameters.get("after"))
    return len(runs)


@idempotent
def add_plainly(handler: Handler, parameters: Parameters) -> int:
    """The same in a thread."""
    runs.append(parameters["text"])
    with handler.transaction() as connection:
        handler.wait(notes.add(connection, handler.connection.db, parameters["text"]))
    return len(runs)


@idempotent(transactional=True)
@timeout(WATCHDOG)
async def later(handler: Handler, parameters: Parameters) -> int:
    """Wait for ever the first time, before the transaction."""
    runs.append(parameters["text"])
    if len(runs) == 1:
        await _do("later")
    async with handler.transaction() as connection:
        await notes.add(connection, handler.connection.db, parameters["text"])
    return len(runs)


@idempotent
@timeout(WATCHDOG)
async def late(handler: Handler, parameters: Parameters) -> int:
    """Add a note in a transaction that waits for ever the first time."""
    runs.append(parameters["text"])
    async with handler.transaction() as connection:
        await notes.add(connection, handler.connection.db, parameters["text"])
        if len(runs) == 1:
            await _do("late")
    return len(runs)


@idempotent
@timeout(WATCHDOG)
async def undo(handler: Handler, parameters: Parameters) -> int:
    """Add a note in a transaction that is rolled back, and go on."""
    with suppress(ZeroDivisionError):
        async with handler.transaction() as connection:
            await notes.add(connection, handler.connection.db, parameters["text"])
            raise ZeroDivisionError
    runs.append(parameters["text"])
    await _do(parameters.get("after"))
    return len(runs)


async def _failed(handler: Handler, how: str) -> None:
    """A transaction that is rolled back, in each way in which a method may go on after it."""
    if how == "refused":  # as by a conflict with another one
        with suppress(Unavailable):
            async with handler.transaction():
                raise Unavailable
    elif how == "cancelled":
        with suppress(TimeoutError):
            async with asyncio.timeout(0), handler.transaction():
                await asyncio.sleep(WATCHDOG)
    elif how == "late":
        with suppress(TimeoutError):
            async with asyncio.timeout(0.1), handler.transaction():
                await asyncio.sleep(WATCHDOG)
    elif how == "beside":
        with suppress(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(_in_transaction(handler))
                await _do("inside")
                raise ZeroDivisionError


async def _in_transaction(handler: Handler) -> None:
    async with handler.transaction():
        gates.setdefault("inside", asyncio.Event()).set()
        await asyncio.sleep(WATCHDOG)


@idempotent
@timeout(WATCHDOG)
async def swallow(handler: Handler, parameters: Parameters) -> int:
    """Do something outside after a transaction that has failed, whatever the error was."""
    await _failed(handler, parameters["how"])
    runs.append(parameters["how"])
    await _do(parameters.get("after"))
    return len(runs)


@idempotent
@timeout(WATCHDOG)
def swallow_plainly(handler: Handler, parameters: Parameters) -> int:
    """The same in a thread."""
    with suppress(Unavailable), handler.transaction():
        raise Unavailable
    runs.append("thread")
    return len(runs)


async def _do(what: str | None) -> None:
    if what == "fail":
        raise RuntimeError("no")
    if what == "refuse":
        raise TotoException(2001, "no")
    if what is not None:
        async with asyncio.timeout(WATCHDOG):
            await gates.setdefault(what, asyncio.Event()).wait()


METHODS = {
    "create": create,
    "listed": listed,
    "count": count,
    "add": add,
    "add_plainly": add_plainly,
    "late": late,
    "later": later,
    "swallow": swallow,
    "swallow_plainly": swallow_plainly,
    "undo": undo,
}


@pytest.fixture(params=["memory", "sqlite", *SERVER_KINDS, "aiomysql", "redis_cluster"])
def url(request: pytest.FixtureRequest) -> str:
    """A new, empty database of every kind, over every driver that a URL names."""
    url = url_of(request, OTHER_DRIVERS.get(request.param, request.param))
    return url.replace("mysql", "mysql+aiomysql", 1) if request.param == "aiomysql" else url


class Caller:
    """A user who calls with keys."""

    def __init__(self, service: Service, session: str) -> None:
        self.service = service
        self._session = session
        self.keys = service.client.app[LIFESPAN].runtime.keys
        self.records: RecordStore = self.keys.records

    async def __call__(self, method: str, key: str, **parameters: Any) -> Any:
        """The result, or the code of the error."""
        headers = {"idempotency-key": key}
        answer = await self.service.call(method, parameters, session=self._session, **headers)
        return answer["result"] if "result" in answer else f"error {answer['error']['code']}"

    async def record(self) -> Record:
        """The record of the only key."""
        [record] = await self.records.list_records("ada", KIND)
        return record

    async def lapse(self) -> None:
        """Let the first call be one that must be over, as after its process was killed."""
        record = await self.record()
        entry = replace(unpack(record.value), until=time.time() - 1)
        await self.records.put_record(replace(record, value=pack(entry)))


async def caller_of(service: Service) -> Caller:
    """A new user."""
    runs.clear()
    failed.clear()
    gates.clear()
    return Caller(service, await service.create())


async def test_one_run_for_a_key(serve: Serve, url: str) -> None:
    """Of many calls with a key, in two services on one database, one runs."""
    callers = [await caller_of(await serve(METHODS, database=url))]
    if url != "memory://":
        other = await serve(METHODS, database=url)
        login = {"user_id": "ada", "password": "correct horse"}
        callers.append(Caller(other, (await other.result("account.login", login))["session_id"]))
    answers = await asyncio.gather(*(callers[n % len(callers)]("count", "k") for n in range(12)))
    assert set(answers) <= {1, "error 1014"}
    assert 1 in answers
    assert [await caller("count", "k") for caller in callers] == [1] * len(callers)
    assert runs == ["count"]


async def test_a_key_whose_call_does_not_run(serve: Serve, url: str) -> None:
    """If it may have been stored, and that failed or comes late, a repeat runs all the same, once."""
    service = await serve(METHODS, database=url)
    caller = await caller_of(service)
    keys = service.client.app[LIFESPAN].runtime.keys
    keys.records = failing = Failing(keys.records)
    for fails in ("before", "after", "late"):
        for is_taken in (False, True):
            key = f"{fails} {is_taken}"
            if is_taken:  # the key of a call that has failed
                assert await caller("count", key, once=key) == "error 1000"
            failing.fails = fails
            parameters = {"once": key} if is_taken else {}
            assert await caller("count", key, **parameters) == "error 1011"
            await keys.close()
            assert [await save() for save in failing.late] == [False] * len(failing.late), key
            before = len(runs)
            assert [await caller("count", key, **parameters) for _ in range(2)] == [before + 1] * 2, key
            failing.late.clear()


async def test_a_write_of_which_nobody_knows(store: Store) -> None:
    """A call goes on with the version that its record has, whether or not the write was carried out."""
    for fails in ("before", "after", "late"):
        failing = Failing(store)
        entry = Entry(State.RUNNING, time.time() + WATCHDOG, b"", nonce=fails.encode())
        record = Record(KIND, fails, "ada", pack(entry))
        assert await store.add_record(record)
        claim = Claim(failing, record, entry)
        failing.fails = fails
        with pytest.raises(Unavailable):
            await claim.begin()
        assert await claim.save(Entry(State.RESULT, 0, b"")), fails
        assert [await save() for save in failing.late] == [False] * len(failing.late)
        found = await store.get_record(KIND, fails)
        assert found is not None
        assert unpack(found.value).state is State.RESULT, fails
        other = Claim(failing, record, entry)
        failing.fails = "before"
        with pytest.raises(Unavailable):
            await other.begin()
        assert not await other.save(entry), "it has lost its place"


async def test_two_writes_of_which_nobody_knows(store: Store) -> None:
    """Whichever of them was carried out, the call goes on with the version that its record has."""
    for first in ("before", "after", "late"):
        for second in ("before", "after", "late"):
            failing = Failing(store)
            entry = Entry(State.RUNNING, time.time() + WATCHDOG, b"", nonce=f"{first} {second}".encode())
            record = Record(KIND, f"{first} {second}", "ada", pack(entry))
            assert await store.add_record(record)
            claim = Claim(failing, record, entry)
            failing.fails = first
            with pytest.raises(Unavailable):
                await claim.begin()
            failing.fails = second
            with pytest.raises(EndsCallError):
                await claim.rolled_back(TimeoutError())
            assert await claim.save(Entry(State.RESULT, 0, b"")), (first, second)
            assert [await save() for save in failing.late] == [False] * len(failing.late)


@pytest.fixture(params=notes.KINDS)
async def caller(request: pytest.FixtureRequest, serve: Serve) -> Caller:
    """A user of a service on each kind of database that has transactions, and a table there."""
    service = await serve(METHODS, database=url_of(request, request.param))
    await service.result("create")
    return await caller_of(service)


async def notes_of(caller: Caller) -> list[str]:
    """The notes that everyone sees."""
    found: list[str] = await caller("listed", "")
    return found


async def test_a_transaction_counts_once(caller: Caller) -> None:
    """Whatever the call ends with, its note is there once; after what undid it, a repeat adds it."""
    assert [await caller("add", "a", text="a") for _ in range(2)] == [1, 1]
    assert unpack((await caller.record()).value).state is State.RESULT
    assert [await caller("add_plainly", "b", text="b") for _ in range(2)] == [2, 2]
    assert [await caller("add", "c", text="c", within="refuse") for _ in range(2)] == ["error 2001"] * 2
    assert await caller("add", "d", text="d", after="fail") == "error 1000"
    assert await caller("add", "d", text="d", after="fail") == "error 1016"  # it was committed
    assert await caller("add", "e", text="e", after="refuse") == "error 2001"
    assert await caller("add", "e", text="e", after="refuse") == "error 2001"
    assert [await caller("add", "f", text="f", within="fail") for _ in range(2)] == ["error 1000"] * 2
    assert runs == ["a", "b", "c", "d", "e", "f", "f"]
    assert await notes_of(caller) == ["a", "b", "d", "e"]


async def test_a_transaction_that_was_cut_off(caller: Caller) -> None:
    """By the time limit: it was rolled back, so a repeat runs, and adds the note.

    So does one that was cut off before, if the method does nothing outside of its transaction.
    """
    for method in ("late", "later"):
        runs.clear()
        first = asyncio.ensure_future(caller(method, "k", text=method))
        async with asyncio.timeout(WATCHDOG):
            while method not in gates:
                await asyncio.sleep(0.01)
            caller.service.cut_off()
            assert await first == "error 1013"
            while (answer := await caller(method, "k", text=method)) == "error 1014":
                await asyncio.sleep(0.01)
        assert (answer, await caller(method, "k", text=method)) == (2, 2)
        assert runs == [method] * 2
    assert await notes_of(caller) == ["late", "later"]


async def test_a_call_whose_place_was_taken(caller: Caller) -> None:
    """A first call that lives after all, in its transaction, is rolled back: the note is there once."""
    first = asyncio.ensure_future(caller("add", "k", text="a", within="gate"))
    async with asyncio.timeout(WATCHDOG):
        while "gate" not in gates:
            await asyncio.sleep(0.01)
    if not hasattr(caller.records, "db") or not hasattr(caller.records.db, "execute_fetchall"):
        assert await caller("add", "k", text="a", within="gate") == "error 1014"
        await caller.lapse()
        record = await caller.record()
        assert unpack(record.value).state is State.IN_TRANSACTION
        taken = replace(unpack(record.value), state=State.CUT_OFF)
        assert await caller.records.save_record(replace(record, value=pack(taken)))
        gates["gate"].set()
        assert await first == "error 1011"
        assert await notes_of(caller) == []
        assert await caller("add", "k", text="a", within="gate") == "error 1016"
    else:  # which has one writer
        gates["gate"].set()
        assert await first == 1
        assert await notes_of(caller) == ["a"]


async def test_after_a_transaction_that_was_rolled_back(caller: Caller) -> None:
    """What the call does then is done once: if its process is killed, nobody knows the outcome."""
    first = asyncio.ensure_future(caller("undo", "k", text="a", after="gate"))
    async with asyncio.timeout(WATCHDOG):
        while "gate" not in gates:
            await asyncio.sleep(0.01)
    await caller.lapse()
    assert await caller("undo", "k", text="a", after="gate") == "error 1016"
    gates["gate"].set()
    assert await first == 1
    assert [await caller("undo", "b", text="b") for _ in range(2)] == [2, 2]
    assert runs == ["a", "b"]
    assert await notes_of(caller) == []


HOW = ("refused", "cancelled", "late", "beside")


async def test_after_an_error_that_a_method_has_swallowed(caller: Caller) -> None:
    """Of what it does then nobody knows the outcome, if its process is killed: it is not done again."""
    for how in HOW:
        gates.clear()
        first = asyncio.ensure_future(caller("swallow", how, how=how, after=how))
        async with asyncio.timeout(WATCHDOG):
            while how not in gates:
                await asyncio.sleep(0.01)
        assert unpack((await caller.record()).value).state is State.RUNNING, how
        await caller.lapse()
        assert await caller("swallow", how, how=how, after=how) == "error 1016"
        gates[how].set()
        await first
        assert runs.count(how) == 1
        await caller.records.remove_records("ada", KIND)


async def test_a_key_that_cannot_say_what_its_call_does(caller: Caller) -> None:
    """The call ends, whatever errors its method swallows, before it does something outside."""
    records = caller.keys.records
    for method, how in (*(("swallow", how) for how in HOW), ("swallow_plainly", "")):
        for fails in ("before", "after", "late"):
            gates.clear()
            before = len(runs)
            caller.keys.records = failing = Failing(records)
            # The key is added, and says that a transaction begins; what follows fails.
            failing.fail_saves_after = 1
            failing.fails_then = fails
            assert await caller(method, f"{how} {fails}", how=how) == "error 1011", how
            assert len(runs) == before
            await caller.keys.close()
            caller.keys.records = records
            for late in failing.late:
                await late()
            assert await caller(method, f"{how} {fails}", how=how) == before + 1
            await caller.records.remove_records("ada", KIND)


async def test_after_a_killed_process(caller: Caller) -> None:
    """A call that was within its transaction is repeated; any other is not."""
    for state in (State.IN_TRANSACTION, State.COMMITTED, State.RUNNING):
        assert await caller("count", "k") == len(runs)
        record = await caller.record()
        entry = replace(unpack(record.value), state=state, until=time.time() - 1)
        await caller.records.put_record(replace(record, value=pack(entry)))
        before = len(runs)
        outcome = await caller("count", "k")
        is_repeated = state is State.IN_TRANSACTION
        assert outcome == (before + 1 if is_repeated else "error 1016"), state
        assert len(runs) == before + is_repeated
        await caller.records.remove_records("ada", KIND)
