"""The tables of a database, and their migration from older versions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from toto_aio.settings import SettingsError
from toto_aio.stores.sql.dialect import Dialect
from toto_aio.stores.sql.driver import Driver, Run


def _create_tables(d: Dialect) -> Sequence[str]:
    return [
        *d.table(
            "toto_accounts",
            f"""user_id {d.key} NOT NULL PRIMARY KEY, password {d.hash}, extra {d.text} NOT NULL,
            version {d.integer} NOT NULL""",
        ),
        *d.table(
            "toto_sessions",
            f"""session_key {d.key} NOT NULL PRIMARY KEY, user_id {d.key} NOT NULL,
            created {d.real} NOT NULL, expires {d.real} NOT NULL, state {d.blob} NOT NULL,
            version {d.integer} NOT NULL, signing_key {d.blob} NOT NULL,
            seen {d.real} NOT NULL, address {d.text} NOT NULL, agent {d.text} NOT NULL""",
            "user_id",
            "expires",
        ),
        *d.table(
            "toto_counters",
            f"""counter_key {d.key} NOT NULL PRIMARY KEY, count {d.integer} NOT NULL,
            expires {d.real} NOT NULL""",
            "expires",
        ),
    ]


def _create_records(d: Dialect) -> Sequence[str]:
    return d.table(
        "toto_records",
        f"""record_key {d.key} NOT NULL PRIMARY KEY, owner {d.key} NOT NULL, value {d.blob} NOT NULL,
        expires {d.real} NOT NULL, version {d.integer} NOT NULL""",
        "owner, record_key",
        "expires",
    )


MIGRATIONS: tuple[Callable[[Dialect], Sequence[str]], ...] = (_create_tables, _create_records)
"""Step n brings a database from version n to n + 1; a new database has version 0.

A step may run twice if the server stops in the middle of it, so it creates only what is missing.
"""


async def create_schema(driver: Driver, dialect: Dialect) -> None:
    """Bring a database to the newest version, even if other processes do so at the same time.

    Raises ``SettingsError`` if the database has a newer version than this code.
    """
    if await _version(driver.fetch, dialect) < len(MIGRATIONS):
        await driver.create_schema(partial(_migrate, dialect))


async def _migrate(dialect: Dialect, run: Run) -> None:
    if not await run(dialect.has_schema):
        # Some servers refuse tables without a primary key. Before version 0.2.0 it had none.
        columns = f"version {dialect.integer} NOT NULL PRIMARY KEY"
        await run(f"CREATE TABLE toto_schema ({columns}) {dialect.table_options}")
    if not await run("SELECT version FROM toto_schema"):
        await run("INSERT INTO toto_schema (version) VALUES (0)")
    version = await _version(run, dialect)
    for number, step in enumerate(MIGRATIONS[version:], version + 1):
        for statement in step(dialect):
            await run(statement)
        await run("UPDATE toto_schema SET version = ?", number)


async def _version(run: Run, dialect: Dialect) -> int:
    rows = await run("SELECT version FROM toto_schema") if await run(dialect.has_schema) else []
    version = rows[0][0] if rows else 0
    if not isinstance(version, int):
        raise SettingsError(
            "database: its table toto_schema is not one of toto-aio's; use another database, or rename it"
        )
    if version > len(MIGRATIONS):
        raise SettingsError(
            f"database: its tables are version {version}, and this toto-aio knows up to {len(MIGRATIONS)}; "
            "install a newer one: pip install --upgrade toto-aio"
        )
    return version
