"""How a transaction begins and ends on a connection of asyncmy or aiomysql."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from toto_aio.models import Record
from toto_aio.stores.sql.records import SAVE_RECORD, saved
from toto_aio.stores.transactions import ENDED


class MySQLSteps:
    """The steps of the drivers' own methods, which also suit a connection without autocommit."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def start(self) -> None:
        await self._connection.begin()

    async def check(self) -> None:
        if not self._connection.get_transaction_status():
            raise RuntimeError(ENDED)

    async def save_record(self, record: Record) -> bool:
        cursor = await self._connection.cursor()
        try:
            await cursor.execute(*in_hexadecimal(SAVE_RECORD, saved(record)))
            return bool(cursor.rowcount == 1)
        finally:
            await cursor.close()

    async def commit(self) -> None:
        await self._connection.commit()

    async def rollback(self) -> None:
        await self._connection.rollback()


def in_hexadecimal(statement: str, values: Sequence[Any]) -> tuple[str, Sequence[Any]]:
    """Return a statement and its values in the form for a driver that does not accept bytes."""
    places = ("UNHEX(%s)" if isinstance(value, bytes) else "%s" for value in values)
    parts = statement.split("?")
    joined = parts[0] + "".join(place + part for place, part in zip(places, parts[1:], strict=True))
    return joined, [value.hex() if isinstance(value, bytes) else value for value in values]
