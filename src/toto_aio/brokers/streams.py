"""Channels as a broker carries them: what is published has a number, and is kept for those that come back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from toto_aio.channels import Channel, Position

__all__ = ["Kept", "Streams", "Stretch"]

COUNT_TTL = 86400.0
"""Seconds for which the numbers of a channel go on, after its history has expired: a client that missed
nothing in that time has recovered."""
NEW_TTL = 600.0
"""Seconds for which a channel to which nothing was published is known, after somebody has read it, as clients
can make up names. Then another epoch begins, and nobody who comes back has recovered."""
REPEAT_TTL = 300.0
"""Seconds in which a publication with the same idempotency key is the same."""


class Stretch(NamedTuple):
    """Where a channel is now, and all that was published after another position; None if some is unknown."""

    position: Position
    payloads: Sequence[bytes] | None


class Kept(NamedTuple):
    """Where a channel is now, and what is kept of it: numbers and payloads."""

    position: Position
    entries: Sequence[tuple[int, bytes]]


@runtime_checkable
class Streams(Protocol):
    """What a broker has, besides the methods of ``Broker``, if it carries channels.

    What is published is given to ``Receiver.published``.
    """

    async def follow(self, name: str) -> None:
        """Deliver what is published to a channel from now on, if it isn't delivered already.

        After an interruption this returns when the channel is followed again. Raises ``Unavailable``.
        """

    def unfollow(self, name: str) -> None:
        """Stop delivering what is published to a channel."""

    async def publish_to(self, name: str, payload: bytes, rules: Channel, key: str) -> Position | None:
        """Publish to a channel, and return the position if it has a history.

        With a ``key`` that was used within ``REPEAT_TTL`` nothing is published, and the position is the one
        of then. Publications of one sender arrive in its order. Raises ``Unavailable``: it may have happened.
        """

    async def read(self, name: str, rules: Channel, since: Position | None) -> Stretch:
        """What was published to a channel with a history after a position. Raises ``Unavailable``.

        The payloads are all of them, in order, or None. An epoch never counts a number twice.
        """

    async def kept(self, name: str, rules: Channel, limit: int, *, newest: bool) -> Kept:
        """The oldest publications that are kept of a channel with a history, or the ``newest``, backwards.

        ``limit`` is how many, at least 1. Raises ``Unavailable``.
        """


def complete(since: Position | None, now: Position, found: Sequence[tuple[int, bytes]]) -> Stretch:
    """The stretch of what was ``found`` by number, if that is all of it."""
    if since is None or since.epoch != now.epoch or since.offset > now.offset:
        return Stretch(now, None)
    expected = range(since.offset + 1, now.offset + 1)
    if [number for number, _ in found] != list(expected):
        return Stretch(now, None)
    return Stretch(now, [payload for _, payload in found])
