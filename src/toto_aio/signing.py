"""Signature schemes: pure functions over bytes that know no HTTP.

``user_id`` is Toto's: base64 of an HMAC-SHA1 over the body with the session's user id as the key. It
shows that a body arrived whole; as a user id is no secret, it proves nobody's identity.

``session`` is for production: base64 of an HMAC-SHA256 with a key that the login has handed out, over all
that matters of a request. ``docs/signatures.md`` has it in words, and a client in ten lines.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from typing import Protocol

from msgspec import Struct

from toto_aio.exceptions import InvalidHMAC

__all__ = ["Scheme", "SessionScheme", "SignedRequest", "Signer", "UserIDScheme", "message", "request_message"]

TOLERANCE = 300
"""Seconds that a request's timestamp may differ from the service's clock."""
MAX_NONCE = 128
"""Characters of a nonce."""


class SignedRequest(Struct, frozen=True):
    """What a scheme may look at of a request: ``target`` is the path with the query, as it was sent.

    ``signature``, ``timestamp`` and ``nonce`` are None if they did not come with it.
    """

    body: bytes
    signature: str | None
    method: str = ""
    target: str = ""
    content_type: str = ""
    session_id: str = ""
    timestamp: str | None = None
    nonce: str | None = None


class Signer(Struct, frozen=True):
    """The session that signs: its id, its user's id ("" if anonymous) and its key (b"" without one)."""

    session_id: str
    user_id: str
    key: bytes


class Scheme(Protocol):
    """How requests and responses are signed; an embedding app may bring its own."""

    keyed: bool
    """Whether each session gets a key of its own at its login."""
    nonce_ttl: float
    """Seconds for which a nonce is remembered, so that it counts once; 0: nonces are not looked at."""

    def verify(self, request: SignedRequest, signer: Signer) -> None:
        """Accept the request of a session, or raise ``InvalidHMAC``."""

    def sign(self, request: SignedRequest, signer: Signer, body: bytes) -> str | None:
        """The signature of the response's ``body``; None leaves it unsigned."""


class UserIDScheme:
    """Toto's scheme: none is demanded, but a signature that is sent with a body must be right."""

    keyed = False
    nonce_ttl = 0.0

    def verify(self, request: SignedRequest, signer: Signer) -> None:
        """Raise ``InvalidHMAC`` if the request has a body and a signature that does not fit it."""
        user_id = signer.user_id
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

    def sign(self, request: SignedRequest, signer: Signer, body: bytes) -> str | None:
        """The HMAC over ``body``, or None for an anonymous session."""
        return hmac_sha1(signer.user_id.encode(), body).decode() if signer.user_id else None


class SessionScheme:
    """Every request that loads a session is signed with its key, anonymous ones too, and counts once."""

    keyed = True
    nonce_ttl = 2.0 * TOLERANCE

    def verify(self, request: SignedRequest, signer: Signer) -> None:
        """Raise ``InvalidHMAC`` unless the signature is there, right and of the last five minutes."""
        nonce, timestamp = request.nonce, request.timestamp
        if request.signature is None or not signer.key or not timestamp or not nonce:
            raise InvalidHMAC
        if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12):
            raise InvalidHMAC
        if abs(time.time() - int(timestamp)) > TOLERANCE or len(nonce) > MAX_NONCE or not nonce.isascii():
            raise InvalidHMAC
        given = request.signature.encode(errors="surrogatepass")
        if not hmac.compare_digest(given, hmac_sha256(signer.key, request_message(request))):
            raise InvalidHMAC

    def sign(self, request: SignedRequest, signer: Signer, body: bytes) -> str | None:
        """The HMAC over the request's nonce, the session's id and ``body``; None without a key."""
        if not signer.key:
            return None
        return hmac_sha256(
            signer.key, message(request.nonce or "", signer.session_id, _digest(body))
        ).decode()


SCHEMES: dict[str, Scheme | None] = {"user_id": UserIDScheme(), "session": SessionScheme(), "off": None}


def request_message(request: SignedRequest) -> bytes:
    """What the scheme ``session`` signs of a request."""
    return message(
        request.method,
        request.target,
        request.content_type,
        request.session_id,
        request.timestamp or "",
        request.nonce or "",
        _digest(request.body),
    )


def message(*parts: str) -> bytes:
    """The parts, each as its length in bytes, a colon and its bytes, so that no two lists are the same."""
    encoded = [part.encode(errors="surrogateescape") for part in parts]
    return b"".join(b"%d:%b" % (len(part), part) for part in encoded)


def hmac_sha1(key: bytes, message: bytes) -> bytes:
    """Base64 of an HMAC-SHA1 (RFC 2104)."""
    return base64.b64encode(hmac.digest(key, message, "sha1"))


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """Base64 of an HMAC-SHA256 (RFC 2104)."""
    return base64.b64encode(hmac.digest(key, message, "sha256"))


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _low_bytes(text: str) -> bytes:
    return text.encode("utf-16-le", errors="surrogatepass")[::2]
