"""The caller of a request: the credentials that it showed, and the session behind them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from toto_aio.auth.api_key import is_api_key
from toto_aio.auth.audit import Action
from toto_aio.auth.password_change import change_password
from toto_aio.auth.sessions import Sessions
from toto_aio.auth.user_session import UserSession
from toto_aio.models import ClientInfo
from toto_aio.signing import SignedRequest

Verify = Callable[[UserSession], Awaitable[None] | None]
"""Raises ``InvalidHMAC``, directly or when its result is awaited, if the request may not use the session."""


NOT_SHOWN = "the call showed no session"
ENDED_BY_CALL = "a call before it has ended the session"


class Caller:
    """The session id that a request showed, and the session once a method asks for it.

    The calls of a batch share one caller, so that a login serves the calls after it.
    """

    shown: UserSession | None = None
    """The session that a WebSocket was opened with, which its calls have without asking for it."""
    signs = True
    """Whether the session signs the response."""
    signed: SignedRequest | None = None
    """What a signature scheme may inspect of the request, if it was collected before the call."""
    refusal = ""
    """Why the session that the request showed is not there, once it was looked for."""
    logged_out = False
    """Whether one of the calls has ended the session."""
    on_renewal: Callable[[UserSession], None] | None = None
    """Called with the new session after a password change, before the end of the old one is announced."""
    _verified = True
    _loaded: UserSession | None = None
    _lock: asyncio.Lock | None = None

    def __init__(
        self,
        sessions: Sessions,
        session_id: str | None,
        verify: Verify | None,
        *,
        by_cookie: bool = False,
        hides_id: bool = False,
        cookie_refusal: Callable[[], str] | None = None,
    ) -> None:
        """``cookie_refusal`` says, for the log, why a cookie of the request does not count, if it has one."""
        self.by_cookie = by_cookie
        self.hides_id = hides_id
        """Whether a cookie keeps the session, so that no response contains its id: scripts could read it."""
        # What each request asks for: what an object has itself is found sooner than what its class has.
        self.by_key = False
        """Whether it showed an API key, which is compared with each method (``key_caller.py``)."""
        self.session: UserSession | None = None
        self.signer: UserSession | None = None
        """The session that has signed the request, and signs its response, whatever becomes of it."""
        self.must_verify = False
        """Whether ``verify`` has to be awaited before the calls, as they may not ask for the session."""
        self.consulted = False
        """Whether a call has asked for the session, so that the response depends on it."""
        self._sessions = sessions
        self._session_id = session_id
        self._verify = verify
        self._cookie_refusal = cookie_refusal

    async def verify(self) -> None:
        """Load the session that has signed the request, so that it can sign the response.

        Calls get the session only if they ask for it. Raises ``InvalidHMAC`` for a wrong signature.
        """
        self.consulted = True
        if self._session_id is None:
            return
        session = await self._sessions.load(self._session_id)
        if session is None:
            self.refusal = _refusal(self._session_id)
            self._session_id = None
            return
        await self._check(session)
        self.signer = self._loaded = session

    async def retrieve(self, session_id: str | None = None, *, signed: bool = True) -> UserSession | None:
        """The session of ``session_id``, by default of the id that the request showed; loaded once.

        None without an id, or if the session is unknown, ended or expired. Raises ``InvalidHMAC`` for a wrong
        signature. With ``signed=False`` the signature isn't checked, until the session is asked for again.
        """
        self.consulted = True
        async with self._turn():
            if self.session is not None and session_id in (None, self.session.session_id):
                if signed and not self._verified:
                    await self._check(self.session)
                    self._verified = True
                return self.session
            wanted = self._session_id if session_id is None else session_id
            if wanted is None:
                return None
            session, self._loaded = self._loaded, None
            if session is None or wanted != session.session_id:
                session = await self._sessions.load(wanted)
            if session is not None:
                session.hides_id = self.by_cookie and session_id is None
                if signed:
                    await self._check(session)
            self.session, self._verified = session, signed
            if session is None:
                self.refusal = _refusal(wanted)
                if wanted == self._session_id:
                    self._session_id = None
            return session

    def why_no_user(self, session: UserSession | None) -> str:
        """Why a call that has this session, or none, has no user: for the log."""
        if session is not None:
            return "the session is anonymous"
        if self.refusal:
            return self.refusal
        of_cookie = "" if self._cookie_refusal is None else self._cookie_refusal()
        return of_cookie or (ENDED_BY_CALL if self.logged_out else NOT_SHOWN)

    async def create(
        self,
        user_id: str | None,
        password: str | None,
        client: ClientInfo,
        *,
        verify_password: bool,
        **others: Any,
    ) -> UserSession:
        """A new session: anonymous without a user id, else after the password was checked, if it is to be.

        ``others`` are arguments of ``Sessions.log_in``, or of ``log_in_known``.
        """
        self.consulted = True
        async with self._turn():
            self._loaded = None
            if user_id is None:
                self.session = await self._sessions.create(client=client)
            elif verify_password:
                self.session = await self._sessions.log_in(
                    user_id, password, client, shown=self._session_id, **others
                )
            else:
                self.session = await self._sessions.log_in_known(user_id, client, **others)
            self.session.hides_id = self.hides_id
            self._verified = True
            return self.session

    async def finish(self, ticket: str, code: str, client: ClientInfo, *, remember: bool) -> UserSession:
        """A new session, after the second step of a login."""
        self.consulted = True
        async with self._turn():
            self._loaded = None
            self.session = await self._sessions.finish_log_in(ticket, code, client, remember=remember)
            self.session.hides_id = self.hides_id
            self._verified = True
            return self.session

    async def replace(self, log_in: Callable[[], Awaitable[UserSession]]) -> UserSession:
        """A new session, by ``create`` or ``finish``, in place of the one that the request shows."""
        before = await self.retrieve()
        session = await log_in()
        if before is not None:
            try:
                await self._sessions.end(before)
            except BaseException:
                self.session = None  # nobody gets to know its id
                raise
        return session

    async def change_password(
        self, session: UserSession, password: str, new_password: str, client: ClientInfo
    ) -> UserSession:
        """A new session after a change of the password of a session's user, in place of all that they had."""
        async with self._turn():
            return await change_password(self._sessions, session, password, new_password, client, self._take)

    def apart(self) -> Caller:
        """A caller that shows nothing, for a call whose session is its own: a parameter names it."""
        return Caller(self._sessions, None, None)

    async def log_out(self, session: UserSession | None = None) -> None:
        """End a session, by default the one that there is, if there is one."""
        session = session or await self.retrieve()
        if session is not None:
            await self._sessions.end(session)
            if session.user_id:
                self._sessions.audit.record(Action.LOGOUT, session.user_id)
        self.logged_out = True
        self.session = self.shown = self._session_id = None

    async def delete_account(
        self, session: UserSession, answers_first: Callable[[UserSession], None]
    ) -> None:
        """Delete the account of a session's user, and so end all sessions, this one too.

        ``answers_first`` is told the session before: the response comes before its socket is closed.
        """
        answers_first(session)
        await self._sessions.accounts.delete(session.user_id)
        self.logged_out = True
        self.session = self.shown = self._session_id = None

    def ignore_cookie(self) -> None:
        """Forget a session id that came in a cookie: a page that must not use it may have sent it."""
        if self.by_cookie:
            self.refusal = "the cookie does not count for a request that any page can have a browser make"
            self._session_id = None

    def _take(self, session: UserSession) -> None:
        session.hides_id = self.hides_id
        self.session, self._verified = session, True
        if self.on_renewal is not None:
            self.on_renewal(session)

    async def _check(self, session: UserSession) -> None:
        if self.signer is not None and session.session_id == self.signer.session_id:
            return  # verified already, and a nonce counts once
        if self._verify is not None and (rest := self._verify(session)) is not None:
            await rest

    def _turn(self) -> asyncio.Lock:
        if self._lock is None:  # most calls don't need one
            self._lock = asyncio.Lock()
        return self._lock


def _refusal(session_id: object) -> str:
    """Why there is no session of this id, which is not told."""
    if isinstance(session_id, str) and is_api_key(session_id):
        return "an API key was shown as a session id: show it in the header authorization, as a bearer token"
    return "the session that was shown is unknown, ended or expired"
