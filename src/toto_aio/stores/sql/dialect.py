"""How the SQL of a database differs from that of the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


def in_list(keys: Sequence[str]) -> tuple[str, Sequence[Any]]:
    """The condition that a column has one of the keys, and its values."""
    # Of a few lengths only, so that the statements can be kept ready.
    keys = [*keys, *[keys[-1]] * ((1 << (len(keys) - 1).bit_length()) - len(keys))]
    return f"IN ({', '.join('?' * len(keys))})", keys


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a database's SQL differs: first the names of its types.

    Text in a column of the type ``key`` is compared byte for byte, trailing spaces included.
    """

    key: str
    text: str
    blob: str
    real: str
    integer: str
    has_schema: str
    """A query that gives a row if there is a table ``toto_schema``."""
    any_of: Callable[[Sequence[str]], tuple[str, Sequence[Any]]] = in_list
    index_in_table: str = ""
    index: str = "CREATE INDEX IF NOT EXISTS {table}_{column} ON {table} ({column})"
    table_options: str = ""
    on_conflict: str = "ON CONFLICT ({key}) DO UPDATE SET"
    counted: str = "{}"
    """Around a value that an upsert writes, so that it is returned."""
    returning: str = "RETURNING {column}"
    delete_expired: str = (
        "DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} WHERE expires <= ? LIMIT 1000)"
    )

    def table(self, table: str, columns: str, *indexed: str) -> Sequence[str]:
        """The statements that make a table, with an index on each of the columns ``indexed``, if missing."""
        inside = "".join(self.index_in_table.format(table=table, column=column) for column in indexed)
        create = f"CREATE TABLE IF NOT EXISTS {table} ({columns}{inside}) {self.table_options}"
        indexes = (self.index.format(table=table, column=column) for column in indexed)
        return [create, *(index for index in indexes if index)]

    def increment(self) -> str:
        """Add to a counter, or begin it anew, and return what it counts now."""
        # The count comes first: where assignments are done in turn, it is to see the old time.
        added = "? + CASE WHEN toto_counters.expires > ? THEN toto_counters.count ELSE 0 END"
        return f"""INSERT INTO toto_counters (counter_key, count, expires)
            VALUES (?, {self.counted.format("?")}, ?) {self.on_conflict.format(key="counter_key")}
            count = {self.counted.format(added)},
            expires = CASE WHEN toto_counters.expires > ? THEN toto_counters.expires ELSE ? END
            {self.returning.format(column="count")}"""

    def sweeps(self) -> Sequence[str]:
        """The statements that drop what has expired, a bounded number of rows each."""
        tables = (("toto_sessions", "session_key"), ("toto_counters", "counter_key"))
        return [self.delete_expired.format(table=table, key=key) for table, key in tables]
