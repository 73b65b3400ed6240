"""Login attempts: limited by account and address, and counted by all processes together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from ipaddress import ip_address, ip_network
from typing import Protocol

from toto_aio.exceptions import InvalidCredentials, TooManyAttempts
from toto_aio.stores import SessionStore

WINDOW = 900
"""Seconds that an attempt counts for. No lock is permanent."""
WIDE = 10
"""How many times the limit of one account from one address is the limit of an account from all addresses, and
of an address on all accounts."""


class Attempts(Protocol):
    """Limits attempts to log in."""

    def attempt(self, user_id: str, address: str) -> AbstractAsyncContextManager[None]:
        """Surrounds the check of a password. Raises ``TooManyAttempts`` instead of entering."""


class Throttle:
    """Reserves an attempt before the password is checked, and gives it back if the password was right.

    So guesses that are sent at the same time can't all be checked before the first has failed. ``limit``
    attempts count for an account from one address, so that guesses from elsewhere don't lock the owner out.
    ``WIDE`` times as many count for the account from everywhere, and for the address on every account.
    """

    def __init__(self, counters: SessionStore, limit: int) -> None:
        self._counters = counters
        self._limit = limit

    @asynccontextmanager
    async def attempt(self, user_id: str, address: str) -> AsyncIterator[None]:
        network = network_of(address)
        limits = {
            f"login:{network}:{user_id}": self._limit,
            f"login::{user_id}": self._limit * WIDE,
            f"login:{network}:": self._limit * WIDE,
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


def network_of(address: str) -> str:
    """What counts as one client: an IPv4 address, or the /64 network that a client of IPv6 has."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    return str(ip) if ip.version == 4 else str(ip_network((ip, 64), strict=False))
