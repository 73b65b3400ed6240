"""The master of a service in several processes: it listens and starts workers, and never serves itself."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from toto_aio.monitoring.multiprocess import MetricsFolder
from toto_aio.server.generation import Generation
from toto_aio.server.listeners import BindAddress, Listener, bind_addresses, listen, refuse
from toto_aio.server.processes import LOCAL_EVENTS, count_processes, has_local_events, require_shared_stores
from toto_aio.server.program import working_directory
from toto_aio.server.reload import watch
from toto_aio.server.signals import ENDING, handle_in_loop
from toto_aio.server.worker import StartError
from toto_aio.settings import Settings, SettingsError
from toto_aio.settings.sources import Sources
from toto_aio.tasks import Tasks, cancel

logger = logging.getLogger(__name__)


class Master:
    """Keeps a generation of workers running, and replaces it with a new one without dropping a request.

    A restart reads the settings again from ``sources``. ``on_change`` is called with the state of the service
    whenever it has changed.
    """

    def __init__(
        self, settings: Settings, sources: Sources, on_change: Callable[[Mapping[str, Any]], None]
    ) -> None:
        self._settings = settings
        self._sources = sources
        self._on_change = on_change
        self._cwd = working_directory()
        self._metrics = MetricsFolder()
        self._listeners: dict[BindAddress, Listener] = {}
        self._generation: Generation | None = None
        self._generations: set[Generation] = set()
        """All that have processes: also those that have not started, and those that are stopping."""
        self._ending: set[Generation] = set()
        self._stopping = Tasks()
        self._watching = Tasks()
        self._restart_requested = asyncio.Event()
        self._restarts = 0
        self._failure: str | None = None

    async def run(self) -> None:
        """Serve until TERM, INT or QUIT; HUP restarts.

        Raises ``SettingsError`` or ``StartError`` if the first start fails.
        """
        serving = asyncio.create_task(self._serve(), name="toto-aio master")
        handlers: dict[signal.Signals, Callable[[], object]] = {
            **dict.fromkeys(ENDING, serving.cancel),
            signal.SIGINT: partial(self._interrupt, serving),
            signal.SIGHUP: self._restart_requested.set,
        }
        handle_in_loop(handlers)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
        try:
            with suppress(asyncio.CancelledError):
                await serving
        finally:
            await self._shut_down()

    async def _serve(self) -> None:
        """Start, and restart on request."""
        if self._settings.autoreload:
            file = self._sources.file
            code = self._sources.module or self._settings.method_module
            changes = watch(code, [] if file is None else [Path(file)])
            # A file that changes within a second and keeps its size looks unchanged to Python's cache.
            os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
            self._watching.start(self._restart_on(changes), "autoreload")
        while self._generation is None:
            self._restart_requested.clear()
            self._generation = await self._start_unless_changed(self._settings)
        while True:
            self._publish_state()
            await self._restart_requested.wait()
            await self._restart()

    async def _restart_on(self, changes: AsyncIterator[set[str]]) -> None:
        """Request a restart whenever a file has changed."""
        try:
            async for paths in changes:
                logger.info("changed: %s", ", ".join(sorted(paths)))
                self._restart_requested.set()
        except Exception:
            logger.exception("files are no longer watched: restart by HUP")

    async def _start_unless_changed(self, settings: Settings) -> Generation | None:
        """Start; None if with ``autoreload`` a file changes meanwhile, as what hangs would never be ready."""
        if not settings.autoreload:
            return await self._start(settings)
        starting = asyncio.create_task(self._start(settings), name="toto-aio start")
        changed = asyncio.create_task(self._restart_requested.wait(), name="toto-aio change")
        try:
            await asyncio.wait((starting, changed), return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                return starting.result()
        finally:
            await cancel(starting, changed)
        self._stop_others()
        return None

    async def _start(self, settings: Settings) -> Generation:
        """Start a generation of workers; sockets that are already open stay open.

        What it has started and opened when it fails or is cancelled is left to ``_retire`` or ``_shut_down``.
        """
        processes = count_processes(settings)
        application = self._sources.application  # its workers know the services in it
        if processes > 1 and application is None:
            require_shared_stores(settings)
        if settings.metrics or application is not None:
            try:
                self._metrics.open()
            except OSError as exc:
                raise SettingsError(f"metrics: a folder for them cannot be made: {exc}") from exc
        addresses = bind_addresses(settings, processes)
        for address in dict.fromkeys(addresses):
            if address not in self._listeners:
                self._listeners[address] = listen(address)
        generation = Generation(
            [self._listeners[address] for address in addresses],
            self._cwd,
            settings,
            self._metrics.mark_process_dead,
        )
        self._generations.add(generation)
        await generation.start()
        warnings = [warning for worker in generation.workers for warning in worker.warnings]
        if processes > 1 and application is None and has_local_events(settings):
            warnings.append(LOCAL_EVENTS)
        for warning in dict.fromkeys(warnings):
            logger.warning("%s", warning)
        return generation

    async def _restart(self) -> None:
        """Replace the workers with new ones, or keep them if the new ones do not start."""
        logger.info("restarting")
        try:
            new = None
            while new is None:
                self._restart_requested.clear()
                settings = self._sources.read()
                new = await self._start_unless_changed(settings)
        except (SettingsError, StartError) as exc:
            logger.error("the restart failed, the old processes keep serving: %s", exc)
            self._failure = str(exc)
        else:
            self._generation, self._settings, self._failure = new, settings, None
        await self._retire()
        self._restarts += 1

    async def _retire(self) -> None:
        """Stop all workers but those of the current generation, and listen only where these do."""
        used = self._addresses()
        unused = {address: listener for address, listener in self._listeners.items() if address not in used}
        await refuse(_sockets(unused))
        stopping = self._stop_others()
        await asyncio.gather(*(generation.wait_draining() for generation in stopping))
        self._close(unused)

    def _stop_others(self) -> set[Generation]:
        """Begin to stop all workers but those of the current generation, and return what is being stopped.

        Some of a generation that has not started may serve already: they complete their calls, too.
        """
        others = self._generations - self._ending - {self._generation}
        for generation in others:
            self._stopping.start(self._stop(generation), "old processes")
        self._ending |= others
        return others

    async def _stop(self, generation: Generation) -> None:
        await generation.stop()
        self._generations.discard(generation)
        self._ending.discard(generation)

    def _addresses(self) -> set[BindAddress]:
        return set(bind_addresses(self._settings, count_processes(self._settings)))

    def _close(self, listeners: Mapping[BindAddress, Listener]) -> None:
        for address, listener in listeners.items():
            listener.close()
            del self._listeners[address]

    def _publish_state(self) -> None:
        assert self._generation is not None
        root = "/" if self._sources.application else self._settings.root
        self._on_change(
            {
                "addresses": [self._listeners[address].url(root) for address in sorted(self._addresses())],
                "processes": len(self._generation.workers),
                "restarts": self._restarts,
                "failure": self._failure,
            }
        )

    def _interrupt(self, serving: asyncio.Task[None]) -> None:
        """End ``serving``; if that has begun, do not wait for the workers: a second Ctrl-C."""
        if serving.done() or serving.cancelling():
            for generation in self._generations:
                generation.kill()
        serving.cancel()

    async def _shut_down(self) -> None:
        for generation in self._generations:
            generation.expect_exits()  # a signal to all processes may end workers before they are told to
        # From now on connections are refused, so that no client waits for a service that is stopping.
        await refuse(_sockets(self._listeners))
        self._close(dict(self._listeners))
        await self._watching.cancel()
        self._generation = None
        self._stop_others()
        await self._stopping.finish()
        self._metrics.close()


def _sockets(listeners: Mapping[BindAddress, Listener]) -> list[socket.socket]:
    return [listening for listener in listeners.values() for listening in listener.sockets]
