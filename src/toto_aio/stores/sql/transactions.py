"""Transactions of methods over the connections of a pool."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from toto_aio.exceptions import Unavailable
from toto_aio.models import Record
from toto_aio.stores import transactions
from toto_aio.stores.sql.connector import Connector, Failure
from toto_aio.stores.sql.pool import ConnectionSource
from toto_aio.stores.transactions import Ends, OutcomeUnknownError, within

C = TypeVar("C")

COMMON = (OSError, EOFError, RuntimeError)
"""Errors of the drivers that a method may also raise for reasons of its own."""


class Steps(Protocol):
    """How a driver begins and ends a transaction on a connection."""

    async def start(self) -> None:
        """Begin."""

    async def check(self) -> None:
        """Raise ``RuntimeError`` if there is no transaction that can be committed."""

    async def save_record(self, record: Record) -> bool:
        """Save a record, by ``sql.records.SAVE_RECORD``."""

    async def commit(self) -> None:
        """Commit."""

    async def rollback(self) -> None:
        """Roll back."""


class PooledTransactions(Generic[C]):
    """Begins transactions on connections of a source; ``steps`` has what a driver does with one."""

    save_records = True

    def __init__(
        self, connector: Connector[C], source: ConnectionSource[C], steps: Callable[[C], Steps]
    ) -> None:
        self.tasks = Ends()
        self._connector = connector
        self._source = source
        self._steps = steps

    async def begin(self) -> PooledTransaction[C]:
        try:
            async with asyncio.timeout(transactions.BEGIN_LIMIT):
                connection = await self._source.acquire()
                steps = self._steps(connection)
                try:
                    await steps.start()
                except BaseException:
                    self._source.discard(connection, busy=True)
                    raise
        except Exception as exc:
            if self._connector.classify(exc) is None:
                raise
            raise Unavailable from exc
        return PooledTransaction(connection, steps, self._connector, self._source)

    async def close(self) -> None:
        await self.tasks.finish()
        await self._source.close()


class PooledTransaction(Generic[C]):
    """A transaction on a connection, which goes back to its source."""

    def __init__(
        self, connection: C, steps: Steps, connector: Connector[C], source: ConnectionSource[C]
    ) -> None:
        self.connection: Any = connection
        self._steps = steps
        self._connector = connector
        self._source = source

    async def commit(self) -> None:
        step = self._steps.check
        try:
            await within(transactions.COMMIT_LIMIT, step())
            step = self._steps.commit
            await within(transactions.COMMIT_LIMIT, step())
        except Exception as exc:
            if step == self._steps.check or self._connector.classify(exc) is not Failure.CONNECTION_LOST:
                is_outage = self.is_outage(exc)
                await self.rollback()
                if is_outage:
                    raise Unavailable from exc
                raise
            self._source.discard(self.connection, busy=True)
            raise Unavailable from OutcomeUnknownError(exc)
        await self._source.release(self.connection)

    async def save_record(self, record: Record) -> bool:
        await self._steps.check()
        return await self._steps.save_record(record)

    async def rollback(self) -> None:
        try:
            await within(transactions.ROLLBACK_LIMIT, self._steps.rollback())
        except Exception:
            self._source.discard(self.connection, busy=True)
        else:
            await self._source.release(self.connection)

    def is_outage(self, error: Exception) -> bool:
        failure = self._connector.classify(error)
        if failure is Failure.CONNECTION_LOST and isinstance(error, COMMON):
            return not self._connector.is_alive(self.connection)
        return failure in (Failure.CONNECTION_LOST, Failure.ROLLED_BACK)
