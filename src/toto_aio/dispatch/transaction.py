"""``handler.transaction()``: the transaction of one call, in a coroutine or in a thread."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Any

from toto_aio.exceptions import TimedOut, Unavailable
from toto_aio.stores import transactions
from toto_aio.stores.transactions import Begun, Transaction, current, within

if TYPE_CHECKING:
    from toto_aio.dispatch.claim import Claim
    from toto_aio.dispatch.handler import Handler

NESTED = (
    "This call has an open transaction: pass its connection on, or use a savepoint of the database "
    "(connection.transaction() of asyncpg, SAVEPOINT in SQL)"
)


class CallTransaction(Transaction):
    """``async with`` in a coroutine, or ``with`` in a plain ``def invoke``: one at a time for each call."""

    def __init__(self, handler: Handler) -> None:
        super().__init__(handler.connection.transactions)
        self._handler = handler
        self._claim: Claim | None = None
        self._is_announced = False
        """Whether the key says that the call is in a transaction, and does nothing outside of one."""

    async def __aenter__(self) -> Any:
        handler = self._handler
        if handler.open_transaction:
            raise RuntimeError(NESTED)
        handler.open_transaction = True  # two that wait for their turns are not better
        try:
            if handler.claim is not None and getattr(self.transactions, "save_records", False):
                self._claim = handler.claim
                self._is_announced = self._claim.is_outside
                if self._is_announced:
                    await self._claim.begin()
            return await super().__aenter__()
        except BaseException as exc:
            handler.open_transaction = False
            await self._end(exc)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._handler.open_transaction = False
        try:
            await super().__aexit__(kind, exc, trace)
        except BaseException as failure:
            await self._end(failure)
            raise
        if exc is not None:
            await self._end(exc)

    async def _end(self, exc: BaseException) -> None:
        """Let the key say that nothing was committed, and that the method may go on, whatever it does then.

        If the key cannot say so, the call ends here. One that is cut off does nothing else.
        """
        is_cancelled = isinstance(exc, asyncio.CancelledError)
        if not self._is_announced or not (is_cancelled or isinstance(exc, Exception)):
            return
        self._is_announced = False
        if is_cancelled and self._handler.is_cut_off:
            return
        assert self._claim is not None
        await self._claim.rolled_back(exc)

    async def _carry_out(self, begun: Begun) -> None:
        """Commit, with the idempotency key of the call if it has one."""
        if self._claim is not None:
            try:
                await within(transactions.COMMIT_LIMIT, self._claim.join(begun.save_record))
            except Exception as exc:
                is_outage = begun.is_outage(exc) or isinstance(exc, TimeoutError)
                await begun.rollback()
                if is_outage:
                    raise Unavailable from exc
                raise
        await super()._carry_out(begun)
        if self._claim is not None:
            self._claim.committed()

    def __enter__(self) -> Any:
        if self._handler.is_on_loop():
            raise RuntimeError("write 'async with handler.transaction()' in an 'async def invoke'")
        connection = self._handler.wait(self.__aenter__())
        current.set(self)
        return connection

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        current.set(self.outer)
        handler = self._handler
        if exc is None and handler.finished and not handler.responded:
            # No limit stops a thread; the client has been told that the call has failed.
            late = TimedOut()
            handler.clean_up(self.__aexit__(TimedOut, late, None))
            raise late
        handler.clean_up(self.__aexit__(kind, exc, trace))
