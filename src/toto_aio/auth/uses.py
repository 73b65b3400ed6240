"""Uses of what counts once, such as a code: taken back if the store fails before they have led to anything.

A use is a write onto the version of a record that was read, so of any number at the same time, in any
process, one counts. The call goes on, and may yet end with ``Unavailable``: under overload, say, it gets no
connection for its next step. Then the caller has nothing, and does not know whether the code was used. So
the record gets back what it had, if nobody else has written it since. After a kill it stays used.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec.structs import replace

from toto_aio.exceptions import TooManyAttempts, TotoException, Unavailable, described
from toto_aio.models import Record
from toto_aio.stores import RecordStore
from toto_aio.tasks import Tasks

logger = logging.getLogger(__name__)

ANSWER_LIMIT = 5.0
"""Seconds that a call waits until its use is taken back, before it says that the store is unavailable."""
LIMIT = 60.0
"""Seconds in which that is tried."""
PAUSE = 0.25
CLOSE_LIMIT = 5.0
"""Seconds that the last of them may take when the service ends."""


class Uses:
    """The uses of records."""

    def __init__(self, records: RecordStore) -> None:
        self._records = records
        self._tasks = Tasks()

    async def close(self) -> None:
        """Wait until the last uses are taken back."""
        await self._tasks.finish(CLOSE_LIMIT)

    async def use(self, before: Record, after: bytes) -> Use | None:
        """Write ``after``, which no other use writes, onto the version that was read.

        Returns None if another write came first. If it fails, the record stays, or is again, as it was.
        """
        use = Use(self._records, self._tasks, before, after)
        async with use.given_back_unless_done():
            counts = await self._records.save_record(replace(before, value=after))
        return use if counts else None


class Use:
    """A use that counted, until what follows from it is done."""

    def __init__(self, records: RecordStore, tasks: Tasks, before: Record, after: bytes) -> None:
        self._records = records
        self._tasks = tasks
        self._before = before
        self._after = after

    @asynccontextmanager
    async def given_back_unless_done(self) -> AsyncIterator[None]:
        """A block for what follows: the use is taken back if that is ``Unavailable``, or is cancelled.

        So it is if too many others are in the way, such as of the turn to hash a password.
        """
        try:
            yield
        except (Unavailable, TooManyAttempts, asyncio.CancelledError) as exc:
            taking = self._tasks.start(self._take_back(), "use of a code")
            if isinstance(exc, TotoException):  # a call that was cut off has no time left
                await asyncio.wait([taking], timeout=ANSWER_LIMIT)
            raise

    async def _take_back(self) -> None:
        before = self._before
        now = asyncio.get_running_loop().time
        end = now() + LIMIT
        while True:
            try:
                # A use that is still on its way to the store is too late after this, as the version is new.
                if await self._records.save_record(before):
                    return
                found = await self._records.get_record(before.kind, before.key)
                if found is None or found.value != self._after:
                    return
                if await self._records.save_record(replace(before, version=found.version)):
                    return
            except Unavailable as exc:
                if now() > end:
                    logger.warning("a code stays used: %s", described(exc.__cause__ or exc))
                    return
                await asyncio.sleep(PAUSE)
