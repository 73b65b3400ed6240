"""The channels of a socket: the frames of its client about them, and what is published.

    {"id": 1, "subscribe": "room:7", "since": {"epoch": "...", "offset": 5}}
    {"id": 1, "result": {"channel": "room:7", "position": ..., "recovered": true, "publications": [...]}}
    {"channel": "room:7", "data": ..., "offset": 7}
    {"channel": "room:7", "unsubscribed": {"code": 2500, "reason": "..."}}
    {"id": 2, "presence": "room:7"}
    {"id": 2, "result": {"channel": "room:7", "members": [{"client": "...", "user": "ada", "info": null}]}}
    {"channel": "room:7", "joined": {"client": "...", "user": "ada", "info": null}}

A result comes before the first publication.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import asdict

from toto_aio.auth.caller import Caller
from toto_aio.channels import Position
from toto_aio.dispatch.call import Call
from toto_aio.events.deliveries import Join
from toto_aio.events.followed import Given, Publication, Subscribed
from toto_aio.exceptions import InvalidParameters
from toto_aio.names import shortened
from toto_aio.websocket.frames import Format
from toto_aio.websocket.reply import SocketReply
from toto_aio.websocket.subscriptions import REASONS, Push, Subscriptions, SubscriptionsContext, Wire

SUBSCRIBE, UNSUBSCRIBE = "subscribe", "unsubscribe"
PRESENCE, STATS = "presence", "presence_stats"
KINDS = frozenset((SUBSCRIBE, UNSUBSCRIBE, PRESENCE, STATS))
"""The frames about channels."""
MAX_EPOCH = 64


class ChannelFrames:
    """The frames about channels, in one format."""

    def __init__(self, encoding: Format) -> None:
        self.push: Push = lambda given: encoding.frame({"channel": given.name, **_pushed(given)})
        self._encoding = encoding

    def ended(self, name: str, code: int) -> bytes:
        told = {"channel": name, "unsubscribed": {"code": code, "reason": REASONS[code]}}
        return self._encoding.frame(told)


async def answer_channels(
    subscriptions: Subscriptions,
    message: Mapping[str, Any],
    call: Call,
    caller: Caller,
    reply: SocketReply,
    encoding: Format,
) -> None:
    """Do what a frame says, and respond; ``call`` becomes the one that admits its caller."""
    for kind, done in OF_SUBSCRIBED.items():
        if kind in message:
            call.name = kind
            if type(name := message[kind]) is not str:
                raise InvalidParameters(f"{kind}: write the name of a channel")
            result = {"channel": name, **await done(subscriptions, name)}
            if message.get("id") is not None:
                frame = encoding.frame({"id": message["id"], "result": result})
                await subscriptions.sender.room()
                subscriptions.sender.put(frame)
            return
    call.name = SUBSCRIBE
    name = message[SUBSCRIBE]
    asked = subscriptions.context.access.call(name)
    call.name, call.parameters, call.by_form = asked.name, asked.parameters, asked.by_form
    since = read_position(message.get("since"))
    if name in subscriptions:
        raise InvalidParameters(f"This socket has subscribed to '{shortened(name)}' already.")

    def begun(subscribed: Subscribed, given: Any) -> bytes | None:
        if message.get("id") is None:
            return None
        result = {"channel": name, **_begun(subscribed), "data": given}
        if subscriptions.context.channels.rules(name).presence:
            result["client"] = subscriptions.client
        return encoding.frame({"id": message["id"], "result": result})

    frames = _frames_of(subscriptions.context, encoding)
    await subscriptions.subscribe(name, since, call, caller, reply, frames, begun)


def asks_for_channels(message: Mapping[str, Any]) -> bool:
    """Whether a frame without a method is about a channel."""
    return not message.keys().isdisjoint(KINDS)


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


def _frames_of(context: SubscriptionsContext, encoding: Format) -> Wire:
    """The frames in a format, the same for all sockets of an app."""
    if encoding not in context.wires:
        context.wires[encoding] = ChannelFrames(encoding)
    return context.wires[encoding]


async def _unsubscribe(subscriptions: Subscriptions, name: str) -> dict[str, Any]:
    subscriptions.unsubscribe(name)
    return {}


async def _presence(subscriptions: Subscriptions, name: str) -> dict[str, Any]:
    return {"members": [asdict(each) for each in await subscriptions.presence(name)]}


async def _stats(subscriptions: Subscriptions, name: str) -> dict[str, Any]:
    return asdict(await subscriptions.presence_stats(name))


OF_SUBSCRIBED = {UNSUBSCRIBE: _unsubscribe, PRESENCE: _presence, STATS: _stats}
"""What answers each frame about a channel that the client has subscribed to."""


def _begun(subscribed: Subscribed) -> dict[str, Any]:
    position = subscribed.position
    return {
        "position": None if position is None else {"epoch": position.epoch, "offset": position.offset},
        "recovered": subscribed.recovered,
        "publications": [_shown(each) for each in subscribed.publications],
    }


def _pushed(given: Given) -> dict[str, Any]:
    if isinstance(given, Publication):
        return _shown(given)
    return {"joined" if isinstance(given, Join) else "left": asdict(given.member)}


def _shown(publication: Publication) -> dict[str, Any]:
    shown = {"data": publication.data()}
    if publication.position is not None:
        shown["offset"] = publication.position.offset
    return shown
