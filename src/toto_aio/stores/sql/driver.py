"""How statements reach a database: what a database adds to the SQL that all share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

Row = Sequence[Any]


class DuplicateKeyError(Exception):
    """A driver's word for a row that exists already."""


Run = Callable[..., Awaitable[Sequence[Row]]]
"""Sends a statement with its values and gives the rows that come back, if any."""


class Driver(Protocol):
    """How statements reach a database. Each raises ``Unavailable`` when it is out of reach."""

    async def fetch(self, statement: str, *values: Any) -> Sequence[Row]:
        """The rows of a query."""

    async def execute(self, statement: str, *values: Any) -> int:
        """Run a statement; how many rows it matched. Raises ``DuplicateKeyError``."""

    async def change(self, statement: str, *values: Any) -> Sequence[Row]:
        """The rows that a statement returns of what it changed."""

    async def create_schema(self, migrate: Callable[[Run], Awaitable[None]]) -> None:
        """Call ``migrate`` while no other process is at it, with what runs a statement."""

    async def close(self) -> None:
        """Give back what the driver opened."""
