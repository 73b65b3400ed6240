"""The subscriptions of one socket to channels, whatever protocol it speaks."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from toto_aio.auth.caller import Caller
from toto_aio.auth.user_session import UserSession
from toto_aio.channels import Position
from toto_aio.dispatch.call import Call
from toto_aio.dispatch.channel_access import ChannelAccess
from toto_aio.events.channels import Channels
from toto_aio.events.followed import ChannelSubscription, Given, Subscribed
from toto_aio.events.manager import EventManager
from toto_aio.exceptions import NotAuthorized
from toto_aio.members import Member, PresenceStats
from toto_aio.names import shortened
from toto_aio.settings import Settings
from toto_aio.websocket.events import HandlerLimits
from toto_aio.websocket.reply import SocketReply
from toto_aio.websocket.sender import QUEUE_BYTES, FrameSender

logger = logging.getLogger(__name__)

LOST, ENDED = 2500, 2000
"""Why a subscription has ended: something may have been missed, or its session has ended."""
REASONS = {
    LOST: "Publications may have been missed: subscribe again",
    ENDED: "The session has ended",
}

Push = Callable[[Given], bytes]


class Wire(Protocol):
    """The frames that tell a client of a subscription."""

    @property
    def push(self) -> Push:
        """What encodes a publication, ``Join`` or ``Leave``: the same function each time, so that it is done
        once."""

    def ended(self, name: str, code: int) -> bytes:
        """The frame that says that a subscription has ended."""


@dataclass(frozen=True)
class SubscriptionsContext:
    """What the sockets of one app share for channels."""

    access: ChannelAccess
    channels: Channels
    limits: HandlerLimits
    wires: dict[Any, Wire] = field(default_factory=dict)
    """The frames in each format."""


def subscriptions_context(
    settings: Settings, access: ChannelAccess | None, events: EventManager | None
) -> SubscriptionsContext | None:
    """What the sockets of an app share; None if it has no channels."""
    if access is None or events is None or events.channels is None:
        return None
    limits = HandlerLimits(settings.socket_channels, settings.session_channels, "subscriptions", "channels")
    return SubscriptionsContext(access, events.channels, limits)


class Entry:
    """One subscription of a socket: it ends with ``session``, and counts for the session ``counted``."""

    __slots__ = ("counted", "session", "subscription", "wire")

    def __init__(self, counted: UserSession | None, wire: Wire) -> None:
        self.counted = self.session = counted
        self.wire = wire
        self.subscription: ChannelSubscription | None = None


class Subscriptions:
    """The subscriptions of one socket.

    A client that reads too slowly loses the subscription, and not a single publication: it subscribes again,
    with its last position.
    """

    def __init__(self, context: SubscriptionsContext, sender: FrameSender, client: str | None = None) -> None:
        self.context = context
        self.sender = sender
        self.client = client or secrets.token_urlsafe(12)
        """The id of the connection, by which others see it in channels with ``presence``."""
        self._entries: dict[str, Entry] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def has(self, name: str) -> bool:
        """Whether the client was admitted to a channel; ``in`` says so while its function still decides."""
        entry = self._entries.get(name)
        return entry is not None and entry.subscription is not None

    async def subscribe(
        self,
        name: str,
        since: Position | None,
        call: Call,
        caller: Caller,
        reply: SocketReply,
        wire: Wire,
        begun: Callable[[Subscribed, Any], bytes | None],
    ) -> None:
        """Subscribe to a channel that the socket hasn't subscribed to, if the ``call`` admits its caller.

        ``begun`` makes the response, which comes before all publications; None sends none. Raises what
        refuses the caller, ``InvalidParameters`` beyond a limit, and ``Unavailable``.
        """
        self.context.limits.add(reply.session, len(self._entries))
        entry = self._entries[name] = Entry(reply.session, wire)
        try:
            admission = await self.context.access.admit(call, caller, reply)
            self._require_current(name, entry)
            session = entry.session = reply.session
            member = Member(self.client, "" if session is None else session.user_id, admission.info)
            subscription = ChannelSubscription(
                name, self._pushing(name, entry), lambda: self._end(name, entry, LOST), member
            )
            entry.subscription = subscription
            response = begun(await self.context.channels.subscribe(subscription, since), admission.data)
            if response is not None:
                await self.sender.room()
            self._require_current(name, entry)
            if response is not None:
                self.sender.put(response)
        except BaseException:
            self._remove(name, entry)
            raise
        subscription.begin()

    def unsubscribe(self, name: str) -> None:
        """End a subscription, if there is one, as the client asks for it."""
        if (entry := self._entries.get(name)) is not None:
            self._remove(name, entry)

    async def presence(self, name: str) -> list[Member]:
        """Who is present in a channel that the client has subscribed to.

        Raises ``NotAuthorized`` if it has not, ``InvalidParameters`` for a channel without ``presence``, and
        ``Unavailable``.
        """
        self._require_subscribed(name)
        return await self.context.channels.presence(name)

    async def presence_stats(self, name: str) -> PresenceStats:
        """How many they are. Raises the same."""
        self._require_subscribed(name)
        return await self.context.channels.presence_stats(name)

    def _require_current(self, name: str, entry: Entry) -> None:
        """Raise ``NotAuthorized`` if its session has ended meanwhile, or the client wants it no longer."""
        if self._entries.get(name) is not entry:
            raise NotAuthorized.because("the session has ended, or the client has unsubscribed, meanwhile")

    def _require_subscribed(self, name: str) -> None:
        if not self.has(name):
            raise NotAuthorized(
                f"Subscribe to '{shortened(name)}' first: its subscribers see who is present."
            )

    def sessions(self) -> Iterator[UserSession]:
        """The sessions that subscriptions end with."""
        return iter([each.session for each in self._entries.values() if each.session is not None])

    def end_session(self, key: str) -> None:
        """End the subscriptions that were made under a session."""
        for name, entry in tuple(self._entries.items()):
            if entry.session is not None and entry.session.record.key == key:
                self._end(name, entry, ENDED)

    def hand_over(self, key: str, session: UserSession) -> None:
        """Let the subscriptions that were made under a session end with another one."""
        for entry in self._entries.values():
            if entry.session is not None and entry.session.record.key == key:
                entry.session = session
            if entry.counted is not None and entry.counted.record.key == key:
                self.context.limits.move(entry.counted, session)
                entry.counted = session

    def close(self) -> None:
        """End all subscriptions: the socket is closed."""
        for name, entry in tuple(self._entries.items()):
            self._remove(name, entry)

    def _pushing(self, name: str, entry: Entry) -> Callable[[Given], None]:
        sender, encode = self.sender, entry.wire.push

        def push(given: Given) -> None:
            try:
                frame = given.encoded(encode)
            except Exception:
                logger.exception("a publication of %r could not be sent to a socket", name)
                self._end(name, entry, LOST)
                return
            if sender.waiting and sender.waiting + len(frame) > QUEUE_BYTES:
                self._end(name, entry, LOST)
            else:
                sender.put(frame)

        return push

    def _end(self, name: str, entry: Entry, code: int) -> None:
        """End a subscription, and tell the client."""
        if self._entries.get(name) is entry:
            self._remove(name, entry)
            self.sender.put(entry.wire.ended(name, code))

    def _remove(self, name: str, entry: Entry) -> None:
        if self._entries.get(name) is entry:
            del self._entries[name]
            self.context.limits.remove(entry.counted)
        if entry.subscription is not None:
            self.context.channels.unsubscribe(entry.subscription)
