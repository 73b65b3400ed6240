"""Codes of six digits that a secret and the time make (RFC 4226, RFC 6238), as authenticator apps show them.

They are ten lines of ``hmac``. A library would add a dependency for these, and leave to the service what
matters: that a step counts once, how far clocks may differ, and how often one may try.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from urllib.parse import quote, urlencode

PERIOD = 30
"""Seconds of a step."""
DIGITS = 6
SKEW = 1
"""Steps by which the clock of an app may differ (RFC 6238, 5.2)."""
SECRET_SIZE = 20
"""Bytes of a secret: as many as SHA-1 has (RFC 4226, 4)."""


def new_secret() -> bytes:
    """A random secret."""
    return secrets.token_bytes(SECRET_SIZE)


def hotp(secret: bytes, counter: int, digits: int = DIGITS, algorithm: str = "sha1") -> str:
    """The code of a counter (RFC 4226, 5.3). Apps know SHA-1 only, which is not weak in an HMAC."""
    digest = hmac.digest(secret, counter.to_bytes(8, "big"), algorithm)
    at = digest[-1] & 0xF
    number = int.from_bytes(digest[at : at + 4], "big") & 0x7FFFFFFF
    return f"{number % 10**digits:0{digits}}"


def step_at(now: float) -> int:
    """The step of a time, in Unix seconds."""
    return int(now // PERIOD)


def matching_step(secret: bytes, code: str, now: float, after: int) -> int | None:
    """The step whose code this is, now or one step around it, if it comes ``after`` the last that counted."""
    here = step_at(now)
    steps = range(here - SKEW, here + SKEW + 1)
    matching = [step for step in steps if hmac.compare_digest(hotp(secret, step).encode(), code.encode())]
    return next((step for step in matching if step > after), None)


def as_shown(code: str) -> str:
    """A code that was typed, or copied with the space in the middle that apps show, without any."""
    return "".join(code.split())


def is_code(text: str) -> bool:
    """Whether a text has the form of a code."""
    return len(text) == DIGITS and text.isascii() and text.isdecimal()


def otpauth_uri(secret: bytes, issuer: str, user_id: str) -> str:
    """What an app reads from a QR code (the Key URI format of Google Authenticator)."""
    label = quote(f"{issuer}:{user_id}", safe=":@")
    query = {"secret": text_of(secret), "issuer": issuer, "digits": DIGITS, "period": PERIOD}
    return f"otpauth://totp/{label}?{urlencode(query, quote_via=quote)}"


def text_of(secret: bytes) -> str:
    """A secret as it is typed into an app: in base32, which has no padding at this length."""
    return base64.b32encode(secret).decode().rstrip("=")
