"""Records in the collection ``toto_records`` of a MongoDB database. Their ``_id`` is ``kind:key``."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from pymongo.errors import DuplicateKeyError

from toto_aio.models import Record
from toto_aio.stores import portions
from toto_aio.stores.mongodb_operations import Document, bounded, expiry, text
from toto_aio.stores.records import bounds, in_store, split
from toto_aio.tasks import Tasks

RECORDS = "toto_records"
"""The name of the collection."""


class MongoDBRecords:
    """The ``RecordStore`` of the MongoDB store."""

    operations: Tasks
    _records: Any

    @bounded
    async def get_record(self, kind: str, key: str) -> Record | None:
        found = await self._records.find_one(_unexpired(kind, key))
        return None if found is None else _record(found)

    @bounded
    async def add_record(self, record: Record) -> bool:
        name, fields = in_store(record.kind, record.key), {**_fields(record), "version": record.version}
        while True:
            with suppress(DuplicateKeyError):
                await self._records.insert_one({"_id": name, **fields})
                return True
            expired = {"_id": name, "expires": {"$lte": time.time()}}
            replaced = await self._records.update_one(expired, {"$set": fields})
            if replaced.matched_count:
                return True
            if await self._records.find_one(_unexpired(record.kind, record.key), {"_id": 1}):
                return False

    @bounded
    async def put_record(self, record: Record) -> None:
        name, fields = in_store(record.kind, record.key), _fields(record)
        is_there = {"$gt": ["$expires", time.time()]}
        following = {"$cond": [is_there, {"$add": ["$version", 1]}, record.version]}
        # Without "$literal" a text that begins with a dollar would be the name of a field.
        literal = {field: {"$literal": value} for field, value in fields.items()}
        while True:
            replaced = await self._records.update_one(
                {"_id": name}, [{"$set": {**literal, "version": following}}]
            )
            if replaced.matched_count:
                return
            with suppress(DuplicateKeyError):  # another process has added it in the meantime
                await self._records.insert_one({"_id": name, **fields, "version": record.version})
                return

    @bounded
    async def save_record(self, record: Record) -> bool:
        saved = await self._records.update_one(*save(record))
        return bool(saved.matched_count)

    @bounded
    async def remove_record(self, kind: str, key: str, version: int | None = None) -> bool:
        query = _unexpired(kind, key) if version is None else {**_unexpired(kind, key), "version": version}
        return bool((await self._records.delete_one(query)).deleted_count)

    @bounded
    async def list_records(self, owner: str, kind: str, after: str = "", limit: int = 100) -> list[Record]:
        names = {"$gt": in_store(kind, text(after)), "$lt": bounds(kind)[1]}
        found = self._records.find({**_of(owner), "_id": names}).sort("_id", 1).limit(limit)
        return [_record(document) for document in await found.to_list(None)]

    async def remove_records(self, owner: str, kind: str | None = None) -> int:
        removed, found = 0, portions.PORTION
        while found == portions.PORTION:
            found, deleted = await self._remove_records(owner, kind)
            removed += deleted
        return removed

    @bounded
    async def _remove_records(self, owner: str, kind: str | None) -> tuple[int, int]:
        """Remove some of the records; return how many there were, and how many nobody else has removed."""
        first, end = bounds(kind)
        names = {"$gte": first, "$lt": end}
        some = self._records.find({**_of(owner), "_id": names}, {"_id": 1}).limit(portions.PORTION)
        found = [document["_id"] for document in await some.to_list(None)]
        # A record that has been replaced meanwhile may be another owner's.
        deleted = await self._records.delete_many({"_id": {"$in": found}, "owner": owner})
        return len(found), int(deleted.deleted_count)


def save(record: Record) -> tuple[Document, Document]:
    """The query and the changes that save a record onto its version."""
    query = {**_unexpired(record.kind, record.key), "version": record.version}
    changes = {"value": record.value, **expiry(record.expires)}
    return query, {"$set": changes, "$inc": {"version": 1}}


def _fields(record: Record) -> Document:
    return {"owner": record.owner, "value": record.value, **expiry(record.expires)}


def _unexpired(kind: str, key: str) -> Document:
    return {"_id": in_store(kind, text(key)), "expires": {"$gt": time.time()}}


def _of(owner: str) -> Document:
    return {"owner": text(owner), "expires": {"$gt": time.time()}}


def _record(document: Document) -> Record:
    kind, key = split(document["_id"])
    return Record(kind, key, document["owner"], document["value"], document["expires"], document["version"])
