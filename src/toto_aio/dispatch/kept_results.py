"""Results as idempotency keys keep them: in MessagePack, unless a repeat would get something else.

BSON has values that MessagePack has as text only, such as UUIDs, object ids and dates without a time zone,
and JSON has the offsets of dates, which are in UTC in MessagePack. A result for which that makes a difference
is kept as it was sent, so that a repeat in the same encoding gets the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec

from toto_aio.codecs import Codec
from toto_aio.codecs.converter import EncodingError
from toto_aio.dispatch.key_entry import MAX_OUTCOME
from toto_aio.exceptions import InvalidParameters

MOMENTS = (b"\xd6\xff", b"\xd7\xff", b"\xc7\x0c\xff")
"""How dates with a time zone begin in MessagePack, in its three sizes. Other values may look so too."""
VALUE = ""
"""The name under which a result is in a document, as BSON has no other values on their own."""


class KeptResults:
    """The results of a service whose codecs, by their content types, are ``codecs``."""

    def __init__(self, codecs: Mapping[str, Codec]) -> None:
        self._codecs = codecs
        self._usual = codecs["application/msgpack"]

    def pack(self, result: Any, content_type: str) -> tuple[bytes, str] | None:
        """A result that is sent in ``content_type``, packed, and the name of its codec, as ``unpack`` wants.

        None if it is too large. Raises what ``Codec.encode_again`` raises.
        """
        packed = self._usual.encode_again(result)
        codec = self._codecs.get(content_type, self._usual)
        may_differ = codec.binary or any(mark in packed for mark in MOMENTS)
        if len(packed) <= MAX_OUTCOME and may_differ and codec is not self._usual:
            with suppress(EncodingError, InvalidParameters):  # beyond what it can have, or what is read of it
                sent = codec.encode_again({VALUE: result})
                differs = sent != codec.encode({VALUE: self.unpack(packed)})
                if differs and len(sent) <= MAX_OUTCOME and codec.encode(codec.decode(sent)) == sent:
                    return sent, content_type
        return (packed, "") if len(packed) <= MAX_OUTCOME else None

    def plain(self, result: Any) -> Any:
        """Plain data of a result, which may be read more than once. Raises ``EncodingError``."""
        return self._usual.plain(result)

    def unpack(self, packed: bytes, content_type: str = "") -> Any:
        """A result that was packed."""
        if content_type:
            return self._codecs[content_type].decode(packed)[VALUE]
        return msgspec.msgpack.decode(packed)
