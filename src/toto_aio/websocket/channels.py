"""The channels of a socket: the frames ``subscribe`` and ``unsubscribe``, and what is published.

{"id": 1, "subscribe": "room:7", "since": {"epoch": "...", "offset": 5}}
{"id": 1, "result": {"channel": "room:7", "position": ..., "recovered": true, "publications": [...]}}
{"channel": "room:7", "data": ..., "offset": 7}
{"channel": "room:7", "unsubscribed": {"code": 2500, "reason": "..."}}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from toto_aio.auth.caller import Caller
from toto_aio.channels import Position
from toto_aio.dispatch.call import Call
from toto_aio.events.followed import Publication, Subscribed
from toto_aio.exceptions import InvalidParameters
from toto_aio.names import shortened
from toto_aio.websocket.frames import Format
from toto_aio.websocket.reply import SocketReply
from toto_aio.websocket.subscriptions import REASONS, Push, Subscriptions, SubscriptionsContext, Wire

SUBSCRIBE, UNSUBSCRIBE = "subscribe", "unsubscribe"
MAX_EPOCH = 64


class ChannelFrames:
    """The frames about channels, in one format."""

    def __init__(self, encoding: Format) -> None:
        self.push: Push = lambda publication: encoding.frame(
            {"channel": publication.name, **_shown(publication)}
        )
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
    call.name = UNSUBSCRIBE
    if UNSUBSCRIBE in message:
        _unsubscribe(subscriptions, message, encoding)
        return
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
        return encoding.frame({"id": message["id"], "result": result})

    frames = _frames_of(subscriptions.context, encoding)
    await subscriptions.subscribe(name, since, call, caller, reply, frames, begun)


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


def _frames_of(context: SubscriptionsContext, encoding: Format) -> Wire:
    """The frames in a format, the same for all sockets of an app."""
    if encoding not in context.wires:
        context.wires[encoding] = ChannelFrames(encoding)
    return context.wires[encoding]


def _unsubscribe(subscriptions: Subscriptions, message: Mapping[str, Any], encoding: Format) -> None:
    name = message[UNSUBSCRIBE]
    if type(name) is not str:
        raise InvalidParameters("unsubscribe: write the name of a channel")
    subscriptions.unsubscribe(name)
    if message.get("id") is not None:
        subscriptions.sender.put(encoding.frame({"id": message["id"], "result": {"channel": name}}))


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
