"""The ends of sessions: in the store, and told to whoever has to know of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from toto_aio.stores import SessionStore

OnEnd = Callable[[dict[str, str]], Awaitable[None]]
"""Called when sessions end: with a ``key``, or with a ``user_id`` and the key of the session to ``keep``."""


class Ends:
    """Ends sessions in a store, and tells ``on_end``, which closes their sockets in every process."""

    def __init__(self, store: SessionStore, on_end: OnEnd | None = None) -> None:
        self.store = store
        self._on_end = on_end

    async def end(self, key: str) -> bool:
        """End the session with this key; False if it doesn't exist, which is told as well."""
        existed = await self.store.remove_session(key)
        await self.tell({"key": key})
        return existed

    async def end_all(self, user_id: str, keep: str = "") -> int:
        """End the sessions of a user, except the one whose key is ``keep``; returns how many there were."""
        ended = await self.store.remove_sessions(user_id, keep=keep)
        if ended:
            await self.tell({"user_id": user_id, "keep": keep})
        return ended

    async def tell(self, end: dict[str, str]) -> None:
        """Tell of an end that is in the store already."""
        if self._on_end is not None:
            await self._on_end(end)
