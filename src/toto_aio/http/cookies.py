"""Sessions in a browser's cookie, and the requests that may use it.

A browser sends cookies with every request, whichever page makes it. So the cookie counts only for requests of
pages of the service, or of an allowed origin (OWASP: verifying the origin with standard headers).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from aiohttp import hdrs
from multidict import CIMultiDict, CIMultiDictProxy, istr

from toto_aio.auth.caller import Caller
from toto_aio.http.origins import Origins
from toto_aio.http.request import HTTPRequest
from toto_aio.http.response import Cookie
from toto_aio.names import shortened
from toto_aio.settings import Settings, SettingsError

NAME = "toto-session"
FETCH_SITE = istr("Sec-Fetch-Site")


def cookie_name(settings: Settings) -> str:
    """The name of the cookie.

    Its prefix makes browsers refuse a cookie that another host or an unencrypted page has set (RFC 6265bis).
    """
    prefix = "__Secure-" if settings.cookie_domain else "__Host-"
    return f"{prefix}{NAME}" if settings.secure_cookies else NAME


class SessionCookie:
    """The cookie that has a session's id, which scripts of pages can't read.

    Raises ``SettingsError`` for settings that would make it unsafe.
    """

    def __init__(self, settings: Settings, origins: Origins) -> None:
        if origins.any or "null" in origins.allowed:  # which any page can be, in a sandboxed frame
            raise SettingsError("allow_origin: with use_cookies name the origins, others let any page in")
        self.name = cookie_name(settings)
        self._origins = origins
        self._attributes = {
            "path": "/",
            "secure": settings.secure_cookies,
            "httponly": True,
            "samesite": "Lax",
            "domain": settings.cookie_domain or None,
        }

    def read(self, request: HTTPRequest) -> str | None:
        """The session id in the cookie of a request, if the request may use it.

        A GET need not have an ``Origin``; there the cookie counts for methods that only read.
        """
        headers = request.headers.getall(hdrs.COOKIE, ())
        if not headers:
            return None
        trusted = self._origins.trusts(request)
        if trusted is None:
            trusted = request.method in (hdrs.METH_GET, hdrs.METH_HEAD)
        return _value("; ".join(headers), self.name) if trusted else None

    def refusal(self, request: HTTPRequest) -> str:
        """Why the cookie of a request does not count, if it has one."""
        if _value("; ".join(request.headers.getall(hdrs.COOKIE, ())), self.name) is None:
            return ""
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None:
            return "the cookie does not count without the header Origin, which browsers send"
        return (
            f"the cookie does not count for a page of {shortened(origin)!r}, which is not the origin of the "
            "service: add it to allow_origin if it is yours"
        )

    def is_for(self, request: HTTPRequest) -> bool:
        """Whether a request comes from a browser that may get the cookie; other clients get the session's id.

        Browsers send ``Origin`` with a POST, and ``Sec-Fetch-Site`` when they open a page (Fetch Metadata).
        """
        trusted = self._origins.trusts(request)
        return bool(trusted) or (trusted is None and FETCH_SITE in request.headers)

    def is_foreign(self, request: HTTPRequest) -> bool:
        """Whether a page of a foreign origin has sent a request."""
        return self._origins.trusts(request) is False

    def write(self, request: HTTPRequest, caller: Caller, *, enveloped: bool) -> Cookie | None:
        """The cookie to set if the calls have changed the caller's session, else None.

        A client that isn't a browser gets the id in the envelope instead; bytes of a method's own have none.

        A page of a foreign origin can't log a user in: it could make them act as somebody else.
        """
        session = caller.session or (None if caller.logged_out else caller.signer)
        if session is None:
            changed = caller.logged_out and caller.by_cookie
        else:
            renewed = session.renewed and session.session_id == self.read(request)
            changed = session.is_new or renewed
        if not changed or (enveloped and not caller.hides_id) or self.is_foreign(request):
            return None
        if session is None:
            return self.name, "", {**self._attributes, "max_age": 0}
        left = max(0, math.ceil(session.expires - time.time()))
        return self.name, session.session_id, {**self._attributes, "max_age": left}


def joining(make_request: Callable[..., Any]) -> Callable[..., Any]:
    """A factory of requests that joins their headers ``Cookie``, of which aiohttp reads only the first.

    HTTP/2 may have several, which a proxy may pass on as they are (RFC 9113, 8.2.3).
    """

    def make(message: Any, *arguments: Any) -> Any:
        if hdrs.COOKIE in message.headers and len(found := message.headers.getall(hdrs.COOKIE)) > 1:
            headers = CIMultiDict(message.headers)
            headers[hdrs.COOKIE] = "; ".join(found)
            message = message._replace(headers=CIMultiDictProxy(headers))
        return make_request(message, *arguments)

    return make


def _value(header: str, name: str) -> str | None:
    """The last value of a cookie. Parsing all cookies of a long header takes milliseconds."""
    start = f"{name}="
    if start not in header:
        return None
    values = [part.strip() for part in header.split(";")]
    return next((value[len(start) :] for value in reversed(values) if value.startswith(start)), None)
