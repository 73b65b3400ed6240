"""What has happened in the channels of a process, for metrics."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class ChannelCounts:
    """The channels of one app in this process: ``followed`` and the next two now, the others since its start.

    Publications that were ``filled`` did not arrive, and were read from the history. A subscription that came
    with a position was ``recovered`` or not; one is ``lost`` if publications may have been missed.
    """

    followed: int = 0
    subscriptions: int = 0
    members: int = 0
    published: int = 0
    delivered: int = 0
    filled: int = 0
    recovered: int = 0
    unrecovered: int = 0
    lost: int = 0
