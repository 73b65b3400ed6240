"""Whether the service is healthy, for whatever restarts it or routes to it: ``/health/live``, ``/ready``.

A process is alive while its event loop turns. It is ready while its databases and its broker respond, until
its shutdown begins.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable

from aiohttp import web

from toto_aio.brokers import Broker
from toto_aio.exceptions import Unavailable
from toto_aio.http.drain import Drain
from toto_aio.stores import Store
from toto_aio.tasks import cancel

logger = logging.getLogger(__name__)

REMEMBERED = 1.0
"""Seconds that the result of a check is valid for: many requests don't cause many queries."""
LIMIT = 6.0
"""Seconds that a part has to respond; toto_aio's own stores and brokers give up earlier."""
MISSING_ID = ""
"""The id of an account and of a session that don't exist: to look them up is the cheapest read."""


class Health:
    """The checks of one running app. ``broker`` is None if events are off."""

    def __init__(self, database: Store, sessions: Store, broker: Broker | None, drain: Drain) -> None:
        self._database = database
        self._sessions = sessions
        self._broker = broker
        self._drain = drain
        self._check: asyncio.Task[dict[str, str]] | None = None
        self._checked = 0.0
        self._failing: set[str] = set()

    async def ready(self) -> web.Response:
        """The response to ``/ready``."""
        parts = {} if self._drain.begun else await self._parts()
        if self._drain.begun:  # it may have begun during the check
            return _response({"status": "draining"}, 503)
        if all(state == "ok" for state in parts.values()):
            return _response({"status": "ok", **parts})
        return _response({"status": "unavailable", **parts}, 503)

    async def close(self) -> None:
        """Stop checking."""
        await cancel(self._check)

    async def _parts(self) -> dict[str, str]:
        """The state of each part, from a check that all requests share while it lasts and shortly after."""
        now = asyncio.get_running_loop().time()
        if self._check is None or (self._check.done() and now > self._checked + REMEMBERED):
            self._check = asyncio.create_task(self._check_parts(), name="toto-aio health")
        return await asyncio.shield(self._check)

    async def _check_parts(self) -> dict[str, str]:
        checks: dict[str, Awaitable[object]] = {
            "database": self._database.get_account(MISSING_ID),
            "sessions": self._sessions.get_session(MISSING_ID),
        }
        if self._broker is not None:
            checks["events"] = self._broker.check()
        states = await asyncio.gather(*(self._state(part, check) for part, check in checks.items()))
        self._checked = asyncio.get_running_loop().time()
        return dict(zip(checks, states, strict=True))

    async def _state(self, part: str, check: Awaitable[object]) -> str:
        """``ok`` or ``unavailable``. The reason is logged, once, and not shown to strangers."""
        try:
            async with asyncio.timeout(LIMIT):
                await check
        except Exception as exc:
            if part not in self._failing:
                self._failing.add(part)
                cause = exc.__cause__ if isinstance(exc, Unavailable) and exc.__cause__ else exc
                logger.warning("not ready: the %s cannot be reached: %r", part, cause)
            return "unavailable"
        if part in self._failing:
            self._failing.discard(part)
            logger.warning("the %s can be reached again", part)
        return "ok"


HEALTH = web.AppKey("toto_aio_health", Health)
"""The key of a running app for its health."""


def add_routes(app: web.Application, path: str) -> None:
    """Respond at ``path``/live and ``path``/ready."""

    async def live(request: web.Request) -> web.Response:
        return _response({"status": "ok"})

    async def ready(request: web.Request) -> web.Response:
        return await app[HEALTH].ready()

    app.router.add_get(f"{path}/live", live)
    app.router.add_get(f"{path}/ready", ready)


def _response(state: dict[str, str], status: int = 200) -> web.Response:
    return web.json_response(state, status=status, headers={"Cache-Control": "no-store"})
