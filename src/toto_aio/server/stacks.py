"""The stacks of all threads, for the log: of this process, and of a worker whatever it is doing.

A worker that is stuck can run no code of Python to describe itself. So faulthandler makes the dump, in C,
when it receives a signal: that works in an endless loop, and also in a C function that keeps the GIL. The
dump goes to a file in memory that the master shares with the worker.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable

DUMP_LIMIT = 1.0
"""Seconds that a worker has to write its stacks."""
POLL_INTERVAL = 0.05
"""Seconds in which a dump that is not complete grows."""
MAX_SIZE = 2**20
"""Bytes of a dump that are read: faulthandler shows up to 100 threads with 100 frames each."""
UNKNOWN = "they are unknown"


class StackFile:
    """The file in memory to which a worker writes its stacks, as its master sees it."""

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("toto-aio-stacks")
        self._read = 0
        self._is_open = True

    async def take(self, send_signal: Callable[[int], None]) -> str:
        """Have the worker write its stacks, by a signal, and return them."""
        send_signal(_dump_signal())
        loop = asyncio.get_running_loop()
        deadline = loop.time() + DUMP_LIMIT
        written = b""
        while loop.time() < deadline:
            await asyncio.sleep(POLL_INTERVAL)
            if not self._is_open:  # the worker has ended
                return UNKNOWN
            before, written = written, os.pread(self.descriptor, MAX_SIZE, self._read)
            if written and written == before:
                break
        self._read += len(written)
        return written.decode(errors="replace").strip() or UNKNOWN

    def close(self) -> None:
        """Release the file."""
        self._is_open = False
        os.close(self.descriptor)


def dump_on_signal(descriptor: int) -> None:
    """Have this process, a worker, write its stacks to a file whenever its master wants to see them."""
    os.set_inheritable(descriptor, False)
    faulthandler.register(_dump_signal(), file=descriptor)


def own_stacks() -> str:
    """What the threads of this process are doing, except for the one that asks."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    frames = {
        ident: frame for ident, frame in sys._current_frames().items() if ident != threading.get_ident()
    }
    return "\n".join(
        f"Thread {names.get(ident, ident)}:\n{''.join(traceback.format_stack(frame))}".rstrip()
        for ident, frame in frames.items()
    )


def _dump_signal() -> int:
    return signal.SIGRTMIN + 1  # a function: not every platform on which this is imported has it
