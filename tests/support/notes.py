"""Notes in a table of a method's own, in the words of each database."""

from __future__ import annotations

from typing import Any

KINDS = ("sqlite", "postgresql", "mysql", "mongodb")
"""The kinds of databases that have transactions."""


async def create(db: Any) -> None:
    """Create the table, on ``handler.connection.db``."""
    statement = "CREATE TABLE notes (text varchar(99) PRIMARY KEY)"
    if hasattr(db, "create_collection"):
        await db.create_collection("notes")
    elif hasattr(db, "fetch") or hasattr(db, "execute_fetchall"):
        await db.execute(statement)
    else:
        async with db.acquire() as connection:
            await add_statement(connection, statement)


async def add(connection: Any, db: Any, text: str) -> None:
    """Add a note, on what ``handler.transaction()`` gives."""
    if hasattr(connection, "start_transaction"):
        await db.notes.insert_one({"_id": text}, session=connection)
    else:
        await add_statement(connection, f"INSERT INTO notes VALUES ('{text}')")  # noqa: S608


async def add_statement(connection: Any, statement: str) -> None:
    """Run a statement of SQL."""
    if hasattr(connection, "fetch") or hasattr(connection, "execute_fetchall"):
        await connection.execute(statement)
    else:
        async with connection.cursor() as cursor:
            await cursor.execute(statement)


async def listed(db: Any) -> list[str]:
    """The notes that everyone sees, on ``handler.connection.db``."""
    query = "SELECT text FROM notes ORDER BY text"
    if hasattr(db, "create_collection"):
        return sorted([note["_id"] async for note in db.notes.find()])
    if hasattr(db, "execute_fetchall"):
        return [row[0] for row in await db.execute_fetchall(query)]
    async with db.acquire() as connection:
        if hasattr(connection, "fetch"):
            return [row[0] for row in await connection.fetch(query)]
        async with connection.cursor() as cursor:
            await cursor.execute(query)
            return [row[0] for row in await cursor.fetchall()]
