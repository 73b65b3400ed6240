"""The session of a request to the application around a service, by the rules of the service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

from aiohttp import hdrs, web
from yarl import URL

from toto_aio.auth.audit import acting
from toto_aio.auth.caller import Caller
from toto_aio.auth.key_caller import KeyCaller
from toto_aio.auth.text import require_text
from toto_aio.auth.user_account import UserAccount
from toto_aio.auth.user_session import UserSession
from toto_aio.exceptions import (
    InvalidCredentials,
    InvalidParameters,
    SecondFactorRequired,
    TooManyAttempts,
)
from toto_aio.http.acting import PageActing
from toto_aio.http.body import body_at_hand, put_back, read_body
from toto_aio.http.page_errors import HTTPClientClosedRequest, http_errors
from toto_aio.http.reply import VARY, HTTPReply
from toto_aio.http.response import EMPTY
from toto_aio.http.service import Service
from toto_aio.http.signatures import HMAC_HEADER, sign_response
from toto_aio.models import ClientInfo

FORM_ERRORS = InvalidCredentials, InvalidParameters, SecondFactorRequired, TooManyAttempts
"""What a login form may have to show. Other errors are HTTP errors."""


class Visit:
    """One request to a page: what it shows is read, and its session loaded, when a handler asks.

    It doesn't hold the request, which holds it. Except those of ``log_in``, errors are aiohttp's.
    """

    _caller: Caller | None = None
    _account: tuple[UserSession, UserAccount | None] | None = None
    _acting: PageActing | None = None
    _is_finished = False

    def __init__(self, service: Service, login_url: str | None) -> None:
        self._service = service
        self._login_url = login_url

    async def verify(self, request: web.Request) -> None:
        """Read the body of a signed request, and verify what is signed with a session's key.

        Raises ``HTTPClientClosedRequest`` if the client leaves before the body has arrived.
        """
        service = self._service
        if service.context.scheme is None:
            return
        body = body_at_hand(request)
        if not body or len(body) > service.max_body_size:
            try:
                body = await read_body(request, body, service.max_body_size, service.body_timeout)
            except ConnectionError:
                raise HTTPClientClosedRequest from None
        put_back(request, body)
        self._caller = caller = service.authenticator.caller(request, body)
        if caller.must_verify:
            await caller.verify()

    async def session(self, request: web.Request) -> UserSession | None:
        """The session that the request shows, or that a login has brought; None if there is none."""
        with http_errors():
            caller = self._shown(request)
            if self._cannot_sign(request, caller):
                caller.consulted = True
                return caller.session  # that of a login
            if caller.by_key:
                return await cast(KeyCaller, caller).admit_page()
            return await caller.retrieve()

    async def account(self, request: web.Request) -> UserAccount | None:
        """The account of the session's user, loaded once."""
        session = await self.session(request)
        if session is None:
            return None
        if self._account is None or self._account[0] is not session:
            with http_errors():
                self._account = session, await session.get_account()
        return self._account[1]

    async def log_in(
        self,
        request: web.Request,
        user_id: str,
        password: str | None,
        *,
        verify_password: bool,
        **second: Any,
    ) -> UserSession:
        """A new session in place of the one that the request shows. Raises ``FORM_ERRORS``.

        ``second`` are arguments of ``Sessions.log_in`` about the second factor.
        """

        async def create(caller: Caller, client: ClientInfo) -> UserSession:
            known = require_text("user_id", user_id)  # None would ask for an anonymous session
            return await caller.create(known, password, client, verify_password=verify_password, **second)

        return await self._begin(request, create)

    async def finish_log_in(
        self, request: web.Request, ticket: str, code: str, *, remember: bool
    ) -> UserSession:
        """The same by the second step of a login. Raises ``FORM_ERRORS``."""

        async def finish(caller: Caller, client: ClientInfo) -> UserSession:
            given = require_text("ticket", ticket), require_text("code", code)
            return await caller.finish(*given, client, remember=remember)

        return await self._begin(request, finish)

    async def _begin(
        self, request: web.Request, log_in: Callable[[Caller, ClientInfo], Awaitable[UserSession]]
    ) -> UserSession:
        self._refuse_foreign(request)
        with http_errors(*FORM_ERRORS):
            caller = self._shown(request)
            if self._is_finished and caller.hides_id:  # nothing else tells the browser
                raise RuntimeError("The headers have been sent: log in before you prepare the response")
            reply = HTTPReply(request, self._service.context)
            client = ClientInfo(reply.address, reply.agent)
            if self._cannot_sign(request, caller):
                return await log_in(caller, client)
            return await caller.replace(lambda: log_in(caller, client))

    async def log_out(self, request: web.Request) -> None:
        """End the session, if there is one."""
        with http_errors():
            caller = self._shown(request)
            if self._cannot_sign(request, caller):
                caller.ignore_cookie()
            await caller.log_out()

    async def require(self, request: web.Request, roles: Sequence[str] = ()) -> UserSession:
        """The session of a user, who must have one of the ``roles`` if there are any.

        Raises the HTTP error, or redirection, of a request without.
        """
        session = await self.session(request)
        if session is not None and session.user_id:
            if roles:
                account = await self.account(request)
                if account is None or set(roles).isdisjoint(account.roles):
                    raise web.HTTPForbidden(text="You are not allowed to do this.")
            return session
        self._refuse_foreign(request)
        if self._cannot_sign(request, self._shown(request)):
            # The page of the login would send the browser back here, which would send it there again.
            raise web.HTTPUnauthorized(
                text="Only signed requests have a session here, and a browser cannot sign what it opens."
            )
        if self._login_url is None or "text/html" not in request.headers.get(hdrs.ACCEPT, ""):
            raise web.HTTPUnauthorized(text="Log in first.")
        url = URL(self._login_url)
        if request.method in (hdrs.METH_GET, hdrs.METH_HEAD):
            url = url.update_query(next=request.path_qs)
        raise web.HTTPSeeOther(url)

    def finish(self, request: web.Request, response: web.StreamResponse) -> None:
        """Give a response that depends on the session its signature, its cookie, and what caches need.

        Each application around the page calls it; the first one counts.
        """
        caller, context = self._caller, self._service.context
        is_again, self._is_finished = self._is_finished, True
        if caller is None or is_again:
            return
        if response.status == 401:
            response.headers.setdefault(hdrs.WWW_AUTHENTICATE, context.challenge())
        if context.scheme is not None and (body := _signed_bytes(response)) is not None:
            signature = sign_response(context.scheme, request, caller, body)
            if signature is not None:
                response.headers[HMAC_HEADER] = signature
        if context.cookie is not None:
            written = context.cookie.write(request, caller, enveloped=False)
            if written is not None:
                response.set_cookie(written[0], written[1], **written[2])
                # aiohttp has made headers of the cookies already, when it sends ``on_response_prepare``.
                response.headers.add(hdrs.SET_COOKIE, response.cookies[written[0]].OutputString())
        if caller.consulted:
            response.headers.add(hdrs.VARY, VARY)
            if caller.session or caller.signer or caller.logged_out:
                response.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")

    def end(self) -> None:
        """Let nothing pass for an act of this request any longer."""
        if self._acting is not None:
            self._acting.is_over = True

    def _shown(self, request: web.Request) -> Caller:
        if self._caller is None:
            self._caller = self._service.authenticator.caller(request, b"")
        if self._acting is None:
            self._acting = PageActing(request, self._service.context, self._caller)
        acting.set(self._acting)
        return self._caller

    def _cannot_sign(self, request: web.Request, caller: Caller) -> bool:
        """Whether a browser has sent a cookie where only signed requests may load a session."""
        return self._service.authenticator.keyed and caller.by_cookie and HMAC_HEADER not in request.headers

    def _refuse_foreign(self, request: web.Request) -> None:
        """Refuse a request of a foreign page, where a browser keeps the session in a cookie."""
        cookie = self._service.context.cookie
        if cookie is not None and cookie.is_foreign(request):
            raise web.HTTPForbidden(text="Pages of this origin may not make this request.")


def _signed_bytes(response: web.StreamResponse) -> bytes | None:
    """The body of a response, if it is known before the headers go out; None for what goes unsigned."""
    if not isinstance(response, web.Response) or response.status in EMPTY or 300 <= response.status < 400:
        return None
    body = response.body
    if body is None:
        return b""
    return bytes(body) if isinstance(body, bytes | bytearray | memoryview) else None
