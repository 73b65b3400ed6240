"""Waiting for SQLite, which lets one connection write at a time, over all processes."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

BUSY_TIMEOUT = 5.0
"""Seconds that a statement waits for other writers."""


def is_busy(error: BaseException) -> bool:
    """Whether another connection writes."""
    if not isinstance(error, sqlite3.OperationalError):
        return False
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


async def when_free(execute: Callable[[], Awaitable[T]]) -> T:
    """The result of a statement, once no other connection writes; the caller limits the time.

    The wait is here, not in the connection's thread, so a statement that times out is not carried out later.
    """
    while True:
        try:
            return await execute()
        except sqlite3.OperationalError as exc:
            if not is_busy(exc):
                raise
            await asyncio.sleep(random.uniform(0.001, 0.02))  # noqa: S311  # jitter, not a secret
