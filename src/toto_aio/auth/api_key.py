"""What an API key looks like, and what it may call.

A key is ``toto_``, 43 letters and digits (256 random bits) and six more that are a checksum of them.
Scanners for secrets find it by its beginning, and a key that was mistyped or cut is recognized without a
look-up. It is stored as its SHA-256: salt and slow hashes protect what can be guessed, and nobody guesses 256
random bits, so that one look-up by the hash is enough.
"""

from __future__ import annotations

import hashlib
import secrets
import string
import zlib
from collections.abc import Sequence

import msgspec

from toto_aio.auth.text import require_text
from toto_aio.exceptions import InvalidParameters
from toto_aio.names import shortened

KIND = "api_key"
"""The kind of the records."""
PREFIX = "toto_"
"""What every key begins with."""
RANDOM, CHECKSUM = 43, 6
"""The characters of a key after its prefix. 62 to the power of 43 is more than 2 to the power of 256."""
LENGTH = len(PREFIX) + RANDOM + CHECKSUM
"""No session id is as long, so none can pass for a key."""
DIGITS = string.digits + string.ascii_letters

ANYTHING = "*"
MAX_SCOPES = 64
"""The most scopes of a key."""
MAX_SCOPE = 128
"""The most characters of a scope."""
MAX_NAME = 100
"""The most characters of a name."""


class ApiKey(msgspec.Struct, frozen=True):
    """An API key as it is stored, apart from its hash, its owner and its end.

    ``seen`` is when it was last used, to within an hour; 0.0 if never. ``ending`` are its last characters, by
    which its owner recognizes it. Times are Unix seconds.
    """

    name: str
    scopes: list[str]
    created: float
    ending: str
    seen: float = 0.0


def new_api_key() -> str:
    """A new key, which only its owner is to know."""
    body = "".join(secrets.choice(DIGITS) for _ in range(RANDOM))
    return f"{PREFIX}{body}{_checksum(body)}"


def is_api_key(token: str) -> bool:
    """Whether a token can be a key of a service; only a look-up tells whether it is one."""
    if len(token) != LENGTH or not token.startswith(PREFIX) or not token.isascii():
        return False
    body = token[len(PREFIX) :]
    return _checksum(body[:RANDOM]) == body[RANDOM:]


def hash_of(key: str) -> str:
    """What a key is stored under."""
    return hashlib.sha256(key.encode()).hexdigest()


def allows(scopes: Sequence[str], method: str) -> bool:
    """Whether a key with these scopes may call a method: by its name, one of ``notes.*``, or by ``*``."""
    return any(
        scope in (method, ANYTHING) or (scope.endswith(".*") and method.startswith(scope[:-1]))
        for scope in scopes
    )


def read_scopes(given: object) -> list[str]:
    """The scopes that a client wants for a key. Raises ``InvalidParameters``."""
    if isinstance(given, str):  # as in a form
        given = given.split()
    if not isinstance(given, list | tuple) or not 0 < len(given) <= MAX_SCOPES:
        raise InvalidParameters(f'scopes: write 1 to {MAX_SCOPES} of them, such as ["notes.*"].')
    return [_scope(each) for each in dict.fromkeys(map(_text, given))]


def read_name(given: object) -> str:
    """The name that a client wants for a key. Raises ``InvalidParameters``."""
    name = require_text("name", given).strip()
    if not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise InvalidParameters(f"name: write 1 to {MAX_NAME} printable characters.")
    return name


def _text(scope: object) -> str:
    return require_text("scopes", scope)


def _scope(scope: str) -> str:
    fixed = scope.removesuffix(".*")
    is_plain = all(fixed.split(".")) and fixed.isprintable() and {*"* "}.isdisjoint(fixed)
    if scope != ANYTHING and not (is_plain and len(scope) <= MAX_SCOPE):
        raise InvalidParameters(
            f"scopes: write the name of a method, as notes.add, all of a package, as notes.*, or *, not "
            f"'{shortened(scope)}'."
        )
    return scope


def _checksum(body: str) -> str:
    number, digits = zlib.crc32(body.encode(errors="surrogatepass")), ""
    for _ in range(CHECKSUM):
        number, digit = divmod(number, len(DIGITS))
        digits = DIGITS[digit] + digits
    return digits
