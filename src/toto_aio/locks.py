"""``Locks``: a lock for each of any number of keys."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary


class Locks:
    """The lock of each key, which is forgotten when nobody has it or waits for it."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def __getitem__(self, key: str) -> asyncio.Lock:
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        return lock
