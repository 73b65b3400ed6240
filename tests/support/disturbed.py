"""Stores as a process has them that is disturbed: it is stopped, or its operations fail."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from toto_aio.exceptions import Unavailable
from toto_aio.models import Record
from toto_aio.stores.records import RecordStore

Write = Callable[[Record], Awaitable[bool]]


class Stopped:
    """A store as a process has it that was stopped after it had read a record."""

    def __init__(self, store: RecordStore, read: Any) -> None:
        self._store = store
        self._read = [read]

    async def get_record(self, kind: str, key: str) -> Any:
        """What was read, and from then on what there is."""
        return self._read.pop() if self._read else await self._store.get_record(kind, key)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class Failing:
    """A store whose next write fails: before it is carried out, after that, or while it is on its way.

    ``fails`` is "before", "after", or "late", and then the write is kept in ``late``. As many operations as
    ``fail_next`` fail then. After ``fail_saves_after`` saves the next one fails as ``fails_then`` says.
    ``done`` has the names of all operations.
    """

    def __init__(self, store: RecordStore) -> None:
        self._store = store
        self.fails = ""
        self.fail_next = 0
        self.fail_saves_after = -1
        self.fails_then = ""
        self.late: list[Callable[[], Awaitable[bool]]] = []
        self.done: list[str] = []

    async def add_record(self, record: Record) -> bool:
        """Add it, or fail."""
        return await self._write(self._store.add_record, record)

    async def save_record(self, record: Record) -> bool:
        """Save it, or fail."""
        if self.fail_saves_after == 0:
            self.fails = self.fails_then
        self.fail_saves_after -= 1
        return await self._write(self._store.save_record, record)

    async def get_record(self, kind: str, key: str) -> Record | None:
        """Get it, or fail."""
        self._count("get_record")
        return await self._store.get_record(kind, key)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def _write(self, write: Write, record: Record) -> bool:
        self._count(write.__name__)
        fails, self.fails = self.fails, ""
        if fails == "after":
            await write(record)
        if fails == "late":
            self.late.append(lambda: write(record))
        if fails:
            raise Unavailable
        return await write(record)

    def _count(self, operation: str) -> None:
        self.done.append(operation)
        if not self.fails and self.fail_next:
            self.fail_next -= 1
            raise Unavailable
