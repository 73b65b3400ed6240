"""Secrets that the service must read again, encrypted at rest with the option ``secret_key``.

AES-256-GCM, from the library ``cryptography``. What a secret is for, and whose it is, is authenticated with
it: in the record of another account it can't be read. Each key of the option is random text of the operator;
HMAC-SHA256 makes the key of it, so that no other use of the option shares that key.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib.util
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

from toto_aio.settings import SettingsError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MIN_KEY = 32
"""The fewest characters of a key."""
NONCE = 12
KEY_ID = 4
"""Bytes that say which key has encrypted something."""
GENERATE = "python -c 'import secrets; print(secrets.token_urlsafe(32))'"


class UndecryptableError(Exception):
    """Nothing in ``secret_key`` decrypts what is stored."""


class SecretBox:
    """Encrypts with the first of the keys, and decrypts with all of them.

    Raises ``SettingsError`` for a key that is too short, and if the library is missing.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        if any(len(key) < MIN_KEY for key in keys):
            raise SettingsError(f"secret_key: write at least {MIN_KEY} random characters, from {GENERATE}")
        if keys and importlib.util.find_spec("cryptography") is None:
            raise SettingsError("secret_key needs a library: pip install 'toto-aio[totp]'")
        self._keys = [hmac.digest(key.encode(), b"toto_aio secret_key", "sha256") for key in keys]

    @property
    def can_encrypt(self) -> bool:
        """Whether there is a key."""
        return bool(self._keys)

    def encrypt(self, secret: bytes, purpose: str) -> bytes:
        """A secret as it is stored; ``purpose`` says what it is for, and whose it is."""
        key, nonce = self._keys[0], secrets.token_bytes(NONCE)
        return _id_of(key) + nonce + _cipher(key).encrypt(nonce, secret, purpose.encode())

    def decrypt(self, stored: bytes, purpose: str) -> bytes:
        """The secret again. Raises ``UndecryptableError``."""
        from cryptography.exceptions import InvalidTag

        key = next((key for key in self._keys if _id_of(key) == stored[:KEY_ID]), None)
        if key is None:
            raise UndecryptableError(
                "secret_key does not have the key that has encrypted a secret: write the former key behind "
                "the new one, as secret_key=NEW,OLD"
            )
        nonce, encrypted = stored[KEY_ID : KEY_ID + NONCE], stored[KEY_ID + NONCE :]
        try:
            return bytes(_cipher(key).decrypt(nonce, encrypted, purpose.encode()))
        except InvalidTag:
            raise UndecryptableError(
                "a secret in the database was changed, or is another account's"
            ) from None


def _cipher(key: bytes) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # when it is needed: it takes a while

    return AESGCM(key)


def _id_of(key: bytes) -> bytes:
    return hashlib.sha256(b"id of " + key).digest()[:KEY_ID]
