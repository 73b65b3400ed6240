"""The schema of the SQL stores: it is created and migrated once, by however many processes."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable

import pytest

from tests.support.limits import patience_of_a_process
from tests.support.sql_stores import opened, run
from tests.support.stores import make_record
from toto_aio.models import Account
from toto_aio.settings import SettingsError
from toto_aio.stores import open_store
from toto_aio.stores.sql import schema
from toto_aio.stores.sql.dialect import Dialect


async def test_the_schema_has_a_version(new_url: str) -> None:
    """The version is in the only row of a table, and opening the store again does not change it."""
    for _ in range(2):
        async with opened(new_url) as store:
            assert await run(store, "SELECT * FROM toto_schema") == [(len(schema.MIGRATIONS),)]


async def test_a_newer_schema_is_refused(new_url: str) -> None:
    """A program that does not know the tables leaves them unchanged, and says what to do."""
    async with opened(new_url) as store:
        await run(store, "UPDATE toto_schema SET version = 99")
        with pytest.raises(SettingsError, match=r"version 99, .* pip install"):
            await open_store(new_url)
        assert await run(store, "SELECT * FROM toto_schema") == [(99,)]


async def test_the_table_of_an_older_version(new_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The version's table of before 0.2.0, without a primary key, is used and migrated as it is."""
    async with opened(new_url) as store:
        await store.add_account(Account("ada", "hash"))
        await run(store, "DROP TABLE toto_schema")
        await run(store, "CREATE TABLE toto_schema (version bigint NOT NULL)")
        await run(store, "INSERT INTO toto_schema VALUES (1)")
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, lambda _: []))
    async with opened(new_url) as store:
        assert await store.get_account("ada") == Account("ada", "hash")
        assert await run(store, "SELECT * FROM toto_schema") == [(len(schema.MIGRATIONS),)]


async def test_a_database_from_before_records(new_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database of version 1 gets the table of records, once, and keeps what it has."""
    with monkeypatch.context() as before:
        before.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        async with opened(new_url) as store:
            await store.add_account(Account("ada", "hash", {"n": 1}))
            assert await store.increment("a", 60) == 1
            assert await run(store, "SELECT * FROM toto_schema") == [(1,)]
    stores = await asyncio.gather(*(open_store(new_url) for _ in range(4)))
    assert sorted([await store.add_record(make_record("a")) for store in stores]) == [False] * 3 + [True]
    assert await stores[0].get_account("ada") == Account("ada", "hash", {"n": 1})
    assert await stores[0].increment("a", 60) == 2
    assert await run(stores[0], "SELECT * FROM toto_schema") == [(len(schema.MIGRATIONS),)]
    await asyncio.gather(*(store.close() for store in stores))


async def test_a_version_that_is_none(new_url: str) -> None:
    """A table of another program that has the same name is left alone, and the error names it."""
    async with opened(new_url) as store:
        await run(store, "DROP TABLE toto_schema")
        await run(store, "CREATE TABLE toto_schema (version varchar(9))")
        await run(store, "INSERT INTO toto_schema VALUES ('1a')")
        with pytest.raises(SettingsError, match="toto_schema is not one of toto-aio's"):
            await open_store(new_url)
        assert await run(store, "SELECT * FROM toto_schema") == [("1a",)]


async def test_an_older_schema_is_migrated(new_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of those that open the store runs the missing steps in order, and stored data is kept."""
    async with opened(new_url) as store:
        await store.add_account(Account("ada", "hash", {"n": 1}))
    steps: tuple[Callable[[Dialect], list[str]], ...] = (
        lambda dialect: [f"ALTER TABLE toto_accounts ADD a {dialect.integer} NOT NULL DEFAULT 7"],
        lambda _: ["UPDATE toto_accounts SET a = a * 2", "UPDATE toto_accounts SET a = a + 1"],
    )
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, *steps))
    stores = await asyncio.gather(*(open_store(new_url) for _ in range(5)))
    for store in stores:
        assert await store.get_account("ada") == Account("ada", "hash", {"n": 1})
    assert await run(stores[0], "SELECT a FROM toto_accounts") == [(15,)]
    assert await run(stores[0], "SELECT * FROM toto_schema") == [(len(schema.MIGRATIONS),)]
    await asyncio.gather(*(store.close() for store in stores))


async def test_tables_without_a_version(new_url: str) -> None:
    """A schema whose creation was interrupted is completed."""
    async with opened(new_url) as store:
        await store.add_account(Account("ada", "hash"))
        await run(store, "DROP TABLE toto_counters")
        await run(store, "DELETE FROM toto_schema")
        await store.close()
    async with opened(new_url) as store:
        assert await store.get_account("ada") == Account("ada", "hash")
        assert await store.increment("a", 60) == 1
        assert await run(store, "SELECT * FROM toto_schema") == [(len(schema.MIGRATIONS),)]


async def test_concurrent_creation(new_url: str) -> None:
    """Eight stores are opened on an empty database at the same time, and each works."""
    stores = await asyncio.gather(*(open_store(new_url) for _ in range(8)))
    for n, store in enumerate(stores):
        await store.add_account(Account(f"user {n}", None))
    assert await run(stores[0], "SELECT count(*) FROM toto_accounts") == [(8,)]
    await asyncio.gather(*(store.close() for store in stores))


async def test_concurrent_creation_by_processes(new_url: str) -> None:
    """Four processes open an empty database at the same time, and each works."""
    body = """
import asyncio, sys
from toto_aio.models import Account
from toto_aio.stores import open_store

async def main():
    sys.stdin.readline()
    store = await open_store(sys.argv[1])
    await store.add_account(Account(sys.argv[2], None))
    await store.close()

print("ready", flush=True)
asyncio.run(main())
"""
    command = [sys.executable, "-W", "error", "-c", patience_of_a_process(new_url) + body, new_url]
    started = [
        await asyncio.create_subprocess_exec(*command, str(n), stdin=PIPE, stdout=PIPE, stderr=PIPE)
        for n in range(4)
    ]
    for process in started:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    answers = await asyncio.gather(*(process.communicate(b"start\n") for process in started))
    for process, (_, errors) in zip(started, answers, strict=True):
        assert (process.returncode, errors.decode()) == (0, "")
    async with opened(new_url) as store:
        assert await run(store, "SELECT count(*) FROM toto_accounts") == [(4,)]
