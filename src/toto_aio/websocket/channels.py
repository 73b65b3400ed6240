"""The channels of a socket: the frames ``subscribe`` and ``unsubscribe``, and what is published.

    {"id": 1, "subscribe": "room:7", "since": {"epoch": "...", "offset": 5}}
    {"id": 1, "result": {"channel": "room:7", "position": ..., "recovered": true, "publications": [...]}}
    {"channel": "room:7", "data": ..., "offset": 7}
    {"channel": "room:7", "unsubscribed": {"code": 2500, "reason": "..."}}

A client that reads too slowly loses the subscription, and not a single publication: it subscribes again, with
its last position.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from toto_aio.auth.caller import Caller
from toto_aio.auth.user_session import UserSession
from toto_aio.channels import Position
from toto_aio.dispatch.call import Call
from toto_aio.dispatch.channel_access import ChannelAccess
from toto_aio.events.channels import Channels
from toto_aio.events.followed import ChannelSubscription, Publication, Subscribed
from toto_aio.events.manager import EventManager
from toto_aio.exceptions import InvalidParameters, NotAuthorized
from toto_aio.names import shortened
from toto_aio.settings import Settings
from toto_aio.websocket.events import HandlerLimits
from toto_aio.websocket.frames import Format
from toto_aio.websocket.reply import SocketReply
from toto_aio.websocket.sender import QUEUE_BYTES, FrameSender

logger = logging.getLogger(__name__)

SUBSCRIBE, UNSUBSCRIBE = "subscribe", "unsubscribe"
LOST, ENDED = 2500, 2000
"""Why a subscription has ended: something may have been missed, or its session has ended."""
REASONS = {
    LOST: "Publications may have been missed: subscribe again",
    ENDED: "The session has ended",
}
MAX_EPOCH = 64

Push = Callable[[Publication], bytes]


@dataclass(frozen=True)
class SocketChannelsContext:
    """What the sockets of one app share for channels."""

    access: ChannelAccess
    channels: Channels
    limits: HandlerLimits
    _pushes: dict[Format, Push] = field(default_factory=dict)

    def push_of(self, encoding: Format) -> Push:
        """What encodes a publication as a frame: the same function each time, so that it is done once."""
        if encoding not in self._pushes:
            self._pushes[encoding] = lambda publication: encoding.frame(
                {"channel": publication.name, **_shown(publication)}
            )
        return self._pushes[encoding]


def channel_limits(settings: Settings) -> HandlerLimits:
    """The limits of subscriptions, which sockets and event streams count together."""
    return HandlerLimits(settings.socket_channels, settings.session_channels, "subscriptions", "channels")


def socket_channels(
    limits: HandlerLimits, access: ChannelAccess | None, events: EventManager | None
) -> SocketChannelsContext | None:
    """What the sockets of an app share; None if it has no channels."""
    if access is None or events is None or events.channels is None:
        return None
    return SocketChannelsContext(access, events.channels, limits)


class Entry:
    """One subscription of a socket: it ends with ``session``, and counts for the session ``counted``."""

    __slots__ = ("counted", "encoding", "session", "subscription")

    def __init__(self, counted: UserSession | None, encoding: Format) -> None:
        self.counted = self.session = counted
        self.encoding = encoding
        self.subscription: ChannelSubscription | None = None


class SocketChannels:
    """The subscriptions of one socket."""

    def __init__(self, context: SocketChannelsContext, sender: FrameSender) -> None:
        self._context = context
        self._sender = sender
        self._entries: dict[str, Entry] = {}

    async def answer(
        self, message: Mapping[str, Any], call: Call, caller: Caller, reply: SocketReply, encoding: Format
    ) -> None:
        """Do what a frame says, and respond; ``call`` becomes the one that admits its caller."""
        call.name = UNSUBSCRIBE
        if UNSUBSCRIBE in message:
            self._unsubscribe(message, encoding)
            return
        asked = self._context.access.call(message[SUBSCRIBE])
        call.name, call.parameters, call.by_form = asked.name, asked.parameters, asked.by_form
        await self._subscribe(message, call, caller, reply, encoding)

    def sessions(self) -> Iterator[UserSession]:
        """The sessions that subscriptions end with."""
        return iter([each.session for each in self._entries.values() if each.session is not None])

    def end_session(self, key: str) -> None:
        """End the subscriptions that were made under a session."""
        for name, entry in tuple(self._entries.items()):
            if entry.session is not None and entry.session.record.key == key:
                self._end(name, entry, ENDED)

    def close(self) -> None:
        """End all subscriptions: the socket is closed."""
        for name, entry in tuple(self._entries.items()):
            self._remove(name, entry)

    async def _subscribe(
        self, message: Mapping[str, Any], call: Call, caller: Caller, reply: SocketReply, encoding: Format
    ) -> None:
        name, since = message[SUBSCRIBE], read_position(message.get("since"))
        if name in self._entries:
            raise InvalidParameters(f"This socket has subscribed to '{shortened(name)}' already.")
        self._context.limits.add(reply.session, len(self._entries))
        entry = self._entries[name] = Entry(reply.session, encoding)
        try:
            given = await self._context.access.admit(call, caller, reply)
            entry.session = reply.session
            subscription = ChannelSubscription(
                name, self._pushing(name, entry), lambda: self._end(name, entry, LOST)
            )
            entry.subscription = subscription
            subscribed = await self._context.channels.subscribe(subscription, since)
            if message.get("id") is not None:
                result = {"channel": name, **_begun(subscribed), "data": given}
                frame = encoding.frame({"id": message["id"], "result": result})
                await self._sender.room()
            if self._entries.get(name) is not entry:
                raise NotAuthorized  # its session has ended in the meantime
            if message.get("id") is not None:
                self._sender.put(frame)
        except BaseException:
            self._remove(name, entry)
            raise
        subscription.begin()

    def _unsubscribe(self, message: Mapping[str, Any], encoding: Format) -> None:
        name = message[UNSUBSCRIBE]
        if type(name) is not str:
            raise InvalidParameters("unsubscribe: write the name of a channel")
        if (entry := self._entries.get(name)) is not None:
            self._remove(name, entry)
        if message.get("id") is not None:
            self._sender.put(encoding.frame({"id": message["id"], "result": {"channel": name}}))

    def _pushing(self, name: str, entry: Entry) -> Callable[[Publication], None]:
        sender, encode = self._sender, self._context.push_of(entry.encoding)

        def push(publication: Publication) -> None:
            try:
                frame = publication.encoded(encode)
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
            told = {"channel": name, "unsubscribed": {"code": code, "reason": REASONS[code]}}
            self._sender.put(entry.encoding.frame(told))

    def _remove(self, name: str, entry: Entry) -> None:
        if self._entries.get(name) is entry:
            del self._entries[name]
            self._context.limits.remove(entry.counted)
        if entry.subscription is not None:
            self._context.channels.unsubscribe(entry.subscription)


def asks_for_channels(message: Mapping[str, Any]) -> bool:
    """Whether a frame without a method subscribes or unsubscribes."""
    return SUBSCRIBE in message or UNSUBSCRIBE in message


def read_position(given: Any) -> Position | None:
    """The position that a client shows. Raises ``InvalidParameters``."""
    if given is None:
        return None
    try:
        position = msgspec.convert(given, Position)
    except msgspec.ValidationError:
        position = None
    if position is None or len(position.epoch) > MAX_EPOCH or not 0 <= position.offset < 2**53:
        raise InvalidParameters('since: write the last position, as in {"epoch": "...", "offset": 5}')
    return position


def _begun(subscribed: Subscribed) -> dict[str, Any]:
    position = subscribed.position
    return {
        "position": None if position is None else {"epoch": position.epoch, "offset": position.offset},
        "recovered": subscribed.recovered,
        "publications": [_shown(each) for each in subscribed.publications],
    }


def _shown(publication: Publication) -> dict[str, Any]:
    shown = {"data": publication.data()}
    if publication.position is not None:
        shown["offset"] = publication.position.offset
    return shown
