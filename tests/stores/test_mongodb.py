"""What is specific to MongoDB: its URL, what it drops by itself, the client for methods, and failures."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC
from typing import Any

import pytest
import uvloop
from pymongo import AsyncMongoClient, ReadPreference
from pymongo.asynchronous.database import AsyncDatabase

from tests.support.limits import WATCHDOG, limits
from tests.support.servers import Server, free_port
from tests.support.stores import (
    assert_all_unavailable,
    cancelled_anywhere,
    make_session,
    once_available,
    opened,
    operations,
    serves_again,
    write_until_killed,
)
from toto_aio.exceptions import Unavailable
from toto_aio.models import Account
from toto_aio.settings import SettingsError
from toto_aio.stores import Store, mongodb, mongodb_operations, open_store

KIND = "mongodb"
"""The kind of server that this module has for itself."""


@pytest.fixture
async def client(url: str) -> AsyncIterator[AsyncMongoClient[dict[str, Any]]]:
    """A ready client of the database."""
    async with AsyncMongoClient[dict[str, Any]](url) as client:
        yield client


async def fail_commands(client: AsyncMongoClient[dict[str, Any]], times: int, *commands: str) -> None:
    """Make the server close the connection instead of answering."""
    data = {"failCommands": list(commands), "closeConnection": True}
    await client.admin.command({"configureFailPoint": "failCommand", "mode": {"times": times}, "data": data})


# The URL


@pytest.mark.parametrize(
    "url",
    [
        "mongodb://cache:port",
        "mongodb://cache/toto?unknown=1",
        "mongodb://cache/toto?retryReads=perhaps",
        "mongodb://cache/to to",
        "mongodb:///toto",
        "mongodb://ada:my/secret@cache/toto",
        "mongodb://ada:my@secret@cache/toto",
    ],
)
async def test_a_url_that_is_not_understood(url: str) -> None:
    """The error says what to write and shows no password, nor do its causes."""
    with pytest.raises(SettingsError, match="write mongodb://user:password@host:27017/toto") as error:
        await open_store(url)
    assert "secret" not in "".join(traceback.format_exception(error.value))


async def test_a_url_with_options_of_other_clients() -> None:
    """What only clients in other languages have is left out."""
    habits = "useNewUrlParser=true&w=majority&useUnifiedTopology=true&retryWrites=true&appName=x"
    client = mongodb.make_client(f"mongodb://cache/toto?{habits}")
    assert client.options.pool_options.appname == "x"
    await client.close()
    client = mongodb.make_client("mongodb://cache/toto?useNewUrlParser=true")
    assert client.get_default_database().name == "toto"
    await client.close()


@pytest.mark.usefixtures("forgotten_sockets")
async def test_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening fails in time, with an error that names the database but not the password."""
    monkeypatch.setattr(mongodb, "CONNECT_LIMIT", 0.3)
    url = f"mongodb://ada:secret@127.0.0.1:{(port := free_port())}"
    with pytest.raises(Unavailable, match=f"Cannot open the database mongodb://.*{port}") as error:
        await asyncio.wait_for(open_store(url), WATCHDOG)
    assert "secret" not in "".join(traceback.format_exception(error.value))
    assert "Topology" not in error.value.value
    assert "configured timeouts" not in error.value.value


async def test_a_user_and_a_password(client: AsyncMongoClient[dict[str, Any]], url: str) -> None:
    """The right password opens the database, for the store and for methods; a wrong one is not shown."""
    await client.admin.command("createUser", "ada", pwd="a@b/c", roles=["root"])
    async with opened(url.replace("://", "://ada:a%40b%2Fc@") + "?authSource=admin") as store:
        await store.add_account(Account("ada", None))
        assert await store.db.toto_accounts.count_documents({}) == 1
    wrong = url.replace("://", "://ada:secret@") + "?authSource=admin"
    with pytest.raises(Unavailable, match=r"authentication failed$") as error:
        await open_store(wrong)
    assert "secret" not in "".join(traceback.format_exception(error.value))


@pytest.mark.parametrize(("path", "name"), [("", "toto"), ("/", "toto"), ("/other", "other")])
async def test_the_name_of_the_database(own_server: Server, path: str, name: str) -> None:
    """The name of the database is that in the URL, or ``toto``."""
    async with opened(f"mongodb://127.0.0.1:{own_server.port}{path}") as store:
        assert store.db.name == name
        await store.increment("a", 60)
        assert await store.db.toto_counters.count_documents({"_id": "a"}) == 1


def test_a_bare_name() -> None:
    """``mongodb`` means localhost."""
    for url in ("mongodb", "mongodb://"):
        assert mongodb.make_client(url)._seeds == {("localhost", 27017)}


# Ready clients, and the client for methods


async def test_a_ready_client(client: AsyncMongoClient[dict[str, Any]]) -> None:
    """A ready client becomes ``db`` and stays open; the store uses its database."""
    async with opened(client) as store:
        assert store.db is client
        await store.add_session(make_session("k"))
        assert await client.get_default_database()["toto_sessions"].count_documents({}) == 1
    assert await client.server_info()


async def test_a_ready_client_of_motor(url: str) -> None:
    """A ready client of Motor works like one of pymongo."""
    motor = pytest.importorskip("motor.motor_asyncio")
    client = motor.AsyncIOMotorClient(url)
    async with opened(client) as store:
        assert store.db is client
        for operation in operations(store).values():
            await operation()
        session = make_session("mine", state=bytes(range(256)))
        await store.add_session(session)
        assert await store.get_session("mine") == session
        assert session.key in [each.key for each in await store.list_sessions("ada")]
    assert await client.server_info()
    client.close()


async def test_db_is_a_separate_client(own_store: Store) -> None:
    """``db`` opens no connection before it is used, and is closed with the store."""
    assert isinstance(own_store.db, AsyncDatabase)
    assert not own_store.db.client._opened
    await own_store.db.notes.insert_one({"_id": 1})
    assert await own_store.db.notes.find_one() == {"_id": 1}
    await own_store.close()
    assert own_store.db.client._closed


# What is stored


async def test_mongodb_drops_what_has_expired(own_store: Store) -> None:
    """MongoDB itself drops what has expired, by an index on the date of expiry."""
    now = time.time()
    await own_store.add_session(make_session("k", expires=now + 100))
    await own_store.touch_session("k", now + 50, now)
    await own_store.increment("a", 100)
    for name in ("toto_sessions", "toto_counters"):
        indexes = await own_store.db[name].index_information()
        assert indexes["expires_at_1"]["expireAfterSeconds"] == 0
    session = await own_store.db.toto_sessions.find_one()
    assert abs(session["expires_at"].replace(tzinfo=UTC).timestamp() - (now + 50)) < 0.01


async def test_names_from_clients_are_not_names_of_fields(own_store: Store) -> None:
    """The custom fields of an account are one field of the document, whatever their names."""
    await own_store.add_account(Account("ada", None, {"$where": {"$gt": ""}, "a.b": 1}))
    document = await own_store.db.toto_accounts.find_one()
    assert set(document) == {"_id", "password", "extra", "version"}
    assert type(document["extra"]) is bytes


@pytest.mark.parametrize("value", [{"$gt": ""}, None, 0, ["a"], b"a"])
async def test_operators_reach_no_query(own_store: Store, value: Any) -> None:
    """The store itself refuses a value that is not a string, in case a check above it is missing."""
    await own_store.add_account(Account("ada", "hash"))
    await own_store.add_session(make_session("k"))
    password: Any = value or 0  # None is an account without one
    for operation in (
        own_store.get_account(value),
        own_store.replace_password("ada", password, "new"),
        own_store.get_session(value),
        own_store.list_sessions(value),
        own_store.remove_session(value),
        own_store.remove_sessions(value),
        own_store.increment(value, 60),
    ):
        with pytest.raises(TypeError):
            await operation


async def test_a_url_cannot_weaken_the_store(url: str) -> None:
    """Writes reach the majority and reads see them, whatever the URL asks for on behalf of methods."""
    async with opened(f"{url}?w=1&readPreference=secondaryPreferred") as store:
        assert store.db.write_concern.document == {"w": 1}
        for name in ("_accounts", "_sessions", "_counters"):
            collection = getattr(store, name)
            assert collection.write_concern.document == {"w": "majority", "j": True}
            assert collection.read_preference == ReadPreference.PRIMARY


# Failures


async def test_a_read_is_sent_again(own_store: Store, client: AsyncMongoClient[dict[str, Any]]) -> None:
    """A read is sent again, once, if the connection ends before the answer arrives."""
    await own_store.add_session(make_session("k"))
    await fail_commands(client, 1, "find")
    assert await own_store.get_session("k") == make_session("k")


async def test_a_write_is_not_sent_again(own_store: Store, client: AsyncMongoClient[dict[str, Any]]) -> None:
    """A write may have been carried out, and a second one would count twice."""
    await own_store.add_session(make_session("k"))
    for operation, command in (
        (own_store.increment("a", 60), "findAndModify"),
        (own_store.save_session(make_session("k")), "update"),
        (own_store.remove_session("k"), "delete"),
        (own_store.add_account(Account("ada", None)), "insert"),
    ):
        await fail_commands(client, 1, command)
        with pytest.raises(Unavailable):
            await operation
    assert await own_store.get_session("k") == make_session("k")
    assert await own_store.get_account("ada") is None
    assert await own_store.increment("a", 60) == 1


async def test_uvloop(url: str) -> None:
    """All of it works on the event loop of ``serve``, which has different transports."""

    async def work() -> None:
        async with opened(url) as store:
            for operation in operations(store).values():
                await operation()
            await cancelled_anywhere(store, 30)

    await asyncio.to_thread(uvloop.run, work())


async def test_cancelled_operations(own_store: Store) -> None:
    """Wherever callers are cancelled, the others get their own results."""
    await cancelled_anywhere(own_store, 100)


@pytest.mark.usefixtures("forgotten_sockets")
async def test_all_connections_in_use(own_server: Server, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operation that waits too long for a connection fails; afterwards all are available again."""
    monkeypatch.setattr(mongodb, "POOL_SIZE", 2)
    monkeypatch.setattr(mongodb, "POOL_LIMIT", 0.2)
    async with opened(url) as store:

        def read(count: int) -> list[asyncio.Task[Any]]:
            return [asyncio.create_task(store.get_account("ada")) for _ in range(count)]

        await asyncio.gather(*read(2))
        own_server.freeze()
        try:
            holders = read(2)
            await asyncio.sleep(0.05)
            with pytest.raises(Unavailable):
                await asyncio.wait_for(store.get_account("ada"), WATCHDOG)
            assert not any(holder.done() for holder in holders)
        finally:
            own_server.thaw()
        assert await asyncio.gather(*holders) == [None, None]
        again = (once_available(lambda: store.get_account("ada")) for _ in range(20))
        assert await asyncio.gather(*again) == [None] * 20


@pytest.mark.usefixtures("forgotten_sockets")
async def test_a_frozen_server(own_server: Server, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each operation fails in time, on an open or a new connection; once thawed, the server serves again."""
    monkeypatch.setattr(mongodb_operations, "OPERATION_LIMIT", 1)  # also of the driver, when a store opens
    async with opened(await once_available(lambda: open_store(url))) as store:
        await once_available(lambda: store.add_session(make_session("kept", "eve")))
        own_server.freeze()
        try:
            with limits(mongodb_operations, OPERATION_LIMIT=0.5), limits(mongodb, CONNECT_LIMIT=0.4):
                await assert_all_unavailable(store)
                await assert_all_unavailable(store)
                with pytest.raises(Unavailable, match="Cannot open the database mongodb://127"):
                    await asyncio.wait_for(open_store(url), WATCHDOG)
        finally:
            own_server.thaw()
        await serves_again(store)
        kept = await once_available(lambda: store.get_session("kept"))
        assert kept == make_session("kept", "eve")


@pytest.mark.usefixtures("forgotten_sockets")
async def test_closing_while_the_server_is_frozen(own_server: Server, url: str) -> None:
    """Closing waits for an answer, but not for long."""
    store = await open_store(url)
    await store.db.command("ping")
    waiting = asyncio.ensure_future(store.get_session("k"))
    own_server.freeze()
    try:
        await asyncio.sleep(0.01)
        await asyncio.wait_for(store.close(), WATCHDOG)
    finally:
        own_server.thaw()
    with suppress(Unavailable):
        await waiting


@pytest.mark.usefixtures("forgotten_sockets")
async def test_a_server_that_is_killed(own_server: Server, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Operations are unavailable; after a restart the server has everything that was acknowledged."""
    monkeypatch.setattr(mongodb, "CONNECT_LIMIT", 2)
    async with opened(await once_available(lambda: open_store(url))) as store:
        acknowledged = await write_until_killed(store, own_server.kill)
        try:
            await assert_all_unavailable(store)
        finally:
            own_server.start()
        await serves_again(store)
        found = await asyncio.gather(*map(store.get_account, acknowledged))
        assert found == [Account(user_id, None) for user_id in acknowledged]


@pytest.mark.usefixtures("forgotten_sockets")
async def test_a_restart_while_idle(own_server: Server, url: str) -> None:
    """The first operation after a restart works, even if it writes."""
    async with opened(url) as store:
        counted = await store.increment("a", 60)
        await store.db.command("ping")
        await asyncio.to_thread(own_server.kill)
        await asyncio.to_thread(own_server.start)
        assert await store.increment("a", 60) == counted + 1
        assert await store.db.command("ping")
