"""Content types: JSON, BSON and MessagePack, each a pair of functions between bytes and plain data.

Decoded values are safe to pass on: at most ``MAX_DEPTH`` levels of nesting, signed 64-bit integers, finite
floats, string keys, valid UTF-8, and no types that represent code or references. Decoding them costs little:
``toto_aio.codecs.limits`` has what is counted before.
"""

from collections.abc import Mapping

from toto_aio.codecs.bson_codec import BSON, bson_with, decode_bson, encode_bson
from toto_aio.codecs.builtin import Encoders
from toto_aio.codecs.codec import Codec
from toto_aio.codecs.json_codec import JSON, decode_json, encode_json, json_with
from toto_aio.codecs.msgpack_codec import MSGPACK, decode_msgpack, encode_msgpack, msgpack_with

__all__ = [
    "Codec",
    "decode_bson",
    "decode_json",
    "decode_msgpack",
    "encode_bson",
    "encode_json",
    "encode_msgpack",
]

CODECS: Mapping[str, Codec] = {codec.content_type: codec for codec in (JSON, BSON, MSGPACK)}


def codecs_with(encoders: Encoders) -> Mapping[str, Codec]:
    """The codecs of an application that has encoders for types of its own."""
    if not encoders:
        return CODECS
    codecs = json_with(encoders), bson_with(encoders), msgpack_with(encoders)
    return {codec.content_type: codec for codec in codecs}
