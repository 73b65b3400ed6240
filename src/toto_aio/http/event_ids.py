"""The ids of server-sent events: how far a client has come in each of its channels.

A browser keeps the id of the last event, and shows it when it connects again. So each id has all positions:

    room:7/epoch/15 room:8/epoch/3 plain

A channel without a history has no position. Neither spaces nor slashes are in names, and none in an epoch,
which is written as in a URL.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import quote, unquote

from toto_aio.channels import NAME, Position

MAX_ID = 4096
"""The most bytes of an id: it comes back in a header, whose size servers and proxies limit."""
ROOM = 50
"""Bytes that a position may take beside the name of its channel."""
MAX_OFFSET = 2**53
NOWHERE = Position("", 0)
"""A position that no channel has."""

Positions = dict[str, Position | None]


class Place:
    """How far a client has come, and the id that says so."""

    def __init__(self, positions: Mapping[str, Position | None]) -> None:
        self._positions = dict(positions)
        self._parts = {name: _part(name, position) for name, position in positions.items()}

    def __getitem__(self, name: str) -> Position | None:
        return self._positions[name]

    def __setitem__(self, name: str, position: Position | None) -> None:
        self._positions[name] = position
        self._parts[name] = _part(name, position)

    @property
    def id(self) -> str:
        """The id of an event that brings a client here."""
        return " ".join(self._parts.values())


def fits(names: Iterable[str]) -> bool:
    """Whether the positions of so many channels fit into an id."""
    return sum(len(name) + ROOM for name in names) <= MAX_ID


def read_id(shown: str) -> Positions | None:
    """The positions in an id that a client shows; None if nothing of ours can be read in it."""
    if len(shown) > MAX_ID:
        return None
    found: Positions = {}
    for part in shown.split(" "):
        name, *position = part.split("/")
        if NAME.fullmatch(name) is None or len(position) not in (0, 2):
            return None
        found[name] = None
        if position:
            epoch, offset = position
            if not (offset.isascii() and offset.isdecimal() and len(offset) <= 16):
                return None
            found[name] = Position(unquote(epoch), int(offset))
    return found if all(each is None or each.offset < MAX_OFFSET for each in found.values()) else None


def _part(name: str, position: Position | None) -> str:
    return name if position is None else f"{name}/{quote(position.epoch, safe='')}/{position.offset}"
