"""What is Redis's own: its URL, its one connection, what it forgets by itself, and the client of methods."""

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
from tests.stores.operations import opened, operations
from tests.stores.test_contract import make_session
from tests.support.servers import Server, free_port
from toto_aio.exceptions import Unavailable
from toto_aio.models import Account
from toto_aio.settings import SettingsError
from toto_aio.stores import Store, open_store
from toto_aio.stores.redis import connection_pool

KIND = "redis"
"""Of the server that is this module's own."""

NOW = time.time()


def told(error: BaseException) -> str:
    """All that a log would have of an error, but for the lines of this file."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    befores = ["", *lines[:-1]]
    return "\n".join(line for before, line in zip(befores, lines, strict=True) if __file__ not in before)


@pytest.fixture
async def admin(url: str) -> AsyncIterator[Any]:
    """Another client of the database; who speaks to the server in its words."""
    client = Redis.from_url(url)
    yield client
    await client.aclose()


# The URL


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis", {}),
        ("redis://", {}),
        ("redis://cache", {"host": "cache"}),
        ("redis://cache:1/2", {"host": "cache", "port": 1, "db": 2}),
        ("redis://ada:a%40b%2F@cache/", {"username": "ada", "password": "a@b/", "host": "cache"}),
        ("redis://:secret@[::1]:7/0", {"password": "secret", "host": "::1", "port": 7, "db": 0}),
        ("rediss://cache?ssl_check_hostname=no", {"host": "cache", "ssl_check_hostname": False}),
    ],
)
def test_urls(url: str, expected: dict[str, Any]) -> None:
    """What a URL says is how the connections are made."""
    given = connection_pool(url).connection_kwargs
    names = "host port db username password ssl_check_hostname".split()
    assert {name: given[name] for name in names if name in given} == expected


@pytest.mark.parametrize(
    "url",
    [
        "redis://cache/first",
        "redis://cache/0/1",
        "redis://cache/-1",
        "redis://cache:port",
        "redis://cache:70000",
        "redis://cache?db=1",
        "redis://cache?retry_on_timeout=1",
        "redis://cache?password=secret",
        "redis://cache?ssl_ca_certs=ca.pem",
        "redis://ada:my/secret@cache/0",
        "redis://ada:my#secret@cache/0",
        "redis://ada:my?secret@cache/0",
    ],
)
async def test_a_url_that_is_not_understood(url: str) -> None:
    """It is refused with what to write, and without the password, in its causes too."""
    with pytest.raises(SettingsError, match="write redis://user:password@host:6379/0") as error:
        await open_store(url)
    assert "secret" not in told(error.value)


async def test_nobody_listens() -> None:
    """The database cannot be opened; it is told which, without the password."""
    port = free_port()
    with pytest.raises(Unavailable, match=f"Cannot open the database redis://.*{port}") as error:
        await open_store(f"redis://:secret@127.0.0.1:{port}/0")
    assert "secret" not in told(error.value)


async def test_a_wrong_password(own_server: Server, url: str) -> None:
    """What the server says of it is told, but not the password."""
    with pytest.raises(Unavailable, match=r"AUTH|WRONGPASS") as error:
        await open_store(url.replace("://", "://ada:secret@"))
    assert "secret" not in told(error.value)


async def test_a_user_and_a_password(admin: Any, url: str) -> None:
    """Those of the URL open the database, for the store and for methods."""
    await admin.execute_command("ACL", "SETUSER", "ada", "on", ">a@b/c", "~toto:*", "+@all")
    async with opened(url.replace("://", "://ada:a%40b%2Fc@")) as store:
        await store.add_account(Account("ada", None))
        assert await store.get_account("ada") == Account("ada", None)
        assert await store.db.execute_command("ACL", "WHOAMI") == b"ada"


async def test_a_database_that_does_not_exist(own_server: Server) -> None:
    """A number that the server does not have is told."""
    with pytest.raises(Unavailable, match="out of range"):
        await open_store(f"redis://127.0.0.1:{own_server.port}/{tests.support.servers.redis.DATABASES}")


# Ready clients, and the client of methods


async def test_a_ready_client(admin: Any) -> None:
    """It becomes ``db`` and is left open; the store works on its database."""
    async with opened(admin) as store:
        assert store.db is admin
        await store.add_session(make_session("k"))
        assert await admin.exists("toto:session:k") == 1
    assert await admin.ping()


async def test_a_ready_client_on_a_socket_that_decodes(own_server: Server) -> None:
    """However a client is set up, the store reads bytes."""
    client = Redis(unix_socket_path=f"{own_server.directory}/socket", db=999, decode_responses=True)
    async with opened(client) as store:
        session = make_session("k", state=bytes(range(256)))
        await store.add_session(session)
        assert await store.list_sessions("ada") == [session]
    await client.aclose()


async def test_a_client_that_does_not_fit() -> None:
    """A client that looks for its server by itself is refused."""
    with pytest.raises(SettingsError, match=r"give a redis\.asyncio\.Redis of one server"):
        await open_store(Sentinel([("localhost", 1)]).master_for("toto"))  # type: ignore[no-untyped-call]


async def test_db_is_a_client_of_its_own(own_store: Store, admin: Any) -> None:
    """It costs no connection before it is used, and is closed with the store."""
    address = f"127.0.0.1:{admin.connection_pool.connection_kwargs['port']}"

    async def count() -> int:
        return len([each for each in await admin.client_list() if each["laddr"] == address])

    before = await count()
    assert isinstance(own_store.db, Redis)
    await own_store.db.set("mine", "1")
    assert await own_store.db.get("mine") == b"1"
    assert await count() == before + 1
    await own_store.close()
    async with asyncio.timeout(20):
        while await count() != before - 1:  # the server hears of it a little later
            await asyncio.sleep(0.01)


# What Redis forgets by itself


async def test_redis_drops_sessions(own_store: Store, admin: Any) -> None:
    """A session has the life of Redis's key, which a save keeps and a touch renews."""
    await own_store.add_session(make_session("k", expires=time.time() + 1000))
    assert 980_000 < await admin.pttl("toto:session:k") <= 1_000_001
    await own_store.save_session(make_session("k"))
    assert 980_000 < await admin.pttl("toto:session:k") <= 1_000_001
    await own_store.touch_session("k", time.time() + 500, NOW)
    assert 480_000 < await admin.pttl("toto:session:k") <= 500_001
    await own_store.touch_session("k", NOW - 1, NOW)
    assert await admin.exists("toto:session:k") == 0


async def test_redis_drops_counters(own_store: Store, admin: Any) -> None:
    """A counter has the life of Redis's key, from its beginning on."""
    await own_store.increment("a", 1000)
    await own_store.increment("a", 9000)
    await own_store.add_once("b", 500)
    assert 980_000 < await admin.pttl("toto:counter:a") <= 1_000_000
    assert 480_000 < await admin.pttl("toto:counter:b") <= 500_000
    await own_store.increment("c", -1)
    assert await admin.exists("toto:counter:c") == 0


async def test_nothing_is_kept_for_good_but_accounts(own_store: Store, admin: Any) -> None:
    """Every other key has an end."""
    for operation in operations(own_store).values():
        await operation()
    keys = {key for key in await admin.keys() if await admin.ttl(key) < 0}
    assert keys == {b"toto:account:eve"}


async def test_the_index_outlives_the_sessions(own_store: Store, admin: Any) -> None:
    """It lives as long as the last session, also when that is renewed, and no other shortens it."""
    end = time.time() + 1000
    await own_store.add_session(make_session("a", expires=end))
    await own_store.add_session(make_session("b", expires=end - 900))
    assert await admin.pttl("toto:sessions:ada") > await admin.pttl("toto:session:a")
    await own_store.touch_session("b", end + 5000, NOW)
    assert await admin.pttl("toto:sessions:ada") > await admin.pttl("toto:session:b") > 5_000_000
    await own_store.touch_session("b", end, NOW)
    assert [session.key for session in await own_store.list_sessions("ada")] == ["a", "b"]


async def test_the_index_is_kept_small(own_store: Store, admin: Any) -> None:
    """What has ended leaves it, and what has expired does when the next session comes."""
    await own_store.add_session(make_session("ended"))
    end = time.time() + 2
    await own_store.add_session(make_session("expired", expires=end))
    await own_store.add_session(make_session("old", expires=NOW - 1))
    await own_store.remove_session("ended")
    assert await admin.zrange("toto:sessions:ada", 0, -1) == [b"expired"]
    await asyncio.sleep(end + 0.05 - time.time())
    await own_store.add_session(make_session("new"))
    assert await admin.zrange("toto:sessions:ada", 0, -1) == [b"new"]


async def test_an_index_entry_without_a_session(own_store: Store, admin: Any) -> None:
    """It is in nobody's way: a process may have died between the two."""
    await admin.zadd("toto:sessions:ada", {"never": time.time() + 900})
    await own_store.add_session(make_session("k"))
    assert await own_store.list_sessions("ada") == [make_session("k")]
    assert await own_store.remove_sessions("ada") == 1


async def test_anonymous_sessions_have_no_index(own_store: Store, admin: Any) -> None:
    """They would all meet in one key. Whoever lists them has Redis look at every session."""
    sessions = [make_session(f"k{n}", "") for n in range(1500)]
    await asyncio.gather(*map(own_store.add_session, [*sessions, make_session("other")]))
    assert await own_store.touch_session("k0", time.time() + 90, NOW) is True
    found = await own_store.list_sessions("")
    assert sorted(session.key for session in found) == sorted(session.key for session in sessions)
    assert await own_store.remove_session("k0") is True
    assert await admin.keys("toto:sessions:*") == [b"toto:sessions:ada"]


async def test_scripts_that_redis_has_forgotten(own_store: Store, admin: Any) -> None:
    """They are sent anew."""
    await own_store.add_account(Account("ada", "old"))
    await own_store.add_session(make_session("k"))
    for name, operation in operations(own_store).items():
        await admin.script_flush()
        outcome = await operation()
        assert outcome or name in ("add_account", "add_session", "remove_sessions", "list_sessions"), name


# Accounts that could be lost


@pytest.mark.parametrize(
    ("option", "advice"),
    [
        ({"appendonly": "no"}, "appendonly yes and appendfsync always"),
        ({"appendfsync": "everysec"}, "appendonly yes and appendfsync always"),
        ({"maxmemory_policy": "allkeys-lru"}, "maxmemory-policy noeviction"),
    ],
)
async def test_a_redis_that_can_lose_accounts(
    caplog: pytest.LogCaptureFixture, option: dict[str, str], advice: str
) -> None:
    """It is said once, as soon as there are accounts; sessions alone may be lost."""
    with tests.support.servers.redis.server(**option) as server:
        async with opened(tests.support.servers.redis.fresh_url(server)) as store:
            await store.add_session(make_session("k"))
            assert caplog.messages == []
            await store.add_account(Account("ada", None))
            await store.get_account("ada")
            [record] = caplog.records
            text = f"accounts in Redis can be lost: write {advice} into its configuration"
            assert (record.levelno, record.getMessage()) == (logging.WARNING, text)


async def test_a_configuration_that_nobody_may_see(
    admin: Any, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Then nothing is said, and all works."""
    await admin.execute_command("ACL", "SETUSER", "app", "on", ">x", "~toto:*", "+@all", "-config")
    async with opened(url.replace("://", "://app:x@")) as store:
        await store.add_account(Account("ada", None))
        await store.get_account("ada")
    assert caplog.messages == []
