"""Further attempts of a call that has an idempotency key, so that it is done once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import aiohttp

from toto_aio.exceptions import CallInProgress, TooManyAttempts, Unavailable

ATTEMPTS = 3
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0
"""Seconds before the second attempt, at most, and before any; each may wait twice as long as the last."""
NO_RESPONSE = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError)
PASSING = (*NO_RESPONSE, Unavailable, CallInProgress, TooManyAttempts)
"""Errors after which another attempt may help."""

T = TypeVar("T")


async def retried(attempt: Callable[[], Awaitable[T]]) -> T:
    """What ``attempt`` gives, or the last error."""
    for made in range(1, ATTEMPTS):
        try:
            return await attempt()
        except PASSING as exc:
            wait = random.uniform(0, FIRST_PAUSE * 2 ** (made - 1))  # noqa: S311  # not a secret
            if isinstance(exc, TooManyAttempts):
                wait += exc.retry_after
            if wait > LONGEST_PAUSE:
                raise
            await asyncio.sleep(wait)
    return await attempt()
