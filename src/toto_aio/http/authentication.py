"""The caller of a request: the session or API key that its headers or its cookie show, and its signature.

The same authenticator serves requests and the frames of sockets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Mapping
from functools import partial
from typing import Any

from aiohttp import hdrs, web

from toto_aio.auth.api_key import hash_of, is_api_key
from toto_aio.auth.api_keys import ApiKeys
from toto_aio.auth.caller import Caller
from toto_aio.auth.key_caller import KeyCaller
from toto_aio.auth.sessions import Sessions
from toto_aio.auth.user_session import UserSession
from toto_aio.exceptions import InvalidHMAC, InvalidParameters
from toto_aio.http.bearer import bearer
from toto_aio.http.cookies import SessionCookie
from toto_aio.http.proxies import TrustedProxies
from toto_aio.http.request import HTTPRequest
from toto_aio.http.signatures import (
    HMAC_HEADER,
    NONCE_HEADER,
    SESSION_HEADER,
    TIMESTAMP_HEADER,
    signed_request,
)
from toto_aio.signing import MAX_NONCE, UNFIT_NONCE, Scheme, SignedRequest


class Authenticator:
    """Finds the callers of one running app. ``scheme`` is None if nothing is signed."""

    def __init__(
        self,
        sessions: Sessions,
        keys: ApiKeys,
        scheme: Scheme | None,
        cookie: SessionCookie | None,
        proxies: TrustedProxies,
    ) -> None:
        self._sessions = sessions
        self._keys = keys
        self._proxies = proxies
        self._scheme = scheme
        self._cookie = cookie
        self.keyed = scheme is not None and scheme.keyed
        """Whether only signed requests may load a session."""

    def caller(self, request: HTTPRequest, body: bytes) -> Caller:
        """The caller of a request with this body. Raises ``InvalidParameters`` (400): repeated headers."""
        headers = request.headers
        # A look-up by ``get`` would cost one more call.
        session_id = headers[SESSION_HEADER] if SESSION_HEADER in headers else None  # noqa: SIM401
        if hdrs.AUTHORIZATION in headers:
            shown, session_id = session_id, bearer(headers, session_id)
            if session_id is not None and session_id is not shown and is_api_key(session_id):
                return self.caller_of_key(hash_of(session_id), self._address(request))
        by_cookie = hides_id = False
        refusal = None
        if self._cookie is not None:
            if session_id is None:
                session_id = self._cookie.read(request)
                by_cookie = session_id is not None
                if not by_cookie:
                    refusal = partial(self._cookie.refusal, request)
            hides_id = by_cookie or self._cookie.is_for(request)
        if session_id is None and HMAC_HEADER not in headers and not self.keyed:
            if self._cookie is None:
                return Caller(self._sessions, None, None)  # arguments by name cost 0.2 us
            return Caller(self._sessions, None, None, hides_id=hides_id, cookie_refusal=refusal)
        for header in (SESSION_HEADER, HMAC_HEADER, TIMESTAMP_HEADER, NONCE_HEADER):
            if len(headers.getall(header, ())) > 1:
                raise InvalidParameters(f"The header {header} is repeated.", status=400)
        if self._scheme is None:
            return Caller(self._sessions, session_id, None, by_cookie=by_cookie, hides_id=hides_id)
        signed = signed_request(request, body, "" if by_cookie or session_id is None else session_id)
        verify = partial(self._verify, signed)
        caller = Caller(
            self._sessions,
            session_id,
            verify,
            by_cookie=by_cookie,
            hides_id=hides_id,
            cookie_refusal=refusal,
        )
        caller.signed = signed
        caller.must_verify = self.keyed and session_id is not None and signed.signature is not None
        return caller

    def caller_of_key(self, key_hash: str, address: str) -> KeyCaller:
        """The caller of an API key, whose request is not signed. ``address`` is the client's."""
        return KeyCaller(self._sessions, self._keys, key_hash, address)

    def caller_of_url(self, session_id: str) -> Caller:
        """The caller of a session id in a URL. Raises ``InvalidHMAC`` if it would have to be signed there."""
        if self.keyed:
            raise InvalidHMAC.because("a session id in a URL cannot be signed")
        return Caller(self._sessions, session_id, None)

    def caller_of_frame(self, request: web.Request, message: Mapping[str, Any]) -> Caller | None:
        """The caller that a socket's first frame shows; None if it shows none.

        ``request`` has opened the socket, and its path is signed. Raises ``InvalidParameters``.
        """
        session_id = message.get("session_id")
        if not isinstance(session_id, str):
            return None
        texts = {name: message.get(name) for name in ("signature", "timestamp", "nonce")}
        if not all(text is None or isinstance(text, str) for text in texts.values()):
            raise InvalidParameters("signature, timestamp and nonce must be text.")
        if not self.keyed:
            return Caller(self._sessions, session_id, None)
        signed = SignedRequest(
            b"",
            method=hdrs.METH_GET,
            target=request.raw_path,
            session_id=session_id,
            **texts,  # type: ignore[arg-type]
        )
        return Caller(self._sessions, session_id, partial(self._verify, signed))

    def _address(self, request: HTTPRequest) -> str:
        return self._proxies.client(request.remote, request.headers.getall("x-forwarded-for", ()))

    def _verify(self, request: SignedRequest, session: UserSession) -> Awaitable[None] | None:
        """Accept a request for the session that it loads, or raise ``InvalidHMAC``.

        A result, if there is one, must be awaited before the request is accepted.
        """
        assert self._scheme is not None
        self._scheme.verify(request, session.signer)
        if not self._scheme.nonce_ttl:
            return None
        if request.nonce is not None and not (
            len(request.nonce) <= MAX_NONCE and request.nonce.isprintable()
        ):
            raise InvalidHMAC.because(UNFIT_NONCE)  # not every store could keep it
        # Hashed, as a nonce may have more bytes than a store has for a key.
        digest = hashlib.sha256(f"{session.record.key}:{request.nonce}".encode()).hexdigest()
        return self._count_once(f"nonce:{digest}", self._scheme.nonce_ttl)

    async def _count_once(self, key: str, ttl: float) -> None:
        if not await self._sessions.store.add_once(key, ttl):
            raise InvalidHMAC.because("the nonce was used before: take another one for each request")
