"""The master of a service in processes: it listens and starts those who serve, and never serves itself."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from toto_aio.monitoring.multiprocess import Tally
from toto_aio.server.generation import Generation
from toto_aio.server.listeners import Listener, Place, listen, places
from toto_aio.server.reload import require_watchfiles, watch
from toto_aio.server.worker import StartError, folder
from toto_aio.settings import Settings, SettingsError
from toto_aio.settings.sources import Sources

logger = logging.getLogger(__name__)


class Master:
    """Keeps a generation of workers alive, and replaces it by a new one without a request dropped.

    The settings are read again from ``sources`` for a restart. ``tell`` is called with what is to be known
    of the service whenever it has changed.
    """

    def __init__(
        self, settings: Settings, sources: Sources, tell: Callable[[Mapping[str, Any]], None]
    ) -> None:
        self._settings = settings
        self._sources = sources
        self._tell = tell
        self._folder = folder()
        self._tally = Tally()
        self._listeners: dict[Place, Listener] = {}
        self._generation: Generation | None = None
        self._leaving: dict[Generation, asyncio.Task[None]] = {}
        self._restart = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self._restarts = 0
        self._failure: str | None = None

    async def run(self) -> None:
        """Serve until TERM or INT; HUP restarts. Raises ``SettingsError`` or ``StartError`` if the first
        start fails."""
        loop = asyncio.get_running_loop()
        work = asyncio.create_task(self._work(), name="toto-aio master")
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, work.cancel)
        loop.add_signal_handler(signal.SIGHUP, self._restart.set)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
        try:
            await work
        except asyncio.CancelledError:
            loop.add_signal_handler(signal.SIGINT, self._kill)  # who types it again does not want to wait
        finally:
            await self._end()

    async def _work(self) -> None:
        """Start, and restart whenever that is asked for."""
        if self._settings.autoreload:
            require_watchfiles()
            # Python takes a file for unchanged that changes within a second and keeps its size.
            os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
            file = self._sources.file
            changes = watch(self._settings.method_module, [] if file is None else [Path(file)])
            self._watching = asyncio.create_task(self._watch(changes), name="toto-aio autoreload")
        self._generation = await self._start(self._settings)
        while True:
            self._say()
            await self._restart.wait()
            self._restart.clear()
            await self._roll()

    async def _watch(self, changes: AsyncIterator[set[str]]) -> None:
        """Ask for a restart whenever a file has changed."""
        try:
            async for paths in changes:
                logger.info("changed: %s", ", ".join(sorted(paths)))
                self._restart.set()
        except Exception:
            logger.exception("files are not watched any more: restart by HUP")

    async def _start(self, settings: Settings) -> Generation:
        """A generation of workers that serve. What is open already stays so."""
        processes = count(settings)
        if processes > 1:
            require_shared(settings)
        if settings.metrics:
            try:
                self._tally.open()
            except OSError as exc:
                raise SettingsError(f"metrics: there can be no folder for them: {exc}") from exc
        wanted = places(settings, processes)
        opened = {}
        try:
            for place in dict.fromkeys(wanted):
                if place not in self._listeners:
                    opened[place] = listen(place)
            listeners = {**self._listeners, **opened}
            among = [listeners[place] for place in wanted]
            generation = Generation(among, self._folder, self._tally.add_ended)
            await generation.start()
        except BaseException:
            for listener in opened.values():
                listener.close()
            raise
        self._listeners = listeners
        if processes > 1 and _is_in_memory(settings.events):
            logger.warning("events stay in the process that sends them: write events=redis://localhost/0")
        return generation

    async def _roll(self) -> None:
        """Let new workers take over from the old ones, which stay if the new ones do not start."""
        logger.info("restarting")
        old, limit = self._generation, self._settings.shutdown_timeout
        try:
            settings = self._sources.read()
            new = await self._start(settings)
        except (SettingsError, StartError) as exc:
            logger.error("the restart has failed, the processes from before go on: %s", exc)
            self._failure = str(exc)
        else:
            assert old is not None
            self._generation, self._settings, self._failure = new, settings, None
            ending = asyncio.create_task(old.end(limit), name="toto-aio old processes")
            self._leaving[old] = ending
            ending.add_done_callback(lambda _: self._leaving.pop(old))
            await old.left()
            self._close({place: self._listeners[place] for place in self._listeners.keys() - self._places()})
        self._restarts += 1

    def _places(self) -> set[Place]:
        return set(places(self._settings, count(self._settings)))

    def _close(self, listeners: Mapping[Place, Listener]) -> None:
        for place, listener in listeners.items():
            listener.close()
            del self._listeners[place]

    def _say(self) -> None:
        assert self._generation is not None
        self._tell(
            {
                "addresses": [
                    self._listeners[place].url(self._settings.root) for place in sorted(self._places())
                ],
                "processes": len(self._generation.workers),
                "restarts": self._restarts,
                "failure": self._failure,
            }
        )

    def _kill(self) -> None:
        for generation in (self._generation, *self._leaving):
            if generation is not None:
                generation.kill()

    async def _end(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
        # Those who connect from now on are to be refused, and not to wait for nobody.
        self._close(dict(self._listeners))
        if self._generation is not None:
            await self._generation.end(self._settings.shutdown_timeout)
        await asyncio.gather(*self._leaving.values())
        self._tally.close()


def require_shared(settings: Settings) -> None:
    """Raise ``SettingsError`` for a database that each process would have for itself."""
    for name in ("database", "session_store"):
        if _is_in_memory(getattr(settings, name)):
            raise SettingsError(
                f"{name}: each process would have a memory:// of its own: write sqlite:///toto.db"
            )


def _is_in_memory(url: Any) -> bool:
    return isinstance(url, str) and url.partition("://")[0] == "memory"


def count(settings: Settings) -> int:
    """The number of processes that serve: one for each CPU if the setting is 0."""
    return settings.processes or len(os.sched_getaffinity(0))
