"""The rules of sessions: ids, lifetimes and renewal, and saving without losing what others wrote.

A session id is 32 random bytes that only its client has; the store keeps its SHA-256, so that nobody who
reads the database can take over a session.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from msgspec.structs import replace

from toto_aio.auth.accounts import Accounts, UserAccount
from toto_aio.auth.change_marker import is_password_changing
from toto_aio.auth.session_state import EMPTY, apply, difference, pack, unpack
from toto_aio.auth.throttle import Attempts, Throttle
from toto_aio.auth.user_ids import normal_user_id
from toto_aio.exceptions import InvalidSessionID, Unavailable, described
from toto_aio.models import ClientInfo, Session
from toto_aio.settings import Settings
from toto_aio.signing import Signer
from toto_aio.stores import SessionStore
from toto_aio.threads import waits_in_threads

logger = logging.getLogger(__name__)

MAX_SESSION_ID = 256
"""The most characters of a session id; no longer one was ever issued, so none is looked up."""
MAX_AGENT = 200
"""Characters of a client's ``User-Agent`` that are kept."""
NOBODY = ClientInfo()
RENEWAL_PAUSE = 10.0
"""Seconds without a renewal after one that could not be written, so that few requests wait for that."""
SAVE_LIMIT = 5.0
"""Seconds that a save competes with others before it gives up."""

T = TypeVar("T")


OnEnd = Callable[[dict[str, str]], Awaitable[None]]
"""Called when sessions end: with a ``key``, or with a ``user_id`` and the key of the session to ``keep``."""


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
    ) -> None:
        self.store = store
        self.accounts = accounts
        self.attempts = attempts or Throttle(store, settings.login_attempts)
        self._on_end = on_end
        self._keyed = keyed
        self._max_ttl = settings.session_max_ttl
        self._lifetimes = {
            False: (settings.session_ttl, settings.session_renew),
            True: (settings.anon_session_ttl, settings.anon_session_renew),
        }
        self._no_renewal_before = 0.0
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @waits_in_threads
    async def log_in(
        self, user_id: str, password: str | None, client: ClientInfo, *, shown: str | None = None
    ) -> UserSession:
        """A new session, if the password is right. Raises ``InvalidCredentials``, ``TooManyAttempts``.

        ``shown`` is the id of the session that the client has until now.
        """
        session_key = "" if shown is None else _key(shown)
        async with self.attempts.attempt(normal_user_id(user_id), client.address, session_key):
            account = await self.accounts.verify(user_id, password)
        session = await self.create(account.user_id, client)
        if not await self.accounts.is_current(account):
            # The password was changed meanwhile, which ended all sessions except this one; or it was
            # rehashed.
            try:
                await self.accounts.verify(user_id, password)
            except BaseException:
                await self.end(session)
                raise
        return session

    @waits_in_threads
    async def create(self, user_id: str = "", client: ClientInfo = NOBODY) -> UserSession:
        """A new session with a random id; anonymous without a user id.

        Raises ``Unavailable`` while the user's password is being changed, which ends all sessions.
        """
        session = await self.add(user_id, client)
        if user_id and await is_password_changing(self.store, user_id):
            await self.store.remove_session(session.record.key)  # if that fails, nobody knows its id
            raise Unavailable("The user's password is being changed: try again in a minute.")
        return session

    async def add(self, user_id: str, client: ClientInfo) -> UserSession:
        """A new session, even while the user's password is being changed."""
        session_id = secrets.token_urlsafe(32)
        now = time.time()
        ttl, _ = self._lifetimes[not user_id]
        key = secrets.token_bytes(32) if self._keyed else b""
        expires = now + min(ttl, self._max_ttl)
        record = Session(
            _key(session_id),
            user_id,
            now,
            expires,
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
        ttl, renew = self._lifetimes[not record.user_id]
        now = time.time()
        if record.expires - now < (renew or ttl * 0.99):
            expires = min(now + ttl, record.created + self._max_ttl)
            if expires > record.expires and not await self._renew(session, expires, now):
                return None
        return session

    @waits_in_threads
    async def end(self, session: UserSession) -> None:
        """End a session; a save in progress comes too late."""
        await self.store.remove_session(session.record.key)
        await self._tell({"key": session.record.key})

    @waits_in_threads
    async def end_others(self, session: UserSession) -> int:
        """End the other sessions of a session's user; returns how many there were."""
        if not session.user_id:
            return 0  # anonymous sessions belong to strangers
        ended = await self.store.remove_sessions(session.user_id, keep=session.record.key)
        if ended:
            await self._tell({"user_id": session.user_id, "keep": session.record.key})
        return ended

    @waits_in_threads
    async def end_one(self, session: UserSession, handle: str) -> bool:
        """End the session that has this handle, of the same user; False if it doesn't exist."""
        for record in await self.store.list_sessions(session.user_id):
            if _handle(record.key) == handle:
                ended = await self.store.remove_session(record.key)
                await self._tell({"key": record.key})
                return ended
        return False

    @waits_in_threads
    async def describe_all(self, session: UserSession) -> list[dict[str, Any]]:
        """What a user may know about all of their sessions, the oldest first."""
        return [
            {
                "handle": _handle(record.key),
                "created": record.created,
                "seen": record.seen,
                "expires": record.expires,
                "address": record.address,
                "agent": record.agent,
                "current": record.key == session.record.key,
            }
            for record in await self.store.list_sessions(session.user_id)
        ]

    async def save(self, session: UserSession, change: Callable[[dict[str, Any]], T]) -> T:
        """Write a session's changed keys and what ``change`` does, as one step; returns ``change``'s result.

        Optimistic locking: a write counts only if the stored version is the one that was read, otherwise it
        is repeated on the newer one. The tasks of this process queue for a session, so that only processes
        compete. Raises ``InvalidSessionID`` if the session has ended.
        """
        key = session.record.key
        lock = self._locks.get(key)
        if lock is None:
            self._locks[key] = lock = asyncio.Lock()
        try:
            # The limit includes the wait for other tasks: with the database away, each would add its own
            # limit.
            async with asyncio.timeout(SAVE_LIMIT) as limit, lock:
                record = session.record
                before = pack(session.state)
                changed, removed = difference(unpack(record.state), unpack(before))
                changes = pack(changed)  # a repetition must not see what ``change`` did to them before
                deadline = time.monotonic() + SAVE_LIMIT
                while True:
                    state = apply(unpack(record.state), unpack(changes), removed)
                    result = change(state)
                    written = replace(record, state=pack(state))
                    if await self.store.save_session(written):
                        written.version += 1
                        session.settle(written, unpack(before))
                        return result
                    if time.monotonic() > deadline:
                        raise Unavailable("The session is being changed too often.")
                    await asyncio.sleep(random.uniform(0, 0.005))  # noqa: S311  # jitter, not a secret
                    record = await self._read(key)
        except TimeoutError as exc:
            if not limit.expired():
                raise  # it came from ``change``
            raise Unavailable from exc

    async def refresh(self, session: UserSession) -> None:
        """Read a session again; unsaved changes are dropped."""
        session.reset(await self._read(session.record.key))

    async def _renew(self, session: UserSession, expires: float, now: float) -> bool:
        """Extend a session's lifetime, if that can be written; returns False if the session has ended.

        A database that only answers reads, as on a full disk or a replica, doesn't log anybody out: the
        session is used as it is, and renewed by a later request.
        """
        if time.monotonic() < self._no_renewal_before:
            return True
        try:
            if not await self.store.touch_session(session.record.key, expires, now):
                return False
        except Unavailable as exc:
            self._no_renewal_before = time.monotonic() + RENEWAL_PAUSE
            reason = described(exc.__cause__ or exc)
            logger.warning("sessions cannot be renewed, and are used as they are: %s", reason)
            return True
        session.record.expires, session.record.seen = expires, now
        session.renewed = True
        return True

    async def _tell(self, end: dict[str, str]) -> None:
        if self._on_end is not None:
            await self._on_end(end)

    async def _read(self, key: str) -> Session:
        record = await self.store.get_session(key)
        if record is None:
            raise InvalidSessionID
        return record


class UserSession:
    """A session as a method sees it, ``handler.session``, with dictionary access to its ``state``.

    A missing key reads as None. Changes are kept here until ``save``. This is not a ``Mapping``, because the
    ``update`` of a mapping means something else.
    """

    def __init__(self, sessions: Sessions, session_id: str, record: Session, *, is_new: bool = False) -> None:
        self.is_new = is_new
        """Whether this request created it."""
        self.renewed = False
        """Whether this request extended its lifetime."""
        self.hides_id = False
        """Whether a browser's cookie keeps the id, which then is in no response."""
        self.session_id = session_id
        self.record = record
        self._sessions = sessions
        self._state: dict[str, Any] | None = None

    @property
    def user_id(self) -> str:
        """The user that the session belongs to; "" if it is anonymous."""
        return self.record.user_id

    @property
    def expires(self) -> float:
        """When it expires if it isn't renewed, in Unix seconds."""
        return self.record.expires

    @property
    def state(self) -> dict[str, Any]:
        """The data of the session: plain values under string keys."""
        if self._state is None:
            self._state = unpack(self.record.state)
        return self._state

    @waits_in_threads
    async def save(self) -> None:
        """Write the changed keys; what another request wrote to other keys is kept.

        Raises ``InvalidSessionID`` if the session has ended, ``TypeError`` for a value that isn't plain data.
        """
        await self._sessions.save(self, lambda state: None)

    save_state = save

    @waits_in_threads
    async def update(self, change: Callable[[dict[str, Any]], T]) -> T:
        """Change the stored state in one step: ``await session.update(lambda state: ...)``.

        ``change`` is called with the newest state, and again whenever another writer came first; its last
        result is returned. Unsaved changes are written too.
        """
        return await self._sessions.save(self, change)

    @waits_in_threads
    async def refresh(self) -> None:
        """Read the session again and drop unsaved changes. Raises ``InvalidSessionID`` if it has ended."""
        await self._sessions.refresh(self)

    @waits_in_threads
    async def get_account(self) -> UserAccount | None:
        """The account of the session's user; None if the session is anonymous or the account is gone."""
        return await self._sessions.accounts.of_session(self.user_id) if self.user_id else None

    def describe(self) -> dict[str, Any]:
        """The session as responses have it; a new session includes its key, if it has one.

        The id is left out if a cookie keeps it: no script of a page may read it.
        """
        described = {"session_id": self.session_id, "expires": self.expires, "user_id": self.user_id}
        if self.hides_id:
            del described["session_id"]
        if self.is_new and self.record.signing_key:
            described["key"] = self.signer.key_text
        return described

    @property
    def handle(self) -> str:
        """Identifies the session to its user where the id must not be shown."""
        return _handle(self.record.key)

    @property
    def signer(self) -> Signer:
        """What a signature scheme may use of it."""
        return Signer(self.session_id, self.user_id, self.record.signing_key)

    def settle(self, record: Session, before: dict[str, Any]) -> None:
        """Take over the stored record; what has changed since ``before`` remains an unsaved change."""
        changed, removed = difference(before, self.state)
        self.reset(record)
        apply(self.state, changed, removed)

    def reset(self, record: Session) -> None:
        """Take over the stored record, and drop unsaved changes."""
        state = unpack(record.state)
        self.record = record
        self.state.clear()
        self.state.update(state)

    def __getitem__(self, name: str) -> Any:
        return self.state.get(name)

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a key, or ``default``."""
        return self.state.get(name, default)

    def __setitem__(self, name: str, value: Any) -> None:
        self.state[name] = value

    def __delitem__(self, name: str) -> None:
        self.state.pop(name, None)  # like a missing key that is read, as in Toto

    def __iter__(self) -> Iterator[str]:
        return iter(self.state)

    def __contains__(self, name: object) -> bool:
        return name in self.state


def _key(session_id: str) -> str:
    return hashlib.sha256(session_id.encode(errors="surrogatepass")).hexdigest()


def _handle(key: str) -> str:
    return key[:16]
