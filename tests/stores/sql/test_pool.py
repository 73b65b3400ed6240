"""The pool of the stores on an SQL server: time limits, cancellation, and a server that fails."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from tests.conftest import server_module
from tests.support.limits import WATCHDOG, limits
from tests.support.servers import Server
from tests.support.service import eventually
from tests.support.sql_stores import (
    KINDS,
    assert_unavailable,
    every_operation,
    frozen,
    locked,
    opened,
    run,
    session,
    traceback_of,
)
from toto_aio.exceptions import Unavailable
from toto_aio.models import Account
from toto_aio.stores import Store, open_store
from toto_aio.stores.sql import operations, pool


@pytest.fixture(scope="module", params=KINDS)
def own_server(request: pytest.FixtureRequest) -> Iterator[tuple[str, Server]]:
    """A server of each kind for this module only, as it is going to be killed."""
    with server_module(request.param).server() as server:
        yield request.param, server


@pytest.fixture
def own_url(own_server: tuple[str, Server]) -> str:
    """The URL of a new, empty database on that server."""
    kind, server = own_server
    return str(server_module(kind).fresh_url(server))


# Time limits


async def test_a_frozen_server(own_server: tuple[str, Server], own_url: str) -> None:
    """Each operation is unavailable within its limit, and works again when the server does."""
    async with opened(own_url) as store:
        await store.add_session(session("k"))
        await asyncio.gather(*(store.get_account("ada") for _ in range(10)))
        with (
            frozen(own_server[1]),
            limits(operations, OPERATION_LIMIT=0.4),
            limits(pool, CONNECT_LIMIT=0.3, CLOSE_LIMIT=0.2),
        ):
            for _ in range(2):  # on connections that were open, and on new ones
                calls = (assert_unavailable(call()) for _, call in every_operation(store)[:10])
                await asyncio.gather(*calls)
        async with asyncio.timeout(WATCHDOG):
            assert await store.get_session("k") is not None
            await store.add_session(session("new"))


async def test_closing_while_the_server_is_frozen(own_server: tuple[str, Server], own_url: str) -> None:
    """A store closes while the server does not answer."""
    store = await open_store(own_url)
    await asyncio.gather(*(store.increment("a", 60) for _ in range(5)))
    await run(store, "SELECT 1")
    with frozen(own_server[1]):
        under_way = asyncio.create_task(store.get_session("k"))
        await asyncio.sleep(0.05)
        await asyncio.wait_for(store.close(), WATCHDOG)
        await assert_unavailable(under_way)


async def test_a_frozen_server_cannot_be_opened(own_server: tuple[str, Server], own_url: str) -> None:
    """Opening a store fails after the time limit for connecting."""
    with frozen(own_server[1]), limits(pool, CONNECT_LIMIT=0.3):
        await assert_unavailable(open_store(own_url))


async def test_an_exhausted_pool(own_url: str) -> None:
    """While every connection waits for a lock, a further operation fails within the pool's limit."""
    async with opened(own_url) as store:
        await store.add_session(session("k"))
        async with locked(store, "k"):
            waiting = [asyncio.create_task(store.save_session(session("k"))) for _ in range(pool.MAX_SIZE)]
            await asyncio.sleep(0.2)
            with limits(pool, POOL_LIMIT=0.2):
                await assert_unavailable(store.get_session("k"))
                await assert_unavailable(store.increment("a", 60))
        assert sorted(await asyncio.gather(*waiting)) == [False] * (pool.MAX_SIZE - 1) + [True]
        assert await store.get_session("k") is not None


async def test_a_lock_that_stays(own_url: str) -> None:
    """A write that waits too long is unavailable, and is not carried out later."""
    async with opened(own_url) as store:
        await store.add_session(session("k"))
        async with locked(store, "k"):
            with limits(operations, OPERATION_LIMIT=0.3):
                await assert_unavailable(store.save_session(session("k", b"late")))
                await assert_unavailable(store.remove_session("k"))
            await _nobody_waits(store)
        await asyncio.sleep(0.1)
        assert await store.get_session("k") == session("k")


# Cancellation


async def test_cancelled_operations(own_url: str) -> None:
    """Wherever an operation is cancelled, the next one gets its own result."""
    rng = random.Random(1)  # noqa: S311
    async with opened(own_url) as store:
        keys = [f"key {n}" for n in range(20)]
        for key in keys:
            await store.add_session(session(key, key.encode()))
            await store.add_account(Account(key, key))
        calls: list[Callable[[str], Coroutine[Any, Any, Any]]] = [
            store.get_session,
            store.get_account,
            lambda key: store.save_session(session(key, key.encode())),
        ]
        tasks = []
        for n in range(200):
            tasks.append(asyncio.create_task(calls[n % 3](keys[n % len(keys)])))
            asyncio.get_running_loop().call_later(rng.uniform(0, 0.02), tasks[-1].cancel)
            if n % 10 == 9:
                await asyncio.sleep(rng.uniform(0, 0.01))
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(3):
            found = await asyncio.gather(*(store.get_session(key) for key in keys))
            assert [one and (one.key, one.state) for one in found] == [(key, key.encode()) for key in keys]
            accounts = await asyncio.gather(*(store.get_account(key) for key in keys))
            assert accounts == [Account(key, key) for key in keys]


async def test_a_cancelled_write_is_ended(own_url: str) -> None:
    """An operation that waits for a lock on the server stops waiting when it is cancelled."""
    async with opened(own_url) as store:
        await store.add_session(session("k"))
        async with locked(store, "k"):
            writes = [asyncio.create_task(store.save_session(session("k", b"late"))) for _ in range(3)]
            await asyncio.sleep(0.1)
            for write in writes:
                write.cancel()
            await asyncio.wait(writes, timeout=WATCHDOG)
            assert all(write.cancelled() for write in writes)
            await _nobody_waits(store)
        assert await store.get_session("k") == session("k")


async def _nobody_waits(store: Store) -> None:
    if hasattr(store.db, "fetch"):
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    else:
        query = """SELECT count(*) FROM information_schema.processlist
            WHERE command IN ('Query', 'Execute') AND id <> CONNECTION_ID()"""
    async with asyncio.timeout(WATCHDOG):
        while await run(store, query) != [(0,)]:  # the server does not report it
            await asyncio.sleep(0.02)


async def test_a_cancelled_opening(own_url: str) -> None:
    """Wherever the opening of a store is cancelled, it leaves nothing open and can be tried again."""
    for steps in range(0, 60, 4):
        opening = asyncio.create_task(open_store(own_url))
        await asyncio.sleep(steps / 1000)
        opening.cancel()
        [outcome] = await asyncio.gather(opening, return_exceptions=True)
        if not isinstance(outcome, BaseException):
            await outcome.close()
    async with opened(own_url) as store:
        await store.add_account(Account("ada", None))


async def test_closing_while_operations_are_in_progress(own_url: str) -> None:
    """Operations in progress succeed or are unavailable; after that every operation is unavailable."""
    store = await open_store(own_url)
    writes = [asyncio.create_task(store.add_session(session(f"k{n}"))) for n in range(30)]
    await asyncio.sleep(0.005)
    await asyncio.wait_for(store.close(), WATCHDOG)
    for outcome in await asyncio.wait_for(asyncio.gather(*writes, return_exceptions=True), WATCHDOG):
        assert outcome is None or isinstance(outcome, Unavailable)
    await assert_unavailable(store.get_session("k0"))
    await assert_unavailable(store.increment("a", 60))


# A server that stops


async def test_a_killed_server(own_server: tuple[str, Server], own_url: str) -> None:
    """Operations are unavailable while the server is down; afterwards they work, and nothing is lost."""
    async with opened(own_url) as store:
        await store.add_account(Account("ada", "old"))
        written = []

        async def write() -> None:
            for n in range(10_000):
                await store.add_session(session(f"k{n}"))
                written.append(f"k{n}")

        writing = asyncio.create_task(write())
        await eventually(lambda: bool(written))
        own_server[1].kill()
        with pytest.raises(Unavailable):
            await asyncio.wait_for(writing, WATCHDOG)
        for _, call in every_operation(store):
            await assert_unavailable(call())
        await asyncio.to_thread(own_server[1].start)
        assert await store.replace_password("ada", "old", "new") is True
        found = await asyncio.gather(*(store.get_session(key) for key in written))
        assert None not in found


@pytest.mark.parametrize("is_read", [True, False])
async def test_a_restart_while_idle(own_server: tuple[str, Server], own_url: str, is_read: bool) -> None:
    """The first operation after a restart works, even if the event loop has not noticed the restart."""
    async with opened(own_url) as store:
        await store.add_account(Account("ada", "old"))
        await asyncio.gather(*(store.get_account("ada") for _ in range(5)))
        own_server[1].stop()
        own_server[1].start()
        calls = [call for reads, call in every_operation(store) if reads is is_read]
        for call in calls:
            await call()


async def test_no_server(own_server: tuple[str, Server], own_url: str) -> None:
    """The error for a store that cannot be opened names the database, but not the password."""
    own_server[1].stop()
    try:
        with pytest.raises(Unavailable) as error:
            await open_store(own_url)
    finally:
        own_server[1].start()
    assert "Cannot open the database" in str(error.value)
    assert str(own_server[1].port) in str(error.value)
    assert "p@ss" not in traceback_of(error.value)
    assert "p%40ss" not in traceback_of(error.value)
