"""``mongodb://host/toto``: accounts and sessions in the collections of a MongoDB database.

MongoDB drops what has expired by its TTL indexes, once a minute; until then no read finds it, as each read
compares the exact time. A write is on the disks of the majority before it is acknowledged.
"""

from __future__ import annotations

import asyncio
import re
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from pymongo import AsyncMongoClient, IndexModel, ReadPreference, ReturnDocument, WriteConcern
from pymongo.errors import DuplicateKeyError, PyMongoError

from toto_aio.codecs import encode_json
from toto_aio.codecs.json_codec import read_json
from toto_aio.exceptions import Unavailable, UserIDExists
from toto_aio.models import Account, Session
from toto_aio.settings import SettingsError
from toto_aio.settings.provider_options import LEFT_OUT
from toto_aio.settings.urls import address_of, without_password
from toto_aio.stores import mongodb_operations, portions
from toto_aio.stores.coalesce import Coalescer
from toto_aio.stores.mongodb_operations import DATABASE, ERRORS, Document, bounded, expiry, text
from toto_aio.stores.mongodb_records import RECORDS, MongoDBRecords
from toto_aio.stores.mongodb_transactions import MongoDBTransactions
from toto_aio.tasks import Tasks

CONNECT_LIMIT = 2.0
"""Seconds in which a server must be found, and seconds in which a connection must be made."""
POOL_LIMIT = 1.0
"""Seconds that an operation waits for a connection while all are in use."""
CLOSE_LIMIT = 1.0
"""Seconds in which a client can be closed gracefully."""
POOL_SIZE = 20
"""The most connections of the store, and of the client for methods."""
DURABLE = WriteConcern(w="majority", j=True)
HABITS = dict.fromkeys(
    (
        *("usenewurlparser", "useunifiedtopology", "usecreateindex", "usefindandmodify", "autoreconnect"),
        *("poolsize", "keepalive", "keepaliveinitialdelay", "native_parser", "family", "buffermaxentries"),
        *("reconnecttries", "reconnectinterval"),
    ),
    LEFT_OUT,
)
"""Options in URLs that only clients in other languages have, in lower case, as MongoDB compares them."""
FIELDS = ["user_id", "created", "state", "version", "signing_key", "seen", "address", "agent"]
"""The fields of a session that have their own names in its document; the others are its key and expiry."""


async def from_url(url: str) -> MongoDBStore:
    """Return the store at a URL; ``db`` is an ``AsyncDatabase`` of a client for methods."""
    clients = make_client(url), make_client(url)
    db = clients[1].get_default_database(default=DATABASE)
    store = MongoDBStore(clients[0], db, MongoDBTransactions(clients[1]), *clients)
    await store.prepare(address_of(url))
    return store


async def from_client(client: Any) -> MongoDBStore:
    """Return the store on a ready client of pymongo or Motor, which stays open and becomes ``db``."""
    store = MongoDBStore(client, client, MongoDBTransactions(client))
    await store.prepare("of the client")
    return store


def _reason(cause: BaseException | None) -> str:
    """Why the driver fails, by server: without the limits and the whole topology that it prints too."""
    text = re.sub(r" \(configured timeouts: [^)]*\)", "", str(cause))
    return text.partition(", Timeout: ")[0].partition(", full error")[0]


class MongoDBStore(MongoDBRecords):
    """The store over a client. ``opened`` are the clients that are closed with the store."""

    def __init__(
        self, client: Any, db: Any, transactions: MongoDBTransactions, *opened: AsyncMongoClient[Document]
    ) -> None:
        self.db = db
        self.transactions = transactions
        self.operations = Tasks()
        self._opened = opened
        self._reads = Coalescer(self._find_sessions)
        database = client.get_default_database(default=DATABASE)
        self._accounts, self._sessions, self._counters, self._records = (
            # A server other than the primary may not know yet that a session has ended.
            database.get_collection(name, write_concern=DURABLE, read_preference=ReadPreference.PRIMARY)
            for name in ("toto_accounts", "toto_sessions", "toto_counters", RECORDS)
        )

    async def prepare(self, name: str) -> None:
        """Create the indexes of the database ``name`` if they are missing. If that fails, close the store."""
        try:
            await self._create_indexes()
        except Unavailable as exc:
            await self.close()
            raise Unavailable(f"Cannot open the database {name}: {_reason(exc.__cause__)}") from exc.__cause__
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        await self.transactions.close()
        await asyncio.gather(*map(_close, self._opened))
        await self.operations.cancel()
        await self._reads.finish()

    @bounded
    async def get_account(self, user_id: str) -> Account | None:
        found = await self._accounts.find_one({"_id": text(user_id)})
        return None if found is None else _account(found)

    @bounded
    async def add_account(self, account: Account) -> None:
        document = {
            "_id": text(account.user_id),
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
                {"_id": text(user_id), "version": account.version},
                {"$set": {"extra": encode_json({**account.values, **changes})}, "$inc": {"version": 1}},
            )
            if updated.matched_count:
                return True
        return False

    @bounded
    async def replace_password(self, user_id: str, old: str | None, new: str) -> bool:
        updated = await self._accounts.update_one(
            {"_id": text(user_id), "password": None if old is None else text(old)},
            {"$set": {"password": new}, "$inc": {"version": 1}},
        )
        return bool(updated.matched_count)

    @bounded
    async def remove_account(self, user_id: str) -> bool:
        return bool((await self._accounts.delete_one({"_id": text(user_id)})).deleted_count)

    @bounded
    async def list_accounts(self, after: str, limit: int) -> list[Account]:
        found = self._accounts.find({"_id": {"$gt": text(after)}}).sort("_id", 1).limit(limit)
        return [_account(document) for document in await found.to_list(None)]

    async def get_session(self, key: str) -> Session | None:
        found = await self._reads.get(text(key))
        return None if found is None else _session(found)

    @bounded
    async def add_session(self, session: Session) -> None:
        document = {name: getattr(session, name) for name in FIELDS}
        document.update(expiry(session.expires), _id=text(session.key))
        await self._sessions.insert_one(document)

    @bounded
    async def save_session(self, session: Session) -> bool:
        updated = await self._sessions.update_one(
            {**_unexpired(session.key), "version": session.version},
            {"$set": {"state": session.state}, "$inc": {"version": 1}},
        )
        return bool(updated.matched_count)

    @bounded
    async def touch_session(self, key: str, expires: float, seen: float) -> bool:
        updated = await self._sessions.update_one(
            _unexpired(key), {"$set": {**expiry(expires), "seen": seen}}
        )
        return bool(updated.matched_count)

    @bounded
    async def list_sessions(self, user_id: str, limit: int = 1000) -> list[Session]:
        found = self._sessions.find(_others(user_id), {"state": 0}).sort("expires", -1).limit(limit)
        sessions = [_session({**document, "state": b""}) for document in await found.to_list(None)]
        return sorted(sessions, key=lambda session: session.created)

    @bounded
    async def surplus_sessions(self, user_id: str, most: int, keep: str) -> list[str]:
        newest_first = self._sessions.find(_others(user_id, keep), {"_id": 1}).sort(
            [("created", -1), ("_id", 1)]
        )
        return [
            document["_id"]
            for document in await newest_first.skip(most).limit(portions.SURPLUS).to_list(None)
        ]

    @bounded
    async def remove_session(self, key: str) -> bool:
        return bool((await self._sessions.delete_one(_unexpired(key))).deleted_count)

    async def remove_sessions(self, user_id: str, keep: str | None = None) -> int:
        ended, found = 0, portions.PORTION
        while found == portions.PORTION:
            found, deleted = await self._remove_portion(user_id, keep)
            ended += deleted
        return ended

    @bounded
    async def increment(self, key: str, ttl: float, by: int = 1) -> int:
        now = time.time()
        fresh = {"count": max(by, 0), **expiry(now + ttl)}
        is_unexpired = {"$gt": ["$expires", now]}
        changes = {name: {"$cond": [is_unexpired, f"${name}", value]} for name, value in fresh.items()}
        added = {"$add": ["$count", by]}
        kept = {"$cond": [{"$lt": [added, 0]}, "$count", added]}
        changes["count"] = {"$cond": [is_unexpired, kept, fresh["count"]]}
        while True:
            counter = await self._counters.find_one_and_update(
                {"_id": text(key)}, [{"$set": changes}], return_document=ReturnDocument.AFTER
            )
            if counter is not None:
                return int(counter["count"])
            with suppress(DuplicateKeyError):  # another process has started it in the meantime
                await self._counters.insert_one({"_id": key, **fresh})
                return max(by, 0)

    @bounded
    async def get_counter(self, key: str) -> tuple[int, float]:
        now = time.time()
        counter = await self._counters.find_one({"_id": text(key), "expires": {"$gt": now}})
        return (0, 0.0) if counter is None else (int(counter["count"]), counter["expires"] - now)

    async def add_once(self, key: str, ttl: float) -> bool:
        return await self.increment(key, ttl) == 1

    async def sweep(self) -> int:
        return 0  # MongoDB drops what has expired

    @bounded
    async def _remove_portion(self, user_id: str, keep: str | None) -> tuple[int, int]:
        """End some of the sessions; return how many there were, and how many nobody else has ended."""
        some = self._sessions.find(_others(user_id, keep), {"_id": 1}).limit(portions.PORTION)
        keys = [document["_id"] for document in await some.to_list(None)]
        return len(keys), int((await self._sessions.delete_many({"_id": {"$in": keys}})).deleted_count)

    @bounded
    async def _find_sessions(self, keys: Sequence[str]) -> dict[str, Document]:
        unexpired = {"_id": {"$in": list(keys)}, "expires": {"$gt": time.time()}}
        return {found["_id"]: found for found in await self._sessions.find(unexpired).to_list(None)}

    @bounded
    async def _create_indexes(self) -> None:
        expires = IndexModel("expires_at", expireAfterSeconds=0)
        await self._sessions.create_indexes([IndexModel("user_id"), expires])
        await self._counters.create_indexes([expires])
        await self._records.create_indexes([IndexModel(["owner", "_id"]), expires])


def make_client(url: str) -> AsyncMongoClient[Document]:
    """Return a client for a URL; a bare ``mongodb`` means localhost. Raises ``SettingsError``."""
    try:
        with warnings.catch_warnings(action="error"):  # pymongo warns of an unknown option
            return AsyncMongoClient(
                "mongodb://localhost" if url in ("mongodb", "mongodb://") else _without_habits(url),
                serverSelectionTimeoutMS=int(CONNECT_LIMIT * 1000),
                connectTimeoutMS=int(CONNECT_LIMIT * 1000),
                socketTimeoutMS=int(mongodb_operations.OPERATION_LIMIT * 1000),
                waitQueueTimeoutMS=int(POOL_LIMIT * 1000),
                maxPoolSize=POOL_SIZE,
                retryWrites=False,  # only reads are retried
            )
    except (PyMongoError, ValueError, Warning):
        # Without its cause, which may quote the password.
        raise SettingsError(
            f"database: cannot open {without_password(url)!r}; "
            "write mongodb://user:password@host:27017/toto, with %XX for special characters in the password"
        ) from None


def _without_habits(url: str) -> str:
    """Leave out the options that only clients in other languages have."""
    base, _, query = url.partition("?")
    kept = [part for part in query.split("&") if HABITS.get(part.partition("=")[0].lower()) is not LEFT_OUT]
    return f"{base}?{'&'.join(kept)}" if any(kept) else base


async def _close(client: AsyncMongoClient[Document]) -> None:
    # The first attempt ends the sessions on the server, which may not answer; the second one skips that.
    for limit in (CLOSE_LIMIT, mongodb_operations.OPERATION_LIMIT):
        with suppress(*ERRORS):
            async with asyncio.timeout(limit):
                return await client.close()


def _unexpired(key: str) -> Document:
    return {"_id": text(key), "expires": {"$gt": time.time()}}


def _others(user_id: str, keep: str | None = None) -> Document:
    """Return the query for the sessions of a user, except the one whose key is ``keep``."""
    of_user: Document = {"user_id": text(user_id), "expires": {"$gt": time.time()}}
    return of_user if keep is None else {**of_user, "_id": {"$ne": text(keep)}}


def _account(document: Document) -> Account:
    extra = read_json(document["extra"])
    return Account(document["_id"], document["password"], extra, document["version"])


def _session(document: Document) -> Session:
    return Session(
        key=document["_id"], expires=document["expires"], **{name: document[name] for name in FIELDS}
    )
