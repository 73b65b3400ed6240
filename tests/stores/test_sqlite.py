"""What is specific to SQLite: its file, its URL, its locks, and the connection for methods."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import sys
import threading
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import aiosqlite
import argon2
import pytest

from tests.support.limits import WATCHDOG, limits
from tests.support.service import Serve
from toto_aio import Handler
from toto_aio.auth.accounts import Accounts
from toto_aio.auth.passwords import Passwords
from toto_aio.auth.sessions import Sessions
from toto_aio.exceptions import Unavailable, UserIDExists
from toto_aio.models import Account, Session
from toto_aio.settings import Settings, SettingsError
from toto_aio.stores import Store, open_store, sqlite_busy
from toto_aio.stores.memory import MemoryStore


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Store]:
    """The store in a file, closed afterwards."""
    store = await open_store(f"sqlite:///{path}")
    try:
        yield store
    finally:
        await store.close()


@contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of another program that is writing to the file, until it commits or is closed."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


def files(folder: Path) -> dict[str, bytes]:
    """The content of each file in a folder and its subfolders, by relative path."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@pytest.fixture(autouse=True)
async def _no_thread_outlives_a_test() -> AsyncIterator[None]:
    """The thread of a connection that ended later would use an event loop that is closed."""
    before = set(threading.enumerate())
    yield
    await ended(set(threading.enumerate()) - before)


async def ended(threads: set[threading.Thread]) -> None:
    """Wait for threads to end, except asyncio's own, which wait for work."""
    for thread in threads:
        if not thread.name.startswith("asyncio"):
            await asyncio.to_thread(thread.join, WATCHDOG)
            assert not thread.is_alive()


def make_session(key: str) -> Session:
    """A session that is valid for a day."""
    now = time.time()
    return Session(key, "ada", now, now + 86400, b"state")


# The file


async def test_nobody_else_can_read_the_files(tmp_path: Path) -> None:
    """They have the keys of sessions. An existing file keeps its permissions."""
    shared = tmp_path / "shared.db"
    shared.touch(0o640)
    async with opened(tmp_path / "toto.db"), opened(shared):
        modes = {entry.name: entry.stat().st_mode & 0o777 for entry in os.scandir(tmp_path)}
    assert modes.pop("shared.db") == 0o640
    assert {name: mode for name, mode in modes.items() if name.startswith("toto")} == {
        "toto.db": 0o600,
        "toto.db-shm": 0o600,
        "toto.db-wal": 0o600,
    }


async def test_the_file_has_a_write_ahead_log(tmp_path: Path) -> None:
    """The journal mode belongs to the file, and applies to every program that opens it."""
    async with opened(tmp_path / "toto.db"):
        with closing(sqlite3.connect(tmp_path / "toto.db")) as other:
            assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_every_connection_syncs_every_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``synchronous`` is FULL (2) on the store's own connections and on ``db``."""
    connections = []
    connect = aiosqlite.connect

    def remember(*args: Any, **kwargs: Any) -> aiosqlite.Connection:
        connections.append(connect(*args, **kwargs))
        return connections[-1]

    monkeypatch.setattr(aiosqlite, "connect", remember)
    async with opened(tmp_path / "toto.db") as store:
        assert store.db in connections
        assert len(connections) >= 2
        for connection in connections:
            for pragma, value in (("synchronous", 2), ("journal_mode", "wal")):
                assert list(await connection.execute_fetchall(f"PRAGMA {pragma}")) == [(value,)]


async def test_data_survives_reopening(tmp_path: Path) -> None:
    """Accounts and sessions are found after the file is opened again."""
    session = make_session("k")
    async with opened(tmp_path / "toto.db") as store:
        await store.add_account(Account("grüße", "hash", {"name": "🦊"}))
        await store.add_session(session)
        await store.save_session(session)
    async with opened(tmp_path / "toto.db") as store:
        assert await store.get_account("grüße") == Account("grüße", "hash", {"name": "🦊"})
        session.version = 2
        assert await store.get_session("k") == session


async def test_a_commit_is_visible_to_others_immediately(tmp_path: Path) -> None:
    """What was acknowledged is in the file, even while the store is open."""
    async with opened(tmp_path / "toto.db") as store, opened(tmp_path / "toto.db") as other:
        await store.add_account(Account("ada", "hash"))
        assert await other.get_account("ada") == Account("ada", "hash")


async def test_a_sweep_takes_the_rows_away(tmp_path: Path) -> None:
    """Expired rows are deleted, each counted once, and the others stay."""
    now = time.time()
    async with opened(tmp_path / "toto.db") as store:
        for n in range(5):
            await store.add_session(Session(f"old{n}", "ada", now - 9, now - n - 1, b""))
        await store.add_session(make_session("living"))
        assert await store.sweep() == 5
        assert list(await store.db.execute_fetchall("SELECT session_key FROM toto_sessions")) == [("living",)]
        assert await store.sweep() == 0


async def test_session_ids_are_not_in_the_file(tmp_path: Path) -> None:
    """Anyone who reads the database, or its log, cannot take over a session."""
    passwords = Passwords(argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    async with opened(tmp_path / "toto.db") as store:
        sessions = Sessions(store, Accounts(store, passwords), Settings())
        ids = []
        for user_id in ("", "somebody", "somebody"):
            session = await sessions.create(user_id)
            session["list"] = [1]
            await session.save()
            assert await sessions.load(session.session_id) is not None
            ids.append(session.session_id.encode())
        during = files(tmp_path)
    passwords.close()
    after = files(tmp_path)
    assert b"somebody" in during["toto.db-wal"]
    assert b"somebody" in after["toto.db"]
    for content in (*during.values(), *after.values()):
        assert not [session_id for session_id in ids if session_id in content]


# The URL


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite", "toto.db"),
        ("sqlite:///toto.db", "toto.db"),
        ("sqlite:///data/my.db", "data/my.db"),
        ("sqlite:////{folder}/absolute.db", "absolute.db"),
        ("sqlite:///with%20space%3F%23%25.db", "with space?#%.db"),
        ("sqlite:///gr%C3%BC%C3%9Fe.db", "grüße.db"),
        ("sqlite:///:memory:.db", ":memory:.db"),
        ("sqlite:///data/:memory:", "data/:memory:"),
        ("sqlite:///file:toto.db", "file:toto.db"),
    ],
)
async def test_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, file: str) -> None:
    """A URL names a file: relative with three slashes, absolute with four; ``sqlite`` is toto.db."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    store = await open_store(url.format(folder=str(tmp_path).strip("/")))
    await store.add_account(Account("ada", None))
    await store.close()
    with closing(sqlite3.connect(tmp_path / file)) as other:
        assert other.execute("SELECT user_id FROM toto_accounts").fetchall() == [("ada",)]
    assert list(files(tmp_path)) == [file]


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///:memory:",
        "sqlite:///%3Amemory%3A",
        "sqlite://localhost/toto.db",
        "sqlite://toto.db",
        "sqlite://user:secret@host/toto.db",
        "sqlite:",
        "sqlite://",
        "sqlite:///",
    ],
)
async def test_refused_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """A host, no file, or a database in memory is refused, with an error that says what to write."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError) as refused:
        await open_store(url)
    assert "sqlite://" in str(refused.value).partition("write")[2]
    assert "\n" not in str(refused.value)
    assert files(tmp_path) == {}


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:toto.db",  # must not lose the first letter
        "sqlite:/toto.db",
        "sqlite:///toto.db?mode=ro",  # nor the option
        "sqlite:///toto#1.db",  # nor the end of the name
        "sqlite:///toto%00.db",
        "sqlite://[",
    ],
)
async def test_urls_that_would_open_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """A URL that is not fully understood is refused, instead of opening a file with another name."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError):
        store = await open_store(url)
        await store.close()
    assert files(tmp_path) == {}


@pytest.mark.parametrize("database", ["", "sqlit", "oracle://host/name", "/var/toto"])
async def test_unknown_databases(database: str) -> None:
    """The error lists the known schemes."""
    with pytest.raises(SettingsError, match=r"memory://.*sqlite://"):
        await open_store(database)


@pytest.mark.parametrize("database", [None, 1, b"memory", Path("toto.db"), {}])
async def test_what_is_neither_a_url_nor_a_store(database: Any) -> None:
    """The error names the type of the value."""
    with pytest.raises(SettingsError, match=type(database).__name__):
        await open_store(database)


async def test_a_ready_store() -> None:
    """A ready store is returned as it is."""
    store = MemoryStore()
    assert await open_store(store) is store


# What cannot be opened


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """The error is ``Unavailable``, and names the path."""
    with pytest.raises(Unavailable) as error:
        await open_store(f"sqlite:///{tmp_path}/missing/toto.db")
    assert f"{tmp_path}/missing/toto.db" in error.value.value
    assert files(tmp_path) == {}


async def test_a_folder_instead_of_a_file(tmp_path: Path) -> None:
    """The error is ``Unavailable``, and names the path."""
    with pytest.raises(Unavailable) as error:
        await open_store(f"sqlite:///{tmp_path}")
    assert str(tmp_path) in error.value.value


@pytest.mark.parametrize(
    "content", [b"no database\n" * 1000, b"SQLite format 3\x00" + b"\xff" * 5000, b"\x00" * 4096]
)
async def test_a_file_that_is_not_a_database(tmp_path: Path, content: bytes) -> None:
    """The error is ``Unavailable`` and names the path; the file is unchanged."""
    file = tmp_path / "toto.db"
    file.write_bytes(content)
    with pytest.raises(Unavailable) as error:
        await open_store(f"sqlite:///{file}")
    assert str(file) in error.value.value
    assert file.read_bytes() == content


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("CREATE TABLE toto_sessions (a)", "no such column|no column named"),
        ("CREATE VIEW toto_sessions AS SELECT 1 AS user_id", "views may not be indexed"),
        ("CREATE TABLE toto_schema (a)", "no such column: version"),
        ("CREATE TABLE toto_schema (version INTEGER, a NOT NULL)", "NOT NULL constraint failed"),
    ],
)
async def test_a_table_of_somebody_else(tmp_path: Path, statement: str, why: str) -> None:
    """The error is ``Unavailable``, names the path, and says why; the table is unchanged."""
    file = tmp_path / "toto.db"
    with closing(sqlite3.connect(file)) as other:
        other.execute(statement)
    with pytest.raises(Unavailable) as error:
        await open_store(f"sqlite:///{file}")
    assert re.fullmatch(f"Cannot open the database {str(file)!r}: .*({why}).*", error.value.value)
    with closing(sqlite3.connect(file)) as other:
        assert other.execute("SELECT count(*) FROM sqlite_master WHERE sql IS NOT NULL").fetchall() == [(1,)]


@pytest.mark.parametrize("replaced", [False, True])
async def test_a_file_that_is_removed(tmp_path: Path, replaced: bool) -> None:
    """What would be lost with the process is refused, with the reason; with the file, writes are back."""
    file = tmp_path / "toto.db"
    store: Any
    async with opened(file) as store:
        session = make_session("k")
        await store.add_session(session)
        aside = tmp_path / "aside"
        file.rename(aside)
        if replaced:
            file.touch()
        for refused in (
            store.add_account(Account("ada", "hash")),
            store.increment("n", 60),
            store.touch_session("k", time.time() + 9, time.time()),
            store.transactions.begin(),
        ):
            with pytest.raises(Unavailable) as error:
                await refused
            assert f"the open database {str(file)!r} was moved or removed" in str(error.value.__cause__)
        assert await store.get_session("k") == session
        assert file.exists() is replaced
        aside.rename(file)
        await store.add_account(Account("ada", "hash"))
        await (await store.transactions.begin()).rollback()
    async with opened(file) as store:
        assert await store.get_account("ada") == Account("ada", "hash")


async def test_a_service_without_its_file(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is not ready, creates no account that a restart would lose, and the log says why."""
    service = await serve(database=f"sqlite:///{tmp_path}/toto.db")
    await service.create("ada")
    for name in files(tmp_path):
        (tmp_path / name).unlink()
    answer = await service.call("account.create", {"user_id": "bob", "password": "correct horse"})
    assert answer["error"]["code"] == 1011
    response = await service.client.get("/health/ready")
    assert response.status == 503
    assert "was moved or removed" in caplog.text
    assert files(tmp_path) == {}


OPENINGS = """
import asyncio, sys
from toto_aio.exceptions import Unavailable
from toto_aio.stores import open_store

for _ in range(10):
    for url in sys.argv[1:]:
        try:
            asyncio.run(open_store(url))
        except Unavailable as exc:
            print(exc.value)
"""


async def test_a_failed_opening_leaves_nothing_behind(tmp_path: Path) -> None:
    """Nothing is left that writes a traceback after the event loop is closed: the error is one line."""
    (tmp_path / "toto.db").write_bytes(b"no database\n" * 1000)
    urls = [f"sqlite:///{tmp_path}/{path}" for path in ("toto.db", "missing/toto.db")]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", OPENINGS, *urls, stdout=PIPE, stderr=PIPE
    )
    output, errors = await process.communicate()
    assert len(output.splitlines()) == 20
    assert errors.decode() == ""


# Locks


async def test_a_write_waits_for_a_lock(tmp_path: Path) -> None:
    """While another program writes, a write waits; afterwards it succeeds."""
    async with opened(tmp_path / "toto.db") as store:
        with locked(tmp_path / "toto.db") as other:
            write = asyncio.create_task(store.add_account(Account("ada", "hash")))
            assert await asyncio.wait({write}, timeout=0.2) == (set(), {write})
            other.execute("COMMIT")
            await asyncio.wait_for(write, WATCHDOG)
        assert await store.get_account("ada") == Account("ada", "hash")


async def test_a_lock_that_stays(tmp_path: Path) -> None:
    """After the busy timeout each write is unavailable; once the lock is released, nothing is lost."""
    async with opened(tmp_path / "toto.db") as store:
        session = make_session("k")
        await store.add_account(Account("ada", "hash"))
        await store.add_session(session)
        with locked(tmp_path / "toto.db"), limits(sqlite_busy, BUSY_TIMEOUT=0.2):
            start = time.monotonic()
            with pytest.raises(Unavailable):
                await asyncio.wait_for(store.add_account(Account("eve", "hash")), WATCHDOG)
            assert time.monotonic() - start > 0.15  # it has waited
            for write in (
                store.update_account("ada", {"n": 1}),
                store.add_session(make_session("other")),
                store.save_session(session),
                store.touch_session("k", time.time() + 9, time.time()),
                store.remove_session("k"),
                store.remove_sessions("ada"),
                store.sweep(),
            ):
                with pytest.raises(Unavailable):
                    await write
        assert await store.get_account("eve") is None
        assert await store.get_account("ada") == Account("ada", "hash")
        assert await store.get_session("k") == session
        await store.add_account(Account("eve", "hash"))


async def test_reads_continue_while_another_program_writes(tmp_path: Path) -> None:
    """A read does not wait for a writer of another process."""
    async with opened(tmp_path / "toto.db") as store:
        await store.add_account(Account("ada", "hash"))
        with locked(tmp_path / "toto.db"):
            assert await asyncio.wait_for(store.get_account("ada"), WATCHDOG) == Account("ada", "hash")


async def test_reads_continue_while_a_write_waits(tmp_path: Path) -> None:
    """A read does not wait for a writer of its own process: the other calls of a worker continue."""
    async with opened(tmp_path / "toto.db") as store:
        await store.add_account(Account("ada", "hash"))
        with locked(tmp_path / "toto.db") as other:
            write = asyncio.create_task(store.update_account("ada", {"n": 1}))
            await asyncio.wait({write}, timeout=0.1)
            read = asyncio.create_task(store.get_account("ada"))
            done, _ = await asyncio.wait({read}, timeout=WATCHDOG)
            other.execute("COMMIT")
            assert await write is True
            await read
            assert done == {read}


async def test_writes_that_wait_together_end_together(tmp_path: Path) -> None:
    """Each write has the busy timeout, not the sum of those before it: every wait is limited."""
    count = 3 * int(WATCHDOG / 0.4)  # one after the other, they would take three times as long as they may
    async with opened(tmp_path / "toto.db") as store:
        with locked(tmp_path / "toto.db"), limits(sqlite_busy, BUSY_TIMEOUT=0.4):
            async with asyncio.timeout(WATCHDOG):
                writes = (store.add_session(make_session(f"k{n}")) for n in range(count))
                outcomes = await asyncio.gather(*writes, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [Unavailable] * count


async def test_opening_waits_for_a_lock(tmp_path: Path) -> None:
    """A new file that another program has locked is opened when the lock is released."""
    with closing(sqlite3.connect(tmp_path / "toto.db", isolation_level=None)) as other:
        other.execute("CREATE TABLE theirs (x)")
        other.execute("BEGIN EXCLUSIVE")
        opening = asyncio.create_task(open_store(f"sqlite:///{tmp_path}/toto.db"))
        assert await asyncio.wait({opening}, timeout=0.2) == (set(), {opening})
        other.execute("COMMIT")
        store = await asyncio.wait_for(opening, WATCHDOG)
    await store.add_account(Account("ada", None))
    await store.close()


async def test_opening_gives_up(tmp_path: Path) -> None:
    """A file that stays locked is unavailable after the busy timeout."""
    with closing(sqlite3.connect(tmp_path / "toto.db", isolation_level=None)) as other:
        other.execute("CREATE TABLE theirs (x)")
        other.execute("BEGIN EXCLUSIVE")
        with limits(sqlite_busy, BUSY_TIMEOUT=0.2), pytest.raises(Unavailable) as error:
            await asyncio.wait_for(open_store(f"sqlite:///{tmp_path}/toto.db"), WATCHDOG)
    assert str(tmp_path / "toto.db") in error.value.value


# Cancellation and the end


async def test_a_cancelled_write_leaves_the_store_usable(tmp_path: Path) -> None:
    """A call that is cancelled while it waits for a lock does not block others."""
    async with opened(tmp_path / "toto.db") as store:
        with locked(tmp_path / "toto.db") as other:
            write = asyncio.create_task(store.add_account(Account("ada", "hash")))
            await asyncio.wait({write}, timeout=0.1)
            write.cancel()
            assert await asyncio.wait({write}, timeout=WATCHDOG) == ({write}, set())
            assert write.cancelled()
            other.execute("COMMIT")
        await store.add_account(Account("eve", "hash"))
        assert await store.get_account("eve") == Account("eve", "hash")


async def test_operations_cancelled_anywhere(tmp_path: Path) -> None:
    """Wherever an operation is cancelled, it is carried out fully or not at all, and the next one works."""
    async with opened(tmp_path / "toto.db") as store:
        await store.add_account(Account("ada", "hash"))
        for steps in range(12):
            user_id = f"u{steps}"
            session = make_session(f"k{steps}")
            await store.add_session(session)
            tasks = [
                asyncio.create_task(store.add_account(Account(user_id, "hash", {"n": 1}))),
                asyncio.create_task(store.update_account("ada", {user_id: 1})),
                asyncio.create_task(store.save_session(session)),
                asyncio.create_task(store.get_session(session.key)),
            ]
            for _ in range(steps):
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            with suppress(UserIDExists):
                await store.add_account(Account(user_id, "hash", {"n": 1}))
            assert await store.get_account(user_id) == Account(user_id, "hash", {"n": 1})
            assert await store.update_account("ada", {"last": steps}) is True
            read = await store.get_session(session.key)
            assert read is not None
            assert await store.save_session(read) is True
        account = await store.get_account("ada")
        assert account is not None
        assert account.version == 1 + 12 + sum(name.startswith("u") for name in account.values)


async def test_a_cancelled_opening_leaves_nothing(tmp_path: Path) -> None:
    """Wherever the opening is cancelled, its threads end and the file can be opened."""
    before = set(threading.enumerate())
    for steps in range(0, 30, 2):
        opening = asyncio.create_task(open_store(f"sqlite:///{tmp_path}/{steps}.db"))
        for _ in range(steps):
            await asyncio.sleep(0)
        opening.cancel()
        [outcome] = await asyncio.gather(opening, return_exceptions=True)
        if not isinstance(outcome, BaseException):
            await outcome.close()
        await ended(set(threading.enumerate()) - before)
        async with opened(tmp_path / f"{steps}.db") as store:
            await store.add_account(Account("ada", None))


async def test_close_ends_the_threads(tmp_path: Path) -> None:
    """After ``close`` no thread of the store is left, and closing it again does no harm."""
    before = set(threading.enumerate())
    async with opened(tmp_path / "toto.db") as store:
        await store.add_account(Account("ada", None))
        during = set(threading.enumerate()) - before
        assert during
        await asyncio.wait_for(store.close(), WATCHDOG)
        await ended(during)
        await asyncio.wait_for(store.close(), WATCHDOG)


async def test_close_after_an_author_closed_db(tmp_path: Path) -> None:
    """A method that has closed ``db`` does not prevent the store from closing."""
    async with opened(tmp_path / "toto.db") as store:
        await store.db.close()
        await store.add_account(Account("ada", None))
        await asyncio.wait_for(store.close(), WATCHDOG)


async def test_closing_while_operations_are_in_progress(tmp_path: Path) -> None:
    """Closing waits for operations or ends them, and neither hangs."""
    async with opened(tmp_path / "toto.db") as store:
        writes = [asyncio.create_task(store.add_session(make_session(f"k{n}"))) for n in range(20)]
        await asyncio.sleep(0)
        await asyncio.wait_for(store.close(), WATCHDOG)
        await asyncio.wait_for(asyncio.gather(*writes, return_exceptions=True), WATCHDOG)


# The connection for methods


async def test_db_is_a_separate_connection(tmp_path: Path) -> None:
    """A method's transaction does not see half of what the store does, and does not roll it back."""
    async with opened(tmp_path / "toto.db") as store:
        assert isinstance(store.db, aiosqlite.Connection)
        count = "SELECT count(*) FROM toto_accounts"
        await store.db.execute_fetchall("BEGIN")
        assert list(await store.db.execute_fetchall(count)) == [(0,)]
        await store.add_account(Account("ada", "hash"))
        assert list(await store.db.execute_fetchall(count)) == [(0,)]
        await store.db.rollback()
        assert list(await store.db.execute_fetchall(count)) == [(1,)]
        assert await store.get_account("ada") == Account("ada", "hash")


async def test_the_store_does_not_commit_for_a_method(tmp_path: Path) -> None:
    """What a method's transaction has not committed is not visible, and a rollback undoes it."""
    async with opened(tmp_path / "toto.db") as store:
        await store.add_account(Account("ada", "hash"))
        await store.db.execute_fetchall("BEGIN")
        await store.db.execute_fetchall("UPDATE toto_accounts SET password = 'theirs'")
        assert await store.get_account("ada") == Account("ada", "hash")
        await store.db.rollback()
        assert await store.get_account("ada") == Account("ada", "hash")


async def test_a_method_has_the_connection(serve: Serve, tmp_path: Path) -> None:
    """``handler.connection.db`` is a connection to the same file as the store."""

    async def names(handler: Handler, parameters: dict[str, Any]) -> Any:
        assert isinstance(handler.connection.db, aiosqlite.Connection)
        query = "SELECT user_id FROM toto_accounts ORDER BY user_id"
        return [name for (name,) in await handler.connection.db.execute_fetchall(query)]

    service = await serve({"names": names}, database=f"sqlite:///{tmp_path}/toto.db")
    await service.create("ada")
    await service.create("eve")
    assert await service.result("names") == ["ada", "eve"]
