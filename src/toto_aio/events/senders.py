"""The numbers of broadcasts, by which a receiver notices what it has missed."""

from __future__ import annotations

MAX_SENDERS = 1000
"""Senders whose last number is kept; the number of the one that was silent the longest is forgotten."""


class Senders:
    """The last number that was heard of each sender."""

    def __init__(self) -> None:
        self._heard: dict[bytes, int] = {}

    def missed(self, sender: bytes, number: int) -> int:
        """How many broadcasts of a sender are missing before this one."""
        last = self._heard.pop(sender, number)
        self._heard[sender] = max(last, number)
        if len(self._heard) > MAX_SENDERS:
            del self._heard[next(iter(self._heard))]
        return max(number - last - 1, 0)
