"""Calls that a method forgets to await: noticed as they are dropped, and an error of the method's own call.

handler.session.save()  # without await: without this module the answer would be 200, and nothing saved
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Coroutine, Generator
from types import CodeType, FrameType
from typing import Any, NamedTuple, TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")


class PendingCall(Coroutine[Any, Any, T]):
    """A coroutine that notices when it is dropped without having been awaited."""

    __slots__ = ("_begun", "_code", "_coroutine", "_created", "_instruction", "_name", "_task")

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, T],
        name: str,
        caller: FrameType,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._coroutine = coroutine
        self._begun = False
        self._name = name
        self._created = time.perf_counter()
        # Passing the loop saves current_task a system call before Python 3.12 (getpid).
        self._task = asyncio.current_task(loop)
        # The number of the line is looked up if it is needed; the frame would keep what its variables hold.
        self._code, self._instruction = caller.f_code, caller.f_lasti

    def __await__(self) -> Generator[Any, None, T]:
        self._begun = True
        return self._coroutine.__await__()

    def send(self, value: Any) -> Any:
        """Continue; a task of asyncio calls this."""
        self._begun = True
        return self._coroutine.send(value)

    def throw(self, *exc: Any) -> Any:
        """Continue with an exception; a task of asyncio calls this."""
        self._begun = True
        return self._coroutine.throw(*exc)

    def close(self) -> None:
        """End the coroutine."""
        self._begun = True
        self._coroutine.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._coroutine, name)  # what debuggers ask a coroutine for

    def __del__(self) -> None:
        if self._begun:
            return
        self._coroutine.close()  # or Python would warn of it too
        if not sys.is_finalizing():
            _note(Dropped(self._name, self._code, self._instruction, self._created), self._task)


class Dropped(NamedTuple):
    """A call that was dropped: what was called where, and when, on the clock of ``time.perf_counter``."""

    name: str
    code: CodeType
    instruction: int
    created: float

    def __str__(self) -> str:
        lines = self.code.co_lines()
        line = next((line for start, end, line in lines if start <= self.instruction < end), None)
        where = f"{self.code.co_filename}:{line or self.code.co_firstlineno}"
        return f"{where}: {self.name}() was not awaited, so it did nothing: write await in front of it"


class NotAwaitedError(Exception):
    """A call that had to be awaited was dropped; the text says where."""


dropped: dict[asyncio.Task[Any], list[Dropped]] = {}
"""What each task has dropped. Empty unless a method is wrong, so ``if dropped:`` costs calls nothing."""


def require_awaited(since: float = 0.0) -> None:
    """Raise ``NotAwaitedError`` for what the current task has created since then, and dropped."""
    found = _taken()
    for each in found:
        if each.created < since:
            logger.error("%s", each)  # of an earlier call of this connection, whose exception held it
    if calls := [str(each) for each in found if each.created >= since]:
        raise NotAwaitedError("\n".join(calls))


def log_dropped() -> None:
    """Log what the current task has dropped."""
    for each in _taken():
        logger.error("%s", each)


def _taken() -> list[Dropped]:
    task = asyncio.current_task()
    return [] if task is None else dropped.pop(task, [])


def _note(call: Dropped, creator: asyncio.Task[Any] | None) -> None:
    """Keep a call for the task that made it, which reports it at the end of its work.

    Elsewhere it is logged: an exception may have held it, and the garbage collector found it during the work
    of another task.
    """
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no loop is running here
        task = None
    if task is None or task is not creator:
        logger.error("%s", call)
    elif task in dropped:
        dropped[task].append(call)
    else:
        dropped[task] = [call]
        task.add_done_callback(_log_rest)


def _log_rest(task: asyncio.Task[Any]) -> None:
    """Log what nobody has reported: the task was started by a method, or ends with an event."""
    for call in dropped.pop(task, ()):
        logger.error("%s", call)
