"""Which pages of other origins may call the service from a browser (the Fetch standard's CORS protocol)."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import hdrs, web

from toto_aio.settings import SettingsError
from toto_aio.signed import HMAC_HEADER, NONCE_HEADER, SESSION_HEADER, TIMESTAMP_HEADER

ANY = "*"
ALLOWED_HEADERS = ", ".join(("content-type", SESSION_HEADER, HMAC_HEADER, TIMESTAMP_HEADER, NONCE_HEADER))
ALLOWED_METHODS = "GET, HEAD, OPTIONS, POST"
MAX_AGE = "600"
"""Seconds for which a browser may remember what it was told."""


def cors(origins: Sequence[str]) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """What adds the headers to each response: for ``Application.on_response_prepare``.

    There it reaches errors and streams too. ``origins`` are such as ``https://app.example``, or ``*`` for
    every page. Raises ``SettingsError`` for anything else.
    """
    for origin in origins:
        if origin != ANY and not re.fullmatch(r"null|[a-z][a-z0-9+.-]*://[^/\s]+", origin.lower()):
            raise SettingsError(
                f"allow_origin: write origins such as https://app.example, or *, not {origin!r}"
            )
    allowed = frozenset(origin.lower() for origin in origins)

    async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
        headers = response.headers
        if ANY not in allowed:
            headers.add(hdrs.VARY, hdrs.ORIGIN)
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None or (ANY not in allowed and origin.lower() not in allowed):
            return
        headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = ANY if ANY in allowed else origin
        headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = HMAC_HEADER
        if request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers:
            headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = ALLOWED_METHODS
            headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = ALLOWED_HEADERS
            headers[hdrs.ACCESS_CONTROL_MAX_AGE] = MAX_AGE

    return add_headers
