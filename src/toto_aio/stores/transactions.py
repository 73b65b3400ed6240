"""Transactions for methods: how one begins, and what becomes of it, however its block ends.

A database adds a ``Transactions``; ``Transaction`` has the rules that are the same for all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from contextvars import ContextVar
from types import TracebackType
from typing import Any, NoReturn, Protocol, TypeVar

from toto_aio.exceptions import Unavailable, described
from toto_aio.models import Record
from toto_aio.tasks import Tasks, is_being_cancelled

logger = logging.getLogger(__name__)

T = TypeVar("T")

BEGIN_LIMIT = 5.0
"""Seconds that the beginning may take."""
COMMIT_LIMIT = 5.0
"""Seconds that a commit may take."""
ROLLBACK_LIMIT = 1.0
"""Seconds that a rollback may take before the connection is closed instead, which makes the server do it."""

ENDED = (
    "The transaction ended before its block: leave commit() and rollback() to the block, raise an exception "
    "to roll back, and create tables elsewhere (MySQL commits then)"
)
FAILED = "A statement of the transaction failed, so nothing was committed: let its error leave the block"


class Begun(Protocol):
    """A transaction that has begun, on a connection of its own."""

    connection: Any

    async def commit(self) -> None:
        """Commit, and give the connection back, whatever happens.

        Raises ``Unavailable`` if the database could not, from ``OutcomeUnknownError`` if it may have.
        """

    async def rollback(self) -> None:
        """Roll back, by closing the connection if need be, and give it back. Raises nothing."""

    async def save_record(self, record: Record) -> bool:
        """Save a record of the service's as ``RecordStore.save_record`` does, as part of the transaction."""

    def is_outage(self, error: Exception) -> bool:
        """Whether an error in the block comes from the state of the database, not from the method."""


class Ends(Tasks):
    """The ends of transactions: the tasks that commit and roll back, for those that are ``open``."""

    def __init__(self) -> None:
        super().__init__()
        self.open: set[Begun] = set()

    async def finish(self, limit: float | None = None) -> None:
        """Roll back what outlives the service, such as in a thread, and wait until everything has ended."""
        while self.open:
            self.start(self.open.pop().rollback(), "rollback")
        await super().finish(limit)


class Transactions(Protocol):
    """Begins the transactions of one database. ``tasks`` end them.

    Those of an application's own store have ``save_records`` if what they begin has ``save_record``.
    """

    tasks: Ends

    async def begin(self) -> Begun:
        """Begin a transaction. Raises ``Unavailable``."""

    async def close(self) -> None:
        """Wait for ``tasks.finish()``."""


class OutcomeUnknownError(Exception):
    """The connection was lost during the commit, which may have been carried out."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(f"it is not known whether the transaction was committed: {described(cause)}")


class NoTransactions:
    """Stands for the transactions of a database that has none; ``reason`` says so, and what to use."""

    def __init__(self, reason: str) -> None:
        self.tasks = Ends()
        self._reason = reason

    async def begin(self) -> NoReturn:
        raise RuntimeError(self._reason)

    async def close(self) -> None: ...


def transactions_of(store: Any) -> Transactions:
    """The transactions of a store. One that an application has written may have none."""
    found: Transactions | None = getattr(store, "transactions", None)
    return found or NoTransactions(
        "This store has no transactions for methods: give it an attribute 'transactions', or use "
        "handler.connection.db"
    )


class Transaction:
    """``async with transaction as connection``: committed at the end, rolled back if the block raises."""

    is_open = False
    outer: Transaction | None = None
    """The one of another database in whose block this one is."""

    def __init__(self, transactions: Transactions) -> None:
        self.transactions = transactions

    async def __aenter__(self) -> Any:
        if self.is_open:
            raise RuntimeError("This transaction is open already: use its connection, or begin another one")
        self.is_open = True
        try:
            self._begun = await self.transactions.begin()
        except BaseException:
            self.is_open = False
            raise
        self.transactions.tasks.open.add(self._begun)
        self.outer = current.get()
        current.set(self)
        return self._begun.connection

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.is_open = False
        current.set(self.outer)
        still_open = self.transactions.tasks.open
        if self._begun not in still_open:
            if exc is None:
                raise Unavailable("The service has ended, and rolled the transaction back.")
            return
        still_open.remove(self._begun)
        if exc is None and not is_being_cancelled():
            await self._commit()
            return
        is_outage = isinstance(exc, Exception) and self._begun.is_outage(exc)
        rolling_back = self.transactions.tasks.start(self._begun.rollback(), "rollback")
        if exc is None:
            raise asyncio.CancelledError
        if is_outage:
            raise Unavailable from exc
        if isinstance(exc, Exception):  # a call that was cut off has no time left
            await asyncio.wait([rolling_back], timeout=ROLLBACK_LIMIT)

    async def _commit(self) -> None:
        committing = self.transactions.tasks.start(_outcome(self._carry_out(self._begun)), "commit")
        try:
            # The call may be cancelled here, but a commit that has begun is carried out.
            await asyncio.wait([committing], timeout=COMMIT_LIMIT)
        finally:
            if not committing.done():
                committing.add_done_callback(_log_late)
        if not committing.done():
            raise Unavailable from OutcomeUnknownError(TimeoutError(f"no answer within {COMMIT_LIMIT} s"))
        error = committing.result()
        if error is not None:
            raise error

    async def _carry_out(self, begun: Begun) -> None:
        await begun.commit()


current: ContextVar[Transaction | None] = ContextVar("toto_aio_transaction", default=None)
"""The transaction in whose block this runs."""


async def _outcome(committing: Awaitable[None]) -> Exception | None:
    try:
        await committing
    except Exception as exc:
        return exc
    return None


def _log_late(committing: asyncio.Task[Exception | None]) -> None:
    """Log what became of the commit of a call that has ended in the meantime."""
    error = None if committing.cancelled() else committing.result()
    what = (
        "was committed"
        if error is None
        else f"may not have been committed: {described(error.__cause__ or error)}"
    )
    logger.warning("a call ended while its transaction was being committed; it %s", what)


async def within(seconds: float, operation: Awaitable[T]) -> T:
    """The result of an operation. Raises ``TimeoutError`` in time, even if the driver cannot be cancelled."""
    task = asyncio.ensure_future(operation)  # Motor has futures
    try:
        await asyncio.wait([task], timeout=seconds)
    finally:
        if not task.done():
            task.cancel()
            task.add_done_callback(lambda task: task.cancelled() or task.exception())
    if not task.done():
        raise TimeoutError(f"the database did not answer within {seconds} s")
    return task.result()
