"""Background tasks that have an owner: whoever starts them waits for their end, or cancels them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import AsyncExitStack
from contextvars import Context
from typing import Any, TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Tasks:
    """The background tasks of one owner. Each is kept until it is done, so that it isn't collected."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        """How many are running."""
        return len(self._tasks)

    def start(
        self, coroutine: Coroutine[Any, Any, T], name: str, *, context: Context | None = None
    ) -> asyncio.Task[T]:
        """Run a coroutine in the background, in a task called ``toto-aio <name>``."""
        loop = asyncio.get_running_loop()
        task = loop.create_task(coroutine, name=f"toto-aio {name}", context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def finish(self, limit: float | None = None) -> None:
        """Wait until the running tasks are done, for at most ``limit`` seconds."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=limit)

    async def cancel(self) -> None:
        """Cancel the running tasks, and wait until they are gone."""
        await cancel(*self._tasks)


async def work_through(
    items: Iterable[T], work: Callable[[T], Awaitable[None]], at_once: int, name: str
) -> None:
    """Do the work for each item, in their order; ``at_once`` above 1 does so many at the same time."""
    waiting = iter(items)

    async def worker() -> None:
        for item in waiting:
            await work(item)

    if at_once == 1:
        await worker()
        return
    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(worker(), name=f"toto-aio {name}")


def own(stack: AsyncExitStack, work: Coroutine[Any, Any, None], name: str) -> None:
    """Run a task called ``toto-aio <name>`` until the ``stack`` is closed."""
    stack.push_async_callback(cancel, asyncio.create_task(work, name=f"toto-aio {name}"))


def is_being_cancelled() -> bool:
    """Whether the current task was cancelled while it did not wait, or goes on all the same."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def cancel(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancel tasks and wait until they are gone; None stands for a task that was never started.

    An exception that a task raises instead of ending is logged.
    """
    running = [task for task in tasks if task is not None and not task.done()]
    for task in running:
        task.cancel()
    outcomes = await asyncio.gather(*running, return_exceptions=True)
    for task, outcome in zip(running, outcomes, strict=True):
        if isinstance(outcome, Exception):
            logger.error("%s failed", task.get_name(), exc_info=outcome)
