"""What the subscribers of a channel are given: publications, and who has come and gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from toto_aio.channels import Position
from toto_aio.members import Member


class Delivery:
    """What every subscriber of a channel is given."""

    __slots__ = ("_encoded", "name")

    position: Position | None
    """The position of what is numbered."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._encoded: dict[Any, bytes] = {}

    def encoded(self, encode: Callable[[Self], bytes]) -> bytes:
        """It as ``encode`` encodes it, once for all subscribers."""
        if encode not in self._encoded:
            self._encoded[encode] = encode(self)
        return self._encoded[encode]


class Change(Delivery):
    """Somebody has come or gone, in a channel with ``join_leave``."""

    __slots__ = ("member",)

    position = None

    def __init__(self, name: str, member: Member) -> None:
        super().__init__(name)
        self.member = member


class Join(Change):
    """Somebody is present now. It may come again for one who was there."""

    __slots__ = ()


class Leave(Change):
    """Somebody is present no longer."""

    __slots__ = ()
