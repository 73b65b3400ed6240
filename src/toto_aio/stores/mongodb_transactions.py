"""Transactions of methods on MongoDB, which has them on replica sets and sharded clusters only."""

from __future__ import annotations

import inspect
from contextlib import suppress
from typing import Any

from pymongo import ReadPreference, WriteConcern
from pymongo.errors import ConnectionFailure, PyMongoError
from pymongo.read_concern import ReadConcern

from toto_aio.exceptions import Unavailable
from toto_aio.models import Record
from toto_aio.stores import transactions
from toto_aio.stores.mongodb_operations import DATABASE
from toto_aio.stores.mongodb_records import RECORDS, save
from toto_aio.stores.transactions import ENDED, Ends, OutcomeUnknownError, within

NONE = (
    "This MongoDB is not a replica set, so it has no transactions: start it with --replSet, and call "
    "rs.initiate() once; one server is enough"
)
DURABLE = WriteConcern(w="majority", j=True)


class MongoDBTransactions:
    """Begins transactions of a client: each is a session, to be passed on as ``session=``."""

    save_records = True

    def __init__(self, client: Any) -> None:
        self.tasks = Ends()
        self._client = client
        self._has_transactions = False

    async def begin(self) -> MongoDBTransaction:
        try:
            return await within(transactions.BEGIN_LIMIT, self._begin())
        except (PyMongoError, OSError) as exc:
            raise Unavailable from exc

    async def _begin(self) -> MongoDBTransaction:
        if not self._has_transactions:
            answer = await self._client.admin.command("hello")
            if "setName" not in answer and answer.get("msg") != "isdbgrid":
                raise RuntimeError(NONE)
            self._has_transactions = True
        session = self._client.start_session()
        session = await session if inspect.isawaitable(session) else session  # Motor's is a coroutine
        begun = session.start_transaction(read_concern=ReadConcern("snapshot"), write_concern=DURABLE)
        if inspect.isawaitable(begun):
            await begun
        database = self._client.get_default_database(default=DATABASE)
        records = database.get_collection(RECORDS, read_preference=ReadPreference.PRIMARY)
        return MongoDBTransaction(session, records)

    async def close(self) -> None:
        await self.tasks.finish()


class MongoDBTransaction:
    """A transaction; its ``connection`` is the driver's session."""

    def __init__(self, session: Any, records: Any) -> None:
        self.connection = session
        self._records = records

    async def commit(self) -> None:
        try:
            if not self.connection.in_transaction:
                raise RuntimeError(ENDED)
            await within(transactions.COMMIT_LIMIT, self.connection.commit_transaction())
        except (PyMongoError, OSError) as exc:
            if isinstance(exc, PyMongoError) and not exc.has_error_label("UnknownTransactionCommitResult"):
                if self.is_outage(exc):
                    raise Unavailable from exc
                raise
            raise Unavailable from OutcomeUnknownError(exc)
        finally:
            await self._end()

    async def save_record(self, record: Record) -> bool:
        if not self.connection.in_transaction:
            raise RuntimeError(ENDED)
        saved = await self._records.update_one(*save(record), session=self.connection)
        return bool(saved.matched_count)

    async def rollback(self) -> None:
        with suppress(PyMongoError, OSError):
            if self.connection.in_transaction:
                await within(transactions.ROLLBACK_LIMIT, self.connection.abort_transaction())
        await self._end()

    def is_outage(self, error: Exception) -> bool:
        if isinstance(error, ConnectionFailure):
            return True
        return isinstance(error, PyMongoError) and error.has_error_label("TransientTransactionError")

    async def _end(self) -> None:
        with suppress(PyMongoError, OSError):
            await within(transactions.ROLLBACK_LIMIT, self.connection.end_session())
