"""Signatures in HTTP headers: what a scheme reads of a request, and the signature of the response."""

from __future__ import annotations

from aiohttp import hdrs
from multidict import istr

from toto_aio.auth.caller import Caller
from toto_aio.http.request import HTTPRequest
from toto_aio.signing import Scheme, SignedRequest, Toto1Scheme

# An istr is looked up without being case-folded each time.
SESSION_HEADER = istr("x-toto-session-id")
HMAC_HEADER = istr("x-toto-hmac")
TIMESTAMP_HEADER = istr("x-toto-timestamp")
NONCE_HEADER = istr("x-toto-nonce")


def signed_request(request: HTTPRequest, body: bytes, session_id: str = "") -> SignedRequest:
    """What a scheme may read of a request with this body, whose headers show this session."""
    headers = request.headers
    return SignedRequest(
        body,
        headers.get(HMAC_HEADER),
        request.method,
        request.raw_path,
        headers.get(hdrs.CONTENT_TYPE, ""),
        session_id,
        headers.get(TIMESTAMP_HEADER),
        headers.get(NONCE_HEADER),
    )


def sign_response(scheme: Scheme, request: HTTPRequest, caller: Caller, body: bytes) -> str | None:
    """The signature of the final bytes of a response; None if no session signs it.

    The session that has signed the request comes first: only its key can show that the response is genuine.
    Clients of Toto 1.0 expect the session that the response shows, though it may be a new one.
    """
    shown = caller.session if caller.signs else None
    session = shown or caller.signer if isinstance(scheme, Toto1Scheme) else caller.signer or shown
    if session is None or request.method == hdrs.METH_HEAD:
        return None
    return scheme.sign(caller.signed or signed_request(request, b""), session.signer, body)
