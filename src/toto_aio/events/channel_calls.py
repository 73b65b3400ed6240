"""What a program does with channels: it publishes, and asks who is present."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from toto_aio.channels import Position
from toto_aio.exceptions import InvalidParameters
from toto_aio.members import Member, PresenceStats
from toto_aio.names import shortened
from toto_aio.threads import waits_in_threads

if TYPE_CHECKING:
    from toto_aio.events.channels import Channels


class ChannelCalls:
    """The part of an ``EventManager`` for channels. They are called on its event loop, or in a thread."""

    channels: Channels | None
    """The channels of this process; None if there are none."""
    _loop: asyncio.AbstractEventLoop | None = None

    @waits_in_threads
    async def publish(
        self, channel: str, data: Any = None, *, idempotency_key: str | None = None
    ) -> Position | None:
        """Publish to a channel, and return the position if it has a history.

        With an ``idempotency_key`` that was used for this channel within five minutes nothing is published,
        and the position is the one of then. Raises ``InvalidParameters`` if there is no such channel,
        ``TypeError`` for data that aren't plain, and ``Unavailable`` if it was not published, or may not have
        been.
        """
        return await self._channels_for(channel, "publish").publish(channel, data, idempotency_key)

    @waits_in_threads
    async def presence(self, channel: str) -> list[Member]:
        """Who has subscribed to a channel with ``presence=True``, in all processes, in no order.

        Raises ``InvalidParameters`` if there is no such channel, and ``Unavailable``.
        """
        return await self._channels_for(channel, "presence").presence(channel)

    @waits_in_threads
    async def presence_stats(self, channel: str) -> PresenceStats:
        """How many clients and users have subscribed to it. Raises the same as ``presence``."""
        return await self._channels_for(channel, "presence_stats").presence_stats(channel)

    def _channels_for(self, channel: str, function: str) -> Channels:
        if self.channels is None:
            raise InvalidParameters(
                f"There is no channel {shortened(channel)!r}: declare it with @channel, or in another "
                'program with EventManager(events, channels=[Channel("room:{room}")])'
            )
        self._require_own_loop(function)
        return self.channels

    def _require_own_loop(self, function: str) -> None:
        """Raise ``RuntimeError`` elsewhere: a broker would write, and call handlers, from two threads."""
        if self._loop is not None and asyncio.get_running_loop() is not self._loop:
            raise RuntimeError(
                "This EventManager was started in another event loop: with that loop, write "
                f"asyncio.run_coroutine_threadsafe(events.{function}(...), loop).result()"
            )
