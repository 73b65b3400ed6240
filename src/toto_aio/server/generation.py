"""Workers that were started together, with the same code and settings, and are kept alive."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from toto_aio.server.listeners import Listener
from toto_aio.server.worker import StartError, Worker, describe

logger = logging.getLogger(__name__)

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 30.0
"""Seconds before a worker is replaced that has died soon after its start, and again, and again."""
STABLE = 1.0
"""Seconds that a worker must have served for its death to count as the first."""


class Generation:
    """One worker for each listener of ``listeners``; a listener may come more than once.

    ``ended`` is called with the id of each process that has ended.
    """

    def __init__(self, listeners: Sequence[Listener], cwd: str, ended: Callable[[int], None]) -> None:
        self._listeners = listeners
        self._cwd = cwd
        self._ended = ended
        self._keepers: list[asyncio.Task[None]] = []
        self._ending = asyncio.Event()
        self.workers: list[Worker] = []

    async def start(self) -> None:
        """Start the workers and wait until all are ready.

        Raises ``StartError``, of the first that fails; none is left then.
        """
        try:
            for listener in self._listeners:
                self.workers.append(Worker(listener.sockets, self._cwd, self._ended))
            await asyncio.gather(*(worker.ready() for worker in self.workers))
        except OSError as exc:
            await self._drop()
            raise StartError(f"no process could be started: {exc}") from exc
        except BaseException:
            await self._drop()
            raise
        for number in range(len(self.workers)):
            keeper = asyncio.create_task(self._keep(number), name=f"toto-aio worker {number}")
            self._keepers.append(keeper)

    async def left(self) -> None:
        """Wait until the workers, which are ending, accept no more connections."""
        await asyncio.gather(*(worker.left() for worker in self.workers))

    async def end(self, limit: float) -> None:
        """Ask the workers to end, and wait; those that stay ``limit`` seconds are killed."""
        self._ending.set()
        await asyncio.gather(*(worker.end(limit) for worker in self.workers))
        await asyncio.gather(*self._keepers)

    def kill(self) -> None:
        """End the workers at once."""
        for worker in self.workers:
            worker.kill()

    async def _drop(self) -> None:
        self.kill()
        await self.end(0)

    async def _keep(self, number: int) -> None:
        """Replace a worker whenever it dies."""
        loop = asyncio.get_running_loop()
        pause = 0.0
        began = loop.time()
        while True:
            worker = self.workers[number]
            status = await worker.gone()
            if self._ending.is_set():
                return
            pause = 0.0 if loop.time() - began > STABLE else min(max(pause * 2, FIRST_PAUSE), LONGEST_PAUSE)
            logger.error(
                "process %d ended %s; another takes its place in %g s", worker.pid, describe(status), pause
            )
            if await self._pause(pause):
                return
            try:
                sockets = self._listeners[number].sockets
                worker = self.workers[number] = Worker(sockets, self._cwd, self._ended)
                await worker.ready()
                logger.info("process %d serves in place of one that ended", worker.pid)
            except (OSError, StartError) as exc:
                if not self._ending.is_set():
                    logger.error("no process could take the place of one that ended: %s", exc)
                self.workers[number].kill()
            began = loop.time()

    async def _pause(self, seconds: float) -> bool:
        """Wait so long, or for the end; whether it is the end."""
        try:
            async with asyncio.timeout(seconds):
                return await self._ending.wait()
        except TimeoutError:
            return self._ending.is_set()  # it may have come in the same moment
