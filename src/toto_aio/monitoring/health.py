"""Whether the service is healthy, for whatever restarts it or routes to it: ``/health/live``, ``/ready``.

A process is alive while its event loop turns. It is ready while its databases and its broker respond, and its
databases take writes, until its shutdown begins. A full disk, a replica that nobody has promoted yet and a
read-only transaction all answer reads, so only a write finds them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

from aiohttp import web

from toto_aio.brokers import Broker
from toto_aio.exceptions import Unavailable, described
from toto_aio.http.drain import Drain
from toto_aio.stores import Store
from toto_aio.tasks import cancel

logger = logging.getLogger(__name__)

T = TypeVar("T")

REMEMBERED = 1.0
"""Seconds that the result of a check is valid for: many requests don't cause many queries."""
WRITE_REMEMBERED = 5.0
"""Seconds that the result of a write is valid for, as a write costs a database more than a read."""
COUNTER, COUNTER_TTL = "health", 60.0
"""The counter that is written, and the seconds after which it starts again."""
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
        self._check = Shared(self._check_parts)
        self._database_write = Shared(lambda: _write(database))
        self._sessions_write = (
            self._database_write if sessions is database else Shared(lambda: _write(sessions))
        )
        self._failing: dict[str, str] = {}
        """For each part that is not well what cannot be done with it."""

    async def ready(self) -> web.Response:
        """The response to ``/ready``."""
        parts = {} if self._drain.begun else await self._check.result(REMEMBERED)
        if self._drain.begun:  # it may have begun during the check
            return _response({"status": "draining"}, 503)
        if all(state == "ok" for state in parts.values()):
            return _response({"status": "ok", **parts})
        return _response({"status": "unavailable", **parts}, 503)

    async def close(self) -> None:
        """Stop checking."""
        for check in (self._check, self._database_write, self._sessions_write):
            await check.close()

    async def _check_parts(self) -> dict[str, str]:
        checks: dict[str, Awaitable[str]] = {
            "database": self._state("database", self._database.get_account(MISSING_ID), self._database_write),
            "sessions": self._state("sessions", self._sessions.get_session(MISSING_ID), self._sessions_write),
        }
        if self._broker is not None:
            checks["events"] = self._state("events", self._broker.check())
        return dict(zip(checks, await asyncio.gather(*checks.values()), strict=True))

    async def _state(
        self, part: str, read: Awaitable[object], write: Shared[Exception | None] | None = None
    ) -> str:
        """``ok`` or ``unavailable``. The reason is logged, once, and not shown to strangers."""
        verb, error = "reached", None
        try:
            async with asyncio.timeout(LIMIT):
                await read
                if write is not None:
                    verb = "written"
                    error = await write.result(WRITE_REMEMBERED)
        except Exception as exc:
            error = exc
        if error is not None:
            if self._failing.get(part) != verb:
                self._failing[part] = verb
                cause = error.__cause__ if isinstance(error, Unavailable) and error.__cause__ else error
                logger.warning("not ready: the %s cannot be %s: %s", part, verb, described(cause))
            return "unavailable"
        if part in self._failing:
            logger.warning("the %s can be %s again", part, self._failing.pop(part))
        return "ok"


class Shared(Generic[T]):
    """A check that everyone who asks shares, while it lasts and for some time after."""

    def __init__(self, check: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._run = check
        self._task: asyncio.Task[T] | None = None
        self._completed = 0.0

    async def result(self, remembered: float) -> T:
        """Return what the check returns, or what it has returned within the last ``remembered`` seconds."""
        now = asyncio.get_running_loop().time()
        if self._task is None or (self._task.done() and now > self._completed + remembered):
            self._task = asyncio.create_task(self._check(), name="toto-aio health")
        return await asyncio.shield(self._task)

    async def close(self) -> None:
        """Stop checking."""
        await cancel(self._task)

    async def _check(self) -> T:
        result = await self._run()
        self._completed = asyncio.get_running_loop().time()
        return result


async def _write(store: Store) -> Exception | None:
    """Write a counter, and return what is wrong."""
    try:
        async with asyncio.timeout(LIMIT):
            await store.increment(COUNTER, COUNTER_TTL)
    except Exception as exc:
        return exc
    return None


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
