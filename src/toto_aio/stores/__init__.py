"""Where accounts, sessions and records are kept: the contract of a store, and ``open_store``.

A store is thin: what a session id looks like, when a session is renewed and who may log in is decided in
``toto_aio.auth``. A new database is a module here, with ``from_url`` and perhaps ``from_client``, and its
rows in the tables below; ``tests/stores`` runs the contract over it.
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import isroutine
from pathlib import Path
from typing import Any, Protocol, cast

from toto_aio.importer import Extra, load
from toto_aio.models import Account, Session
from toto_aio.ready import find_ready, lacking, refusal
from toto_aio.settings import SettingsError
from toto_aio.settings.urls import REDIS_CLIENTS, REDIS_SCHEMES, without_password
from toto_aio.stores.records import RecordStore

__all__ = ["AccountStore", "RecordStore", "SessionStore", "Store", "open_store"]


class AccountStore(Protocol):
    """Keeps accounts. User ids compare byte for byte.

    Every method raises ``Unavailable`` if the database is unreachable.
    """

    async def get_account(self, user_id: str) -> Account | None:
        """Return the account, or None if it does not exist."""

    async def add_account(self, account: Account) -> None:
        """Add an account.

        Of several additions at the same time, in any process, all but one raise ``UserIDExists``.
        """

    async def update_account(self, user_id: str, changes: Mapping[str, Any]) -> bool:
        """Set the custom fields in ``changes`` and keep the others, atomically.

        Returns False if the account does not exist.
        """

    async def replace_password(self, user_id: str, old: str | None, new: str) -> bool:
        """Set the password hash to ``new`` if it still is ``old``, atomically. Returns False if it is not.

        An account without a password has None as its ``old`` one.
        """

    async def remove_account(self, user_id: str) -> bool:
        """Remove an account. Returns False, and does nothing, if it does not exist."""

    async def list_accounts(self, after: str, limit: int) -> list[Account]:
        """Return at most ``limit`` accounts whose user ids come ``after`` this text, in their order.

        It is the order of their bytes in UTF-8; "" comes before all of them.
        """


class SessionStore(Protocol):
    """Keeps sessions by their key, and counters.

    Every method raises ``Unavailable`` if the database is unreachable.
    """

    async def get_session(self, key: str) -> Session | None:
        """Return a copy of the session, or None if it is unknown, ended or expired."""

    async def add_session(self, session: Session) -> None:
        """Add a session."""

    async def save_session(self, session: Session) -> bool:
        """Write the ``state`` if the stored version still is ``session.version``.

        The stored version then increases by one. Nothing else is written, so that a renewal at the same time
        is kept, and ``session`` itself is left unchanged. Returns False if another save came first, or if the
        session has ended or expired: a save never revives it.
        """

    async def touch_session(self, key: str, expires: float, seen: float) -> bool:
        """Set ``expires`` and ``seen``, in Unix seconds, without a new version.

        Returns False if the session has ended or expired.
        """

    async def list_sessions(self, user_id: str, limit: int = 1000) -> list[Session]:
        """Return the unexpired sessions of an account, the oldest first, without their states.

        If there are more than ``limit``, those are left out that expire first.
        """

    async def surplus_sessions(self, user_id: str, most: int, keep: str) -> list[str]:
        """Return the keys of an account's sessions beyond the ``most`` that were created last.

        The session ``keep`` is in neither. At most 100 keys are returned, and if there are thousands of
        sessions, they need not be the oldest.
        """

    async def remove_session(self, key: str) -> bool:
        """End a session. Returns False, and does nothing, if it does not exist."""

    async def remove_sessions(self, user_id: str, keep: str | None = None) -> int:
        """End the sessions of an account, except the one whose key is ``keep``. Returns how many it ended.

        Many sessions are ended in portions, each of which is an operation of its own, with its own limit of
        time: other operations need not wait for all of them.
        """

    async def increment(self, key: str, ttl: float, by: int = 1) -> int:
        """Add to a counter, atomically, and return the new count.

        A counter starts at 0, and starts again ``ttl`` seconds later. What would make it negative changes
        nothing: it is taken from what was added before the counter started again.
        """

    async def get_counter(self, key: str) -> tuple[int, float]:
        """Return a count and the seconds after which it starts again; (0, 0.0) if it has not started."""

    async def add_once(self, key: str, ttl: float) -> bool:
        """Add a key, and return whether no process has added it within the last ``ttl`` seconds."""

    async def sweep(self) -> int:
        """Drop a bounded number of expired entries that the database does not drop by itself.

        Returns how many it dropped. It is called once a minute, by one of the processes, so a store may also
        look after itself here.
        """


class Store(AccountStore, SessionStore, RecordStore, Protocol):
    """A database that keeps all of it. Whoever opens it, with ``open_store``, closes it."""

    @property
    def db(self) -> Any:
        """The driver's client or pool for methods, separate from what the store itself uses."""

    async def close(self) -> None:
        """Close what the store opened, but not a client or pool that it was given."""


STORES = {
    "memory": "toto_aio.stores.memory:from_url",
    "none": "toto_aio.stores.none:from_url",
    "sqlite": "toto_aio.stores.sqlite:from_url",
    "postgresql": "toto_aio.stores.postgres:from_url",
    "postgres": "toto_aio.stores.postgres:from_url",
    "mysql": "toto_aio.stores.mysql:from_url",
    "mysql+aiomysql": "toto_aio.stores.mysql:from_url",
    "mongodb": "toto_aio.stores.mongodb:from_url",
    "mongodb+srv": "toto_aio.stores.mongodb:from_url",
    **dict.fromkeys(REDIS_SCHEMES, "toto_aio.stores.redis:from_url"),
}
"""For each scheme of a URL, the coroutine function that takes the URL and returns the store."""

READY = {
    "asyncpg.pool:Pool": "toto_aio.stores.postgres:from_client",
    "asyncmy.pool:Pool": "toto_aio.stores.mysql:from_client",
    "aiomysql.pool:Pool": "toto_aio.stores.mysql:from_client",
    "pymongo.asynchronous.mongo_client:AsyncMongoClient": "toto_aio.stores.mongodb:from_client",
    "motor.motor_asyncio:AsyncIOMotorClient": "toto_aio.stores.mongodb:from_client",
    "redis.asyncio.client:Redis": "toto_aio.stores.redis:from_client",
    "redis.asyncio.cluster:RedisCluster": "toto_aio.stores.redis:from_client",
}
"""For each type of a ready client, the coroutine function that returns a store on it, and leaves it open."""

DRIVERS = {
    "toto_aio.stores.postgres": Extra("PostgreSQL needs a driver", "'toto-aio[postgresql]'"),
    "toto_aio.stores.mongodb": Extra("MongoDB needs a driver", "'toto-aio[mongodb]'"),
    "toto_aio.stores.redis": Extra("Redis needs a driver", "'toto-aio[redis]'"),
}
"""For each module of a store that imports an optional driver, how to install it."""


INSTEAD = {
    **dict.fromkeys(
        ("pymongo", "motor"),
        "the client, a pymongo.AsyncMongoClient('mongodb://host/name'), whose URL names the database",
    ),
    "redis": REDIS_CLIENTS,
    **dict.fromkeys(
        ("asyncpg", "psycopg", "psycopg_pool", "psycopg2"),
        "an asyncpg.Pool, which asyncpg.create_pool makes, or postgresql://user:password@host/name",
    ),
    **dict.fromkeys(
        ("asyncmy", "aiomysql", "pymysql", "MySQLdb", "mysql"),
        "a pool of asyncmy or aiomysql, which create_pool makes, or mysql://user:password@host/name",
    ),
    **dict.fromkeys(
        ("sqlite3", "aiosqlite", "pathlib"),
        "the URL of the file: sqlite:///toto.db (relative) or sqlite:////var/toto.db (absolute)",
    ),
    "sqlalchemy": "the URL of the database, such as postgresql://user:password@host/name",
}
"""What to write instead of other objects of a library."""


FILES = frozenset((".db", ".sqlite", ".sqlite3"))
"""How the names of SQLite's files end."""
OTHER_NAMES = {"mariadb": "mysql", "pgsql": "postgresql", "mongo": "mongodb", "sqlite3": "sqlite"}
"""Schemes that databases have elsewhere."""


async def open_store(database: Any, option: str = "database") -> Store:
    """Return the store for a URL such as ``sqlite:///toto.db``, or for a bare name such as ``memory``.

    A ready client or pool, such as an ``asyncpg.Pool``, is used and left open; a ready store is returned as
    it is. Errors name the ``option``; for ``session_store``, a ready ``SessionStore`` is enough, and what
    needs records asks for ``records.records_of`` it, as a ready one may have none. Raises ``SettingsError``
    for anything else, and ``Unavailable`` if the database is unreachable.
    """
    if not isinstance(database, str):
        if path := find_ready(database, READY):
            return await _open(path, database)
        return _ready_store(database, option)
    scheme = database.partition("://")[0]
    if scheme not in STORES:
        meant = _meant(database) or f"one of {', '.join(f'{name}://' for name in STORES)}"
        raise SettingsError(f"{option}: cannot open {without_password(database)!r}; write {meant}")
    return await _open(STORES[scheme], database)


def _meant(database: str) -> str:
    """What to write instead of a URL of another library, or of a file's path; "" if nobody knows."""
    scheme, separator, _ = database.partition("://")
    if not separator:
        is_file = Path(database).suffix in FILES and not set(database) & set("@?")
        return f"sqlite:///{database}" if is_file else ""
    kind = scheme.partition("+")[0]
    known = kind if kind in STORES else OTHER_NAMES.get(kind, "")
    return f"{known}://..." if known else ""


def _ready_store(store: Any, option: str) -> Store:
    needed = [*_methods(SessionStore), *(_methods(AccountStore) if option == "database" else ())]
    missing = lacking(store, needed)
    if isinstance(store, type) or "get_session" in missing:
        raise refusal(option, store, "a URL, a client, a pool or a store", INSTEAD)
    if option == "database" and not hasattr(store, "db"):
        missing.append("db")
    if missing:
        raise SettingsError(f"{option}: {type(store).__name__} is not a store: it lacks {', '.join(missing)}")
    return cast(Store, store)


def _methods(protocol: type) -> list[str]:
    return [name for name, value in vars(protocol).items() if isroutine(value) and name[0] != "_"]


async def _open(path: str, database: Any) -> Store:
    function = load(path, DRIVERS.get(path.partition(":")[0]))
    return cast(Store, await function(database))
