"""The differences between the SQL of the databases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from toto_aio.stores import portions


def in_list(keys: Sequence[str]) -> tuple[str, Sequence[Any]]:
    """Return the condition that a column has one of the keys, and the condition's values."""
    # Padded to a power of two, so that there are few different statements to prepare.
    keys = [*keys, *[keys[-1]] * ((1 << (len(keys) - 1).bit_length()) - len(keys))]
    return f"IN ({', '.join('?' * len(keys))})", keys


@dataclass(frozen=True, slots=True)
class Dialect:
    """What is specific to the SQL of a database, beginning with the names of its types.

    Text in a column of the type ``key``, of 255 bytes, or ``hash``, longer and not indexed, is compared byte
    for byte, including trailing spaces.
    """

    key: str
    hash: str
    text: str
    blob: str
    real: str
    integer: str
    has_schema: str
    """A query that returns a row if the table ``toto_schema`` exists."""
    any_of: Callable[[Sequence[str]], tuple[str, Sequence[Any]]] = in_list
    index_in_table: str = ""
    index: str = "CREATE INDEX IF NOT EXISTS {name} ON {table} ({columns})"
    table_options: str = ""
    on_conflict: str = "ON CONFLICT ({key}) DO UPDATE SET"
    counted: str = "{}"
    """What is put around a value that an upsert writes, so that it is returned."""
    returning: str = "RETURNING {column}"
    delete_some: str = (
        "DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} WHERE {condition} LIMIT {limit})"
    )
    """Deletes ``limit`` rows, if the condition holds for so many, whatever others delete meanwhile."""

    def table(self, table: str, columns: str, *indexed: str) -> Sequence[str]:
        """Return the statements that create a table, and its indexes, if missing.

        Each of ``indexed`` is a column, or several with commas between them, and has an index.
        """
        names = [
            {"table": table, "name": f"{table}_{columns.replace(', ', '_')}", "columns": columns}
            for columns in indexed
        ]
        inside = "".join(self.index_in_table.format(**each) for each in names)
        create = f"CREATE TABLE IF NOT EXISTS {table} ({columns}{inside}) {self.table_options}"
        indexes = (self.index.format(**each) for each in names)
        return [create, *(index for index in indexes if index)]

    def increment(self) -> str:
        """Return the statement that adds to a counter, or starts it again, and returns the new count."""
        # The count comes first: where assignments are done in order, it must see the old time.
        added = """CASE WHEN toto_counters.expires <= ? THEN ? WHEN toto_counters.count + ? < 0
            THEN toto_counters.count ELSE toto_counters.count + ? END"""
        return f"""INSERT INTO toto_counters (counter_key, count, expires)
            VALUES (?, {self.counted.format("?")}, ?) {self.on_conflict.format(key="counter_key")}
            count = {self.counted.format(added)},
            expires = CASE WHEN toto_counters.expires > ? THEN toto_counters.expires ELSE ? END
            {self.returning.format(column="count")}"""

    def sweeps(self) -> Sequence[str]:
        """Return the statements that drop what has expired, each a bounded number of rows."""
        tables = (
            ("toto_sessions", "session_key"),
            ("toto_counters", "counter_key"),
            ("toto_records", "record_key"),
        )
        return [self.delete_portion(table, key, "expires <= ?") for table, key in tables]

    def delete_portion(self, table: str, key: str, condition: str) -> str:
        """Return the statement that deletes a portion of the rows for which the condition holds."""
        return self.delete_some.format(table=table, key=key, condition=condition, limit=portions.PORTION)
