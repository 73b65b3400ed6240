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
        """Drop what has expired, a bounded number at a time; how many were dropped."""


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
}


async def open_store(database: Any) -> Store:
    """The store for a URL such as ``sqlite:///toto.db`` or ``memory://``, or a bare name such as ``memory``.

    A store that is ready is returned as it is. Raises ``SettingsError`` for what is neither, and
    ``Unavailable`` if the database cannot be opened.
    """
    if not isinstance(database, str):
        if hasattr(database, "get_session"):
            return cast(Store, database)
        raise SettingsError(f"database: expected a URL or a store, got {type(database).__name__}")
    scheme = database.partition("://")[0]
    if scheme not in STORES:
        known = ", ".join(f"{name}://" for name in STORES)
        raise SettingsError(f"database: cannot open {database!r}; write one of {known}")
    module, _, name = STORES[scheme].partition(":")
    return cast(Store, await getattr(importlib.import_module(module), name).open(database))
