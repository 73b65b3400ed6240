"""Options that stand for something of the application's: keys and functions, and who closes what."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import asyncmy
import asyncpg  # type: ignore[import-untyped]
import pymongo
import pymysql  # type: ignore[import-untyped]
import pytest
import redis
from aiohttp import web
from motor.motor_asyncio import AsyncIOMotorClient
from redis.asyncio import Redis

from tests.conftest import server_module
from tests.support.limits import WATCHDOG
from tests.support.servers import Server
from tests.support.service import eventually
from toto_aio import Handler, create_app
from toto_aio.exceptions import Unavailable
from toto_aio.http.parent import EVENTS
from toto_aio.lifespan import LIFESPAN
from toto_aio.middleware import setup
from toto_aio.settings import SettingsError
from toto_aio.stores.memory import MemoryStore
from toto_aio.stores.mysql import connect_arguments

POOL = web.AppKey("POOL", asyncpg.Pool)
REDIS = web.AppKey("REDIS", Redis)
URL = web.AppKey("URL", str)

Servers = Callable[[str], Server]


async def echo(handler: Handler, parameters: dict[str, Any]) -> Any:
    """Return the parameters."""
    return parameters


def service_of(**options: Any) -> web.Application:
    """A service, in memory except for what the options say."""
    return create_app(**{"method_module": {"echo": echo}, "database": "memory://", **options})


def embedded(service: web.Application) -> web.Application:
    """An application around a service, which knows it."""
    parent = web.Application()
    setup(parent, service)
    parent.add_subapp("/api", service)
    return parent


@asynccontextmanager
async def running(application: web.Application) -> AsyncIterator[None]:
    """The application from its start to its end, without a socket."""
    runner = web.AppRunner(application)
    try:
        await runner.setup()
        yield
    finally:
        await runner.cleanup()


async def refused(service: web.Application, application: web.Application | None = None) -> str:
    """The one line with which a service does not start."""
    with pytest.raises(SettingsError) as caught:
        async with running(application or service):
            pass
    line = str(caught.value)
    assert "\n" not in line
    return line


def accounts(service: web.Application) -> Any:
    """The accounts of a running service."""
    return service[LIFESPAN].runtime.connection.accounts


def fresh(servers: Servers, kind: str) -> str:
    """The URL of a new, empty database."""
    return str(server_module(kind).fresh_url(servers(kind)))


# Keys


async def test_a_pool_of_the_application_around_it(servers: Servers) -> None:
    """A key of the parent's is there when the service starts; its pool is db, and the parent closes it."""
    url = fresh(servers, "postgresql")
    service = service_of(database=POOL)
    parent = embedded(service)

    async def pool(application: web.Application) -> AsyncIterator[None]:
        async with asyncpg.create_pool(url, min_size=0) as application[POOL]:
            yield
            assert not application[POOL].is_closing()

    parent.cleanup_ctx.append(pool)
    async with running(parent):
        assert service[LIFESPAN].runtime.connection.db is parent[POOL]
        await accounts(service).create("ada", "correct horse")
        assert await parent[POOL].fetchval("SELECT count(*) FROM toto_accounts") == 1
    assert parent[POOL].is_closing()


async def test_handlers_of_events_still_have_the_pool(servers: Servers) -> None:
    """When the application ends, the service ends before what the application has opened in cleanup_ctx.

    aiohttp cleans up an application before those in it. A start that fails ends in this order too.
    """
    url = fresh(servers, "postgresql")
    begun = asyncio.Event()
    written: list[str] = []

    async def work(args: Any) -> None:
        begun.set()
        await asyncio.sleep(0.05)  # the application is being cleaned up by now
        await accounts(service).create(args, None)
        written.append(args)

    service = service_of(database=POOL, event_init_module=lambda events: events.register_handler("job", work))
    parent = web.Application()
    setup(parent, service)
    parent.add_subapp("/api", service)

    async def pool(application: web.Application) -> AsyncIterator[None]:
        async with asyncpg.create_pool(url, min_size=0) as application[POOL]:
            yield

    parent.cleanup_ctx.append(pool)
    async with running(parent):
        await parent[EVENTS].send("job", "ada", broadcast=False)
        await begun.wait()
    assert written == ["ada"]

    async def fails(application: web.Application) -> None:
        raise ZeroDivisionError

    failing = web.Application()
    service = service_of(database=POOL)
    setup(failing, service)
    failing.add_subapp("/api", service)
    failing.cleanup_ctx.append(pool)
    failing.on_startup.append(fails)
    with pytest.raises(ZeroDivisionError):
        async with running(failing):
            pass
    assert failing[POOL].is_closing()


async def test_a_key_of_the_service(tmp_path: Path) -> None:
    """A key of the service's own app counts before the parent's, and may hold a URL, which it opens."""
    service = service_of(database=URL)
    parent = embedded(service)
    service[URL], parent[URL] = f"sqlite:///{tmp_path}/own.db", f"sqlite:///{tmp_path}/parent.db"
    async with running(parent):
        await accounts(service).create("ada", "correct horse")
    assert os.listdir(tmp_path) == ["own.db"]  # closed, as its log is gone


@pytest.mark.parametrize("option", ["database", "session_store", "events"])
async def test_a_key_that_nobody_set(option: str) -> None:
    """The error names the option and the key, and says where it can be set."""
    alone = await refused(service_of(**{option: POOL}))
    assert alone.startswith(f"{option}: nothing is set under <AppKey(")
    assert "POOL" in alone
    assert "toto_aio.middleware.setup(application, service)" in alone
    service = service_of(**{option: POOL})
    inside = await refused(service, embedded(service))
    assert "cleanup_ctx" in inside
    assert "middleware" not in inside


# Functions


async def test_a_function_gets_the_application(tmp_path: Path) -> None:
    """It receives the application around the service, or the service's own app if there is none."""
    given: list[web.Application] = []

    def where(path: Path, application: web.Application) -> str:
        given.append(application)
        return f"sqlite:///{path}"

    alone, inside = (service_of(database=partial(where, tmp_path / name)) for name in ("alone", "inside"))
    parent = embedded(inside)
    for application in (alone, parent):
        async with running(application):
            pass
    assert given == [alone, parent]
    assert sorted(os.listdir(tmp_path)) == ["alone", "inside"]  # opened, and closed


async def test_a_client_that_a_function_returns_stays_open(servers: Servers) -> None:
    """A client or pool, from a plain or a coroutine function, is used and left open, and so is a store."""
    redis_client = Redis.from_url(fresh(servers, "redis"))
    pool = await asyncpg.create_pool(fresh(servers, "postgresql"), min_size=0)
    store = MemoryStore()

    async def open_client(application: web.Application) -> Redis:
        return redis_client

    for function in (open_client, lambda application: pool, lambda application: store):
        service = service_of(database=function)
        async with running(service):
            await accounts(service).create("ada", "correct horse")
    assert len(await redis_client.keys("toto:account:*")) == 1
    assert await pool.fetchval("SELECT count(*) FROM toto_accounts") == 1
    assert await store.get_account("ada") is not None
    await pool.close()
    await redis_client.aclose()


async def test_a_pool_that_is_not_open_yet(servers: Servers) -> None:
    """What the driver's function makes is awaited, if it has to be; a pool that is not open is refused."""
    arguments = connect_arguments(fresh(servers, "mysql"))
    service = service_of(database=lambda application: asyncmy.create_pool(minsize=0, **arguments))
    async with running(service):
        await accounts(service).create("ada", "correct horse")
        pool = service[LIFESPAN].runtime.connection.db
        assert isinstance(pool, asyncmy.Pool)
    pool.close()
    await pool.wait_closed()
    url = fresh(servers, "postgresql")
    with pytest.raises(Unavailable, match=r"the asyncpg\.Pool: pool is not initialized"):
        async with running(service_of(database=lambda application: asyncpg.create_pool(url, min_size=0))):
            pass


async def by_generator(opened: list[str], store: MemoryStore) -> AsyncIterator[MemoryStore]:
    """As for ``cleanup_ctx``."""
    opened.append("opened")
    yield store
    opened.append("closed")


@pytest.mark.parametrize("kind", [by_generator, asynccontextmanager(by_generator)], ids=["yield", "with"])
async def test_what_a_function_opens_it_closes(kind: Any) -> None:
    """A generator or context manager ends with the service, also if the start fails after it."""
    opened: list[str] = []

    def function(application: web.Application) -> Any:
        return kind(opened, MemoryStore())

    service = service_of(database=function, session_store=function)
    async with running(service):
        assert opened == ["opened", "opened"]
        await accounts(service).create("ada", "correct horse")
    assert opened == ["opened", "opened", "closed", "closed"]
    opened.clear()
    await refused(service_of(database=function, session_store=POOL))
    assert opened == ["opened", "closed"]


async def test_a_function_that_fails() -> None:
    """Its error stops the start in one line with the function's name; a network's is unavailable."""

    def broken(application: web.Application) -> str:
        return str(application["dsn"])

    async def nothing(application: web.Application) -> None:
        pass

    async def away(application: web.Application) -> str:
        raise ConnectionRefusedError("no such host")

    async def says_what(application: web.Application) -> str:
        raise SettingsError("write NOTES_DSN")

    async def yields_nothing(application: web.Application) -> AsyncIterator[None]:
        yield None

    here = "tests.test_resources.test_a_function_that_fails.<locals>."
    for option in ("database", "session_store", "events"):
        assert (
            await refused(service_of(**{option: broken}))
            == f"{option}: {here}broken raised KeyError(\"'dsn'\")"
        )
        for function in (nothing, yields_nothing):
            line = await refused(service_of(**{option: function}))
            assert line.startswith(
                f"{option}: {here}{function.__name__} returned None; return or yield a URL"
            )
        assert await refused(service_of(**{option: says_what})) == "write NOTES_DSN"
        with pytest.raises(Unavailable, match=f"{option}: {here}away raised ConnectionRefusedError"):
            async with running(service_of(**{option: away})):
                pass


async def test_memory_for_several_processes() -> None:
    """A function cannot give each process a database of its own either."""
    for option in ("database", "session_store"):
        line = await refused(service_of(**{option: lambda application: "memory://", "processes": 2}))
        assert line.startswith(f"{option}: each process would have a memory:// of its own")


# Events


async def test_events_over_a_ready_client(servers: Servers) -> None:
    """However the client is configured, events travel over its server, between services; it stays open."""
    url = fresh(servers, "redis")
    client = Redis.from_url(url, decode_responses=True, protocol=3, health_check_interval=1)
    heard: list[Any] = []

    async def by_function(application: web.Application) -> Redis:
        return client

    def listen(events: Any) -> None:
        events.register_handler("note", heard.append, persist=True)

    sender, by_key, by_url = (
        service_of(events=by_function),
        service_of(events=REDIS, event_init_module=listen),
        service_of(events=url, event_init_module=listen),
    )
    ready = service_of(events=client, event_init_module=listen)
    by_key[REDIS] = client
    async with running(sender), running(by_key), running(by_url), running(ready):
        events = sender[LIFESPAN].runtime.events
        assert events is not None
        await events.send("note", {"text": "grüße", "bytes": b"\xff"})
        await eventually(lambda: len(heard) == 3)
        await events.send("note", "for one", broadcast=False)
        await eventually(lambda: len(heard) == 4)
    assert heard == [{"text": "grüße", "bytes": b"\xff"}] * 3 + ["for one"]
    assert await client.ping()
    await client.aclose()


async def test_events_that_a_function_turns_off() -> None:
    """It may give what the option may be, so also ``off``."""
    async with running(service := service_of(events=lambda application: "off")):
        assert service[LIFESPAN].runtime.events is None
    line = await refused(service_of(events=lambda application: "off", event_init_module=lambda events: None))
    assert line == "event_init_module: write events=memory://, they are off"


async def test_a_client_whose_server_restarts(servers: Servers) -> None:
    """The health checks of events see a server behind a client go, as they do behind a URL."""
    server = server_module("redis").server()
    with server:
        client = Redis.from_url(server_module("redis").fresh_url(server))
        async with running(service := service_of(events=client)):
            events = service[LIFESPAN].runtime.events
            assert events is not None
            subscription = events.subscribe("note")
            server.stop()
            server.start()

            async def arrives() -> None:
                while not subscription.waiting:
                    with suppress(Unavailable):
                        await events.send("note", 1)
                    await asyncio.sleep(0.02)

            await asyncio.wait_for(arrives(), WATCHDOG)
        await client.aclose()


# Wrong objects


def wrong_for_a_store(blocking: Any, file: sqlite3.Connection) -> dict[str, tuple[Any, str]]:
    """What is often given by mistake, and what the error says."""
    mongo = pymongo.AsyncMongoClient[dict[str, Any]]("mongodb://127.0.0.1:1/notes")
    motor = AsyncIOMotorClient[dict[str, Any]]("mongodb://127.0.0.1:1/notes")
    client = "write the client, a pymongo.AsyncMongoClient('mongodb://host/name')"
    return {
        "database": (mongo["notes"], f"cannot use a pymongo.AsyncDatabase; {client}"),
        "collection": (mongo["notes"]["sessions"], f"cannot use a pymongo.AsyncCollection; {client}"),
        "blocking": (blocking, f"cannot use a pymongo.MongoClient; {client}"),
        "blocking database": (blocking["notes"], f"cannot use a pymongo.Database; {client}"),
        "motor database": (motor["notes"], f"cannot use a motor.AsyncIOMotorDatabase; {client}"),
        "motor collection": (motor["notes"]["x"], f"cannot use a motor.AsyncIOMotorCollection; {client}"),
        "redis": (redis.Redis(), "cannot use a redis.Redis; write a redis.asyncio.Redis, such as"),
        "sqlite": (file, "cannot use a sqlite3.Connection; write the URL of the file"),
        "path": (Path("toto.db"), "write the URL of the file: sqlite:///toto.db"),
        "mysql": (
            pymysql.connect(defer_connect=True),
            "cannot use a pymysql.Connection; write a pool of asyncmy or aiomysql",
        ),
        "psycopg": (
            foreign("psycopg", "Connection"),
            "cannot use a psycopg.Connection; write an asyncpg.Pool",
        ),
        "sqlalchemy": (foreign("sqlalchemy.ext", "AsyncEngine"), "write the URL of the database, such as"),
        "class": (MemoryStore, "expected a URL, a client, a pool or a store, got the class MemoryStore"),
        "dict": ({}, "expected a URL, a client, a pool or a store, got dict"),
        "none": (5, "expected a URL, a client, a pool or a store, got int"),
    }


def foreign(module: str, name: str) -> Any:
    """An object of a library that is not installed."""
    return type(name, (), {"__module__": module})()


@pytest.mark.parametrize("option", ["database", "session_store"])
async def test_what_is_no_store(option: str) -> None:
    """It stops the start, however it was handed over, and the error says what to write."""
    with (
        closing(
            pymongo.MongoClient[dict[str, Any]]("mongodb://127.0.0.1:1/notes", connect=False)
        ) as blocking,
        closing(sqlite3.connect(":memory:")) as file,
    ):
        for given, expected in wrong_for_a_store(blocking, file).values():
            for value in (given, lambda application, given=given: given):
                line = await refused(service_of(**{option: value}))
                assert line.startswith(f"{option}: ")
                assert expected in line


async def test_a_connection_instead_of_a_pool(servers: Servers) -> None:
    """One connection cannot serve many calls at once."""
    connection = await asyncpg.connect(fresh(servers, "postgresql"))
    line = await refused(service_of(database=connection))
    assert line.startswith("database: cannot use a asyncpg.Connection; write an asyncpg.Pool")
    await connection.close()


async def test_a_store_that_is_not_complete() -> None:
    """The error names the methods that are missing."""

    class Half(MemoryStore):
        get_counter = None  # type: ignore[assignment]
        sweep = None  # type: ignore[assignment]

    class Sessions:
        """Has no accounts, and no ``db``."""

        def __init__(self) -> None:
            store = MemoryStore()
            for name in (
                *("get_session", "add_session", "save_session", "touch_session", "list_sessions"),
                "surplus_sessions",
                *("remove_session", "remove_sessions", "increment", "get_counter", "add_once", "sweep"),
            ):
                setattr(self, name, getattr(store, name))

    line = await refused(service_of(database=Half()))
    assert line == "database: Half is not a store: it lacks get_counter, sweep"
    line = await refused(service_of(database=Sessions()))
    assert line == (
        "database: Sessions is not a store: it lacks get_account, add_account, update_account, "
        "replace_password, remove_account, list_accounts, db"
    )
    for metrics in (False, True):
        async with running(service := service_of(session_store=Sessions(), metrics=metrics)):
            assert await service[LIFESPAN].runtime.connection.sessions.create()


@pytest.mark.parametrize("deferred", [False, True])
async def test_what_is_no_broker(deferred: bool) -> None:
    """A blocking client, a database, and a class are refused."""
    mongo = pymongo.AsyncMongoClient[dict[str, Any]]("mongodb://127.0.0.1:1/notes")
    for given, expected in (
        (redis.Redis(), "events: cannot use a redis.Redis; write a redis.asyncio.Redis, such as"),
        (Redis().connection_pool, "events: cannot use a redis.ConnectionPool; write a redis.asyncio.Redis"),
        (mongo["notes"], "events: expected a URL, a redis.asyncio.Redis or a broker, got AsyncDatabase"),
        (MemoryStore(), "events: expected a URL, a redis.asyncio.Redis or a broker, got MemoryStore"),
        (MemoryStore, "events: expected a URL, a redis.asyncio.Redis or a broker, got the class MemoryStore"),
    ):
        with pytest.raises(SettingsError) as caught:
            async with running(
                service_of(events=(lambda application, given=given: given) if deferred else given)
            ):
                pass
        assert str(caught.value).startswith(expected)


async def test_a_client_of_replicas_for_events() -> None:
    """It is refused, as a replica takes no events."""
    sentinel = redis.asyncio.Sentinel([("127.0.0.1", 1)])  # type: ignore[no-untyped-call]
    with pytest.raises(SettingsError, match=r"events: .*sentinel\.master_for"):
        service_of(events=sentinel.slave_for("primary"))
