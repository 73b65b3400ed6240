"""Background tasks that have an owner: whoever starts them waits for their end, or cancels them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Iterator
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
    items: Collection[T],
    worker: Callable[[Iterator[T]], Coroutine[Any, Any, None]],
    at_once: int,
    name: str,
) -> None:
    """Have the items worked through in their order, by as many workers as may be ``at_once``.

    All take the next item from the same iterator, until there is none.
    """
    waiting = iter(items)
    workers = min(at_once, len(items))
    if workers == 1:
        await worker(waiting)
        return
    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(worker(waiting), name=f"toto-aio {name}")


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
