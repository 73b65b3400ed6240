"""Empty stores for tests: the tables of an SQL server are emptied and used again, as new ones are dear.

A test that changes the tables themselves, or kills what uses them, takes a URL of its own instead.
"""

from __future__ import annotations

import os
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.support.sql_stores import run
from tests.support.stores import opened_by
from toto_aio.stores import Store

LAYOUTS = {
    # Its information schema takes longer.
    "postgresql": """
        SELECT relname::text, attname::text, atttypid::int
        FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
        WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND attnum > 0
        ORDER BY 1, 2
    """,
    "mysql": """
        SELECT table_name, column_name, column_type FROM information_schema.columns
        WHERE table_schema = DATABASE() ORDER BY 1, 2
    """,
}
"""The servers on which a table is dear, and how to read which tables a database has, and their columns."""
TURNS = 25
"""How many databases take turns, so that what the test before left running cannot write into the next one."""
EMPTY = (
    "DELETE FROM toto_accounts",
    "DELETE FROM toto_sessions",
    "DELETE FROM toto_counters",
    "DELETE FROM toto_records",
)

_free: defaultdict[str, deque[str]] = defaultdict(deque)
_users: dict[str, str] = {}
"""The test that used a database last."""
_layouts: dict[str, list[Any]] = {}


def used_url(kind: str) -> str | None:
    """The URL of a database for ``empty_store``, if enough of them have been used."""
    return _free[kind].popleft() if len(_free[kind]) >= TURNS else None


@asynccontextmanager
async def empty_store(driver: str, url: str) -> AsyncIterator[Store]:
    """The store at a URL, which is new or from ``used_url``, over a driver of ``opened_by``; it is empty."""
    kind = url.partition(":")[0]
    async with opened_by(driver, url) as store:
        if kind in LAYOUTS and (kind not in _layouts or url in _users):
            layout = await run(store, LAYOUTS[kind])
            assert layout == _layouts.setdefault(kind, layout), (
                f"{_users.get(url)} has changed the tables of a database that others use after it; "
                "give it the URL of one of its own: shared_url"
            )
        if url in _users:
            for statement in EMPTY:
                await run(store, statement)
        yield store
    if kind in LAYOUTS:
        _users[url] = os.environ["PYTEST_CURRENT_TEST"].partition(" ")[0]
        _free[kind].append(url)
