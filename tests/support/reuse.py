"""Empty stores for tests: the tables of an SQL server are emptied and used again, as new ones are dear.

A test that changes the tables themselves, or kills what uses them, takes a URL of its own instead.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.sql_stores import run
from tests.support.stores import opened_by
from toto_aio.stores import Store

KINDS = ("postgresql", "mysql")
"""The servers on which a table is dear."""
TURNS = 25
"""How many databases take turns, so that what the test before left running cannot write into the next one."""
EMPTY = (
    "DELETE FROM toto_accounts",
    "DELETE FROM toto_sessions",
    "DELETE FROM toto_counters",
    "DELETE FROM toto_records",
)

_free: defaultdict[str, deque[str]] = defaultdict(deque)
_used: set[str] = set()


def used_url(kind: str) -> str | None:
    """The URL of a database for ``empty_store``, if enough of them have been used."""
    return _free[kind].popleft() if len(_free[kind]) >= TURNS else None


@asynccontextmanager
async def empty_store(driver: str, url: str) -> AsyncIterator[Store]:
    """The store at a URL, which is new or from ``used_url``, over a driver of ``opened_by``; it is empty."""
    async with opened_by(driver, url) as store:
        if url in _used:
            for statement in EMPTY:
                await run(store, statement)
        yield store
    kind = url.partition(":")[0]
    if kind in KINDS:
        _used.add(url)
        _free[kind].append(url)
