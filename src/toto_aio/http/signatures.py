"""Signatures in HTTP headers: what a scheme looks at of a request, and the signature of its answer."""

from __future__ import annotations

from aiohttp import hdrs
from multidict import istr

from toto_aio.auth.caller import Caller
from toto_aio.http.request import View
from toto_aio.signing import Scheme, SignedRequest

# As istr they are looked up without being folded to one case each time.
SESSION_HEADER = istr("x-toto-session-id")
HMAC_HEADER = istr("x-toto-hmac")
TIMESTAMP_HEADER = istr("x-toto-timestamp")
NONCE_HEADER = istr("x-toto-nonce")


def signed_request(request: View, body: bytes) -> SignedRequest:
    """What a scheme may look at of a request with this body."""
    headers = request.headers
    return SignedRequest(
        body,
        headers.get(HMAC_HEADER),
        request.method,
        request.raw_path,
        headers.get(hdrs.CONTENT_TYPE, ""),
        headers.get(SESSION_HEADER, ""),
        headers.get(TIMESTAMP_HEADER),
        headers.get(NONCE_HEADER),
    )


def sign_answer(scheme: Scheme, request: View, caller: Caller, body: bytes) -> str | None:
    """The signature of the final bytes of an answer; None if there is no session that signs it."""
    if caller.session is None or not caller.signs or request.method == hdrs.METH_HEAD:
        return None
    return scheme.sign(caller.signed or signed_request(request, b""), caller.session.signer, body)
