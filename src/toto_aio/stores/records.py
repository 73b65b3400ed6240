"""The contract of what a store keeps beside accounts and sessions: codes, API keys, outcomes of calls."""

from __future__ import annotations

from typing import Protocol

from toto_aio.models import Record


class RecordStore(Protocol):
    """Keeps records by their kind and key, which compare byte for byte. Expired ones do not exist.

    Every method is atomic, in all processes, except ``remove_records``, and raises ``Unavailable`` if the
    database is unreachable.
    """

    async def get_record(self, kind: str, key: str) -> Record | None:
        """Return a copy of the record, or None if there is none."""

    async def add_record(self, record: Record) -> bool:
        """Add a record, with version 1. Returns False if there is one of this kind and key already.

        Of several additions at the same time one returns True.
        """

    async def put_record(self, record: Record) -> None:
        """Add a record, or replace the one of this kind and key, whose owner may be another one.

        Its version is then one more than that of the record it replaces, else 1; ``record.version`` does not
        matter.
        """

    async def save_record(self, record: Record) -> bool:
        """Write ``value`` and ``expires`` if the stored version still is ``record.version``.

        The stored version then increases by one; ``record`` itself is left unchanged. Returns False if
        another write came first, or if the record is gone: a save never revives it.
        """

    async def remove_record(self, kind: str, key: str, version: int | None = None) -> bool:
        """Remove the record; if a version is given, only that version.

        Of several removals at the same time one returns True.
        """

    async def list_records(self, owner: str, kind: str, after: str = "", limit: int = 100) -> list[Record]:
        """Return at most ``limit`` records of an owner whose keys come ``after`` this text, in their order.

        It is the order of their bytes in UTF-8; "" comes before all of them.
        """

    async def remove_records(self, owner: str, kind: str | None = None) -> int:
        """Remove an owner's records, of this kind or of all. Returns how many it removed.

        Many are removed in portions, each of which is an operation of its own.
        """
