"""Who is present in the channels of ``memory://``: the clients of one process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from toto_aio.channels import Channel

Tell = Callable[[str, bytes], None]


class MemoryPresence:
    """The clients of one process. ``joined`` and ``left`` are called in the loop's next turn."""

    def __init__(self, joined: Tell, left: Tell) -> None:
        self._joined = joined
        self._left = left
        self._rooms: dict[str, dict[str, tuple[bytes, bool]]] = {}
        self._loop = asyncio.get_running_loop()

    def enter(self, name: str, client: str, member: bytes, rules: Channel) -> None:
        """As ``Presence.enter``."""
        room = self._rooms.setdefault(name, {})
        if client not in room and rules.join_leave:
            self._loop.call_soon(self._joined, name, member)
        room[client] = member, rules.join_leave

    def leave(self, name: str, client: str) -> None:
        """As ``Presence.leave``."""
        room = self._rooms.get(name, {})
        member, tells = room.pop(client, (b"", False))
        if tells:
            self._loop.call_soon(self._left, name, member)
        if not room:
            self._rooms.pop(name, None)

    def present(self, name: str) -> Sequence[bytes]:
        """As ``Presence.present``."""
        return [member for member, _ in self._rooms.get(name, {}).values()]
