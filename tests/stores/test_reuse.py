"""Databases that several tests use, one after another: none finds what another has left."""

from __future__ import annotations

import time
from collections import defaultdict, deque

import pytest

from tests.conftest import url_of
from tests.support import reuse
from tests.support.sql_stores import KINDS, run
from tests.support.stores import make_record, make_session
from toto_aio.models import Account


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database that takes no turns with those of other tests."""
    monkeypatch.setattr(reuse, "_free", defaultdict(deque))
    monkeypatch.setattr(reuse, "TURNS", 1)
    return url_of(request, request.param)


async def test_a_store_that_is_opened_again(url: str) -> None:
    """Every table of it is empty, apart from the one that says how the tables look."""
    kind = url.partition(":")[0]
    async with reuse.empty_store(kind, url) as store:
        tables = {row[0] for row in await run(store, reuse.LAYOUTS[kind])}
        await store.add_account(Account("ada", None))
        await store.add_session(make_session("k"))
        await store.increment("counter", time.time())
        await store.add_record(make_record("a"))
    assert reuse.used_url(kind) == url
    async with reuse.empty_store(kind, url) as store:
        for table in tables - {"toto_schema"}:
            assert await run(store, f"SELECT * FROM {table}") == [], table  # noqa: S608


async def test_a_table_that_was_changed(url: str) -> None:
    """The next test that gets the database fails, and names the one that has changed it."""
    kind = url.partition(":")[0]
    async with reuse.empty_store(kind, url) as store:
        await run(store, "ALTER TABLE toto_records ADD more INTEGER")
    with pytest.raises(AssertionError, match=r"test_a_table_that_was_changed.* has changed the tables"):
        async with reuse.empty_store(kind, url):
            pass
