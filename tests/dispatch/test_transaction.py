"""Transactions of methods, on every database that has them."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from tests.conftest import server_module
from tests.support import notes
from tests.support.limits import PATIENCE, WATCHDOG, limits
from tests.support.service import Serve, Service, eventually
from toto_aio import Handler, TotoException
from toto_aio.exceptions import TimedOut
from toto_aio.invocation import authenticated, cancellable
from toto_aio.stores import transactions

Parameters = dict[str, Any]


async def create(handler: Handler, parameters: Parameters) -> None:
    """Create the table."""
    await notes.create(handler.connection.db)


async def listed(handler: Handler, parameters: Parameters) -> list[str]:
    """The notes that everyone sees."""
    return await notes.listed(handler.connection.db)


async def add(handler: Handler, parameters: Parameters) -> None:
    """Add notes, and fail if told to."""
    async with handler.transaction() as connection:
        for text in parameters["texts"]:
            await notes.add(connection, handler.connection.db, text)
        if "fail" in parameters:
            raise TotoException(2001, "no")


@pytest.fixture(params=notes.KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Any) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/toto.db"
    return str(server_module(request.param).fresh_url(request.getfixturevalue("servers")(request.param)))


@pytest.fixture
def with_notes(serve: Serve, url: str) -> Callable[..., Awaitable[Service]]:
    """A service with the methods above and more, and an empty table."""

    async def run(methods: dict[str, Any] | None = None, **options: Any) -> Service:
        own = {"create": create, "listed": listed, "add": add, **(methods or {})}
        service = await serve(own, database=url, **options)
        await service.result("create")
        return service

    return run


async def test_the_end_commits_and_an_error_rolls_back(with_notes: Any) -> None:
    """What a block wrote is there after it, all of it or nothing."""
    service = await with_notes()
    await service.result("add", {"texts": ["a", "b"]})
    answer = await service.call("add", {"texts": ["c", "d"], "fail": True})
    assert answer == {"error": {"code": 2001, "value": "no"}}
    assert await service.result("listed") == ["a", "b"]


async def test_an_error_of_a_statement_rolls_back(with_notes: Any) -> None:
    """A second note of the same text undoes the first statement too, and is an error of the method."""
    service = await with_notes()
    await service.result("add", {"texts": ["a"]})
    assert (await service.call("add", {"texts": ["b", "a"]}))["error"]["code"] == 1000
    assert await service.result("listed") == ["a"]
    await service.result("add", {"texts": ["b"]})


async def test_each_call_has_its_own(with_notes: Any) -> None:
    """What one call has written is not seen before its end, and stays when another rolls back."""
    writing, go_on = asyncio.Event(), asyncio.Event()

    async def slow(handler: Handler, parameters: Parameters) -> None:
        async with handler.transaction() as connection:
            await notes.add(connection, handler.connection.db, "slow")
            writing.set()
            await go_on.wait()

    service = await with_notes({"slow": slow})
    calling = asyncio.create_task(service.call("slow"))
    await asyncio.wait_for(writing.wait(), WATCHDOG)
    assert await service.result("listed") == []
    failing = asyncio.create_task(service.call("add", {"texts": ["gone"], "fail": True}))
    await asyncio.wait([failing], timeout=0.1)
    go_on.set()
    assert "error" not in await calling
    assert "error" in await failing
    assert await service.result("listed") == ["slow"]


async def test_one_after_the_other_in_a_call(with_notes: Any) -> None:
    """A call may have several, but not one in another, where the first is rolled back by the error."""

    async def both(handler: Handler, parameters: Parameters) -> None:
        for text in ("a", "b"):
            async with handler.transaction() as connection:
                await notes.add(connection, handler.connection.db, text)
        async with handler.transaction() as connection:
            await notes.add(connection, handler.connection.db, "c")
            async with handler.transaction():
                pass

    service = await with_notes({"both": both}, debug=True)
    assert "pass its connection on" in (await service.call("both"))["error"]["value"]
    assert await service.result("listed") == ["a", "b"]


async def ended_by_the_limit(
    service: Service, method: str, is_there: Callable[[], bool], **parameters: Any
) -> None:
    """Call a method until its time limit has ended it where the test wants it.

    A busy machine gets no further in a short limit, so each attempt has a longer one. MongoDB refuses an
    attempt while what the one before it has begun is being undone.
    """
    seconds = 0.1
    async with asyncio.timeout(PATIENCE):
        while True:
            answer = await service.call(method, parameters, **{"x-toto-timeout": str(seconds)})
            if is_there():
                break
            if answer["error"]["code"] == TimedOut.CODE:
                seconds *= 2
            else:
                await asyncio.sleep(0.01)
    assert answer["error"]["code"] == TimedOut.CODE


async def test_the_time_limit_rolls_back(with_notes: Any) -> None:
    """A method that takes too long has written nothing, and others can write."""
    written = asyncio.Event()

    async def slow(handler: Handler, parameters: Parameters) -> None:
        async with handler.transaction() as connection:
            await notes.add(connection, handler.connection.db, "slow")
            written.set()
            await asyncio.sleep(PATIENCE)

    service = await with_notes({"slow": slow})
    await ended_by_the_limit(service, "slow", written.is_set)
    await asyncio.wait_for(service.result("add", {"texts": ["slow"]}), WATCHDOG)
    assert await service.result("listed") == ["slow"]


async def test_a_client_that_leaves_rolls_back(with_notes: Any) -> None:
    """A cancellable method whose client leaves has written nothing, and others can write."""
    begun = asyncio.Event()

    @cancellable
    async def slow(handler: Handler, parameters: Parameters) -> None:
        async with handler.transaction() as connection:
            await notes.add(connection, handler.connection.db, "slow")
            begun.set()
            await asyncio.sleep(WATCHDOG)

    service = await with_notes({"slow": slow})
    leaving = asyncio.create_task(service.call("slow"))
    await asyncio.wait_for(begun.wait(), WATCHDOG)
    leaving.cancel()
    async with asyncio.timeout(WATCHDOG):
        while "error" in await service.call("add", {"texts": ["slow"]}):
            """MongoDB does not wait for the other transaction: it ends the second one."""
    assert await service.result("listed") == ["slow"]


async def test_a_swallowed_cancellation_rolls_back(with_notes: Any) -> None:
    """A block that goes on after its time limit is not committed: the client is told that it failed."""

    swallowed = asyncio.Event()

    async def stubborn(handler: Handler, parameters: Parameters) -> None:
        async with handler.transaction() as connection:
            await notes.add(connection, handler.connection.db, "late")
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(PATIENCE)
            swallowed.set()

    service = await with_notes({"stubborn": stubborn})
    await ended_by_the_limit(service, "stubborn", swallowed.is_set)
    assert await service.result("listed") == []


async def test_a_commit_that_has_begun_is_carried_out(
    with_notes: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """If the time limit comes during the commit, the log says what became of it."""
    begun, go_on = asyncio.Event(), asyncio.Event()
    outcome = transactions._outcome

    async def slowly(committing: Awaitable[None]) -> Exception | None:
        begun.set()
        await go_on.wait()
        return await outcome(committing)

    monkeypatch.setattr(transactions, "_outcome", slowly)
    service = await with_notes()
    await ended_by_the_limit(service, "add", begun.is_set, texts=["a"])
    assert await service.result("listed") == []
    go_on.set()
    await eventually(lambda: "while its transaction was being committed; it was committed" in caplog.text)
    assert await service.result("listed") == ["a"]


async def test_in_a_thread(with_notes: Any) -> None:
    """A plain function writes ``with``, and gets the same connection."""

    def plain(handler: Handler, parameters: Parameters) -> None:
        with handler.transaction() as connection:
            handler.wait(notes.add(connection, handler.connection.db, parameters["text"]))
            if "fail" in parameters:
                raise TotoException(2001, "no")

    service = await with_notes({"plain": plain})
    await service.result("plain", {"text": "a"})
    assert (await service.call("plain", {"text": "b", "fail": True}))["error"]["code"] == 2001
    assert await service.result("listed") == ["a"]


async def test_a_thread_after_its_time_limit(with_notes: Any) -> None:
    """No limit ends a thread, but what it writes after the limit is rolled back."""
    go_on = threading.Event()
    written: list[str] = []
    raised: dict[str, type[BaseException]] = {}

    def slow(handler: Handler, parameters: Parameters) -> None:
        try:
            with handler.transaction() as connection:
                handler.wait(notes.add(connection, handler.connection.db, "late"))
                written.append(handler.transaction_id)
                go_on.wait(PATIENCE)
        except BaseException as exc:
            raised[handler.transaction_id] = type(exc)
            raise

    service = await with_notes({"slow": slow})
    await ended_by_the_limit(service, "slow", lambda: bool(written))
    go_on.set()
    await eventually(lambda: written[0] in raised)
    assert await service.result("listed") == []
    assert raised[written[0]] is TimedOut  # so it has been rolled back, not left


async def test_sessions_elsewhere(with_notes: Any) -> None:
    """With sessions in another store, a method in a transaction may save its session."""

    @authenticated
    async def both(handler: Handler, parameters: Parameters) -> Any:
        assert handler.session is not None
        async with handler.transaction() as connection:
            await notes.add(connection, handler.connection.db, "a")
            handler.session["notes"] = 1
            await handler.session.save()
        return handler.session["notes"]

    service = await with_notes({"both": both}, session_store="memory://")
    assert await service.result("both", session=await service.create()) == 1
    assert await service.result("listed") == ["a"]


async def test_outside_of_calls(with_notes: Any) -> None:
    """``connection.transaction()`` does the same at the start."""

    async def fill(connection: Any, application: Any) -> None:
        await notes.create(connection.db)
        async with connection.transaction() as own:
            await notes.add(own, connection.db, "first")

    async def nothing(handler: Handler, parameters: Parameters) -> None:
        """The table is there."""

    service = await with_notes({"create": nothing}, startup_function=fill)
    assert await service.result("listed") == ["first"]


@pytest.mark.parametrize("kind", ["memory", "redis"])
async def test_databases_without_transactions(
    kind: str, serve: Serve, request: pytest.FixtureRequest
) -> None:
    """The error says so, and what to use."""

    async def begin(handler: Handler, parameters: Parameters) -> None:
        async with handler.transaction():
            raise AssertionError

    found = "memory://"
    if kind == "redis":
        found = server_module(kind).fresh_url(request.getfixturevalue("servers")(kind))
    service = await serve({"begin": begin}, database=found, debug=True)
    expected = {"memory": "write database=sqlite:///toto.db", "redis": "db.pipeline(transaction=True)"}
    assert expected[kind] in (await service.call("begin"))["error"]["value"]


async def test_a_store_of_ones_own(serve: Serve) -> None:
    """A store that an application has written need not have transactions."""
    from toto_aio.stores.memory import MemoryStore

    class OwnStore(MemoryStore):
        transactions = None  # type: ignore[assignment]

    async def begin(handler: Handler, parameters: Parameters) -> None:
        async with handler.transaction():
            raise AssertionError

    service = await serve({"begin": begin}, database=OwnStore(), debug=True)
    assert "attribute 'transactions'" in (await service.call("begin"))["error"]["value"]


async def test_async_with_is_for_coroutines(with_notes: Any) -> None:
    """A plain ``with`` on the event loop says what to write."""

    async def wrong(handler: Handler, parameters: Parameters) -> None:
        with handler.transaction():
            raise AssertionError

    service = await with_notes({"wrong": wrong}, debug=True)
    assert "async with" in (await service.call("wrong"))["error"]["value"]


async def test_no_turn_in_time(with_notes: Any, url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Calls that get no connection in time are 1011, and the others go on."""
    from toto_aio.stores import sqlite_busy
    from toto_aio.stores.sql import pool

    go_on = asyncio.Event()
    begun = 0

    async def hold(handler: Handler, parameters: Parameters) -> None:
        nonlocal begun
        async with handler.transaction():
            begun += 1
            await go_on.wait()

    service = await with_notes({"hold": hold})
    caplog.set_level(logging.ERROR, "toto_aio.calls")
    with limits(transactions, BEGIN_LIMIT=0.2), limits(sqlite_busy, BUSY_TIMEOUT=0.2):
        calls = [asyncio.create_task(service.call("hold")) for _ in range(pool.MAX_SIZE + 3)]
        await eventually(lambda: begun + sum(call.done() for call in calls) == len(calls))
    codes = {call.result().get("error", {}).get("code") for call in calls if call.done()}
    assert codes == (set() if url.startswith("mongodb") else {1011})  # of which each has a connection
    waiting = [call for call in calls if not call.done()]
    go_on.set()
    for answer in await asyncio.gather(*waiting):
        assert "error" not in answer


@pytest.mark.parametrize("error", [FileNotFoundError("x"), RuntimeError("x"), TimeoutError("x")])
async def test_an_error_of_the_methods_own(with_notes: Any, error: Exception) -> None:
    """An error that drivers raise too is an outage only if the connection is lost."""

    async def fail(handler: Handler, parameters: Parameters) -> None:
        async with handler.transaction():
            raise error

    service = await with_notes({"fail": fail})
    assert (await service.call("fail"))["error"]["code"] == 1000


async def test_once_in_a_deployment(serve: Serve, tmp_path: Any) -> None:
    """Of all services that share a database one is told to do it, until the time has passed."""

    async def once(handler: Handler, parameters: Parameters) -> bool:
        return await handler.connection.once(parameters["name"], parameters["seconds"])

    async def endless(handler: Handler, parameters: Parameters) -> None:
        for seconds in (float("inf"), float("nan"), 1e18, 0, -1):
            with pytest.raises(ValueError, match="at most 3153600000"):
                await handler.connection.once("endless", seconds)

    methods = {"once": once, "endless": endless}
    services = [await serve(methods, database=f"sqlite:///{tmp_path}/toto.db") for _ in range(2)]
    assert await services[0].result("endless") is None
    for name in ("report", "x" * 5000):
        told = [await service.result("once", {"name": name, "seconds": 60}) for service in services * 2]
        assert told == [True, False, False, False]
    assert await services[0].result("once", {"name": "short", "seconds": 0.01})
    async with asyncio.timeout(WATCHDOG):
        while not await services[1].result("once", {"name": "short", "seconds": 0.01}):
            """It has not passed yet."""
