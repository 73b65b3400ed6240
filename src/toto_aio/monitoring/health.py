"""Whether the service is well, for who restarts it and who sends it requests: ``/health/live``, ``/ready``.

A process is alive while its event loop turns. It is ready while its databases and its broker answer, until it
is told to end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Collection

from aiohttp import web

from toto_aio.brokers import Broker
from toto_aio.exceptions import Unavailable
from toto_aio.http.drain import Drain
from toto_aio.settings import Settings, SettingsError
from toto_aio.stores import Store

logger = logging.getLogger(__name__)

REMEMBERED = 1.0
"""Seconds for which the outcome of a look holds: many who ask are not many queries."""
LIMIT = 6.0
"""Seconds that a part has to answer; toto_aio's own give up before."""
NOBODY = ""
"""The id of an account and of a session that do not exist: to look for them is the cheapest of reads."""


class Health:
    """The checks of one app. Parts are watched from ``watch`` to ``close``."""

    def __init__(self, drain: Drain) -> None:
        self._database: Store | None = None
        self._sessions: Store | None = None
        self._broker: Broker | None = None
        self._drain = drain
        self._look: asyncio.Task[dict[str, str]] | None = None
        self._looked = 0.0
        self._unwell: set[str] = set()

    def add_routes(self, app: web.Application, path: str) -> None:
        """Answer at ``path``/live and ``path``/ready."""
        app.router.add_get(f"{path}/live", self._live)
        app.router.add_get(f"{path}/ready", self._ready)

    def watch(self, database: Store, sessions: Store, broker: Broker | None) -> None:
        """Look at these parts from now on."""
        self._database, self._sessions, self._broker = database, sessions, broker

    async def close(self) -> None:
        """Look no more."""
        if self._look is not None:
            self._look.cancel()
            await asyncio.gather(self._look, return_exceptions=True)

    async def _live(self, request: web.Request) -> web.Response:
        return _answer({"status": "ok"})

    async def _ready(self, request: web.Request) -> web.Response:
        parts = {} if self._drain.begun else await self._parts()
        if self._drain.begun:  # maybe since a moment ago
            return _answer({"status": "draining"}, 503)
        if all(state == "ok" for state in parts.values()):
            return _answer({"status": "ok", **parts})
        return _answer({"status": "unavailable", **parts}, 503)

    async def _parts(self) -> dict[str, str]:
        """The state of each part, from a look that all share who ask while it lasts and shortly after."""
        now = asyncio.get_running_loop().time()
        if self._look is None or (self._look.done() and now > self._looked + REMEMBERED):
            self._look = asyncio.create_task(self._look_at_parts(), name="toto-aio health")
        return await asyncio.shield(self._look)

    async def _look_at_parts(self) -> dict[str, str]:
        assert self._database is not None and self._sessions is not None
        looks: dict[str, Awaitable[object]] = {
            "database": self._database.get_account(NOBODY),
            "sessions": self._sessions.get_session(NOBODY),
        }
        if self._broker is not None:
            looks["events"] = self._broker.check()
        states = await asyncio.gather(*(self._state(part, look) for part, look in looks.items()))
        self._looked = asyncio.get_running_loop().time()
        return dict(zip(looks, states, strict=True))

    async def _state(self, part: str, look: Awaitable[object]) -> str:
        """``ok`` or ``unavailable``; why is in the log, once, and not for strangers."""
        try:
            async with asyncio.timeout(LIMIT):
                await look
        except Exception as exc:
            if part not in self._unwell:
                self._unwell.add(part)
                cause = exc.__cause__ if isinstance(exc, Unavailable) and exc.__cause__ else exc
                logger.warning("not ready: the %s cannot be reached: %r", part, cause)
            return "unavailable"
        if part in self._unwell:
            self._unwell.discard(part)
            logger.warning("the %s can be reached again", part)
        return "ok"


def own_path(settings: Settings, methods: Collection[str], option: str, path: str, *pages: str) -> str:
    """A path with ``pages`` below it, with one slash in front and none behind.

    Raises ``SettingsError`` for what is none, and if it would hide a method from those who call it by URL.
    """
    path, root = f"/{path.strip('/')}", f"/{settings.root.strip('/')}".rstrip("/")
    if path == "/" or set(path) & set("{}?#"):
        raise SettingsError(f"{option}: write a path such as /health, or off, not {path!r}")
    for page in (f"{path}{page}" for page in pages):
        method = page.removeprefix(f"{root}/").replace("/", ".")
        if page.startswith(f"{root}/") and method in methods and settings.method_select != "parameter":
            raise SettingsError(f"{option}: {page} is the method {method!r} already: give one another path")
    return path


def _answer(state: dict[str, str], status: int = 200) -> web.Response:
    return web.json_response(state, status=status, headers={"Cache-Control": "no-store"})
