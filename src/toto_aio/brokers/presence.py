"""Who is present in a channel, as a broker knows it for all processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from toto_aio.channels import Channel

__all__ = ["Presence"]


@runtime_checkable
class Presence(Protocol):
    """What a broker has, besides the methods of ``Streams``, if it knows who is present in a channel.

    Present is who has entered through a process that is alive, and has not left. A process that was killed
    or doesn't answer has been found dead within ten seconds, and one that was not dead after all puts its
    clients back by itself, as it does after the broker has lost them.

    If the channel has ``join_leave``, what changes is given to ``Receiver.joined`` and ``Receiver.left`` in
    every process that follows the channel, its own too: each change once, by whoever made it; what a dead
    process leaves, by one of the others. Processes that the broker can't reach then miss it, like a
    publication without a history.
    """

    async def enter(self, name: str, client: str, member: bytes, rules: Channel) -> None:
        """Count a client of this process as present, with what ``present`` returns of it.

        Returns when others can read it, or after a second: then it follows as soon as the broker can be
        reached. Raises ``Unavailable`` only if the broker isn't running.
        """

    def leave(self, name: str, client: str) -> None:
        """Count a client no longer, which is written as soon as possible. A no-op if it isn't there."""

    async def present(self, name: str) -> Sequence[bytes]:
        """Who is present, in no order. It includes what this process has said before.

        Raises ``Unavailable``.
        """
