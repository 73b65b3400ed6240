"""How a transaction begins and ends on a connection of asyncmy or aiomysql."""

from __future__ import annotations

from typing import Any

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

    async def commit(self) -> None:
        await self._connection.commit()

    async def rollback(self) -> None:
        await self._connection.rollback()
