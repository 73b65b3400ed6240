"""The frames of a WebSocket: text is JSON, binary is MessagePack."""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from typing import Any

from aiohttp import WSMsgType

from toto_aio.codecs import CODECS, Codec


class Format:
    """A kind of frame: the codec of its payload, and its opcode."""

    def __init__(self, codec: Codec, opcode: WSMsgType) -> None:
        self.codec = codec
        self.content_type = codec.content_type
        self._encode = codec.encode
        self._first = 0x80 | opcode  # FIN: the message ends with this frame

    def frame(self, value: Any) -> bytes:
        """A value as a frame of a server (RFC 6455, 5.2). Raises what ``Codec.encode`` raises."""
        return self.frame_of(self._encode(value))

    def frame_of(self, body: bytes) -> bytes:
        """A value that is encoded as a frame."""
        size = len(body)
        if size < 126:
            return _SHORT(self._first, size) + body
        if size < 65536:
            return _MEDIUM(self._first, 126, size) + body
        return _LONG(self._first, 127, size) + body


def pong(data: bytes) -> bytes:
    """The frame that answers a ping with these data (RFC 6455, 5.5.3)."""
    return _SHORT(0x80 | WSMsgType.PONG, len(data)) + data


_SHORT, _MEDIUM, _LONG = (Struct(form).pack for form in ("!BB", "!BBH", "!BBQ"))
Formats = Mapping[WSMsgType, Format]
"""By the message types of aiohttp."""


def formats(codecs: Mapping[str, Codec]) -> Formats:
    """The formats of an app that has these codecs."""
    text = Format(codecs["application/json"], WSMsgType.TEXT)
    binary = Format(codecs["application/msgpack"], WSMsgType.BINARY)
    return {WSMsgType.TEXT: text, WSMsgType.BINARY: binary}


FORMATS = formats(CODECS)
