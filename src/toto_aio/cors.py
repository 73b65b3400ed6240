"""Which pages of other origins may call the service from a browser (the Fetch standard's CORS protocol)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

from toto_aio.origins import ANY, Origins
from toto_aio.signed import HMAC_HEADER, NONCE_HEADER, SESSION_HEADER, TIMESTAMP_HEADER

ALLOWED_HEADERS = ", ".join(("content-type", SESSION_HEADER, HMAC_HEADER, TIMESTAMP_HEADER, NONCE_HEADER))
ALLOWED_METHODS = "GET, HEAD, OPTIONS, POST"
MAX_AGE = "600"
"""Seconds for which a browser may remember what it was told."""


def cors(
    origins: Origins, *, credentials: bool
) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """What adds the headers to each response: for ``Application.on_response_prepare``.

    There it reaches errors and streams too. ``credentials``: pages of the origins may use a cookie.
    """

    async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
        headers = response.headers
        if not origins.any:
            headers.add(hdrs.VARY, hdrs.ORIGIN)
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None or not origins.allows(origin):
            return
        headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = ANY if origins.any else origin
        if credentials:
            headers[hdrs.ACCESS_CONTROL_ALLOW_CREDENTIALS] = "true"
        headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = HMAC_HEADER
        if request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers:
            headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = ALLOWED_METHODS
            headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = ALLOWED_HEADERS
            headers[hdrs.ACCESS_CONTROL_MAX_AGE] = MAX_AGE

    return add_headers
