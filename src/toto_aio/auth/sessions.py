"""The rules of sessions: ids, logins and ends, and saving without losing what others wrote.

A session id is 32 random bytes that only its client has; the store keeps its SHA-256, so that nobody who
reads the database can take over a session.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from toto_aio.auth.accounts import Accounts
from toto_aio.auth.audit import Action
from toto_aio.auth.change_marker import is_account_changing
from toto_aio.auth.ends import Ends, OnEnd
from toto_aio.auth.lifetimes import Lifetimes
from toto_aio.auth.login_tickets import Ticket
from toto_aio.auth.second_factor import Checked, SecondFactor
from toto_aio.auth.session_saves import SessionSaves
from toto_aio.auth.session_state import EMPTY
from toto_aio.auth.throttle import Attempts, Throttle
from toto_aio.auth.user_ids import known_as, normal_user_id
from toto_aio.auth.user_session import UserSession, handle_of
from toto_aio.exceptions import (
    InvalidCredentials,
    InvalidParameters,
    NotAuthorized,
    SecondFactorRequired,
    Unavailable,
    described,
)
from toto_aio.models import ClientInfo, Session
from toto_aio.settings import Settings
from toto_aio.stores import SessionStore
from toto_aio.threads import waits_in_threads

__all__ = ["Sessions"]

logger = logging.getLogger(__name__)

MAX_SESSION_ID = 256
"""The most characters of a session id; no longer one was ever issued, so none is looked up."""
MAX_AGENT = 200
"""Characters of a client's ``User-Agent`` that are kept."""
NOBODY = ClientInfo()
OUTDATED = "The login has expired: begin again with the password."
T = TypeVar("T")


class Sessions:
    """The sessions of a service: rules over a ``SessionStore``.

    ``attempts`` limits logins, by default to the ``login_attempts`` of the settings, counted in the store.
    ``keyed`` sessions have a key for signatures.
    """

    def __init__(
        self,
        store: SessionStore,
        accounts: Accounts,
        settings: Settings,
        *,
        attempts: Attempts | None = None,
        keyed: bool = False,
        on_end: OnEnd | None = None,
        second_factor: SecondFactor | None = None,
    ) -> None:
        self.store = store
        self.second_factor = second_factor
        self.accounts = accounts
        self.audit = accounts.audit
        self.attempts = attempts or Throttle(store, settings.login_attempts)
        self.ends = Ends(store, on_end)
        self._saves = SessionSaves(store)
        self._keyed = keyed
        self._most = settings.max_sessions
        self._lifetimes = Lifetimes(store, settings)

    @waits_in_threads
    async def log_in(
        self,
        user_id: str,
        password: str | None,
        client: ClientInfo,
        *,
        shown: str | None = None,
        device: str | None = None,
        second_factor: bool = True,
    ) -> UserSession:
        """A new session, if the password is right. Raises ``InvalidCredentials``, ``TooManyAttempts``.

        ``shown`` is the id of the session that the client has until now. Raises ``SecondFactorRequired`` if
        the account has a second factor and the ``device`` is none that is remembered, unless
        ``second_factor=False``.
        """
        session_key = "" if shown is None else _key(shown)
        with self.audit.refusals(Action.LOGIN_FAILED, client=client):
            async with self.attempts.attempt(normal_user_id(user_id), client.address, session_key):
                account = await self.accounts.verify(user_id, password)

            async def still() -> None:
                if not await self.accounts.is_current(account):  # it was changed, or rehashed
                    await self.accounts.verify(user_id, password)

            if second_factor:
                await self._require_second_factor(account.user_id, device, still)
            session = await self._create_if(account.user_id, client, still)
        self.audit.record(Action.LOGIN, account.user_id, client, how="password")
        return session

    @waits_in_threads
    async def log_in_known(
        self,
        user_id: str,
        client: ClientInfo,
        *,
        device: str | None = None,
        second_factor: bool = True,
        require: Callable[[], Awaitable[None]] | None = None,
    ) -> UserSession:
        """A new session of a user whom the caller has checked. Raises ``InvalidCredentials`` without account.

        It looks at the account once more, as it may be deleted meanwhile, and another one be in its place.
        ``require`` is asked then, too, and what it raises ends the login. ``device`` and ``second_factor``
        are those of ``log_in``: whatever the caller has checked, it is not the second factor.
        """
        account = await self.accounts.get(user_id)
        if account is None:
            raise InvalidCredentials

        async def still() -> None:
            now = await self.accounts.of_session(account.user_id)
            if now is None or now.birth != account.birth:
                raise InvalidCredentials
            if require is not None:
                await require()

        if second_factor:
            await self._require_second_factor(account.user_id, device, still)
        session = await self._create_if(account.user_id, client, still)
        self.audit.record(Action.LOGIN, account.user_id, client, how="service")
        return session

    @waits_in_threads
    async def finish_log_in(
        self, ticket: str, code: str, client: ClientInfo, *, remember: bool = False
    ) -> UserSession:
        """The session of a login that has shown the second factor as well.

        With ``remember`` it has a ``device_token``. Raises ``NotAuthorized`` for a ticket that has expired or
        is used up, ``InvalidCredentials`` for a wrong code, and ``TooManyAttempts``.
        """
        second = self.second_factor
        found = None if second is None else await second.tickets.find(ticket)
        if second is None or found is None:
            raise NotAuthorized(OUTDATED)
        user_id = found.user_id
        with self.audit.refusals(Action.LOGIN_FAILED, user_id, client=client):
            checked = await self.check_second_factor(user_id, code, client)
        async with checked.use.given_back_unless_done():

            async def require_mark() -> None:
                if await second.mark(user_id) != found.mark:
                    raise NotAuthorized(OUTDATED)

            async def spend() -> None:  # last, so that whoever has got no session shows the ticket again
                await require_mark()
                if not await second.tickets.spend(found):
                    raise NotAuthorized(OUTDATED)

            await require_mark()
            session = await self._create_if(user_id, client, spend)
            if remember:
                session.device_token = await self._remember(second, found, client)
        how = "second_factor" if checked.left is None else "recovery_code"
        self.audit.record(Action.LOGIN, user_id, client, how=how)
        return session

    async def check_second_factor(self, user_id: str, code: str, client: ClientInfo) -> Checked:
        """Use a code of the second factor up. Raises ``InvalidCredentials`` and ``TooManyAttempts``."""
        if self.second_factor is None:
            raise InvalidCredentials
        async with AsyncExitStack() as following, self.attempts.second_step(user_id, client.address):
            checked = await self.second_factor.check(user_id, code)
            # The end of the attempt may fail as well, and the caller would have no use to give back.
            await following.enter_async_context(checked.use.given_back_unless_done())
        if checked.left is not None:
            self.audit.record(Action.RECOVERY_CODE_USED, user_id, client, left=checked.left)
        return checked

    @waits_in_threads
    async def create(self, user_id: str = "", client: ClientInfo = NOBODY) -> UserSession:
        """A new session with a random id; anonymous without a user id.

        If the user has more than ``max_sessions`` now, the oldest end. Raises ``Unavailable`` while the
        user's account is being changed, which ends all sessions.
        """
        session = await self.add(user_id, client)
        if user_id:
            if await is_account_changing(self.store, user_id):
                await self.store.remove_session(session.record.key)  # if that fails, nobody knows its id
                raise Unavailable("The user's account is being changed: try again in a minute.")
            await self._end_surplus(session.record)
        return session

    async def add(self, user_id: str, client: ClientInfo) -> UserSession:
        """A new session, even while the user's account is being changed."""
        session_id = secrets.token_urlsafe(32)
        now = time.time()
        key = secrets.token_bytes(32) if self._keyed else b""
        record = Session(
            _key(session_id),
            user_id,
            now,
            self._lifetimes.end_of_new(user_id, now),
            EMPTY,
            signing_key=key,
            seen=now,
            address=client.address,
            agent=client.agent[:MAX_AGENT],
        )
        await self.store.add_session(record)
        return UserSession(self, session_id, record, is_new=True)

    async def load(self, session_id: str) -> UserSession | None:
        """The session of an id, renewed if due; None if it is unknown, ended or expired."""
        if not isinstance(session_id, str) or not 0 < len(session_id) <= MAX_SESSION_ID:
            return None
        record = await self.store.get_session(_key(session_id))
        if record is None:
            return None
        session = UserSession(self, session_id, record)
        if self._lifetimes.is_due(record) and not await self._lifetimes.renew(session):
            return None
        return session

    @waits_in_threads
    async def end(self, session: UserSession) -> None:
        """End a session; a save in progress comes too late."""
        await self.ends.end(session.record.key)

    @waits_in_threads
    async def end_others(self, session: UserSession) -> int:
        """End the other sessions of a session's user; returns how many there were."""
        if not session.user_id:
            return 0  # anonymous sessions belong to strangers
        return await self._end_all(session.user_id, session.record.key)

    @waits_in_threads
    async def end_one(self, session: UserSession, handle: str) -> bool:
        """End the session that has this handle, of the same user; False if it doesn't exist."""
        for record in await self.store.list_sessions(session.user_id):
            if handle_of(record.key) == handle:
                with self.audit.recording(Action.SESSION_ENDED, session.user_id) as happening:
                    happening.happened = await self.ends.end(record.key)
                return happening.happened
        return False

    @waits_in_threads
    async def end_all(self, user_id: str) -> int:
        """End the sessions of a user, and close their sockets in every process; returns how many there were.

        Raises ``Unavailable``, if perhaps not all of them have ended.
        """
        return await self._end_all(await self._stored_as(user_id))

    @waits_in_threads
    async def describe_all(self, session: UserSession) -> Sequence[dict[str, Any]]:
        """What a user may know about all of their sessions, the oldest first."""
        records = await self.store.list_sessions(session.user_id)
        return [{**_described(record), "current": record.key == session.record.key} for record in records]

    @waits_in_threads
    async def list(self, user_id: str) -> Sequence[dict[str, Any]]:
        """The sessions of a user, the oldest first, as ``account.sessions`` shows them; 1,000 at most.

        Each is a dict of its ``handle``, the Unix times ``created``, ``seen`` and ``expires``, and the
        ``address`` and ``agent`` of the client that has made it.
        """
        stored_as = await self._stored_as(user_id)
        return [_described(record) for record in await self.store.list_sessions(stored_as)]

    async def save(self, session: UserSession, change: Callable[[dict[str, Any]], T]) -> T:
        """Write a session's changed keys and what ``change`` does, as one step; returns ``change``'s result.

        Raises ``InvalidSessionID`` if the session has ended.
        """
        return await self._saves.save(session, change)

    async def refresh(self, session: UserSession) -> None:
        """Read a session again; unsaved changes are dropped."""
        session.reset(await self._saves.read(session.record.key))

    async def _require_second_factor(
        self, user_id: str, device: str | None, still: Callable[[], Awaitable[None]]
    ) -> None:
        """Raise ``SecondFactorRequired`` if the login needs a second step, or else what ``still`` raises."""
        if self.second_factor is None:
            return
        try:
            await self.second_factor.require(user_id, device)
        except SecondFactorRequired:
            await still()  # its ticket is for the account as it is now, perhaps with another password
            raise

    async def _create_if(
        self, user_id: str, client: ClientInfo, still: Callable[[], Awaitable[None]]
    ) -> UserSession:
        """A new session, which ends if ``still`` raises something.

        What was checked before may have changed meanwhile, which ended all sessions but this.
        """
        session = await self.create(user_id, client)
        try:
            await still()
        except BaseException:
            await self.end(session)
            raise
        return session

    async def _remember(self, second: SecondFactor, ticket: Ticket, client: ClientInfo) -> str | None:
        """The token of a device; None if it cannot be stored, as the login has succeeded all the same."""
        try:
            return await second.devices.remember(ticket.user_id, ticket.mark, client)
        except Unavailable as exc:
            logger.warning("a device cannot be remembered: %s", described(exc.__cause__ or exc))
            return None

    async def _end_all(self, user_id: str, keep: str = "") -> int:
        with self.audit.recording(Action.SESSIONS_ENDED, user_id) as happening:
            ended = await self.ends.end_all(user_id, keep)
            happening.details["count"] = ended
            happening.happened = ended > 0
        return ended

    async def _stored_as(self, user_id: str) -> str:
        """The user id that the sessions have. Raises ``InvalidParameters`` for that of anonymous ones."""
        found = known_as(user_id)[-1]
        if found != user_id and (account := await self.accounts.get(user_id)) is not None:
            found = account.user_id
        if not found:
            raise InvalidParameters("user_id must not be empty: anonymous sessions belong to strangers.")
        return found

    async def _end_surplus(self, newest: Session) -> None:
        """End sessions that the user has too many of: a bounded number, if there are thousands."""
        try:
            for key in await self.store.surplus_sessions(newest.user_id, self._most - 1, newest.key):
                await self.ends.end(key)
        except Unavailable as exc:  # the next login tries again
            reason = described(exc.__cause__ or exc)
            logger.warning("more sessions of a user than max_sessions could not be ended: %s", reason)


def _key(session_id: str) -> str:
    return hashlib.sha256(session_id.encode(errors="surrogatepass")).hexdigest()


def _described(record: Session) -> dict[str, Any]:
    return {
        "handle": handle_of(record.key),
        "created": record.created,
        "seen": record.seen,
        "expires": record.expires,
        "address": record.address,
        "agent": record.agent,
    }
