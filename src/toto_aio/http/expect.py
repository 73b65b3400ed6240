"""``Expect: 100-continue`` (RFC 9110, 10.1.1): whether a client that waits with its body is to send it."""

from __future__ import annotations

from aiohttp import HttpVersion11, hdrs, web

from toto_aio.http.body import BrokenBodyError, refuse_body
from toto_aio.http.service import Service


async def meet_expectation(
    request: web.Request, service: Service, refusal: BrokenBodyError | None
) -> web.StreamResponse | None:
    """Have the client send its body, or respond with a ``refusal``, which needs no body, at once.

    Raises ``HTTPExpectationFailed`` for another expectation.
    """
    if request.version < HttpVersion11:
        return None
    if request.headers[hdrs.EXPECT].lower() != "100-continue":
        raise web.HTTPExpectationFailed
    if refusal is not None:
        response = service.refuse(request, service.codec(request), refusal)
        refuse_body(request)
        return response
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # the response has not begun
    return None
