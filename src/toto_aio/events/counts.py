"""How many events there have been, for metrics."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class EventCounts:
    """Events of one app in this process: ``waiting`` and ``subscriptions`` now, the others since its start.

    ``dropped`` events were more than a slow subscriber could read; ``missed`` ones didn't reach this process,
    counted once for each subscription.
    """

    sent: int = 0
    received: int = 0
    dropped: int = 0
    missed: int = 0
    waiting: int = 0
    subscriptions: int = 0
