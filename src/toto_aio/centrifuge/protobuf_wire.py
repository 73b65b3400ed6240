"""Commands and replies in Protobuf, each with its length before it; their data are JSON."""

from __future__ import annotations

from typing import Any

from aiohttp import WSMsgType
from google.protobuf.message import DecodeError

from toto_aio.centrifuge.codes import BAD_REQUEST, DisconnectError
from toto_aio.centrifuge.replies import Message
from toto_aio.centrifuge.schema import message_classes
from toto_aio.centrifuge.wire import Head, too_many
from toto_aio.codecs import Codec
from toto_aio.codecs.codec import Steps
from toto_aio.codecs.limits import malformed
from toto_aio.websocket.frames import Format

MAX_LENGTH = 5
"""The most bytes of a length: no frame is longer than it says."""
MAPS = {("PresenceResult", "presence")}
"""The fields that are maps: on the wire a message for each key."""

Packed = tuple[Message, str, bytes]
"""Where a value belongs, its name there, and its JSON."""


class ProtobufWire:
    """Protobuf; a frame of ours has one reply."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self._command, self._reply = message_classes()
        self._frame = Format(codec, WSMsgType.BINARY).frame_of

    def split(self, frame: bytes, most: int) -> list[bytes]:
        commands: list[bytes] = []
        start = 0
        while start < len(frame):
            length, start = _length(frame, start)
            if length > len(frame) - start:
                raise DisconnectError(BAD_REQUEST, "A command is cut off")
            if len(commands) == most:
                raise too_many(most)
            commands.append(frame[start : start + length])
            start += length
        if not commands:
            raise DisconnectError(BAD_REQUEST, "A frame must have a command")
        return commands

    def decode(self, command: bytes) -> Any:
        packed: list[Packed] = []
        plain = _plain(self._read(command), packed)
        for place, name, data in packed:
            place[name] = self.codec.decode(data)
        return plain

    def steps(self, command: bytes) -> Steps:
        packed: list[Packed] = []
        plain = _plain(self._read(command), packed)
        for place, name, data in packed:
            place[name] = yield from self.codec.steps(data)
        return plain

    def head(self, command: bytes) -> Head | None:
        try:
            message = self._command.FromString(command)
        except DecodeError:
            return None
        return Head(message.id, message.HasField("rpc"))

    def frame(self, reply: Message) -> bytes:
        message = self._reply()
        self._fill(message, reply)
        body = message.SerializeToString()
        return self._frame(_length_of(body) + body)

    def _read(self, command: bytes) -> Any:
        try:
            return self._command.FromString(command)
        except DecodeError as exc:
            raise malformed("Protobuf", exc) from exc

    def _fill(self, message: Any, values: Message) -> None:
        message.SetInParent()  # an empty one says something too
        for name, value in values.items():
            field = message.DESCRIPTOR.fields_by_name[name]
            if field.message_type is None:
                setattr(message, name, self.codec.encode(value) if field.type == field.TYPE_BYTES else value)
            elif (message.DESCRIPTOR.name, name) in MAPS:
                for key, each in value.items():
                    self._fill(getattr(message, name).add(), {"key": key, "value": each})
            elif isinstance(value, list):
                for each in value:
                    self._fill(getattr(message, name).add(), each)
            else:
                self._fill(getattr(message, name), value)


def _plain(message: Any, packed: list[Packed]) -> Message:
    """The fields that are there; ``packed`` gets those that are the JSON of a value."""
    plain: Message = {}
    for field, value in message.ListFields():
        if type(value) is bytes:
            packed.append((plain, field.name, value))
        else:
            plain[field.name] = value if field.message_type is None else _plain(value, packed)
    return plain


def _length(frame: bytes, start: int) -> tuple[int, int]:
    """The length at a place, and the place behind it."""
    length = 0
    for place, byte in enumerate(frame[start : start + MAX_LENGTH]):
        length |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return length, start + place + 1
    raise DisconnectError(BAD_REQUEST, "A command has no length")


def _length_of(body: bytes) -> bytes:
    left, found = len(body), bytearray()
    while left >= 0x80:
        found.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes((*found, left))
