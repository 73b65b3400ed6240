"""What the tests of stores share: sessions, and every operation, to run while a database fails."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from tests.support.limits import WATCHDOG
from toto_aio.exceptions import Unavailable
from toto_aio.models import Account, Record, Session
from toto_aio.stores import Store, open_store

T = TypeVar("T")

NOW = float(int(time.time()))
LATER = NOW + 86400.5


def make_session(key: str, user_id: str = "ada", **fields: Any) -> Session:
    """A session that is valid for a day, unless ``fields`` say otherwise."""
    given = {"created": NOW, "expires": LATER, "state": b"state", **fields}
    return Session(key, user_id, **given)


def make_record(key: str, value: bytes = b"one", **fields: Any) -> Record:
    """A code of ada's that is valid for a day, unless ``fields`` say otherwise."""
    return Record(
        key=key, value=value, **{"kind": "code", "owner": "ada", "expires": LATER, "version": 1, **fields}
    )


@asynccontextmanager
async def opened(database: Any) -> AsyncIterator[Store]:
    """The store on a database, closed afterwards."""
    store = await open_store(database)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def opened_by(driver: str, url: str) -> AsyncIterator[Store]:
    """The store at a URL over a driver: that of the URL, ``aiomysql``, or a ready client of ``motor``."""
    if driver == "motor":
        from motor.motor_asyncio import AsyncIOMotorClient

        client = AsyncIOMotorClient[dict[str, Any]](url)
        async with opened(client) as store:
            assert store.db is client
            yield store
        client.close()
    else:
        if driver == "aiomysql":
            url = url.replace("mysql", "mysql+aiomysql", 1)
        async with opened(url) as store:
            yield store


def operations(store: Store) -> dict[str, Callable[[], Awaitable[Any]]]:
    """Every operation, by its name."""
    now = time.time()
    return {
        "get_account": lambda: store.get_account("ada"),
        "add_account": lambda: store.add_account(Account("eve", "hash")),
        "update_account": lambda: store.update_account("ada", {"n": 1}),
        "replace_password": lambda: store.replace_password("ada", "old", "new"),
        "remove_account": lambda: store.remove_account("bob"),
        "list_accounts": lambda: store.list_accounts("", 10),
        "get_session": lambda: store.get_session("k"),
        "add_session": lambda: store.add_session(make_session("other")),
        "save_session": lambda: store.save_session(make_session("k")),
        "touch_session": lambda: store.touch_session("k", now + 90, now),
        "list_sessions": lambda: store.list_sessions("ada"),
        "surplus_sessions": lambda: store.surplus_sessions("ada", 10, "k"),
        "remove_session": lambda: store.remove_session("k"),
        "remove_sessions": lambda: store.remove_sessions("ada"),
        "increment": lambda: store.increment("a", 60),
        "get_counter": lambda: store.get_counter("a"),
        "add_once": lambda: store.add_once("b", 60),
        "get_record": lambda: store.get_record("code", "a"),
        "add_record": lambda: store.add_record(make_record("a")),
        "put_record": lambda: store.put_record(make_record("a")),
        "save_record": lambda: store.save_record(make_record("a")),
        "list_records": lambda: store.list_records("ada", "code"),
        "remove_record": lambda: store.remove_record("code", "a"),
        "remove_records": lambda: store.remove_records("ada"),
    }


async def assert_all_unavailable(store: Store) -> None:
    """Assert that all operations, at the same time, are unavailable.

    None may wait for a limit that the test has not shortened.
    """
    async with asyncio.timeout(WATCHDOG):
        outcomes = await asyncio.gather(
            *(operation() for operation in operations(store).values()), return_exceptions=True
        )
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * len(outcomes)


async def serves_again(store: Store) -> None:
    """Wait until the store works again, with nothing restarted."""
    await once_available(lambda: store.add_account(Account(f"back {time.monotonic()}", None)))


async def once_available(operation: Callable[[], Awaitable[T]]) -> T:
    """Repeat an operation until it is available, and return its result."""
    async with asyncio.timeout(WATCHDOG):
        while True:
            try:
                return await operation()
            except Unavailable:
                await asyncio.sleep(0.02)


async def write_until_killed(store: Store, kill: Callable[[], None]) -> list[str]:
    """Add accounts, eight at a time, until the server is killed. Returns the acknowledged user ids."""
    acknowledged = []

    async def write(number: int) -> None:
        for n in range(10_000):
            try:
                await store.add_account(Account(f"{number}.{n}", None))
            except Unavailable:
                return
            acknowledged.append(f"{number}.{n}")

    writers = [asyncio.create_task(write(number)) for number in range(8)]
    while len(acknowledged) < 50:  # kill the server in the middle of it
        await asyncio.sleep(0.01)
    await asyncio.to_thread(kill)
    await asyncio.wait(writers, timeout=WATCHDOG)
    assert all(writer.done() for writer in writers)
    return acknowledged


async def cancelled_anywhere(store: Store, rounds: int) -> None:
    """Cancel operations at random moments, and assert that later ones get their own results."""
    choose = random.Random(1)  # noqa: S311  # the same moments in every run
    keys = [f"k{n}" for n in range(20)]
    for key in keys:
        await store.add_session(make_session(key, state=key.encode()))
        await store.add_account(Account(key, key))
    for n in range(rounds):
        tasks = [
            asyncio.ensure_future(awaitable)
            for key in choose.sample(keys, 4)
            for awaitable in (store.get_session(key), store.get_account(key), store.increment(key, 60))
        ]
        if n % 2:
            await asyncio.sleep(choose.uniform(0, 0.003))
        else:
            for _ in range(choose.randrange(12)):
                await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        found = await asyncio.gather(*map(store.get_session, keys))
        assert found == [make_session(key, state=key.encode()) for key in keys]
        await asyncio.gather(*tasks, return_exceptions=True)
    accounts = await asyncio.gather(*map(store.get_account, keys))
    assert accounts == [Account(key, key) for key in keys]
    # Counters of their own: the server may count what was cancelled a little later.
    numbers = range(1000, 1020)
    counts = await asyncio.gather(*(store.increment(f"later {n}", 3600, n) for n in numbers))
    assert counts == list(numbers)
