"""Who makes the calls of an HTTP request: the session that its header or cookie shows, and its signature."""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial

from toto_aio.auth.caller import Caller
from toto_aio.auth.sessions import Sessions, UserSession
from toto_aio.exceptions import InvalidHMAC, InvalidParameters
from toto_aio.http.cookies import SessionCookie
from toto_aio.http.request import View
from toto_aio.http.signatures import (
    HMAC_HEADER,
    NONCE_HEADER,
    SESSION_HEADER,
    TIMESTAMP_HEADER,
    signed_request,
)
from toto_aio.signing import Scheme, SignedRequest


class Callers:
    """Makes the callers of one app. ``sessions`` are there while the app runs."""

    sessions: Sessions

    def __init__(self, scheme: Scheme | None, cookie: SessionCookie | None) -> None:
        self._scheme = scheme
        self._cookie = cookie

    @property
    def keyed(self) -> bool:
        """Whether a session is loaded by signed requests alone."""
        return self._scheme is not None and self._scheme.keyed

    def of(self, request: View, body: bytes) -> Caller:
        """The caller of a request with this body. Raises ``InvalidParameters`` (400) for a doubled header."""
        headers = request.headers
        session_id = headers[SESSION_HEADER] if SESSION_HEADER in headers else None
        by_cookie = False
        if session_id is None and self._cookie is not None:
            session_id = self._cookie.read(request)
            by_cookie = session_id is not None
        scheme = self._scheme
        if session_id is None and HMAC_HEADER not in headers and (scheme is None or not scheme.keyed):
            return Caller(self.sessions, None, None)
        for header in (SESSION_HEADER, HMAC_HEADER, TIMESTAMP_HEADER, NONCE_HEADER):
            if len(headers.getall(header, ())) > 1:
                raise InvalidParameters(f"The header {header} stands twice.", status=400)
        if scheme is None:
            return Caller(self.sessions, session_id, None, by_cookie=by_cookie)
        signed = signed_request(request, body)
        caller = Caller(self.sessions, session_id, partial(self.verify, signed), by_cookie=by_cookie)
        caller.signed = signed
        return caller

    def verify(self, request: SignedRequest, session: UserSession) -> Awaitable[None] | None:
        """Accept a request for the session that it loads, or raise ``InvalidHMAC``.

        What is returned, if anything, has to be awaited before the request is accepted.
        """
        assert self._scheme is not None
        self._scheme.verify(request, session.signer)
        if not self._scheme.nonce_ttl:
            return None
        key = f"nonce:{session.record.key}:{request.nonce}"
        return self._count_once(key, self._scheme.nonce_ttl)

    async def _count_once(self, key: str, ttl: float) -> None:
        if not await self.sessions.store.add_once(key, ttl):
            raise InvalidHMAC
