"""A line on a terminal that shows how long a call has been running."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

PATIENCE = 1.0
"""Seconds after which the line appears."""
PERIOD = 0.2
CLEAR = "\r\x1b[K"
MARKS = "|/-\\"


@asynccontextmanager
async def progress(size: int = 0) -> AsyncIterator[None]:
    """Show the seconds, and the ``size`` in bytes of the files that are sent, if stderr is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    task = asyncio.create_task(_show(size), name="toto-aio progress")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _show(size: int) -> None:
    loop = asyncio.get_running_loop()
    start = loop.time()
    await asyncio.sleep(PATIENCE)
    what = f", with {size / 2**20:.1f} MiB of files" if size else ""
    try:
        while True:
            seconds = loop.time() - start
            mark = MARKS[int(seconds / PERIOD) % len(MARKS)]
            sys.stderr.write(f"{CLEAR}{mark} {seconds:.0f} s{what}")
            sys.stderr.flush()
            await asyncio.sleep(PERIOD)
    finally:
        sys.stderr.write(CLEAR)
        sys.stderr.flush()
