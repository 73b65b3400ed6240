"""What the tests of the SQL stores share."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from tests.support.limits import WATCHDOG
from tests.support.servers import Server
from tests.support.stores import make_record
from toto_aio.exceptions import Unavailable
from toto_aio.models import Account, Session
from toto_aio.stores import Store, open_store

KINDS = ("postgresql", "mysql")
PERSISTENT = ("sqlite", *KINDS)
NOW = float(int(time.time()))


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    """The store at a URL, closed afterwards."""
    store = await open_store(url)
    try:
        yield store
    finally:
        await asyncio.wait_for(store.close(), WATCHDOG)


@contextmanager
def frozen(server: Server) -> Iterator[None]:
    """A server that does nothing, while its connections stay open."""
    server.freeze()
    try:
        yield
    finally:
        server.thaw()


@asynccontextmanager
async def locked(store: Store, key: str) -> AsyncIterator[None]:
    """A session that a method's transaction has locked, so that writes to it wait."""
    async with store.db.acquire() as connection:
        query = f"SELECT 1 FROM toto_sessions WHERE session_key = '{key}' FOR UPDATE"  # noqa: S608
        if hasattr(connection, "transaction"):
            async with connection.transaction():
                await connection.execute(query)
                yield
        else:
            await connection.begin()
            try:
                cursor = await connection.cursor()
                await cursor.execute(query)
                yield
            finally:
                await connection.rollback()


async def run(store: Store, statement: str) -> list[Any]:
    """Return the rows of a statement, on a connection for methods."""
    if hasattr(store.db, "execute_fetchall"):
        return [tuple(row) for row in await store.db.execute_fetchall(statement)]
    async with store.db.acquire() as connection:
        if hasattr(connection, "fetch"):
            return [tuple(row) for row in await connection.fetch(statement)]
        cursor = await connection.cursor()
        await cursor.execute(statement)
        return [tuple(row) for row in await cursor.fetchall()]


def session(key: str, state: bytes = b"state") -> Session:
    """A session that is valid for a day."""
    return Session(key, "ada", NOW, NOW + 86400, state)


async def assert_unavailable(operation: Awaitable[Any]) -> None:
    """Assert that an operation is unavailable, and waits for no limit that the test has not shortened."""
    async with asyncio.timeout(WATCHDOG):
        with pytest.raises(Unavailable):
            await operation


def traceback_of(error: BaseException) -> str:
    """The traceback of an error, as a log would have it."""
    return "".join(traceback.format_exception(error))


def every_operation(store: Store) -> list[tuple[bool, Callable[[], Awaitable[Any]]]]:
    """Every operation, and whether it only reads."""
    return [
        (True, lambda: store.get_account("ada")),
        (True, lambda: store.get_session("k")),
        (True, lambda: store.list_sessions("ada")),
        (False, lambda: store.add_account(Account("eve", None))),
        (False, lambda: store.replace_password("ada", "old", "new")),
        (False, lambda: store.save_session(session("k"))),
        (False, lambda: store.touch_session("k", time.time() + 9, time.time())),
        (False, lambda: store.remove_session("none")),
        (False, lambda: store.remove_sessions("none")),
        (False, lambda: store.increment("counter", 60)),
        (False, lambda: store.add_once("once", 60)),
        (False, lambda: store.sweep()),
        (False, lambda: store.remove_account("bob")),
        (True, lambda: store.surplus_sessions("ada", 10, "k")),
        (True, lambda: store.list_accounts("", 10)),
        (True, lambda: store.get_record("code", "a")),
        (True, lambda: store.list_records("ada", "code")),
        (False, lambda: store.add_record(make_record("a"))),
        (False, lambda: store.put_record(make_record("a"))),
        (False, lambda: store.save_record(make_record("a"))),
        (False, lambda: store.remove_record("code", "a")),
        (False, lambda: store.remove_records("ada")),
    ]
