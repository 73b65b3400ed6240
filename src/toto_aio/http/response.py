"""The response to a request as aiohttp's, sent in one write whenever nothing else is needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from email.utils import formatdate
from functools import lru_cache, partial
from itertools import chain
from time import time
from typing import Any

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import SERVER_SOFTWARE
from aiohttp.web_request import BaseRequest
from multidict import CIMultiDict

from toto_aio.dispatch.head import checked_header, checked_text
from toto_aio.http.parent import is_transparent
from toto_aio.http.request import HTTPRequest

LARGE = 64 * 1024
"""Bytes of a body from which on joining it to its headers costs more than a second write."""
CLIENT_CLOSED_REQUEST = 499
"""nginx's status of a response that nobody gets, as the client has left."""

Cookie = tuple[str, str, dict[str, Any]]
"""A name, a value, and the attributes that ``web.Response.set_cookie`` takes."""


def respond(
    request: HTTPRequest,
    body: bytes,
    content_type: str,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    cookies: Sequence[Cookie] | None = None,
    *,
    added: Mapping[str, str] | None = None,
    observed: bool = True,
) -> web.StreamResponse:
    """The response with this body. ``added`` are the headers that a signal adds to what aiohttp sends.

    Building, preparing and writing aiohttp's ``Response`` is a third of the cost of a short call. In the
    common case the bytes of the response are built directly: HTTP/1.1 with keep-alive, a small body, no
    cookies, not HEAD, and nothing that might change the response (``is_observed``). Everything else is left
    to aiohttp.
    """
    length = len(body)
    if (
        not observed
        and length <= LARGE
        and not cookies
        and status not in EMPTY
        and request.keep_alive
        and request.version == HttpVersion11
        and request.method != hdrs.METH_HEAD
        and not (added and headers and _clash(headers, added))
    ):
        sent = {**(headers or {}), **added} if added else headers
        head = _head(status, content_type)
        more = _lines(sent) if sent else b""
        if head is not None and more is not None:
            if (now := int(time())) != _second:
                _begin_second(now)
            whole = b"%b%d\r\n%b%b%b" % (head, length, more, _headers, body)
            return WholeResponse(status, content_type, sent, whole)
    response = web.Response(body=body, status=status, headers={hdrs.CONTENT_TYPE: content_type})
    response.headers.update(headers or {})
    for name, value, attributes in cookies or ():
        response.set_cookie(name, value, **attributes)
    return response


def check_cookie(name: str, value: str, attributes: dict[str, Any]) -> None:
    """Raise what is wrong with a cookie: ``CookieError``, ``TypeError`` or ``ValueError``."""
    response = web.StreamResponse()
    response.set_cookie(name, value, **attributes)
    checked_text(response.cookies[name].OutputString(), f"cookie {name}")


def check_response(response: web.StreamResponse) -> None:
    """Raise what is wrong with the headers of a method's own response, and leave its framing to aiohttp.

    Raises ``TypeError`` or ``ValueError``.
    """
    for name, value in response.headers.items():
        checked_header(name, value)
    if "close" in response.headers.get(hdrs.CONNECTION, "").lower():
        response.force_close()
    for name in FRAMING:
        response.headers.popall(name, None)


def is_observed(request: web.Request, own: frozenset[Any] = frozenset()) -> bool:
    """Whether a middleware or signal of an app, except our ``own`` and transparent ones, sees the responses.

    It is the same for all requests of a service, as aiohttp freezes apps when they start.
    """
    return any(map(partial(observes, own=own), request.match_info.apps))


def observes(app: web.Application, own: frozenset[Any] = frozenset()) -> bool:
    """Whether a middleware or signal of this app sees the responses to calls."""
    signals = (signal for signal in app.on_response_prepare if signal not in own)
    seeing: Iterable[Any] = chain(app.middlewares, signals)
    return not all(is_transparent(each) for each in seeing)


class WholeResponse(web.StreamResponse):
    """A response that is bytes already. Only aiohttp's server and its access log get to see it."""

    keep_alive = True
    prepared = True

    def __init__(
        self, status: int, content_type: str, headers: Mapping[str, str] | None, whole: bytes
    ) -> None:
        # aiohttp's constructor prepares what isn't needed here, for 2% of the cost of a call.
        self._shown = status, content_type, headers
        self.whole = whole

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter:
        """Send the response. Raises ``ConnectionResetError`` if the client has left."""
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("The client has left")
        transport.write(self.whole)
        return request.writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing, as everything has been sent."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._shown[0]

    @property
    def headers(self) -> CIMultiDict[str]:
        """The headers, except those of the framing."""
        return CIMultiDict({hdrs.CONTENT_TYPE: self._shown[1], **(self._shown[2] or {})})

    @property
    def body_length(self) -> int:
        """Bytes sent."""
        return len(self.whole)


FRAMING = frozenset(("connection", "content-length", "transfer-encoding"))
"""The headers that say where a response ends: the service's own, whatever a method sets (RFC 9112, 6)."""
EMPTY = frozenset({101, 204, 304})
"""Statuses of responses without a body."""
UNUSUAL = frozenset({"connection", "content-length", "content-type", "date", "server", "transfer-encoding"})
"""Headers that we set, unless a method did."""


@lru_cache(maxsize=256)
def _head(status: int, content_type: str) -> bytes | None:
    """The first lines, up to the length; None if the content type is unusual."""
    if not content_type.isprintable():
        return None
    reason = web.Response(status=status).reason
    return f"HTTP/1.1 {status} {reason}\r\nContent-Type: {content_type}\r\nContent-Length: ".encode()


def _lines(headers: Mapping[str, str]) -> bytes | None:
    """The lines of a method's own headers; None if one of them is unusual."""
    lines = []
    for name, value in headers.items():
        # A line break would begin another header: aiohttp refuses control characters.
        if not (_is_usual(name) and value.isprintable()):
            return None
        lines.append(f"{name}: {value}\r\n")
    return "".join(lines).encode()


@lru_cache(maxsize=256)
def _is_usual(name: str) -> bool:
    return name.lower() not in UNUSUAL and name.isprintable()


def _clash(some: Mapping[str, str], others: Mapping[str, str]) -> bool:
    """Whether both have the same header."""
    return bool({name.lower() for name in some} & {name.lower() for name in others})


def _begin_second(now: int) -> None:
    """Build the headers that stay the same for a second, and the empty line."""
    global _second, _headers
    _headers = f"Date: {formatdate(now, usegmt=True)}\r\nServer: {SERVER_SOFTWARE}\r\n\r\n".encode()
    _second = now


_second = 0
_headers = b""
