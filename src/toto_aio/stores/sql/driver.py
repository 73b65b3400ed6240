"""How statements reach a database: what a database adds to the shared SQL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

Row = Sequence[Any]


class DuplicateKeyError(Exception):
    """A row with this key already exists."""


Run = Callable[..., Awaitable[Sequence[Row]]]
"""Sends a statement with its values, and returns the rows that come back, if any."""


class Driver(Protocol):
    """Sends statements to a database. Raises ``Unavailable`` if the database is unreachable."""

    async def fetch(self, statement: str, *values: Any) -> Sequence[Row]:
        """Return the rows of a query."""

    async def execute(self, statement: str, *values: Any) -> int:
        """Run a statement, and return how many rows it matched. Raises ``DuplicateKeyError``."""

    async def change(self, statement: str, *values: Any) -> Sequence[Row]:
        """Run a statement, and return the rows that it returns of what it changed."""

    async def create_schema(self, migrate: Callable[[Run], Awaitable[None]]) -> None:
        """Call ``migrate`` with a function that runs a statement, while no other process migrates."""

    async def close(self) -> None:
        """Close what the driver opened."""
