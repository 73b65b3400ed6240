"""Recovery codes: what a user writes down, for when the authenticator is lost. Each counts once.

A code has 80 random bits, so that its SHA-256 in a copy of the database can't be turned back: codes of ten
digits could be tried out.
"""

from __future__ import annotations

import base64
import hashlib
import secrets

COUNT = 10
"""How many codes an account gets."""
SIZE = 10
"""Bytes of a code, which are 16 letters and digits."""
GROUP = 4
_MISREAD = str.maketrans({"0": "o", "1": "l", "8": "b", "-": "", " ": ""})
"""Base32 has no 0, 1 and 8: these are letters that somebody has read as digits."""


def new_recovery_codes() -> list[str]:
    """Ten codes such as ``abcd-efgh-ijkl-mnop``."""
    return [_grouped(base64.b32encode(secrets.token_bytes(SIZE)).decode().lower()) for _ in range(COUNT)]


def hash_of_code(code: str) -> bytes:
    """What a code is stored as, however it was typed."""
    plain = code.lower().translate(_MISREAD)
    return hashlib.sha256(plain.encode(errors="surrogatepass")).digest()


def _grouped(code: str) -> str:
    return "-".join(code[at : at + GROUP] for at in range(0, len(code), GROUP))
