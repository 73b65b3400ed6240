"""``mongodb://host/toto``: accounts and sessions in the collections of a MongoDB database.

MongoDB drops what has expired by its TTL indexes, once a minute; until then it is not found, as each read
looks at the exact time. A write is on the disks of the majority before it is acknowledged.
"""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import msgspec
from bson import DatetimeMS
from pymongo import AsyncMongoClient, IndexModel, ReadPreference, ReturnDocument, WriteConcern
from pymongo.errors import DuplicateKeyError, PyMongoError

from toto_aio.codecs import encode_json
from toto_aio.exceptions import Unavailable, UserIDExists
from toto_aio.models import Account, Session
from toto_aio.settings import SettingsError
from toto_aio.settings.urls import without_password
from toto_aio.stores.coalesce import Merged

CONNECT_LIMIT = 2.0
"""Seconds in which a server has to be found, and a connection to be made."""
OPERATION_LIMIT = 5.0
"""Seconds that an operation may take in all."""
POOL_LIMIT = 1.0
"""Seconds that an operation waits for a connection while all are in use."""
CLOSE_LIMIT = 1.0
"""Seconds to take leave of the server."""
POOL_SIZE = 20
"""Connections of the store, and of the methods."""
DATABASE = "toto"
"""The name of the database if the URL has none."""
DURABLE = WriteConcern(w="majority", j=True)
FIELDS = "user_id created state version signing_key seen address agent".split()
"""The fields of a session that stand in its document under their own names, beside those of its expiry."""

ERRORS = (PyMongoError, OSError)
"""What an operation raises: the driver's errors, the network's and ``TimeoutError``."""

Document = dict[str, Any]
P = ParamSpec("P")
T = TypeVar("T")


def bounded(
    operation: Callable[Concatenate[MongoDBStore, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[MongoDBStore, P], Coroutine[Any, Any, T]]:
    """Give an operation of the store a time limit, and ``Unavailable`` for what goes wrong in it.

    It runs in a task of its own, which goes on if its caller is cancelled or waits no longer: a driver that
    is cut off closes the connection, and loses the socket that it is connecting.
    """

    @wraps(operation)
    async def run(store: MongoDBStore, /, *args: P.args, **kwargs: P.kwargs) -> T:
        task = asyncio.create_task(operation(store, *args, **kwargs), name="toto-aio mongodb")
        store._running.add(task)
        task.add_done_callback(store._ended)
        await asyncio.wait([task], timeout=OPERATION_LIMIT)
        if not task.done():
            raise Unavailable from TimeoutError(f"MongoDB did not answer within {OPERATION_LIMIT} s")
        try:
            return task.result()
        except ERRORS as exc:
            raise Unavailable from exc
        except asyncio.CancelledError as exc:
            raise Unavailable from exc  # by the end of the store

    return run


class MongoDBStore:
    """The store over a client; ``db`` is an ``AsyncDatabase`` of a client of its own."""

    def __init__(self, client: Any, db: Any, *opened: AsyncMongoClient[Document]) -> None:
        self.db = db
        self._running: set[asyncio.Task[Any]] = set()
        self._opened = opened
        self._reads = Merged(self._find_sessions)
        database = client.get_default_database(default=DATABASE)
        self._accounts, self._sessions, self._counters = (
            # Another server than the primary may not know yet that a session has ended.
            database.get_collection(name, write_concern=DURABLE, read_preference=ReadPreference.PRIMARY)
            for name in ("toto_accounts", "toto_sessions", "toto_counters")
        )

    @classmethod
    async def open(cls, url: str) -> MongoDBStore:
        clients = make_client(url), make_client(url)
        store = cls(clients[0], clients[1].get_default_database(default=DATABASE), *clients)
        await store._begin(without_password(url))
        return store

    @classmethod
    async def over(cls, client: Any) -> MongoDBStore:
        """The store on a ready client, pymongo's or Motor's, which is left open and becomes ``db``."""
        store = cls(client, client)
        await store._begin("of the client")
        return store

    async def close(self) -> None:
        await asyncio.gather(*map(_close, self._opened))
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._reads.finish()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        """Forget an operation that has ended, also with an error that nobody waits for any more."""
        self._running.discard(task)
        if not task.cancelled():
            task.exception()

    @bounded
    async def get_account(self, user_id: str) -> Account | None:
        found = await self._accounts.find_one({"_id": _text(user_id)})
        if found is None:
            return None
        return Account(user_id, found["password"], msgspec.json.decode(found["extra"]), found["version"])

    @bounded
    async def add_account(self, account: Account) -> None:
        document = {
            "_id": _text(account.user_id),
            "password": account.password,
            "extra": encode_json(account.values),
            "version": account.version,
        }
        try:
            await self._accounts.insert_one(document)
        except DuplicateKeyError as exc:
            raise UserIDExists from exc

    @bounded
    async def update_account(self, user_id: str, changes: Mapping[str, Any]) -> bool:
        while (account := await self.get_account(user_id)) is not None:
            updated = await self._accounts.update_one(
                {"_id": _text(user_id), "version": account.version},
                {"$set": {"extra": encode_json({**account.values, **changes})}, "$inc": {"version": 1}},
            )
            if updated.matched_count:
                return True
        return False

    @bounded
    async def replace_password(self, user_id: str, old: str, new: str) -> bool:
        updated = await self._accounts.update_one(
            {"_id": _text(user_id), "password": _text(old)},
            {"$set": {"password": new}, "$inc": {"version": 1}},
        )
        return bool(updated.matched_count)

    async def get_session(self, key: str) -> Session | None:
        found = await self._reads.get(_text(key))
        return None if found is None else _session(found)

    @bounded
    async def add_session(self, session: Session) -> None:
        document = {name: getattr(session, name) for name in FIELDS}
        document.update(_expiry(session.expires), _id=_text(session.key))
        await self._sessions.insert_one(document)

    @bounded
    async def save_session(self, session: Session) -> bool:
        updated = await self._sessions.update_one(
            {**_alive(session.key), "version": session.version},
            {"$set": {"state": session.state}, "$inc": {"version": 1}},
        )
        return bool(updated.matched_count)

    @bounded
    async def touch_session(self, key: str, expires: float, seen: float) -> bool:
        updated = await self._sessions.update_one(_alive(key), {"$set": {**_expiry(expires), "seen": seen}})
        return bool(updated.matched_count)

    @bounded
    async def list_sessions(self, user_id: str) -> list[Session]:
        of_user = {"user_id": _text(user_id), "expires": {"$gt": time.time()}}
        found = await self._sessions.find(of_user).to_list(None)
        return sorted(map(_session, found), key=lambda session: session.created)

    @bounded
    async def remove_session(self, key: str) -> bool:
        return bool((await self._sessions.delete_one(_alive(key))).deleted_count)

    @bounded
    async def remove_sessions(self, user_id: str, keep: str | None = None) -> int:
        of_user = {"user_id": _text(user_id), "expires": {"$gt": time.time()}}
        others = {**of_user, "_id": {"$ne": _text(keep or "")}}
        return int((await self._sessions.delete_many(others)).deleted_count)

    @bounded
    async def increment(self, key: str, ttl: float, by: int = 1) -> int:
        now = time.time()
        fresh = {"count": by, **_expiry(now + ttl)}
        is_alive = {"$gt": ["$expires", now]}
        going_on = {name: {"$cond": [is_alive, f"${name}", value]} for name, value in fresh.items()}
        going_on["count"] = {"$cond": [is_alive, {"$add": ["$count", by]}, by]}
        while True:
            counter = await self._counters.find_one_and_update(
                {"_id": _text(key)}, [{"$set": going_on}], return_document=ReturnDocument.AFTER
            )
            if counter is not None:
                return int(counter["count"])
            with suppress(DuplicateKeyError):  # somebody else began it meanwhile
                await self._counters.insert_one({"_id": key, **fresh})
                return by

    async def add_once(self, key: str, ttl: float) -> bool:
        return await self.increment(key, ttl) == 1

    async def sweep(self) -> int:
        return 0  # MongoDB drops by itself what has expired

    @bounded
    async def _find_sessions(self, keys: Sequence[str]) -> dict[str, Document]:
        living = {"_id": {"$in": list(keys)}, "expires": {"$gt": time.time()}}
        return {found["_id"]: found for found in await self._sessions.find(living).to_list(None)}

    async def _begin(self, name: str) -> None:
        try:
            await self._create_indexes()
        except Unavailable as exc:
            await self.close()
            why = str(exc.__cause__).partition(", full error")[0]
            raise Unavailable(f"Cannot open the database {name}: {why}") from exc.__cause__
        except BaseException:
            await self.close()
            raise

    @bounded
    async def _create_indexes(self) -> None:
        expiry = IndexModel("expires_at", expireAfterSeconds=0)
        await self._sessions.create_indexes([IndexModel("user_id"), expiry])
        await self._counters.create_indexes([expiry])


def make_client(url: str) -> AsyncMongoClient[Document]:
    """A client for a URL; a bare ``mongodb`` means this machine. Raises ``SettingsError``."""
    try:
        with warnings.catch_warnings(action="error"):  # an unknown option
            return AsyncMongoClient(
                "mongodb://localhost" if url in ("mongodb", "mongodb://") else url,
                serverSelectionTimeoutMS=int(CONNECT_LIMIT * 1000),
                connectTimeoutMS=int(CONNECT_LIMIT * 1000),
                socketTimeoutMS=int(OPERATION_LIMIT * 1000),
                waitQueueTimeoutMS=int(POOL_LIMIT * 1000),
                maxPoolSize=POOL_SIZE,
                retryWrites=False,  # only reads are sent again
            )
    except (PyMongoError, ValueError, Warning):
        # Without its cause, which may quote the password.
        raise SettingsError(
            f"database: cannot open {without_password(url)!r}; "
            "write mongodb://user:password@host:27017/toto, with %XX for odd characters in the password"
        ) from None


async def _close(client: AsyncMongoClient[Document]) -> None:
    # The first attempt says good-bye to a server that may not listen; the second one leaves that out.
    for limit in (CLOSE_LIMIT, OPERATION_LIMIT):
        with suppress(*ERRORS):
            async with asyncio.timeout(limit):
                return await client.close()


def _alive(key: str) -> Document:
    return {"_id": _text(key), "expires": {"$gt": time.time()}}


def _expiry(expires: float) -> Document:
    return {"expires": float(expires), "expires_at": DatetimeMS(int(expires * 1000))}


def _session(document: Document) -> Session:
    return Session(
        key=document["_id"], expires=document["expires"], **{name: document[name] for name in FIELDS}
    )


def _text(value: str) -> str:
    """A value for a query, which must never be a dict of operators."""
    if not isinstance(value, str):
        raise TypeError(f"expected a string, not {type(value).__name__}")
    return value
