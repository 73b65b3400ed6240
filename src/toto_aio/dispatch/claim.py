"""What a call has of the idempotency key that it runs for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from toto_aio.dispatch.key_entry import Entry, State, pack
from toto_aio.exceptions import Unavailable
from toto_aio.models import Record
from toto_aio.stores.records import RecordStore


class Claim:
    """What the call has of a key that it runs for: the record, of the version that it has written."""

    def __init__(self, records: RecordStore, record: Record, entry: Entry) -> None:
        self.records = records
        self.entry = entry
        self._record = record
        self.failure: Unavailable | None = None
        """Why the call ends, if that is because of its key."""
        self._undone_by: BaseException | None = None
        """What rolled the last transaction back: as long as it is on its way, the call does nothing else."""
        self._unsure: list[Entry] = []
        """What was to be written, of which one perhaps is."""

    async def save(self, entry: Entry) -> bool:
        """Write an entry; False if another call has taken the place of this one, or the owner is gone."""
        unsure, self._unsure = self._unsure, [*self._unsure, entry]
        is_saved = await self.records.save_record(self._with(entry))
        if not is_saved and unsure:
            found = await self.records.get_record(self._record.kind, self._record.key)
            written = [each for each in unsure if found is not None and found.value == pack(each)]
            if written:
                self._written(written[0])
                self._unsure = [entry]
                is_saved = await self.records.save_record(self._with(entry))
        self._unsure = []
        if is_saved:
            self._written(entry)
        return is_saved

    @property
    def is_outside(self) -> bool:
        """Whether a transaction that begins has to be announced: what is done outside of one happens once."""
        return self.entry.state is State.RUNNING

    async def begin(self) -> None:
        """Say that a transaction begins. Raises ``Unavailable``, also if the call has lost its place."""
        self._require(await self.save(replace(self.entry, state=State.IN_TRANSACTION)))

    async def rolled_back(self, exc: BaseException) -> None:
        """Say that the transaction is over, as the call may do something else now, which happens once.

        Raises ``EndsCallError`` if that cannot be said, or if the call has lost its place, or was committed
        after all.
        """
        self._undone_by = exc
        try:
            self._require(await self.save(replace(self.entry, state=State.RUNNING)))
        except Unavailable as failure:
            self.failure = failure
            raise EndsCallError from failure

    def outcome_of(self, exc: BaseException) -> BaseException:
        """The error of a call that an exception has ended."""
        is_cut_off = isinstance(exc, Exception | asyncio.CancelledError)
        return exc if self.failure is None or is_cut_off else self.failure

    def entry_after(self, exc: BaseException) -> Entry:
        """How far the call had come that an exception has ended."""
        if exc is self._undone_by and self.entry.state is State.RUNNING:
            return replace(self.entry, state=State.IN_TRANSACTION)
        return self.entry

    async def join(self, save: Callable[[Record], Awaitable[bool]]) -> None:
        """Say in the transaction that it is committed. Raises ``Unavailable`` if the call lost its place."""
        self._require(await save(self._with(self._committed)))

    def committed(self) -> None:
        """Take over that it is."""
        self._written(self._committed)

    @property
    def _committed(self) -> Entry:
        return replace(self.entry, state=State.COMMITTED)

    def _with(self, entry: Entry) -> Record:
        return replace(self._record, value=pack(entry))

    def _written(self, entry: Entry) -> None:
        self.entry = entry
        self._record = replace(self._record, version=self._record.version + 1)

    @staticmethod
    def _require(written: bool) -> None:
        if not written:
            raise Unavailable("Another call with this idempotency key has taken the place of this one.")


class EndsCallError(BaseException):
    """Ends a call whose key cannot say what it does any longer, so that it does nothing else.

    No ``except Exception`` of a method takes it. What the client gets is ``Claim.failure``.
    """
