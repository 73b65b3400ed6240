"""Calls from pages of other origins (the CORS protocol of the Fetch standard)."""

from __future__ import annotations

from aiohttp import hdrs, web

from toto_aio.http.origins import ANY, Origins
from toto_aio.http.request import HTTPRequest
from toto_aio.http.signatures import HMAC_HEADER, NONCE_HEADER, SESSION_HEADER, TIMESTAMP_HEADER

ALLOWED_HEADERS = ", ".join((
    "content-type", SESSION_HEADER, HMAC_HEADER, TIMESTAMP_HEADER, NONCE_HEADER, "authorization",
    "idempotency-key", "x-toto-timeout", "last-event-id",
))  # fmt: skip
EXPOSED_HEADERS = ", ".join((HMAC_HEADER, hdrs.RETRY_AFTER, hdrs.WWW_AUTHENTICATE, "idempotent-replayed"))
ALLOWED_METHODS = "GET, HEAD, OPTIONS, POST"
POST_ONLY = "POST, OPTIONS"
"""What a method that GET cannot call allows."""
READ_ONLY = "GET, HEAD, OPTIONS"
"""What a path allows that is no method."""
MAX_AGE = "600"
"""Seconds that a browser may cache the answer to a preflight request."""


class Cors:
    """The CORS headers of each response. ``credentials``: pages of the origins may use the cookie."""

    def __init__(self, origins: Origins, *, credentials: bool) -> None:
        self._origins = origins
        self._credentials = credentials

    def headers(self, request: HTTPRequest) -> dict[str, str]:
        """The CORS headers of the response to a request."""
        if self._origins.any:
            # Without Origin too, as a cache may keep the response for a page that it was not sent to.
            found = dict(_FOR_ANY)
        else:
            found = {hdrs.VARY: hdrs.ORIGIN}
            origin = request.headers.get(hdrs.ORIGIN)
            if origin is None or not self._origins.allows(origin):
                return found
            found[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
            if self._credentials:
                found[hdrs.ACCESS_CONTROL_ALLOW_CREDENTIALS] = "true"
            found[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = EXPOSED_HEADERS
        if request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers:
            found[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = ALLOWED_METHODS
            found[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = ALLOWED_HEADERS
            found[hdrs.ACCESS_CONTROL_MAX_AGE] = MAX_AGE
        return found

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add the headers: for ``Application.on_response_prepare``, which reaches errors and streams too."""
        for name, value in self.headers(request).items():
            if name in _LISTS:  # to what the method has set
                value = ", ".join((*response.headers.getall(name, ()), value))
            response.headers[name] = value


_FOR_ANY: dict[str, str] = {
    hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: ANY,
    hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: EXPOSED_HEADERS,
}
_LISTS = frozenset((hdrs.VARY, hdrs.ACCESS_CONTROL_EXPOSE_HEADERS))
