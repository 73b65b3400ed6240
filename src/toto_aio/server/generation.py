"""Workers that were started together, with the same code and settings, and are kept running."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from toto_aio.server.listeners import Listener
from toto_aio.server.worker import StartError, Worker, describe_exit
from toto_aio.settings import Settings
from toto_aio.tasks import Tasks, cancel

logger = logging.getLogger(__name__)

FIRST_BACKOFF = 0.1
MAX_BACKOFF = 30.0
"""Seconds until a worker that exits soon after its start is replaced: the first and the longest delay."""
PINGS = 10
"""How often in ``stuck_after`` seconds a worker is asked to show that its event loop turns."""
STABLE_AFTER = 1.0
"""Seconds after which a worker counts as stable, so that it is replaced immediately when it exits."""


class Generation:
    """One worker for each entry of ``listeners``; a listener may occur more than once.

    A worker whose event loop does not turn for ``stuck_after`` seconds is killed and replaced; with 0 none
    is. While it drains, it has ``shutdown_timeout`` seconds more, of those settings that it was started with.
    ``on_exit`` is called with the id of each process that has exited.
    """

    def __init__(
        self, listeners: Sequence[Listener], cwd: str, settings: Settings, on_exit: Callable[[int], None]
    ) -> None:
        self._patience = settings.start_timeout
        self._stuck_after = settings.stuck_after
        self._shutdown_timeout = settings.shutdown_timeout
        self._listeners = listeners
        self._cwd = cwd
        self._on_exit = on_exit
        self._supervisors = Tasks()
        self._stopping = asyncio.Event()
        self.workers: list[Worker] = []

    async def start(self) -> None:
        """Start the workers and wait until all of them are ready.

        Raises the first worker's ``StartError`` if any of them fails. If the start fails or is cancelled,
        ``stop`` ends what was started: the workers that are ready serve already.
        """
        try:
            for listener in self._listeners:
                self.workers.append(Worker(listener.sockets, self._cwd, self._on_exit))
            await asyncio.gather(*(worker.wait_ready(self._patience) for worker in self.workers))
        except OSError as exc:
            raise StartError(f"no process could be started: {exc}") from exc
        for number in range(len(self.workers)):
            self._supervisors.start(self._supervise(number), f"worker {number}")

    async def wait_draining(self) -> None:
        """Wait until the workers, which are stopping, accept no more connections."""
        await asyncio.gather(*(worker.wait_draining() for worker in self.workers))

    def expect_exits(self) -> None:
        """Replace no worker that exits from now on."""
        self._stopping.set()

    async def stop(self) -> None:
        """Ask the workers to shut down, and wait; those still running after their time are killed."""
        self.expect_exits()
        await asyncio.gather(*(worker.stop(self._shutdown_timeout) for worker in self.workers))
        await self._supervisors.finish()

    def kill(self) -> None:
        """Kill the workers immediately, and replace none."""
        self.expect_exits()
        for worker in self.workers:
            worker.kill()

    async def _supervise(self, number: int) -> None:
        """Replace a worker whenever it exits."""
        loop = asyncio.get_running_loop()
        backoff = 0.0
        started = loop.time()
        while True:
            worker = self.workers[number]
            watching = asyncio.create_task(self._watch(worker), name=f"toto-aio watch {worker.pid}")
            status = await worker.wait()
            await cancel(watching)
            if self._stopping.is_set():
                return
            is_stable = loop.time() - started > STABLE_AFTER
            backoff = 0.0 if is_stable else min(max(backoff * 2, FIRST_BACKOFF), MAX_BACKOFF)
            logger.error(
                "process %d ended %s; starting its replacement in %g s",
                worker.pid,
                describe_exit(status),
                backoff,
            )
            if await self._is_stopping_within(backoff):
                return
            try:
                sockets = self._listeners[number].sockets
                worker = self.workers[number] = Worker(sockets, self._cwd, self._on_exit)
                await worker.wait_ready(self._patience)
                logger.info("process %d replaces one that ended", worker.pid)
            except (OSError, StartError) as exc:
                if not self._stopping.is_set():
                    logger.error("a process that ended could not be replaced: %s", exc)
                self.workers[number].kill()
            started = loop.time()

    async def _watch(self, worker: Worker) -> None:
        """Kill a worker when it is stuck.

        Time is counted in pings of this process, and not read from a clock: if the machine or only the master
        stands still, no worker looks stuck afterwards.
        """
        interval = self._stuck_after / PINGS
        was_stopped = False
        while interval and not await self._is_stopping_within(interval):
            is_stopped = worker.is_stopped
            if is_stopped and not was_stopped:
                logger.warning("process %d is stopped by a signal or a debugger, not stuck", worker.pid)
            was_stopped = is_stopped
            if is_stopped:
                worker.unanswered = 0
            elif worker.unanswered * interval >= self._limit(worker):
                silence = worker.unanswered * interval
                logger.error(
                    "process %d has been stuck for %g s and is killed. Its threads:\n%s",
                    worker.pid,
                    silence,
                    await worker.stacks(),
                )
                worker.kill()
                return
            if worker.is_ready:
                worker.ping()

    def _limit(self, worker: Worker) -> float:
        return self._stuck_after + (self._shutdown_timeout if worker.is_draining else 0)

    async def _is_stopping_within(self, seconds: float) -> bool:
        """Wait for that long, or until the workers are to stop; whether they are."""
        try:
            async with asyncio.timeout(seconds):
                return await self._stopping.wait()
        except TimeoutError:
            return self._stopping.is_set()  # it may have been set in the same moment
