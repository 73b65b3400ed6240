"""Codes and links that are sent by mail: how often they may be tried, and how they are kept.

A code has three secrets. The six digits and the token of the link go to the address; the *ticket* goes to
whoever asked for the code, who shows it together with the digits. Without it, six digits could be guessed by
anyone who knows an address, and found by anyone who reads their hash. The ticket is not stored either, so the
digits are of use to nobody else. Somebody who reads the database and also asks for a code has a ticket of his
own: against that there is ``secret_key``.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from toto_aio.auth.uses import Use, Uses
from toto_aio.exceptions import InvalidCredentials, Unavailable
from toto_aio.locks import Locks
from toto_aio.models import Record
from toto_aio.stores import RecordStore, SessionStore

KIND = "code"
LASTS = 600.0
"""Seconds for which a code is valid."""
TRIES = 5
"""Wrong digits for one code."""
DAY = 86400.0
WRONG_A_DAY = 25
"""Wrong digits for the codes of one purpose and address, or account, in a day. Its links are valid all the
same, as nobody guesses them: strangers can't keep the owner out."""
TURN_LIMIT = 5.0
"""Seconds that a use waits for others of the same code in this process."""


class Draft(NamedTuple):
    """A new code, with its secrets: ``store`` makes it valid."""

    key: str
    purpose: str
    ticket: str
    digits: str
    token: str
    expires: float


class Spent(NamedTuple):
    """What a code was for: the account, and what ``store`` was given; and its use."""

    owner: str
    data: Mapping[str, str]
    use: Use


class RefusedCodeError(InvalidCredentials):
    """A code is wrong. ``user_id``, if it is somebody's, is for the audit log: no client receives it.

    It was a try if the ticket was right, and the digits were not.
    """

    def __init__(self, user_id: str = "", *, is_try: bool = False) -> None:
        super().__init__("The code is wrong, used or expired: ask for a new one.")
        self.user_id = user_id
        self.is_try = is_try


class _Stored(msgspec.Struct):
    """A code as it is kept."""

    purpose: str
    ticket: bytes
    digits: bytes
    token: bytes
    data: dict[str, str]
    wrong: int = 0
    nonce: bytes = b""
    """Tells what two uses, or tries, have written apart."""


USED_UP = _Stored("", b"", b"", b"", {})
"""What is in the place of a code that is used up: of no purpose."""


class Codes:
    """The codes of a service, in ``records``; ``counters`` has how many wrong digits came in a day.

    Digits are hashed with the first of the ``secret_keys``, if there is one; those of the others are valid.
    """

    def __init__(self, records: RecordStore, counters: SessionStore, secret_keys: Sequence[str]) -> None:
        self._records = records
        self._counters = counters
        self._uses = Uses(records)
        self._turns = Locks()
        keys = secret_keys or [""]
        self._secrets = [hmac.digest(key.encode(), b"toto_aio codes", "sha256") for key in keys]

    async def close(self) -> None:
        """Wait until the last codes are given back."""
        await self._uses.close()

    def draft(self, purpose: str, subject: str) -> Draft:
        """A new code for a purpose, and the address or account that asks: of each pair one code is valid."""
        key = hashlib.sha256(msgspec.msgpack.encode((purpose, subject))).hexdigest()
        ticket, token = (f"{key}.{secrets.token_urlsafe(32)}" for _ in range(2))
        return Draft(key, purpose, ticket, f"{secrets.randbelow(10**6):06}", token, time.time() + LASTS)

    async def store(self, draft: Draft, owner: str, data: Mapping[str, str]) -> None:
        """Make a code valid, and the one before it invalid.

        For nobody (an ``owner`` "") it is stored all the same, so that it costs what others cost, and is
        tried like others; it opens nothing.
        """
        ticket = _hashed(draft.ticket)
        stored = _Stored(
            draft.purpose,
            ticket,
            _digest(self._secrets[0], draft.ticket, draft.digits),
            _hashed(draft.token),
            dict(data),
        )
        value = msgspec.msgpack.encode(stored)
        await self._records.put_record(Record(KIND, draft.key, owner, value, draft.expires))

    async def is_replaced(self, draft: Draft) -> bool:
        """Whether a later code is, or was, valid in the place of one that could not be stored in time."""
        record = await self._records.get_record(KIND, draft.key)
        return record is not None and record.expires > draft.expires

    async def spend(self, purpose: str, ticket: str, digits: str) -> Spent:
        """Use a code. Raises ``InvalidCredentials`` if it is wrong; of several uses one succeeds.

        What follows from it belongs into a block ``use.given_back_unless_done()``.
        """
        counter = f"codes:{_key(ticket)}"
        too_many = (await self._counters.get_counter(counter))[0] >= WRONG_A_DAY
        shown = _hashed(ticket)
        given = [_digest(secret, ticket, digits.strip()) for secret in self._secrets]

        def is_right(stored: _Stored) -> bool | None:
            if not hmac.compare_digest(stored.ticket, shown):
                return None
            return any(hmac.compare_digest(stored.digits, one) for one in given) and not too_many

        try:
            return await self._spend(purpose, _key(ticket), is_right)
        except RefusedCodeError as exc:
            if exc.is_try:
                await self._counters.increment(counter, DAY)
            raise

    async def spend_link(self, purpose: str, token: str) -> Spent:
        """Use a link. Raises ``InvalidCredentials`` if it is wrong; of several uses one succeeds."""
        shown = _hashed(token)
        return await self._spend(
            purpose, _key(token), lambda stored: hmac.compare_digest(stored.token, shown) or None
        )

    async def _spend(self, purpose: str, key: str, is_right: Callable[[_Stored], bool | None]) -> Spent:
        """Use the code of this key. ``is_right`` is None if nothing of it fits, so that it is not tried.

        Which of both it is shows only in a write that succeeds onto the version that was read: so of a
        thousand tries at the same time five are answered, and of a thousand uses one. What is used up stays
        until it expires, as ``is_replaced`` asks for it. A try whose write fails is taken back like a use: if
        that took another time, an outage would tell which it was, of any number of tries.
        """
        async with self._turn(key):
            while True:
                record = await self._records.get_record(KIND, key)
                stored = None if record is None else msgspec.msgpack.decode(record.value, type=_Stored)
                right = None if stored is None or stored.purpose != purpose else is_right(stored)
                if record is None or stored is None or right is None:
                    raise RefusedCodeError
                stored.wrong += not right
                is_over = right or stored.wrong >= TRIES
                written = replace(USED_UP if is_over else stored, nonce=secrets.token_bytes(8))
                after = msgspec.msgpack.encode(written)
                if (use := await self._uses.use(record, after)) is not None:
                    if right and record.owner:
                        return Spent(record.owner, stored.data, use)
                    raise RefusedCodeError(record.owner, is_try=True)

    @asynccontextmanager
    async def _turn(self, key: str) -> AsyncIterator[None]:
        """Let one use of a code at a time go on in this process, as they would only get in each other's way.

        Raises ``Unavailable`` if that takes too long, and nothing was used then.
        """
        lock = self._turns[key]
        try:
            async with asyncio.timeout(TURN_LIMIT):
                await lock.acquire()
        except TimeoutError as exc:
            raise Unavailable from exc
        try:
            yield
        finally:
            lock.release()


def _digest(secret: bytes, ticket: str, digits: str) -> bytes:
    return hmac.digest(secret, f"{ticket}:{digits}".encode(errors="surrogatepass"), "sha256")


def _key(secret: str) -> str:
    """The key in a ticket or a token: a hash, whatever a client has sent."""
    key = secret.partition(".")[0]
    return key if len(key) == 64 and key.isascii() and key.isalnum() else "0" * 64


def _hashed(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()
