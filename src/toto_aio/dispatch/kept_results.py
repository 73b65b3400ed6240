"""Results as idempotency keys keep them: in MessagePack, unless a repeat would get something else.

BSON has values that MessagePack has as text only, such as UUIDs, object ids and dates without a time zone,
and JSON has the offsets of dates, which are in UTC in MessagePack. A part that is encoded already, as a
``msgspec.Raw``, is in the encoding of the response. So a result is encoded as the first client gets it, and
as a repeat would: if that makes a difference, it is kept as it was sent. What a repeat would not get so
either is not kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec

from toto_aio.codecs import Codec
from toto_aio.dispatch.key_entry import MAX_OUTCOME

VALUE = "result"
"""The name under which an outcome is in a document, as BSON has no other values on their own."""


class NotKeptError(Exception):
    """A result that is not kept, and why."""


class KeptResults:
    """The results of a service whose codecs, by their content types, are ``codecs``."""

    def __init__(self, codecs: Mapping[str, Codec]) -> None:
        self._codecs = codecs
        self._usual = codecs["application/msgpack"]

    def pack(self, result: Any, content_type: str, *, binary: bool = False) -> tuple[bytes, str]:
        """A result that is sent in ``content_type``, packed, and the name of its codec, as ``unpack`` wants.

        ``binary`` says what the codec is like, if the content type is none of a codec. Raises
        ``NotKeptError``, and what ``Codec.encode_again`` raises for a result that cannot be sent.
        """
        codec = self._codec(content_type, binary)
        sent = codec.encode_again({VALUE: result})
        packed = self._in_messagepack(result, codec, sent)
        kept = (sent, codec.content_type) if packed is None else (packed, "")
        if len(kept[0]) > MAX_OUTCOME:
            raise NotKeptError(f"it has more than {MAX_OUTCOME} bytes")
        if packed is None and not self._is_read_as_sent(codec, sent):
            raise NotKeptError(
                f"it has a value that would be another one if {codec.content_type} is read again"
            )
        return kept

    def plain(self, result: Any, content_type: str, *, binary: bool = False) -> Any:
        """Plain data of a result, which may be read more than once. Raises ``EncodingError``."""
        return self._codec(content_type, binary).plain({VALUE: result})[VALUE]

    def unpack(self, packed: bytes, content_type: str = "") -> Any:
        """A result that was packed."""
        if content_type:
            return self._codecs[content_type].read(packed)[VALUE]
        return msgspec.msgpack.decode(packed)

    def _codec(self, content_type: str, binary: bool) -> Codec:
        found = self._codecs.get(content_type)
        return found or self._codecs["application/bson" if binary else "application/json"]

    def _in_messagepack(self, result: Any, codec: Codec, sent: bytes) -> bytes | None:
        """The result in MessagePack; None if that is too large, or a repeat would get something else."""
        with suppress(Exception):  # it has no such value, or only part of it is MessagePack
            packed = self._usual.encode_again(result)
            if len(packed) <= MAX_OUTCOME and codec.encode_again({VALUE: self.unpack(packed)}) == sent:
                return packed
        return None

    @staticmethod
    def _is_read_as_sent(codec: Codec, sent: bytes) -> bool:
        """Whether a repeat gets the same value; how it is written, such as with spaces, may differ."""
        with suppress(Exception):
            value = codec.read(sent)
            again = codec.encode_again(value)
            return again == sent or bool(codec.read(again) == value)
        return False
