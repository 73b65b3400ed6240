"""Where accounts and sessions are kept: the contract of a store, and ``open_store``.

A store is thin: what a session id looks like, when a session is renewed and who may log in is decided
one floor up, in ``accounts`` and ``sessions``. A new database is one module here and a row in
``STORES``; ``tests/stores`` runs the contract over it.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Protocol, cast

from toto_aio.models import Account, Session
from toto_aio.settings import SettingsError
from toto_aio.settings.urls import without_password

__all__ = ["AccountStore", "SessionStore", "Store", "open_store"]


class AccountStore(Protocol):
    """Keeps accounts. User ids compare byte for byte. Raises ``Unavailable`` when out of reach."""

    async def get_account(self, user_id: str) -> Account | None:
        """The account, or None if there is no such one."""

    async def add_account(self, account: Account) -> None:
        """Keep a new account; of several at once, in any process, all but one raise ``UserIDExists``."""

    async def update_account(self, user_id: str, changes: Mapping[str, Any]) -> bool:
        """Set the values that ``changes`` names and keep the others, atomically; False: no such account."""

    async def replace_password(self, user_id: str, old: str, new: str) -> bool:
        """Set the password's hash to ``new`` if it still is ``old``, atomically; False: it is not."""


class SessionStore(Protocol):
    """Keeps sessions by their key, and counters beside them. Raises ``Unavailable`` when out of reach."""

    async def get_session(self, key: str) -> Session | None:
        """The session, a copy of its own; None if it is unknown, ended or expired."""

    async def add_session(self, session: Session) -> None:
        """Keep a new session."""

    async def save_session(self, session: Session) -> bool:
        """Write the ``state`` if the stored version still is ``session.version``.

        The stored version is then one higher; all else, ``session`` too, is left as it is, so that a renewal
        stays. False if another save came first, or the session is gone: a save never brings one back.
        """

    async def touch_session(self, key: str, expires: float, seen: float) -> bool:
        """Set ``expires`` and ``seen``, in Unix seconds, without a new version. False if it is gone."""

    async def list_sessions(self, user_id: str) -> list[Session]:
        """The living sessions of an account, the oldest first."""

    async def remove_session(self, key: str) -> bool:
        """End a session. If there is no such session this is a no-op, and False."""

    async def remove_sessions(self, user_id: str, keep: str | None = None) -> int:
        """End the sessions of an account, but for the one of the key ``keep``; how many there were."""

    async def increment(self, key: str, ttl: float, by: int = 1) -> int:
        """Add to a counter, atomically; what it counts now. It begins at 0, and again when ``ttl`` seconds
        have passed since then."""

    async def add_once(self, key: str, ttl: float) -> bool:
        """Whether nobody, in any process, has added this key within the last ``ttl`` seconds."""

    async def sweep(self) -> int:
        """Drop what has expired and the database has not dropped by itself, a bounded number at a time.

        Returns how many were dropped.
        """


class Store(AccountStore, SessionStore, Protocol):
    """A database that keeps both, and its life: opened by ``open_store``, closed by who opened it."""

    @property
    def db(self) -> Any:
        """The driver's own client or pool for methods, apart from what the store itself uses."""

    async def close(self) -> None:
        """Give back what the store opened, and nothing that was handed to it ready."""


STORES = {
    "memory": "toto_aio.stores.memory:MemoryStore",
    "sqlite": "toto_aio.stores.sqlite:SQLiteStore",
    "postgresql": "toto_aio.stores.postgres:PostgresStore",
    "postgres": "toto_aio.stores.postgres:PostgresStore",
    "mysql": "toto_aio.stores.mysql:MySQLStore",
    "mysql+aiomysql": "toto_aio.stores.mysql:MySQLStore",
    "mongodb": "toto_aio.stores.mongodb:MongoDBStore",
    "mongodb+srv": "toto_aio.stores.mongodb:MongoDBStore",
    "redis": "toto_aio.stores.redis:RedisStore",
    "rediss": "toto_aio.stores.redis:RedisStore",
}
"""By the scheme of a URL, the class whose ``open(url)`` gives the store."""

READY = {
    "asyncpg.pool:Pool": "toto_aio.stores.postgres:PostgresStore",
    "asyncmy.pool:Pool": "toto_aio.stores.mysql:MySQLStore",
    "aiomysql.pool:Pool": "toto_aio.stores.mysql:MySQLStore",
    "pymongo.asynchronous.mongo_client:AsyncMongoClient": "toto_aio.stores.mongodb:MongoDBStore",
    "motor.motor_asyncio:AsyncIOMotorClient": "toto_aio.stores.mongodb:MongoDBStore",
    "redis.asyncio.client:Redis": "toto_aio.stores.redis:RedisStore",
}
"""By the type of a ready client, the class whose ``over(client)`` gives a store that leaves it open."""

DRIVERS = {
    "toto_aio.stores.postgres": ("PostgreSQL", "'toto-aio[postgresql]'"),
    "toto_aio.stores.mongodb": ("MongoDB", "'toto-aio[mongodb]'"),
    "toto_aio.stores.redis": ("Redis", "'toto-aio[redis]'"),
}
"""By the module of a store, whose driver it needs and what to install for that."""


async def open_store(database: Any) -> Store:
    """The store for a URL such as ``sqlite:///toto.db`` or ``memory://``, or a bare name such as ``memory``.

    A client or pool that is ready, such as an ``asyncpg.Pool``, is worked with and left open; a store that
    is ready is returned as it is. Raises ``SettingsError`` for what is none of these, and ``Unavailable`` if
    the database cannot be reached.
    """
    if not isinstance(database, str):
        for kind in type(database).__mro__:
            if path := READY.get(f"{kind.__module__}:{kind.__qualname__}"):
                return cast(Store, await _load(path).over(database))
        if hasattr(database, "get_session"):
            return cast(Store, database)
        raise SettingsError(f"database: expected a URL or a store, got {type(database).__name__}")
    scheme = database.partition("://")[0]
    if scheme not in STORES:
        known = ", ".join(f"{name}://" for name in STORES)
        raise SettingsError(f"database: cannot open {without_password(database)!r}; write one of {known}")
    return cast(Store, await _load(STORES[scheme]).open(database))


def _load(path: str) -> Any:
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as exc:
        if module not in DRIVERS:
            raise
        database, package = DRIVERS[module]
        raise SettingsError(f"{database} needs a driver: pip install {package}") from exc
