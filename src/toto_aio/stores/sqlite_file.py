"""The file of an SQLite database, which must stay in its place while it is open.

Whoever removes or replaces it leaves the open connections with a file that has no name: they could write to
it, and all of that would be gone with the process.
"""

from __future__ import annotations

import os

from toto_aio.exceptions import Unavailable


class SQLiteFile:
    """The file at a path, as it is now. Raises ``Unavailable`` if there is none."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._identity = self._find()

    def require(self) -> None:
        """Raise ``Unavailable`` unless the file is still the one at its path."""
        if self._find() != self._identity:
            raise Unavailable from self._gone()

    def _find(self) -> tuple[int, int]:
        try:
            found = os.stat(self._path)
        except OSError as exc:
            raise Unavailable from self._gone(exc)
        return found.st_dev, found.st_ino

    def _gone(self, reason: OSError | None = None) -> OSError:
        why = "another file is in its place" if reason is None else reason.strerror
        return OSError(
            f"the open database {self._path!r} was moved or removed ({why}): nothing is written to it; "
            "put it back, or restart the service"
        )
