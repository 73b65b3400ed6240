"""Signature schemes: pure functions over bytes that know no HTTP.

``user_id`` is Toto's: base64 of an HMAC-SHA1 over the body with the session's user id as the key. It
shows that a body arrived whole; as a user id is no secret, it proves nobody's identity.
"""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass
from typing import Protocol

from toto_aio.exceptions import InvalidHMAC


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What a scheme may look at: the raw ``body`` and the ``signature`` that came with it, or None."""

    body: bytes
    signature: str | None


class Scheme(Protocol):
    """How requests and responses are signed; an embedding app may bring its own."""

    def verify(self, request: SignedRequest, user_id: str) -> None:
        """Accept the request for the session of ``user_id`` ("" if anonymous), or raise ``InvalidHMAC``."""

    def sign(self, request: SignedRequest, user_id: str, body: bytes) -> str | None:
        """The signature of the response's ``body``; None leaves it unsigned."""


class UserIDScheme:
    """Toto's scheme: none is demanded, but a signature that is sent with a body must be right."""

    def verify(self, request: SignedRequest, user_id: str) -> None:
        """Raise ``InvalidHMAC`` if the request has a body and a signature that does not fit it."""
        if not user_id or request.signature is None or not request.body:
            # Anonymous sessions are not signed, and Toto's iOS client signs query calls over a body
            # that it never sends.
            return
        given = request.signature.encode(errors="surrogatepass")
        if hmac.compare_digest(given, hmac_sha1(user_id.encode(), request.body)):
            return
        if not (request.body.isascii() and user_id.isascii()):
            # Toto's JavaScript client signs the low byte of each UTF-16 unit, of the key too.
            try:
                body = request.body.decode()
            except UnicodeDecodeError:
                raise InvalidHMAC from None
            if hmac.compare_digest(given, hmac_sha1(_low_bytes(user_id), _low_bytes(body))):
                return
        raise InvalidHMAC

    def sign(self, request: SignedRequest, user_id: str, body: bytes) -> str | None:
        """The HMAC over ``body``, or None for an anonymous session."""
        return hmac_sha1(user_id.encode(), body).decode() if user_id else None


SCHEMES: dict[str, Scheme | None] = {"user_id": UserIDScheme(), "off": None}


def hmac_sha1(key: bytes, message: bytes) -> bytes:
    """Base64 of an HMAC-SHA1 (RFC 2104)."""
    return base64.b64encode(hmac.digest(key, message, "sha1"))


def _low_bytes(text: str) -> bytes:
    return text.encode("utf-16-le", errors="surrogatepass")[::2]
