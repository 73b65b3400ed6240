"""The signals of a process that serves: none of those that people and tools send cuts off a call."""

from __future__ import annotations

import signal
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


def _do_nothing(number: int, frame: FrameType | None) -> None: ...
