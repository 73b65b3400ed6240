"""Attempts to log in and to create accounts: limited by account and address, and counted by all processes."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import msgspec

from toto_aio.addresses import Network, networks_of
from toto_aio.auth.tally import WINDOW, Limit, Tally
from toto_aio.auth.turns import Turns
from toto_aio.exceptions import InvalidCredentials, NotAuthorized, TooManyAttempts, UserIDExists
from toto_aio.stores import SessionStore

__all__ = ["WIDE", "WINDOW", "Attempts", "Throttle"]

WIDE = 10
"""How many times the limit of one account from one address is the limit of an account from all addresses, and
of an address on all accounts."""
SECOND_TRIES, SECOND_WIDE = 5, 4
"""How many wrong codes of a second factor count for an account from one address, and how many times as many
from everywhere. Whoever sends them has the password; three of a million codes are right at any time."""
KNOWN = 90 * 86400.0
"""Seconds for which an address is known from which somebody has logged in to an account."""


class Attempts(Protocol):
    """Limits attempts. Both methods raise ``TooManyAttempts`` instead of entering."""

    def attempt(self, user_id: str, address: str, session_key: str = "") -> AbstractAsyncContextManager[None]:
        """Surrounds the check of a password. ``session_key`` is that of the session that the client shows."""

    def creation(self, user_id: str, address: str) -> AbstractAsyncContextManager[None]:
        """Surrounds the creation of an account."""

    def second_step(self, user_id: str, address: str) -> AbstractAsyncContextManager[None]:
        """Surrounds the check of a code of the second factor, whose password was right."""

    def guess(self, address: str) -> AbstractAsyncContextManager[None]:
        """Surrounds the refusal, a ``NotAuthorized``, of an API key that doesn't exist."""


class Throttle:
    """Reserves an attempt before it is made, and gives it back if the password was right.

    So guesses that are sent at the same time can't all be checked before the first has failed. ``limit``
    attempts count for an account from one address, so that guesses from elsewhere don't lock the owner out.
    ``WIDE`` times as many count for the account from everywhere, and for the address on every account; the
    larger networks of IPv6 have somewhat more. Strangers can't use up what two kinds of clients have: one
    whose address has logged in to the account before has only the limit of both together, and one that
    shows a session of the account has a limit of its own.

    Wrong codes of a second factor have a lower limit of their own, with the same exception for addresses from
    which a right one has come: somebody who has found out the password must not lock the owner out either.
    The password alone makes no address known here, or whoever has it would be known wherever they guess from.

    Wrong API keys count for their address alone, apart from logins: a program whose key was revoked may try
    it for days, and must not keep anybody from logging in. Right ones are never too many.

    Creations of accounts count apart from logins, whether or not they succeed. All attempts take turns, as
    hashing keeps a core busy.
    """

    def __init__(self, store: SessionStore, limit: int, turns: Turns | None = None) -> None:
        self._store = store
        self._tally = Tally(store)
        self._limit = limit
        self._turns = turns or Turns()

    async def close(self) -> None:
        """Wait until everything has been counted."""
        await self._tally.close()

    @asynccontextmanager
    async def attempt(self, user_id: str, address: str, session_key: str = "") -> AsyncIterator[None]:
        networks = networks_of(address)
        known = _counter("known", networks[0].name, user_id)
        async with self._turns.turn(networks[-1].name):
            limits = await self._own_limit(user_id, session_key)
            if not limits:
                limits = self._limits("login", user_id, networks)
                limits.append(Limit(_counter("account", user_id), self._limit * WIDE))
            try:
                await self._tally.reserve(limits)
            except TooManyAttempts:
                if not (await self._store.get_counter(known))[0]:
                    raise
                limits = limits[:1]
                await self._tally.reserve(limits)
            async with self._tally.decided(limits, wrong=InvalidCredentials):
                yield
            await self._store.increment(known, KNOWN)

    @asynccontextmanager
    async def creation(self, user_id: str, address: str) -> AsyncIterator[None]:
        networks = networks_of(address)
        async with self._turns.turn(networks[-1].name):
            limits = self._limits("create", user_id, networks)
            await self._tally.reserve(limits)
            async with self._tally.decided(limits, wrong=UserIDExists, is_free=False):
                yield

    @asynccontextmanager
    async def second_step(self, user_id: str, address: str) -> AsyncIterator[None]:
        networks = networks_of(address)
        limits = [
            Limit(_counter("second step", name, user_id), SECOND_TRIES * clients)
            for name, clients in networks
        ]
        anywhere = Limit(_counter("second step", user_id), SECOND_TRIES * SECOND_WIDE)
        known = _counter("known by a second step", networks[0].name, user_id)
        try:
            await self._tally.reserve([*limits, anywhere])
            limits.append(anywhere)
        except TooManyAttempts:
            if not (await self._store.get_counter(known))[0]:
                raise
            await self._tally.reserve(limits)
        async with self._tally.decided(limits, wrong=InvalidCredentials):
            yield
        await self._store.increment(known, KNOWN)

    @asynccontextmanager
    async def guess(self, address: str) -> AsyncIterator[None]:
        limits = self._limits("key", "", networks_of(address))[len(networks_of(address)) :]
        await self._tally.reserve(limits)
        async with self._tally.decided(limits, wrong=NotAuthorized):
            yield

    def _limits(self, kind: str, user_id: str, networks: Sequence[Network]) -> list[Limit]:
        """The limits of a client's networks for this account, and for every account."""
        one = [Limit(_counter(kind, name, user_id), self._limit * clients) for name, clients in networks]
        every = [Limit(_counter(kind, name), self._limit * clients * WIDE) for name, clients in networks]
        return one + every

    async def _own_limit(self, user_id: str, session_key: str) -> list[Limit]:
        """The limit of a client that shows a session of the account."""
        session = await self._store.get_session(session_key) if session_key else None
        if session is None or session.user_id != user_id:
            return []
        return [Limit(_counter("session", session_key), self._limit)]


def _counter(*parts: str) -> str:
    """The key of a counter: a hash, so that no user id makes the key of another one, or a long key."""
    return "attempts:" + hashlib.sha256(msgspec.msgpack.encode(parts)).hexdigest()
