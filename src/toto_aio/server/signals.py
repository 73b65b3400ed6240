"""The signals of a process that serves: none of those that people and tools send cuts off a call."""

from __future__ import annotations

import asyncio
import atexit
import signal
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
"""What ends a service, with the calls in flight answered."""
MEANINGLESS = (signal.SIGUSR1, signal.SIGUSR2)
"""What other servers reopen logs or upgrade for, and would end a process that doesn't know it."""


def ignore_meaningless(*more: signal.Signals) -> None:
    """Ignore such signals, before an author's code may handle them. Programs that it starts don't."""
    for number in (*MEANINGLESS, *more):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _do_nothing)  # SIG_IGN would be inherited


def handle_in_loop(handlers: Mapping[signal.Signals, Callable[[], object]]) -> None:
    """Call such a handler in the running event loop for each signal, and none once the loop has ended.

    Handlers of the loop itself would be taken away at its end, and a signal that comes then, such as of an
    impatient second Ctrl-C, would cut off the process with a status that says it failed.
    """
    loop = asyncio.get_running_loop()

    def receive(number: int, frame: FrameType | None) -> None:
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(handlers[signal.Signals(number)])

    for number in handlers:
        signal.signal(number, receive)
    ignore_at_exit(handlers)


def ignore_at_exit(numbers: Collection[signal.Signals]) -> None:
    """Ignore signals while the interpreter ends, which would put the default in the place of a handler."""
    for number in numbers:
        atexit.register(signal.signal, number, signal.SIG_IGN)


def _do_nothing(number: int, frame: FrameType | None) -> None: ...
