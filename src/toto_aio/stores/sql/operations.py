"""How an operation is tried on a connection, and what becomes of both if it fails."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from toto_aio.exceptions import Unavailable
from toto_aio.stores.sql.connector import Connector, Failure
from toto_aio.stores.sql.driver import DuplicateKeyError
from toto_aio.stores.sql.pool import ConnectionSource

C = TypeVar("C")
T = TypeVar("T")

OPERATION_LIMIT = 5.0
"""Seconds that an operation may take, including all its attempts."""
MIGRATION_LIMIT = 3600.0
"""Seconds that a change of the schema may take, including the wait for another process that makes one."""


class Operations(Generic[C]):
    """Runs operations on connections of a source. Raises ``Unavailable`` if one cannot be carried out."""

    def __init__(self, connector: Connector[C], source: ConnectionSource[C]) -> None:
        self._connector = connector
        self._source = source

    async def run(
        self, work: Callable[[C], Awaitable[T]], *, is_read: bool = False, limit: float | None = None
    ) -> T:
        """Return what ``work`` returns, within ``limit`` seconds. Raises ``DuplicateKeyError``.

        A read whose connection is lost is tried once more; a write is not, as it may have been carried out.
        """
        try:
            async with asyncio.timeout(OPERATION_LIMIT if limit is None else limit):
                while True:
                    try:
                        connection = await self._source.acquire()
                    except Exception as exc:
                        if self._connector.classify(exc) is None:
                            raise
                        raise Unavailable from exc
                    try:
                        result = await work(connection)
                    except Exception as exc:
                        failure = await self._take_back(connection, exc)
                        if failure is Failure.CONNECTION_LOST and not is_read:
                            raise Unavailable from exc
                        is_read = is_read and failure is not Failure.CONNECTION_LOST
                    except BaseException:
                        self._source.discard(connection, busy=True)
                        raise
                    else:
                        await self._source.release(connection)
                        return result
        except TimeoutError as exc:
            raise Unavailable from exc

    async def _take_back(self, connection: C, error: Exception) -> Failure:
        """Take a connection back after an error. Returns only if the operation may be tried again."""
        failure = self._connector.classify(error)
        if failure is None or failure is Failure.CONNECTION_LOST:
            self._source.discard(connection, busy=failure is None)
        else:
            await self._source.release(connection)
        if failure is None:
            raise error
        if failure is Failure.DUPLICATE_KEY:
            raise DuplicateKeyError from error
        if failure is Failure.REFUSED:
            raise Unavailable from error
        if failure is Failure.ROLLED_BACK:
            await asyncio.sleep(random.uniform(0, 0.02))  # noqa: S311  # jitter, not a secret
        return failure
