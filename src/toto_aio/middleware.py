"""The signing middleware: verifies a request where its session is loaded, and signs the final bytes."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Protocol, TypeGuard

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from toto_aio.sessions import Caller, UserSession
from toto_aio.signing import Scheme, SignedRequest

HMAC_HEADER = "x-toto-hmac"


class Signing:
    """The signatures of one request and its response. The service sets ``body`` and ``caller``."""

    __slots__ = ("_request", "_scheme", "body", "caller")

    def __init__(self, scheme: Scheme, request: web.Request) -> None:
        self.body = b""
        self.caller: Caller | None = None
        self._scheme = scheme
        self._request = request

    def verify(self, session: UserSession) -> None:
        """Accept the request for a session that was loaded, or raise ``InvalidHMAC``."""
        self._scheme.verify(self._signed_request(), session.user_id)

    def sign(self, response: web.StreamResponse) -> None:
        """Sign the response of a call that has a session, if all of its bytes are known already."""
        caller = self.caller
        if caller is None or caller.session is None or not caller.signs or not self._is_signable(response):
            return
        signature = self._scheme.sign(self._signed_request(), caller.session.user_id, response.body)
        if signature is not None:
            response.headers[HMAC_HEADER] = signature

    def _is_signable(self, response: web.StreamResponse) -> TypeGuard[WholeResponse]:
        return (
            isinstance(response, web.Response)
            and isinstance(response.body, bytes)
            and not response.prepared
            and self._request.method != hdrs.METH_HEAD
            and hdrs.LOCATION not in response.headers
        )

    def _signed_request(self) -> SignedRequest:
        return SignedRequest(self.body, self._request.headers.get(HMAC_HEADER))


class WholeResponse(Protocol):
    """A response whose body is at hand."""

    body: bytes
    headers: MutableMapping[str, str]


SIGNING = web.RequestKey("toto_aio_signing", Signing)


def signing_middleware(scheme: Scheme) -> Middleware:
    """Sign and verify with ``scheme``."""

    @web.middleware
    async def sign(request: web.Request, handler: Handler) -> web.StreamResponse:
        signing = request[SIGNING] = Signing(scheme, request)
        response = await handler(request)
        signing.sign(response)
        return response

    return sign
