"""A table on a terminal, which is written while its rows arrive."""

from __future__ import annotations

import shutil
import sys
import unicodedata
from collections.abc import Sequence

GAP = "  "
LEAST = 6
"""The least width that a column is cut to."""
CUT = "\N{HORIZONTAL ELLIPSIS}"


class Table:
    """Prints rows in columns, as wide as the first rows need; on a terminal, rows are cut to its width."""

    def __init__(self, heading: Sequence[str]) -> None:
        self._heading = heading
        self._widths: list[int] = []
        self._most = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
        self._cut = CUT if (sys.stdout.encoding or "").lower().startswith("utf") else "."

    def add(self, rows: Sequence[Sequence[str]]) -> None:
        """Print rows, below the heading if they are the first."""
        if not self._widths:
            rows = [self._heading, *rows]
            self._widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
            self._shrink()
        for row in rows:
            print(self._line(row))

    def _shrink(self) -> None:
        """Make the widest columns narrower until the table fits, if it can."""
        if not self._most:
            return
        excess = sum(self._widths) + len(GAP) * (len(self._widths) - 1) - self._most
        while excess > 0 and max(self._widths) > LEAST:
            self._widths[self._widths.index(max(self._widths))] -= 1
            excess -= 1

    def _line(self, row: Sequence[str]) -> str:
        cells = []
        for text, most in zip(row, self._widths, strict=True):
            shown = self._fitted(text, most) if self._most and width(text) > most else text
            cells.append(shown + " " * (most - width(shown)))
        return GAP.join(cells).rstrip()

    def _fitted(self, text: str, most: int) -> str:
        while text and width(text) > most - 1:
            text = text[:-1]
        return text + self._cut


def width(text: str) -> int:
    """The columns of a terminal that a text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1
        for each in text
    )
