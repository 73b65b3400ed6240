"""Who is present in a channel, and what its function tells the others about whoever subscribes.

@channel("room:{room}", presence=True, join_leave=True)
@authenticated
async def join(handler, room: str):
    return Admission({"topic": "all about it"}, info={"name": "Ada"})
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct

__all__ = ["Admission", "Member", "PresenceStats"]


class Admission(Struct, frozen=True):
    """What a function with ``@channel`` may return, to say more than what comes with the subscription.

    ``info`` is what the others in a channel with ``presence=True`` are told about the subscriber: plain data
    of at most 2,000 bytes as MessagePack.
    """

    data: Any = None
    info: Any = None


class Member(Struct, frozen=True):
    """A client that has subscribed to a channel with ``presence=True``."""

    client: str
    """The id of its connection, the same for all channels of the connection, and never used again."""
    user: str
    """The user of the session; "" without one."""
    info: Any = None
    """What the channel's function tells about it."""


class PresenceStats(Struct, frozen=True):
    """How many clients are present in a channel, and how many users; those without a user count as one."""

    clients: int
    users: int


def stats_of(members: Iterable[Member]) -> PresenceStats:
    """How many they are."""
    users = [each.user for each in members]
    return PresenceStats(len(users), len(set(users)))
