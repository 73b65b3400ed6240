"""Sends the entries of the audit log as events, if the service asks for it."""

from __future__ import annotations

import asyncio
import logging
from contextvars import Context
from typing import Any

from toto_aio.events.manager import EventManager, require_free_name
from toto_aio.exceptions import InvalidParameters, Unavailable, described
from toto_aio.settings import SettingsError
from toto_aio.tasks import Tasks

logger = logging.getLogger(__name__)

SEND_LIMIT = 10.0
"""Seconds after which an entry is given up; it is in the log anyway."""
CLOSE_LIMIT = 1.0
"""Seconds that a shutdown waits for entries to be sent."""
MAX_SENDING = 1000
"""The most entries that are being sent at the same time."""


class AuditEvents:
    """Sends entries as the event ``name`` to every process, while whoever has caused them goes on.

    Raises ``SettingsError`` if events are off, and for a name that is the service's own.
    """

    def __init__(self, events: EventManager | None, name: str) -> None:
        if events is None:
            raise SettingsError("audit_event: write events=memory:// or a redis URL, they are off")
        try:
            require_free_name(name)
        except InvalidParameters as exc:
            raise SettingsError(f"audit_event: {exc.value}") from None
        self._events = events
        self._name = name
        self._sending = Tasks()

    def tell(self, entry: dict[str, Any]) -> None:
        """Send an entry."""
        if len(self._sending) >= MAX_SENDING:
            logger.warning("an entry of the audit log is not sent as an event: too many are waiting")
            return
        # In a context of its own: a handler of the event doesn't act for the call.
        self._sending.start(self._send(entry), "audit event", context=Context())

    async def close(self) -> None:
        """Send what can still be sent soon."""
        await self._sending.finish(CLOSE_LIMIT)
        await self._sending.cancel()

    async def _send(self, entry: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(SEND_LIMIT):
                await self._events.send_own(self._name, entry)
        except (Unavailable, TimeoutError) as exc:
            reason = described(exc.__cause__ or exc)
            logger.warning("an entry of the audit log could not be sent as an event: %s", reason)
        except Exception:
            logger.exception("an entry of the audit log could not be sent as an event")
