"""Password hashes: argon2id (RFC 9106) for new ones; Toto's PBKDF2 is verified until the next login.

What is hashed is the password in NFC, as systems differ in what they send for the same keys: ``ä`` is one
character from one, and a letter with a mark from another.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import re
import secrets
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from enum import Enum
from typing import TypeVar, TypeVarTuple

import argon2

from toto_aio.auth.turns import HASHING, Turns

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

MAX_BYTES = 1024
"""The longest password that is hashed, in UTF-8 and NFC; a longer one is always wrong."""
MAX_CHARACTERS = 2 * MAX_BYTES
"""Characters from which on a text isn't worth the work: NFC makes less than two of them into one byte."""
COST = argon2.Parameters(
    argon2.Type.ID, version=19, salt_len=16, hash_len=32, time_cost=2, memory_cost=19456, parallelism=1
)
"""The parameters of new hashes, which are OWASP's: two passes over 19 MiB in one lane, 21 ms of one core."""


class Match(Enum):
    """Whether a password is the one of a hash. ``OUTDATED``: it is, and is to be hashed again."""

    NONE = 0
    OUTDATED = 1
    RIGHT = 2

    def __bool__(self) -> bool:
        """Whether the password is the one."""
        return self is not Match.NONE


class Passwords:
    """Hashes and verifies passwords in threads of its own, never on the event loop.

    A hash costs ``COST`` unless ``hasher`` says otherwise. At most half of the cores work on passwords, and
    who waits for one gets ``turns``: both methods raise ``TooManyAttempts`` if too many wait.
    """

    def __init__(self, hasher: argon2.PasswordHasher | None = None) -> None:
        self._hasher = hasher or argon2.PasswordHasher.from_parameters(COST)
        self._executor = ThreadPoolExecutor(HASHING, "toto-aio-passwords")
        self.turns = Turns()
        self._decoy = decoy(self._hasher)

    def close(self) -> None:
        """Drop what waits for a thread; a hash in progress is finished."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def hash(self, password: str) -> str:
        """The hash to store for a new password."""
        return await self._run(self._hasher.hash, opaque(password).encode())

    async def verify(self, password: str, stored: str | None) -> Match:
        """Whether ``stored`` is a hash of ``password``, made as ``hash`` makes it or as it was made before.

        An unknown user (None), a wrong password and one of Toto's hashes take the same steps and so the same
        time: each costs one PBKDF2 of Toto's and one argon2id. For a password that isn't in NFC each costs
        two of both, as before version 0.2.0 such a password was hashed as it was sent.
        """
        return await self._run(self._verify, password, stored)

    def _verify(self, password: str, stored: str | None) -> Match:
        for text in dict.fromkeys((opaque(password), password)):
            if self._is_right(text.encode(errors="surrogatepass"), stored):
                assert stored is not None
                is_current = stored.startswith("$argon2") and not self._hasher.check_needs_rehash(stored)
                return Match.RIGHT if is_current and text == opaque(password) else Match.OUTDATED
        return Match.NONE

    def _is_right(self, password: bytes, stored: str | None) -> bool:
        known = stored is not None and len(password) <= MAX_BYTES
        password = password[:MAX_BYTES]
        toto = stored is not None and stored.startswith(TOTO_PREFIX)
        toto_right = verify_toto(password, stored if stored and toto else _TOTO_DECOY)
        right = False
        with suppress(argon2.exceptions.VerificationError, ValueError):  # a wrong password, a malformed hash
            right = self._hasher.verify(self._decoy if stored is None or toto else stored, password)
        return known and (toto_right if toto else right)

    async def _run(self, function: Callable[[*Arguments], T], *args: *Arguments) -> T:
        async with self.turns.turn():
            return await asyncio.get_running_loop().run_in_executor(self._executor, function, *args)


def decoy(hasher: argon2.PasswordHasher) -> str:
    """A hash that costs as much to verify as those of ``hasher``, and that no password fits.

    Its salt and digest are random, so that a service does not have to hash anything before it starts.
    """
    salt, digest = (
        base64.b64encode(secrets.token_bytes(size)).decode().rstrip("=")
        for size in (hasher.salt_len, hasher.hash_len)
    )
    cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v={COST.version}${cost}${salt}${digest}"


def opaque(password: str) -> str:
    """A password as it is hashed: RFC 8265's OpaqueString, NFC with U+0020 for every other space.

    No character is refused, unlike there: control characters have been allowed before.
    """
    if password.isascii() or len(password) > MAX_CHARACTERS:
        return password
    return unicodedata.normalize("NFC", _SPACES.sub(" ", password))


_SPACES = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
"""The spaces of Unicode (Zs) other than U+0020."""

TOTO_PREFIX = "$p5k2$"
_TOTO_DECOY = f"{TOTO_PREFIX}$decoysal$" + "." * 32


def verify_toto(password: bytes, stored: str) -> bool:
    """Whether ``stored``, ``$p5k2$<hex iterations>$salt$<hash>`` as Toto wrote it, is a hash of ``password``.

    The hash is PBKDF2-HMAC-SHA1 (RFC 8018) of 24 bytes in base64 with ``./``, salted with everything before
    the last ``$``; empty iterations mean 400. A malformed hash matches nothing.
    """
    salted, _, digest = stored.rpartition("$")
    try:
        iterations = int(salted.split("$")[2] or "190", 16)
        computed = hashlib.pbkdf2_hmac("sha1", password, salted.encode(), iterations, 24)
        return hmac.compare_digest(base64.b64encode(computed, b"./"), digest.encode())
    except (ValueError, IndexError, OverflowError):
        return False
