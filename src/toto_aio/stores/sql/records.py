"""Records in an SQL database. Their primary key is ``kind:key``: a kind has no colon."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from toto_aio.exceptions import Unavailable
from toto_aio.models import Record
from toto_aio.stores import portions
from toto_aio.stores.records import bounds, in_store, split
from toto_aio.stores.sql.dialect import Dialect
from toto_aio.stores.sql.driver import Driver, DuplicateKeyError, Row

_COLUMNS = "record_key, owner, value, expires, version"
GET_RECORD = f"SELECT {_COLUMNS} FROM toto_records WHERE record_key = ? AND expires > ?"
LIST_RECORDS = f"""SELECT {_COLUMNS} FROM toto_records
    WHERE owner = ? AND record_key > ? AND record_key < ? AND expires > ? ORDER BY record_key LIMIT ?"""
ADD_RECORD = f"INSERT INTO toto_records ({_COLUMNS}) VALUES (?, ?, ?, ?, ?)"
REPLACE_EXPIRED = """UPDATE toto_records SET owner = ?, value = ?, expires = ?, version = ?
    WHERE record_key = ? AND expires <= ?"""
SAVE_RECORD = """UPDATE toto_records SET value = ?, expires = ?, version = version + 1
    WHERE record_key = ? AND version = ? AND expires > ?"""
REMOVE_RECORD = "DELETE FROM toto_records WHERE record_key = ? AND version BETWEEN ? AND ? AND expires > ?"
OWN_RECORDS = "owner = ? AND record_key >= ? AND record_key < ? AND expires > ?"
MAX_VERSION = 2**62


class SQLRecords:
    """The ``RecordStore`` of an SQL store."""

    def __init__(self, driver: Driver, dialect: Dialect) -> None:
        self._driver = driver
        self._put_record = _put_record(dialect)
        self._remove_records = dialect.delete_portion("toto_records", "record_key", OWN_RECORDS)

    async def get_record(self, kind: str, key: str) -> Record | None:
        rows = await self._driver.fetch(GET_RECORD, in_store(kind, key), time.time())
        return _record(rows[0]) if rows else None

    async def add_record(self, record: Record) -> bool:
        key = in_store(record.kind, record.key)
        changes = record.owner, record.value, record.expires, record.version
        for _ in range(100):  # each time another one removes an expired record first
            try:
                await self._driver.execute(ADD_RECORD, key, *changes)
                return True
            except DuplicateKeyError:
                pass
            now = time.time()
            if await self._driver.execute(REPLACE_EXPIRED, *changes, key, now):
                return True
            if await self._driver.fetch(GET_RECORD, key, now):
                return False
        raise Unavailable

    async def put_record(self, record: Record) -> None:
        key, now = in_store(record.kind, record.key), time.time()
        changes = record.owner, record.value
        following = now, record.version, record.expires
        await self._driver.execute(
            self._put_record, key, *changes, record.expires, record.version, *changes, *following
        )

    async def save_record(self, record: Record) -> bool:
        return await self._driver.execute(SAVE_RECORD, *saved(record)) == 1

    async def remove_record(self, kind: str, key: str, version: int | None = None) -> bool:
        versions = (0, MAX_VERSION) if version is None else (version, version)
        values = in_store(kind, key), *versions, time.time()
        return await self._driver.execute(REMOVE_RECORD, *values) == 1

    async def list_records(self, owner: str, kind: str, after: str = "", limit: int = 100) -> list[Record]:
        _, end = bounds(kind)
        values = owner, in_store(kind, after), end, time.time(), limit
        return [_record(row) for row in await self._driver.fetch(LIST_RECORDS, *values)]

    async def remove_records(self, owner: str, kind: str | None = None) -> int:
        removed = 0
        while True:
            values = owner, *bounds(kind), time.time()
            portion = await self._driver.execute(self._remove_records, *values)
            removed += portion
            if portion < portions.PORTION:
                return removed


def saved(record: Record) -> Sequence[Any]:
    """The values of ``SAVE_RECORD``."""
    key = in_store(record.kind, record.key)
    return record.value, record.expires, key, record.version, time.time()


def _put_record(dialect: Dialect) -> str:
    # The version comes before the expiry: where assignments are done in order, it must see the old one.
    return f"""{ADD_RECORD} {dialect.on_conflict.format(key="record_key")} owner = ?, value = ?,
        version = CASE WHEN toto_records.expires <= ? THEN ? ELSE toto_records.version + 1 END, expires = ?"""


def _record(row: Row) -> Record:
    key, owner, value, expires, version = row
    return Record(*split(key), owner, value, expires, version)
