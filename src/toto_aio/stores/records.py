"""The contract of what a store keeps beside accounts and sessions: codes, API keys, outcomes of calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, Protocol, cast

from toto_aio.models import Record
from toto_aio.ready import lacking


class RecordStore(Protocol):
    """Keeps records by their kind and key, which compare byte for byte. Expired ones do not exist.

    Every method is atomic, in all processes, except ``remove_records``, and raises ``Unavailable`` if the
    database is unreachable.
    """

    async def get_record(self, kind: str, key: str) -> Record | None:
        """Return a copy of the record, or None if there is none."""

    async def add_record(self, record: Record) -> bool:
        """Add a record, with the version that it has. Returns False if there is one of this kind and key.

        Of several additions at the same time one returns True. The version is a random one unless the caller
        has another: a process that was stopped after it had read a record, and goes on when that is gone and
        another one is in its place, does not take the one for the other.
        """

    async def put_record(self, record: Record) -> None:
        """Add a record, or replace the one of this kind and key, whose owner may be another one.

        Its version is then one more than that of the record it replaces, else that of ``record``.
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

        It is the order of their bytes in UTF-8; "" comes before all of them. What belongs to nobody, the
        owner "", need not be found.
        """

    async def remove_records(self, owner: str, kind: str | None = None) -> int:
        """Remove an owner's records, of this kind or of all. Returns how many it removed.

        Many are removed in portions, each of which is an operation of its own.
        """


def records_of(store: Any) -> RecordStore:
    """The records of a store. One that an application has written may have none.

    What needs records then raises ``RuntimeError``, with the methods that it lacks.
    """
    missing = lacking(store, METHODS)
    return cast(RecordStore, NoRecords(missing) if missing else store)


class NoRecords:
    """Stands for the records of a store that has none: what needs them says what the store lacks."""

    def __init__(self, missing: list[str]) -> None:
        self.reason = (
            f"The store keeps no records, which this needs: give it {', '.join(missing)} "
            "(toto_aio.stores.RecordStore), or write a URL such as database=sqlite:///toto.db"
        )

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in METHODS:
            raise AttributeError(name)
        return self._refuse

    async def remove_records(self, owner: str, kind: str | None = None) -> int:
        return 0

    async def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise RuntimeError(self.reason)


METHODS = tuple(name for name in vars(RecordStore) if name.endswith(("_record", "_records")))


# What the databases share


def in_store(kind: str, key: str) -> str:
    """The name of a record in a database. Those of a kind come together."""
    return f"{kind}:{key}"


def split(name: str) -> tuple[str, str]:
    """The kind and the key of a name in a database."""
    kind, _, key = name.partition(":")
    return kind, key


def bounds(kind: str | None) -> tuple[str, str]:
    """The first name of a kind, or of all, and the first one beyond, in the order of their bytes."""
    return ("", "\U0010ffff") if kind is None else (f"{kind}:", f"{kind};")
