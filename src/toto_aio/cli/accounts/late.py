"""What an end of sessions doesn't reach at once."""

from __future__ import annotations

from toto_aio.cli.accounts.action import say
from toto_aio.settings import Settings
from toto_aio.settings.urls import scheme_of


def say_if_late(settings: Settings) -> None:
    """Say so if no event tells a running service that sessions have ended, whose sockets it then looks up."""
    scheme = scheme_of(settings.events)
    if scheme in ("memory", "off") and settings.use_web_sockets:
        say(f"With events={scheme} a running service closes their sockets within 30 seconds, and not at once")
