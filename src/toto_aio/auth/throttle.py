"""Login attempts: so many for an account and an address, shared by all processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from toto_aio.exceptions import InvalidCredentials, TooManyAttempts
from toto_aio.http.proxies import group
from toto_aio.stores import SessionStore

WINDOW = 900
"""Seconds for which an attempt counts. It is never a permanent lock."""
WIDE = 10
"""How many times the attempts on one account from one address there may be on the account from all
addresses, and from the address on all accounts."""


class Throttle:
    """Reserves attempts before the password is looked at, and gives back those that were right.

    So guesses that come at once cannot all be checked before the first has failed. ``limit`` attempts are
    for an account from one address: who guesses from elsewhere does not lock its owner out. ``WIDE`` times
    as many are for the account from everywhere, and for the address on every account.
    """

    def __init__(self, counters: SessionStore, limit: int) -> None:
        self._counters = counters
        self._limit = limit

    @asynccontextmanager
    async def attempt(self, user_id: str, address: str) -> AsyncIterator[None]:
        """Around a look at a password. Raises ``TooManyAttempts`` in place of it."""
        address = group(address)
        limits = {
            f"login:{address}:{user_id}": self._limit,
            f"login::{user_id}": self._limit * WIDE,
            f"login:{address}:": self._limit * WIDE,
        }
        reserved: list[str] = []
        for key, limit in limits.items():
            reserved.append(key)
            if await self._counters.increment(key, WINDOW) > limit:
                await self._give_back(reserved)
                raise TooManyAttempts(retry_after=WINDOW)
        try:
            yield
        except (InvalidCredentials, asyncio.CancelledError):
            raise
        except BaseException:
            await self._give_back(reserved)
            raise
        await self._give_back(reserved)

    async def _give_back(self, keys: list[str]) -> None:
        for key in keys:
            await self._counters.increment(key, WINDOW, by=-1)
