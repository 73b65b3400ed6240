"""The threads in which plain functions run, and how these wait for what is awaited on the event loop."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from threading import get_ident
from typing import Any, TypeVar, cast

from toto_aio.awaiting import PendingCall, dropped, require_awaited
from toto_aio.exceptions import Unavailable
from toto_aio.tasks import Tasks

F = TypeVar("F", bound=Callable[..., Coroutine[Any, Any, Any]])
T = TypeVar("T")


def waits_in_threads(function: F) -> F:
    """Decorate a coroutine function that plain functions call too: in a thread it gives its result.

    On the event loop it is awaited as usual, and a call that is not awaited is an error of the method.
    """
    name = function.__qualname__
    if "." not in name:
        name = f"{function.__module__}.{name}"

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        loop = asyncio._get_running_loop()
        if loop is not None:
            return PendingCall(function(*args, **kwargs), name, sys._getframe(1), loop)
        threads = _threads_of_here(name)
        coroutine = function(*args, **kwargs)
        return coroutine if threads is None else threads.wait(coroutine)

    return cast(F, _mark(call))


class Threads:
    """The threads of one app: ``size`` for its plain methods, and as many for the callbacks of methods.

    Callbacks have threads of their own because a method may block until one of them wakes it.
    """

    def __init__(self, size: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop_thread = get_ident()
        self._methods = ThreadPoolExecutor(size, "toto-aio-method")
        self._callbacks = ThreadPoolExecutor(size, "toto-aio-callback")
        self._waits = Tasks()
        self._closed = False
        self._lock = threading.Lock()
        """Held while a thread begins to wait, so that ``close`` misses none."""
        _open.append(self)

    def run(self, function: Callable[..., T], *args: Any) -> Awaitable[T]:
        """The result of a plain method."""
        return self._run(self._methods, function, args)

    @property
    def on_loop(self) -> bool:
        """Whether this is the thread of the event loop."""
        return get_ident() == self._loop_thread

    @property
    def has_this(self) -> bool:
        """Whether this is one of the threads."""
        job: Job | None = getattr(_here, "job", None)
        return job is not None and job.threads is self

    def placed(self, function: Callable[..., Any], on_loop: bool | None) -> Callable[..., Any]:
        """A function as an event calls it: unless ``on_loop``, a plain one runs in a thread.

        None stands for where it is registered: what a thread registers also runs in a thread.
        """
        if on_loop is None:
            on_loop = not self.has_this
        if on_loop or is_coroutine_function(function):
            return function

        async def call(*args: Any) -> Any:
            outcome = await self._run(self._callbacks, function, args)
            return await outcome if inspect.isawaitable(outcome) else outcome

        return call

    def wait(self, awaitable: Awaitable[T], *, cleans_up: bool = False) -> T:
        """The result of an awaitable, for any thread but the loop's.

        Raises what it raises; ``CancelledError`` if the call that the thread works for ends meanwhile, or the
        service stops, as a coroutine would get it; ``Unavailable`` if the service has stopped. What
        ``cleans_up`` is not cancelled by the end of the call.
        """
        done: Future[T] = Future()
        job = _here.job if self.has_this and not cleans_up else None
        with self._lock:
            if self._closed:
                discard(awaitable)
                raise Unavailable("The service is stopping.")
            self._loop.call_soon_threadsafe(self._begin, awaitable, done, job)
        return done.result()

    async def close(self) -> None:
        """Let no thread wait any longer, and start no more functions."""
        _open.remove(self)
        with self._lock:
            self._closed = True
        self._methods.shutdown(wait=False, cancel_futures=True)
        self._callbacks.shutdown(wait=False, cancel_futures=True)
        await asyncio.sleep(0)  # so that what threads have handed over begins, and ends
        await self._waits.cancel()

    async def _run(self, pool: ThreadPoolExecutor, function: Callable[..., T], args: Any) -> T:
        job = Job(self)
        context = contextvars.copy_context()  # run_in_executor would lose it
        try:
            return await self._loop.run_in_executor(pool, job.run, context, function, args)
        except asyncio.CancelledError:
            job.interrupt()
            raise

    def _begin(self, awaitable: Awaitable[T], done: Future[T], job: Job | None) -> None:
        if self._closed or (job is not None and job.was_interrupted()):
            discard(awaitable)
            done.set_exception(asyncio.CancelledError())
            return
        task = self._waits.start(_result(awaitable), "wait of a thread")
        task.add_done_callback(functools.partial(_settle, done))
        if job is not None:
            job.waits_for = task


class Job:
    """One function that runs in a thread. Except for ``run``, it belongs to the event loop."""

    def __init__(self, threads: Threads) -> None:
        self.threads = threads
        self.waits_for: asyncio.Task[Any] | None = None
        self._interrupted = False

    def run(self, context: contextvars.Context, function: Callable[..., T], args: Any) -> T:
        """The result of the function, in the thread."""
        _here.job = self
        try:
            return context.run(function, *args)
        finally:
            del _here.job

    def interrupt(self) -> None:
        """Cancel what the thread waits for, or what it will wait for next: once, as a task is cancelled."""
        if self.waits_for is None or not self.waits_for.cancel():
            self._interrupted = True

    def was_interrupted(self) -> bool:
        """Whether the next wait is to be cancelled; that after it is not."""
        interrupted, self._interrupted = self._interrupted, False
        return interrupted


def is_coroutine_function(function: Callable[..., Any]) -> bool:
    """Whether a function, or what it wraps, is a coroutine function, which needs no thread."""
    function = inspect.unwrap(function)
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def discard(awaitable: Awaitable[Any]) -> None:
    """Drop an awaitable on purpose."""
    if isinstance(awaitable, Coroutine):
        awaitable.close()


_here = threading.local()
_open: list[Threads] = []


def _threads_of_here(name: str) -> Threads | None:
    """What this thread belongs to: else, in a thread of the author's, the only service of the process.

    None if no service runs in another thread. Raises ``RuntimeError`` if there are several.
    """
    job: Job | None = getattr(_here, "job", None)
    if job is not None:
        return job.threads
    others = [threads for threads in tuple(_open) if not threads.on_loop]
    if len(others) > 1:
        raise RuntimeError(f"{name}: this process has {len(others)} services: write handler.wait(...)")
    return others[0] if others else None


async def _result(awaitable: Awaitable[T]) -> T:
    result = await awaitable
    if dropped:
        require_awaited()
    return result


def _settle(done: Future[T], task: asyncio.Task[T]) -> None:
    if task.cancelled():
        done.set_exception(asyncio.CancelledError())
    elif (exc := task.exception()) is not None:
        done.set_exception(exc)
    else:
        done.set_result(task.result())


def _mark(function: Callable[..., Any]) -> Callable[..., Any]:
    """Have a function pass for a coroutine function, where Python can do that (3.12)."""
    mark: Callable[..., Any] | None = getattr(inspect, "markcoroutinefunction", None)
    return function if mark is None else mark(function)
