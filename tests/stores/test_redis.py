"""What is specific to Redis: its URL, what it drops by itself, and the client for methods."""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis, Sentinel

import tests.support.servers.redis
from tests.support.limits import WATCHDOG
from tests.support.servers import Server, free_port
from tests.support.stores import LATER, make_record, make_session, opened, operations
from toto_aio.exceptions import Unavailable
from toto_aio.models import NEVER, Account
from toto_aio.settings import SettingsError
from toto_aio.stores import Store, open_store, portions

KIND = "redis"
"""The kind of server that this module has for itself."""

NOW = time.time()


def traceback_of(error: BaseException) -> str:
    """The traceback of an error, as a log would have it, without the lines of this file."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    befores = ["", *lines[:-1]]
    return "\n".join(line for before, line in zip(befores, lines, strict=True) if __file__ not in before)


@pytest.fixture
async def admin(url: str) -> AsyncIterator[Any]:
    """Another client of the database, which sends commands of its own."""
    client = Redis.from_url(url)
    yield client
    await client.aclose()


# The URL


@pytest.mark.parametrize(
    "url",
    [
        "redis://cache/first",
        "redis://cache/0/1",
        "redis://cache/-1",
        "redis://cache:port",
        "redis://cache:70000",
        "redis://cache?db=-1",
        "redis://cache?retries=1",
        "redis://cache?password=secret",
        "redis://cache?ssl_ca_certs=ca.pem",
        "redis://ada:my/secret@cache/0",
        "redis://ada:my#secret@cache/0",
        "redis://ada:my?secret@cache/0",
    ],
)
async def test_a_url_that_is_not_understood(url: str) -> None:
    """The error says what to write and shows no password, nor do its causes."""
    with pytest.raises(SettingsError, match="write redis://user:password@host:6379/0") as error:
        await open_store(url)
    assert "secret" not in traceback_of(error.value)


async def test_no_server() -> None:
    """The error names the database that cannot be opened, without the password."""
    port = free_port()
    with pytest.raises(Unavailable, match=f"Cannot open the database redis://.*{port}") as error:
        await open_store(f"redis://:secret@127.0.0.1:{port}/0")
    assert "secret" not in traceback_of(error.value)


async def test_a_wrong_password(own_server: Server, url: str) -> None:
    """The error includes the message of the server, but not the password."""
    with pytest.raises(Unavailable, match=r"AUTH|WRONGPASS") as error:
        await open_store(url.replace("://", "://ada:secret@"))
    assert "secret" not in traceback_of(error.value)


async def test_a_user_and_a_password(admin: Any, url: str) -> None:
    """The user and password in the URL open the database, for the store and for methods."""
    await admin.execute_command("ACL", "SETUSER", "ada", "on", ">a@b/c", "~toto:*", "+@all")
    async with opened(url.replace("://", "://ada:a%40b%2Fc@")) as store:
        await store.add_account(Account("ada", None))
        assert await store.get_account("ada") == Account("ada", None)
        assert await store.db.execute_command("ACL", "WHOAMI") == b"ada"


async def test_a_database_that_does_not_exist(own_server: Server) -> None:
    """The error says that the server has no database with that number."""
    with pytest.raises(Unavailable, match="out of range"):
        await open_store(f"redis://127.0.0.1:{own_server.port}/{tests.support.servers.redis.DATABASES}")


# Ready clients, and the client for methods


async def test_a_ready_client(admin: Any) -> None:
    """A ready client becomes ``db`` and stays open; the store uses its database."""
    async with opened(admin) as store:
        assert store.db is admin
        await store.add_session(make_session("k"))
        assert await admin.exists("toto:session:k") == 1
    assert await admin.ping()


async def test_a_ready_client_on_a_socket_that_decodes(own_server: Server) -> None:
    """However a client is configured, the store reads bytes."""
    client = Redis(unix_socket_path=f"{own_server.directory}/socket", db=999, decode_responses=True)
    async with opened(client) as store:
        session = make_session("k", state=bytes(range(256)))
        await store.add_session(session)
        assert await store.get_session("k") == session
        assert [each.key for each in await store.list_sessions("ada")] == ["k"]
    await client.aclose()


async def test_clients_of_sentinel() -> None:
    """A client of replicas is refused; without a Sentinel that answers, the error says so in a few words."""
    sentinel = Sentinel([("localhost", free_port())])  # type: ignore[no-untyped-call]
    with pytest.raises(
        SettingsError, match=r"give a redis\.asyncio\.Redis of one server, sentinel\.master_for"
    ):
        await open_store(sentinel.slave_for("toto"))
    with pytest.raises(Unavailable, match=r"Cannot open the database of the client: no Sentinel .* primary$"):
        await open_store(sentinel.master_for("toto"))
    await sentinel.aclose()


async def test_db_is_a_separate_client(own_store: Store, admin: Any) -> None:
    """``db`` opens no connection before it is used, and is closed with the store."""
    number = str(admin.connection_pool.connection_kwargs["db"])

    async def count() -> int:
        return len([each for each in await admin.client_list() if each["db"] == number])

    before = await count()
    assert isinstance(own_store.db, Redis)
    await own_store.db.set("mine", "1")
    assert await own_store.db.get("mine") == b"1"
    assert await count() == before + 1
    await own_store.close()
    async with asyncio.timeout(WATCHDOG):
        while await count() != before - 1:  # the server notices it a little later
            await asyncio.sleep(0.01)


# What Redis drops by itself


async def test_redis_drops_sessions(own_store: Store, admin: Any) -> None:
    """A session expires with its key in Redis; a save keeps the time, and a touch sets it."""
    await own_store.add_session(make_session("k", expires=time.time() + 1000))
    assert 980_000 < await admin.pttl("toto:session:k") <= 1_000_001
    await own_store.save_session(make_session("k"))
    assert 980_000 < await admin.pttl("toto:session:k") <= 1_000_001
    await own_store.touch_session("k", time.time() + 500, NOW)
    assert 480_000 < await admin.pttl("toto:session:k") <= 500_001
    await own_store.touch_session("k", NOW - 1, NOW)
    assert await admin.exists("toto:session:k") == 0


async def test_redis_drops_counters(own_store: Store, admin: Any) -> None:
    """A counter expires with its key in Redis, whose time runs from the start of the counter."""
    await own_store.increment("a", 1000)
    await own_store.increment("a", 9000)
    await own_store.add_once("b", 500)
    assert 980_000 < await admin.pttl("toto:counter:a") <= 1_000_000
    assert 480_000 < await admin.pttl("toto:counter:b") <= 500_000
    await own_store.increment("c", -1)
    assert await admin.exists("toto:counter:c") == 0


async def test_only_accounts_are_permanent(own_store: Store, admin: Any) -> None:
    """Every key except those of accounts expires."""
    for operation in operations(own_store).values():
        await operation()
    keys = {key for key in await admin.keys() if await admin.ttl(key) < 0}
    assert keys == {b"toto:account:eve", b"toto:accounts"}


async def test_redis_drops_records(own_store: Store, admin: Any) -> None:
    """A record expires with its key, and its indexes after the last of theirs; what never expires stays."""
    index = "toto:records:code:ada"
    await own_store.add_record(make_record("a", expires=time.time() + 1000))
    for key in ("toto:record:code:a", index, "toto:kinds:ada"):
        assert 980_000 < await admin.pttl(key) <= 1_061_000, key
    await own_store.put_record(make_record("a", expires=NEVER))
    for key in ("toto:record:code:a", index, "toto:kinds:ada"):
        assert await admin.pttl(key) == -1, key
    await own_store.add_record(make_record("b", expires=time.time() + 1000))
    assert await admin.pttl(index) == -1
    await own_store.remove_record("code", "a")
    await own_store.add_record(make_record("c", expires=time.time() + 1000))
    assert await admin.zrange(index, 0, -1) == [b"b", b"c"]
    assert 980_000 < await admin.pttl(index) <= 1_061_000
    await own_store.add_record(make_record("d", owner=""))  # all that belong to nobody would share one
    assert {key for key in await admin.keys() if b"records" in key} == {index.encode()}


async def test_the_index_outlives_the_sessions(own_store: Store, admin: Any) -> None:
    """The index is kept as long as the last session, even a renewed one; no other session shortens it."""
    end = time.time() + 1000
    await own_store.add_session(make_session("a", expires=end))
    await own_store.add_session(make_session("b", expires=end - 900))
    assert await admin.pttl("toto:sessions:ada") > await admin.pttl("toto:session:a")
    await own_store.touch_session("b", end + 5000, NOW)
    assert await admin.pttl("toto:sessions:ada") > await admin.pttl("toto:session:b") > 5_000_000
    await own_store.touch_session("b", end, NOW)
    assert {session.key for session in await own_store.list_sessions("ada")} == {"a", "b"}


async def test_the_index_is_kept_small(own_store: Store, admin: Any) -> None:
    """A session that ends leaves the index; one that has expired leaves it when the next is added."""
    for ttl in (0.3, 3, 30):  # on a busy machine the first may have passed before the next session is added
        await own_store.remove_sessions("ada")
        await own_store.add_session(make_session("ended"))
        end = time.time() + ttl
        await own_store.add_session(make_session("expired", expires=end))
        await own_store.add_session(make_session("old", expires=NOW - 1))
        if time.time() < end:
            break
    await own_store.remove_session("ended")
    assert await own_store.get_session("ended") is None  # by now Redis has the command that changes the index
    assert await admin.zrange("toto:sessions:ada", 0, -1) == [b"expired"]
    await asyncio.sleep(max(0, end + 0.05 - time.time()))
    await own_store.add_session(make_session("new"))
    assert await admin.zrange("toto:sessions:ada", 0, -1) == [b"new"]


async def test_an_index_entry_without_a_session(own_store: Store, admin: Any) -> None:
    """An entry without a session does no harm: a process may have died between the two writes."""
    await admin.zadd("toto:sessions:ada", {"never": time.time() + 900})
    await own_store.add_session(make_session("k"))
    assert [session.key for session in await own_store.list_sessions("ada")] == ["k"]
    assert await own_store.remove_sessions("ada") == 1


async def test_anonymous_sessions_have_no_index(own_store: Store, admin: Any) -> None:
    """They would all be in one key. Listing them has Redis scan every session."""
    sessions = [make_session(f"k{n}", "") for n in range(1500)]
    await asyncio.gather(*map(own_store.add_session, [*sessions, make_session("other")]))
    assert await own_store.touch_session("k0", time.time() + 90, NOW) is True
    found = await own_store.list_sessions("", 2000)
    assert sorted(session.key for session in found) == sorted(session.key for session in sessions)
    assert len(await own_store.list_sessions("", 9)) == 9
    assert await own_store.remove_session("k0") is True
    assert await admin.keys("toto:sessions:*") == [b"toto:sessions:ada"]
    assert await own_store.remove_sessions("", keep="k1") == 1498
    assert await own_store.get_session("k1") is not None
    assert await own_store.get_session("other") is not None


async def test_accounts_of_earlier_versions_are_listed(
    own_store: Store, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They had no index: it is made when they are listed for the first time, also after it was lost."""
    monkeypatch.setattr(portions, "PORTION", 10)
    user_ids = [f"user {n:02}" for n in range(40)]
    for user_id in user_ids:
        await own_store.add_account(Account(user_id, None))
    await admin.delete("toto:accounts")
    await own_store.add_account(Account("new", None))
    assert [account.user_id for account in await own_store.list_accounts("", 50)] == ["new", *user_ids]
    await admin.delete("toto:account:new")  # as if a process had died between the two steps of a removal
    assert [account.user_id for account in await own_store.list_accounts("", 5)] == user_ids[:5]


async def test_thousands_of_sessions(own_store: Store) -> None:
    """A user who has them can list the newest, and end all."""
    sessions = [make_session(f"k{n:04}", state=bytes(9), expires=LATER + n) for n in range(5000)]
    await asyncio.gather(*map(own_store.add_session, sessions))
    listed = await own_store.list_sessions("ada", 100)
    assert sorted(session.key for session in listed) == [f"k{n:04}" for n in range(4900, 5000)]
    assert len(await own_store.surplus_sessions("ada", 99, "k4999")) == 100
    assert await own_store.remove_sessions("ada", keep="k1234") == 4999
    assert [session.key for session in await own_store.list_sessions("ada")] == ["k1234"]


async def test_forgotten_scripts(own_store: Store, admin: Any) -> None:
    """Scripts that Redis has forgotten are sent again."""
    for user_id in ("ada", "bob"):
        await own_store.add_account(Account(user_id, "old"))
    await own_store.add_session(make_session("k"))
    for name, operation in operations(own_store).items():
        await admin.script_flush()
        outcome = await operation()
        without = (
            *("add_account", "add_session", "surplus_sessions", "remove_sessions", "list_sessions"),
            *("get_record", "put_record", "save_record", "remove_records"),
        )
        assert outcome or name in without, name


# Accounts that could be lost


@pytest.mark.parametrize("option", [{"appendonly": "no"}, {"appendfsync": "everysec"}], ids=str)
async def test_a_redis_that_can_lose_accounts(
    caplog: pytest.LogCaptureFixture, option: dict[str, str]
) -> None:
    """The warning comes once, as soon as there are accounts; a crash may lose sessions."""
    with tests.support.servers.redis.server(**option) as server:
        async with opened(tests.support.servers.redis.fresh_url(server)) as store:
            await store.add_session(make_session("k"))
            assert caplog.messages == []
            await store.add_account(Account("ada", None))
            await store.get_account("ada")
            [record] = caplog.records
            text = (
                "accounts in Redis can be lost: write in its configuration appendonly yes and "
                "appendfsync always"
            )
            assert (record.levelno, record.getMessage()) == (logging.WARNING, text)


async def test_an_unreadable_configuration(admin: Any, url: str, caplog: pytest.LogCaptureFixture) -> None:
    """If the configuration cannot be read, the first account causes a warning, and everything works."""
    await admin.execute_command("ACL", "SETUSER", "app", "on", ">x", "~toto:*", "+@all", "-config")
    async with opened(url.replace("://", "://app:x@")) as store:
        assert caplog.messages == []
        await store.add_account(Account("ada", None))
        await store.get_account("ada")
    (message,) = caplog.messages
    assert "can be lost unless its configuration, which this user may not read, has appendonly yes" in message
