"""How many processes serve, and what several of them must share."""

from __future__ import annotations

import os

from toto_aio.settings import Settings
from toto_aio.settings.urls import require_shared, scheme_of


def count_processes(settings: Settings) -> int:
    """The number of processes that serve: one for each CPU if the setting is 0."""
    return settings.processes or len(os.sched_getaffinity(0))


def require_shared_stores(settings: Settings) -> None:
    """Raise ``SettingsError`` for a database that the processes would not share."""
    for name in ("database", "session_store"):
        require_shared(name, getattr(settings, name))


LOCAL_EVENTS = "events stay in the process that sends them: write events=redis://localhost/0"
"""What ``has_local_events`` means where there are several processes."""


def has_local_events(settings: Settings) -> bool:
    """Whether an event reaches only the process that sends it."""
    return scheme_of(settings.events) == "memory"
