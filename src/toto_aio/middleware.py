"""The signing middleware: signs the final bytes of the answer to a call with a session."""

from __future__ import annotations

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware
from multidict import istr

from toto_aio.response import WholeResponse
from toto_aio.signing import Scheme, SignedRequest

# As istr they are looked up without being folded to one case each time.
SESSION_HEADER = istr("x-toto-session-id")
HMAC_HEADER = istr("x-toto-hmac")
TIMESTAMP_HEADER = istr("x-toto-timestamp")
NONCE_HEADER = istr("x-toto-nonce")


def signing_middleware(scheme: Scheme) -> Middleware:
    """Sign answers with ``scheme``, if all of their bytes are known already."""

    @web.middleware
    async def sign(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        if not isinstance(response, WholeResponse) or response.signed_by is None:
            return response
        signer, body = response.signed_by.signer, response.body
        if isinstance(body, bytes) and request.method != hdrs.METH_HEAD:
            signature = scheme.sign(signed_request(request, b""), signer, body)
            if signature is not None:
                response.headers[HMAC_HEADER] = signature
        return response

    return sign


def signed_request(request: web.Request, body: bytes) -> SignedRequest:
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
