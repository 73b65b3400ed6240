"""Signature schemes: pure functions over bytes, independent of HTTP.

``user_id`` is Toto's: the base64 of an HMAC-SHA1 over the body, keyed with the session's user id. It shows
that a body arrived unchanged. As a user id is not a secret, it does not prove anyone's identity.

``toto1`` is that of Toto 1.0: the base64 of an HMAC-SHA1 over the method, the target and the body, keyed with
a secret from the login. A copied request is valid for as long as its session.

``session`` is for production: the base64 of an HMAC-SHA256 over everything that matters in a request, keyed
with a secret from the login. ``docs/signatures.md`` specifies it, and shows a client in ten lines.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Protocol

from msgspec import Struct

from toto_aio.clock import STEP, Clock
from toto_aio.exceptions import InvalidHMAC

__all__ = [
    "Scheme",
    "SessionScheme",
    "SignedRequest",
    "Signer",
    "Toto1Scheme",
    "UserIDScheme",
    "message",
    "request_message",
]

TOLERANCE = 300
"""Seconds by which a request's timestamp may differ from the service's clock."""
MAX_NONCE = 128
"""Maximum characters of a nonce."""
WRONG = "the signature is not the one of this request with the key of its session"
UNFIT_NONCE = f"the nonce is not printable ASCII of at most {MAX_NONCE} characters"


class SignedRequest(Struct, frozen=True):
    """The parts of a request that a scheme can use. ``target`` is the path with the query, as it was sent.

    ``signature``, ``timestamp`` and ``nonce`` are None if the request does not have them.
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
    """The session that signs: its id, its user id ("" if anonymous) and its key (b"" if it has none)."""

    session_id: str
    user_id: str
    key: bytes

    @property
    def key_text(self) -> str:
        """The key as clients receive it, in base64."""
        return base64.b64encode(self.key).decode()


class Scheme(Protocol):
    """How requests and responses are signed; an application may supply its own scheme."""

    keyed: bool
    """Whether each session gets its own key at login."""
    nonce_ttl: float
    """Seconds for which a nonce is remembered and refused; 0 if the scheme does not use nonces."""

    def verify(self, request: SignedRequest, signer: Signer) -> None:
        """Accept the request of a session, or raise ``InvalidHMAC``."""

    def sign(self, request: SignedRequest, signer: Signer, body: bytes) -> str | None:
        """The signature of the response's ``body``; None leaves the response unsigned."""


class UserIDScheme:
    """Toto's scheme: a signature is optional, but if one comes with a body it must be right."""

    keyed = False
    nonce_ttl = 0.0

    def verify(self, request: SignedRequest, signer: Signer) -> None:
        """Raise ``InvalidHMAC`` if the request has a body and a signature that does not match it."""
        user_id = signer.user_id
        if not user_id or request.signature is None or not request.body:
            # Anonymous sessions are not signed, and Toto's iOS client signs calls by query over a body that
            # it never sends.
            return
        given = request.signature.encode(errors="surrogatepass")
        if hmac.compare_digest(given, hmac_sha1(user_id.encode(), request.body)):
            return
        if not (request.body.isascii() and user_id.isascii()):
            # Toto's JavaScript client signs the low byte of each UTF-16 unit, in the key as well.
            try:
                body = request.body.decode()
            except UnicodeDecodeError:
                raise InvalidHMAC.because(WRONG) from None
            if hmac.compare_digest(given, hmac_sha1(_low_bytes(user_id), _low_bytes(body))):
                return
        raise InvalidHMAC.because(WRONG)

    def sign(self, request: SignedRequest, signer: Signer, body: bytes) -> str | None:
        """The HMAC over ``body``; None for an anonymous session."""
        return hmac_sha1(signer.user_id.encode(), body).decode() if signer.user_id else None


class Toto1Scheme:
    """That of Toto 1.0 with ``hmac_enabled``: every request that loads a session is signed with its key.

    A copied request is accepted again, as nothing in it counts or expires.
    """

    keyed = True
    nonce_ttl = 0.0

    def verify(self, request: SignedRequest, signer: Signer) -> None:
        """Raise ``InvalidHMAC`` unless the signature is present and right."""
        if request.signature is None or not signer.key:
            raise InvalidHMAC.because(_missing(request, signer))
        given = request.signature.encode(errors="surrogatepass")
        if not hmac.compare_digest(given, toto1_signature(request, signer)):
            raise InvalidHMAC.because(WRONG)

    def sign(self, request: SignedRequest, signer: Signer, body: bytes) -> str | None:
        """The HMAC over the session id and ``body``; None without a key."""
        if not signer.key:
            return None
        return hmac_sha1(signer.key_text.encode(), signer.session_id.encode() + body).decode()


class SessionScheme:
    """Every request that loads a session, even an anonymous one, is signed with its key and counts once."""

    keyed = True
    nonce_ttl = 2.0 * TOLERANCE + STEP

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()

    def verify(self, request: SignedRequest, signer: Signer) -> None:
        """Raise ``InvalidHMAC`` unless the signature is present, right, and at most five minutes old.

        It must be newer than the moment to which the clock was last set back, as older nonces may be lost.
        """
        nonce, timestamp = request.nonce, request.timestamp
        if request.signature is None or not signer.key or not timestamp or not nonce:
            raise InvalidHMAC.because(_missing(request, signer))
        if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12):
            raise InvalidHMAC.because("the timestamp is not the seconds since 1970, in digits")
        signed_at = int(timestamp)
        age = self.clock.now() - signed_at
        if abs(age) > TOLERANCE or signed_at <= self.clock.set_back:
            raise InvalidHMAC.because(_untimely(age))
        if len(nonce) > MAX_NONCE or not nonce.isascii():
            raise InvalidHMAC.because(UNFIT_NONCE)
        given = request.signature.encode(errors="surrogatepass")
        if not hmac.compare_digest(given, hmac_sha256(signer.key, request_message(request))):
            raise InvalidHMAC.because(WRONG)

    def sign(self, request: SignedRequest, signer: Signer, body: bytes) -> str | None:
        """The HMAC over the request's nonce, the session id and ``body``; None without a key."""
        if not signer.key:
            return None
        return hmac_sha256(
            signer.key, message(request.nonce or "", signer.session_id, _digest(body))
        ).decode()


SCHEMES: dict[str, Scheme | None] = {
    "user_id": UserIDScheme(),
    "toto1": Toto1Scheme(),
    "session": SessionScheme(),
    "off": None,
}


def _missing(request: SignedRequest, signer: Signer) -> str:
    """What a request that must be signed lacks."""
    if not signer.key:
        return "the session has no key, as it was created while nothing was signed with one: log in again"
    if request.signature is None:
        return "the request is not signed"
    return f"the signed request has no {'nonce' if request.timestamp else 'timestamp'}"


def _untimely(age: float) -> str:
    """What is wrong with the time of a signature, which is so many seconds old."""
    if abs(age) <= TOLERANCE:
        return "the timestamp is from before the clock of the service was set back"
    where = f"{age:.0f} s old" if age > 0 else f"{-age:.0f} s ahead"
    return f"the timestamp is {where}, by the clock of the service; {TOLERANCE:g} s are allowed"


def toto1_signature(request: SignedRequest, signer: Signer) -> bytes:
    """The signature of a request in the scheme ``toto1``, whose key is the text that clients receive."""
    target = f"{request.method}{request.target}".encode(errors="surrogateescape")
    return hmac_sha1(signer.key_text.encode(), target + request.body)


def request_message(request: SignedRequest) -> bytes:
    """The message that the scheme ``session`` signs for a request."""
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
    """The parts, each as its length in bytes, a colon and its bytes, so that different parts never match."""
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
