"""The frames of a connection, of which one may have several commands; JSON has a line for each."""

from __future__ import annotations

import re
from typing import Any, NamedTuple, Protocol

import msgspec
from aiohttp import WSMsgType

from toto_aio.centrifuge import replies
from toto_aio.centrifuge.codes import BAD_REQUEST, DisconnectError
from toto_aio.centrifuge.replies import Message
from toto_aio.codecs import Codec
from toto_aio.codecs.codec import Steps
from toto_aio.websocket.frames import Format
from toto_aio.websocket.subscriptions import Push


class Head(NamedTuple):
    """As much of a command as an error needs: its id, and whether it is a call."""

    id: int
    is_call: bool


class Wire(Protocol):
    """How commands and replies are written."""

    codec: Codec
    """That of the data of commands."""

    def split(self, frame: bytes, most: int) -> list[bytes]:
        """The commands of a frame. Raises ``DisconnectError`` for more than ``most``, and for none."""

    def decode(self, command: bytes) -> Any:
        """The message of a command. Raises ``InvalidParameters``."""

    def steps(self, command: bytes) -> Steps:
        """The same in steps."""

    def head(self, command: bytes) -> Head | None:
        """The head of a command whose data are refused; None if it can't be read either."""

    def frame(self, reply: Message) -> bytes:
        """A reply as a frame. Raises what ``Codec.encode`` raises."""


class JSONWire:
    """JSON, a line for each command; a frame of ours has one reply."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.decode, self.steps = codec.decode, codec.steps
        self.frame = Format(codec, WSMsgType.TEXT).frame

    def split(self, frame: bytes, most: int) -> list[bytes]:
        if frame.count(b"\n") > 2 * most:
            raise too_many(most)
        commands = [line for line in frame.split(b"\n") if line and not line.isspace()]
        if len(commands) > most:
            raise too_many(most)
        if not commands:
            raise DisconnectError(BAD_REQUEST, "A frame must have a command")
        return commands

    def head(self, command: bytes) -> Head | None:
        try:
            # Half a character in the data, as of an emoji that was cut in two, is no reason to lose the id.
            head = _head.decode(_HALVES.sub(rb"\\ufffd", command))
        except (ValueError, RecursionError):
            return None
        return Head(head.id, bool(bytes(head.rpc)))


class Messages(Format):
    """What methods send of their own, and events: pushes to the connection."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire.codec, WSMsgType.TEXT)
        self._wire = wire

    def frame(self, value: Any) -> bytes:
        return self._wire.frame(replies.message_push(value))


class ChannelPushes:
    """The pushes about channels."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.push: Push = lambda given: wire.frame(replies.push(given))

    def ended(self, name: str, code: int) -> bytes:
        return self._wire.frame(replies.unsubscribe_push(name, code))


class Spoken:
    """All that the connections of one app share that speak over the same kind of wire."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.messages = Messages(wire)
        self.channels = ChannelPushes(wire)
        self.ping = wire.frame(replies.PING)


def too_many(most: int) -> DisconnectError:
    """The end of a connection whose client sends too many commands at once."""
    return DisconnectError(BAD_REQUEST, f"A frame has at most {most} commands")


class _Head(msgspec.Struct):
    id: int = 0
    rpc: msgspec.Raw = msgspec.Raw()


_head = msgspec.json.Decoder(_Head)
_HALVES = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
"""Surrogates, as JSON writes them."""
