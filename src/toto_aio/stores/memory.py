"""``memory://``: accounts and sessions in this process, lost when it ends. For tests and trials."""

from __future__ import annotations

import time
from collections.abc import Mapping
from copy import deepcopy
from heapq import nlargest, nsmallest
from typing import Any

from msgspec.structs import replace

from toto_aio.exceptions import UserIDExists
from toto_aio.models import Account, Record, Session
from toto_aio.stores import portions
from toto_aio.stores.transactions import NoTransactions


async def from_url(url: str) -> MemoryStore:
    """Return a new, empty store."""
    return MemoryStore()


class MemoryStore:
    """A store in dictionaries. No method awaits anything, so each is atomic on the event loop."""

    db = None
    transactions = NoTransactions(
        "This database keeps no tables and has no transactions: write database=sqlite:///toto.db"
    )

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}
        self._sessions: dict[str, Session] = {}
        self._counters: dict[str, tuple[int, float]] = {}
        self._records: dict[tuple[str, str], Record] = {}

    async def close(self) -> None:
        pass

    async def get_account(self, user_id: str) -> Account | None:
        return deepcopy(self._accounts.get(user_id))

    async def add_account(self, account: Account) -> None:
        if account.user_id in self._accounts:
            raise UserIDExists
        self._accounts[account.user_id] = deepcopy(account)

    async def update_account(self, user_id: str, changes: Mapping[str, Any]) -> bool:
        account = self._accounts.get(user_id)
        if account is None:
            return False
        account.values.update(deepcopy(dict(changes)))
        account.version += 1
        return True

    async def replace_password(self, user_id: str, old: str | None, new: str) -> bool:
        account = self._accounts.get(user_id)
        if account is None or account.password != old:
            return False
        account.password = new
        account.version += 1
        return True

    async def remove_account(self, user_id: str) -> bool:
        return self._accounts.pop(user_id, None) is not None

    async def list_accounts(self, after: str, limit: int) -> list[Account]:
        # The order of characters is that of their bytes in UTF-8.
        user_ids = nsmallest(limit, (user_id for user_id in self._accounts if user_id > after))
        return [deepcopy(self._accounts[user_id]) for user_id in user_ids]

    async def get_session(self, key: str) -> Session | None:
        session = self._unexpired(key)
        return None if session is None else replace(session)

    async def add_session(self, session: Session) -> None:
        self._sessions[session.key] = replace(session)

    async def save_session(self, session: Session) -> bool:
        stored = self._unexpired(session.key)
        if stored is None or stored.version != session.version:
            return False
        stored.state = session.state
        stored.version += 1
        return True

    async def touch_session(self, key: str, expires: float, seen: float) -> bool:
        session = self._unexpired(key)
        if session is None:
            return False
        session.expires, session.seen = expires, seen
        return True

    async def list_sessions(self, user_id: str, limit: int = 1000) -> list[Session]:
        found = nlargest(limit, self._of_user(user_id), key=lambda session: session.expires)
        found.sort(key=lambda session: session.created)
        return [replace(session, state=b"") for session in found]

    async def surplus_sessions(self, user_id: str, most: int, keep: str) -> list[str]:
        others = [session for session in self._of_user(user_id) if session.key != keep]
        others.sort(key=lambda session: session.created, reverse=True)
        return [session.key for session in others[most : most + portions.SURPLUS]]

    async def remove_session(self, key: str) -> bool:
        exists = self._unexpired(key) is not None
        self._sessions.pop(key, None)
        return exists

    async def remove_sessions(self, user_id: str, keep: str | None = None) -> int:
        found = [session.key for session in self._of_user(user_id) if session.key != keep]
        for key in found:
            del self._sessions[key]
        return len(found)

    async def increment(self, key: str, ttl: float, by: int = 1) -> int:
        now = time.time()
        count, expires = self._counters.get(key, (0, 0.0))
        if expires <= now:
            count, expires = 0, now + ttl
        if count + by >= 0:
            count += by
        self._counters[key] = (count, expires)
        return count

    async def get_counter(self, key: str) -> tuple[int, float]:
        count, expires = self._counters.get(key, (0, 0.0))
        left = expires - time.time()
        return (count, left) if left > 0 else (0, 0.0)

    async def add_once(self, key: str, ttl: float) -> bool:
        return await self.increment(key, ttl) == 1

    async def get_record(self, kind: str, key: str) -> Record | None:
        record = self._unexpired_record(kind, key)
        return None if record is None else replace(record)

    async def add_record(self, record: Record) -> bool:
        if self._unexpired_record(record.kind, record.key) is not None:
            return False
        self._records[record.kind, record.key] = replace(record)
        return True

    async def put_record(self, record: Record) -> None:
        stored = self._unexpired_record(record.kind, record.key)
        version = record.version if stored is None else stored.version + 1
        self._records[record.kind, record.key] = replace(record, version=version)

    async def save_record(self, record: Record) -> bool:
        stored = self._unexpired_record(record.kind, record.key)
        if stored is None or stored.version != record.version:
            return False
        stored.value, stored.expires = record.value, record.expires
        stored.version += 1
        return True

    async def remove_record(self, kind: str, key: str, version: int | None = None) -> bool:
        stored = self._unexpired_record(kind, key)
        if stored is None or version not in (None, stored.version):
            return False
        del self._records[kind, key]
        return True

    async def list_records(self, owner: str, kind: str, after: str = "", limit: int = 100) -> list[Record]:
        now = time.time()
        found = (
            record
            for record in self._records.values()
            if (record.owner, record.kind) == (owner, kind) and record.key > after and record.expires > now
        )
        return [replace(record) for record in nsmallest(limit, found, key=lambda record: record.key)]

    async def remove_records(self, owner: str, kind: str | None = None) -> int:
        now = time.time()
        found = [
            record
            for record in self._records.values()
            if record.owner == owner and kind in (None, record.kind)
        ]
        for record in found:
            del self._records[record.kind, record.key]
        return sum(record.expires > now for record in found)

    async def sweep(self) -> int:
        now = time.time()
        records = [name for name, record in self._records.items() if record.expires <= now]
        for name in records:
            del self._records[name]
        sessions = [key for key, session in self._sessions.items() if session.expires <= now]
        counters = [key for key, (_, expires) in self._counters.items() if expires <= now]
        for key in sessions:
            del self._sessions[key]
        for key in counters:
            del self._counters[key]
        return len(sessions) + len(counters) + len(records)

    def _of_user(self, user_id: str) -> list[Session]:
        unexpired = (self._unexpired(key) for key in list(self._sessions))
        return [session for session in unexpired if session and session.user_id == user_id]

    def _unexpired_record(self, kind: str, key: str) -> Record | None:
        record = self._records.get((kind, key))
        if record is not None and record.expires <= time.time():
            del self._records[kind, key]
            return None
        return record

    def _unexpired(self, key: str) -> Session | None:
        session = self._sessions.get(key)
        if session is not None and session.expires <= time.time():
            del self._sessions[key]
            return None
        return session
