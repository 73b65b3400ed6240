"""The API keys of accounts: made, listed, revoked, and looked up when a program shows one."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from toto_aio.auth.api_key import KIND, ApiKey, hash_of, new_api_key, read_name, read_scopes
from toto_aio.auth.audit import Action
from toto_aio.auth.change_marker import is_account_changing
from toto_aio.auth.key_session import KeySession
from toto_aio.auth.sessions import Sessions
from toto_aio.auth.user_account import UserAccount
from toto_aio.auth.user_session import handle_of
from toto_aio.exceptions import InvalidParameters, InvalidUserID, NotAuthorized, Unavailable, described
from toto_aio.models import NEVER, Record
from toto_aio.stores import RecordStore
from toto_aio.stores.records import NoRecords
from toto_aio.threads import waits_in_threads

__all__ = ["ApiKeys"]

logger = logging.getLogger(__name__)

MAX_KEYS = 100
"""The most keys of an account."""
ENDING = 4
"""The last characters of a key that are stored readably: 228 of its random bits remain."""
SEEN_EVERY = 3600.0
"""Seconds between two writes of when a key was last used, so that a use costs one read."""
PAUSE = 10.0
"""Seconds without such a write after one that failed."""


class ApiKeys:
    """The API keys of a service: rules over a ``RecordStore``.

    A key stands for its account, with its roles, in the methods that its scopes name. It is shown once.
    """

    def __init__(self, store: RecordStore, sessions: Sessions) -> None:
        self._store = store
        self._sessions = sessions
        self._no_write_before = 0.0

    @waits_in_threads
    async def create(
        self, user_id: str, name: str, scopes: Sequence[str], *, expires: float | None = None
    ) -> dict[str, Any]:
        """Make a key of an account: what ``list`` has of it, and the ``key`` itself, which nobody sees again.

        ``scopes`` are names of methods such as ``notes.add``, ``notes.*``, or ``*``; ``expires`` is in Unix
        seconds, and None is never. Check before that the caller may do so. Raises ``InvalidUserID`` without
        account, ``InvalidParameters``, and ``Unavailable``, also while the account is being changed.
        """
        wanted, allowed = read_name(name), read_scopes(scopes)
        until = _end(expires)
        account = await self._sessions.accounts.get(user_id)
        if account is None:
            raise InvalidUserID("There is no such account.")
        owner = account.user_id
        await self._require_room(owner, MAX_KEYS - 1)
        secret = new_api_key()
        kept = ApiKey(wanted, allowed, time.time(), secret[-ENDING:])
        record = Record(KIND, hash_of(secret), owner, msgspec.msgpack.encode(kept), until)
        await self._store.add_record(record)
        try:
            await self._require_kept(account)
            await self._require_room(owner, MAX_KEYS)
        except BaseException:
            await self._store.remove_record(KIND, record.key)  # if that fails, nobody knows the key
            raise
        self._sessions.audit.record(Action.KEY_CREATED, owner, name=wanted, scopes=allowed)
        return {"key": secret, **_described(record, kept)}

    @waits_in_threads
    async def list(self, user_id: str) -> Sequence[dict[str, Any]]:
        """The keys of an account, the oldest first: dicts without the keys themselves.

        Each has its ``handle`` and ``name``, its ``scopes``, the Unix times ``created``, ``seen`` (to within
        an hour; None if never) and ``expires`` (None if never), and the last characters, ``ending``.
        """
        found = [(record, _read(record)) for record in await self._records(user_id)]
        return [_described(*each) for each in sorted(found, key=lambda each: each[1].created)]

    @waits_in_threads
    async def revoke(self, user_id: str, handle: str) -> bool:
        """End the key of an account that has this handle, and close its sockets in every process.

        Returns False if there is none.
        """
        for record in await self._records(user_id):
            if handle_of(record.key) == handle:
                return await self._revoke(record)
        return False

    @waits_in_threads
    async def revoke_all(self, user_id: str) -> int:
        """End all keys of an account, and close their sockets in every process; how many there were."""
        return sum([await self._revoke(record) for record in await self._records(user_id)])

    async def load(self, key_hash: str) -> KeySession | None:
        """What stands for a session where the key with this hash is shown; None if there is no such key."""
        if isinstance(self._store, NoRecords):  # a store of the author's, which has no keys
            return None
        record = await self._store.get_record(KIND, key_hash)
        if record is None:
            return None
        key = _read(record)
        now = time.time()
        if now - key.seen >= SEEN_EVERY:
            await self._see(record, replace(key, seen=now))
        return KeySession(self._sessions, self.expiry, record, key)

    async def expiry(self, key_hash: str) -> float | None:
        """When a key expires; None if it has, or was revoked."""
        record = await self._store.get_record(KIND, key_hash)
        return None if record is None else record.expires

    async def _records(self, user_id: str) -> Sequence[Record]:
        account = await self._sessions.accounts.get(user_id)
        owner = user_id if account is None else account.user_id
        found: list[Record] = []
        while True:  # more than MAX_KEYS if processes that made one were killed before they had counted it
            page = await self._store.list_records(owner, KIND, found[-1].key if found else "", MAX_KEYS)
            found += page
            if len(page) < MAX_KEYS:
                return found

    async def _revoke(self, record: Record) -> bool:
        name = _read(record).name
        with self._sessions.audit.recording(Action.KEY_REVOKED, record.owner, name=name) as happening:
            happening.happened = await self._store.remove_record(KIND, record.key)
            await self._sessions.ends.tell({"key": record.key})
        return happening.happened

    async def _require_kept(self, account: UserAccount) -> None:
        """Refuse a key whose account has been deleted since, which has removed all keys except this one."""
        if await is_account_changing(self._sessions.store, account.user_id):
            raise Unavailable("The user's account is being changed: try again in a minute.")
        now = await self._sessions.accounts.of_session(account.user_id)
        if now is None or now.birth != account.birth:
            raise NotAuthorized

    async def _require_room(self, owner: str, most: int) -> None:
        """Refuse a key beyond the most; counted once more when it is stored, as several come at a time."""
        if len(await self._store.list_records(owner, KIND, limit=most + 1)) > most:
            raise InvalidParameters(f"An account has at most {MAX_KEYS} API keys: revoke one.")

    async def _see(self, record: Record, key: ApiKey) -> None:
        """Write when a key was used, if that can be written: nobody else has to know."""
        if time.monotonic() < self._no_write_before:
            return
        try:
            await self._store.save_record(replace(record, value=msgspec.msgpack.encode(key)))
        except Unavailable as exc:
            self._no_write_before = time.monotonic() + PAUSE
            reason = described(exc.__cause__ or exc)
            logger.warning("when API keys are used cannot be written: %s", reason)


def _end(expires: object) -> float:
    """When a key expires, as it is stored. Raises ``InvalidParameters``."""
    if expires is None:
        return NEVER
    if isinstance(expires, str):  # as in a form
        try:
            expires = float(expires)
        except ValueError:
            expires = math.nan
    if isinstance(expires, bool) or not isinstance(expires, int | float) or not time.time() < expires < NEVER:
        raise InvalidParameters("expires: write a time that is to come, in Unix seconds.")
    return float(expires)


def _read(record: Record) -> ApiKey:
    return msgspec.msgpack.decode(record.value, type=ApiKey)


def _described(record: Record, key: ApiKey) -> dict[str, Any]:
    return {
        "handle": handle_of(record.key),
        "name": key.name,
        "scopes": key.scopes,
        "created": key.created,
        "seen": key.seen or None,
        "expires": None if record.expires == NEVER else record.expires,
        "ending": key.ending,
    }
