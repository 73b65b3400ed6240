"""The form in which an event travels: MessagePack of its sender, number, name and args."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import msgspec

from toto_aio.codecs.codec import run
from toto_aio.codecs.converter import EncodingError
from toto_aio.codecs.msgpack_scan import scan_msgpack
from toto_aio.exceptions import InvalidParameters
from toto_aio.members import Member
from toto_aio.names import shortened

logger = logging.getLogger(__name__)

MAX_INFO = 2000
"""The most bytes of what is told about a member: whoever asks gets it of everybody."""

Event = tuple[bytes, int, str, msgspec.Raw]
"""Sender, number (0: not a broadcast), name and args."""
_envelope = msgspec.msgpack.Decoder(Event)
_decoder = msgspec.msgpack.Decoder()
_publication = msgspec.msgpack.Decoder(list[msgspec.Raw])
_member = msgspec.msgpack.Decoder(tuple[str, str, Any])


def pack(event: list[Any], encode: Callable[[Any], bytes]) -> bytes:
    """An event as it is sent. Raises ``TypeError`` for a name or args that cannot be."""
    if type(event[2]) is not str:
        raise TypeError(f"The name of an event is a string, not {shortened(event[2])}.")
    return _packed(event, encode, "args", f"The event {shortened(event[2])!r} cannot be sent")


def pack_publication(channel: str, data: Any, encode: Callable[[Any], bytes]) -> bytes:
    """What is published to a channel, as it is sent. Raises ``TypeError`` for data that cannot be."""
    return _packed([data], encode, "data", f"This cannot be published to {shortened(channel)!r}")


def pack_member(channel: str, member: Member, encode: Callable[[Any], bytes]) -> bytes:
    """Who is present, as it travels. Raises ``TypeError`` for an ``info`` that cannot be, or is too large."""
    refusal = f"This cannot be told about who subscribes to {shortened(channel)!r}"
    info = _packed([member.info], encode, "info", refusal)
    if len(info) > 1 + MAX_INFO:
        raise TypeError(f"{refusal}: info: it has {len(info) - 1} bytes, more than {MAX_INFO}")
    return encode([member.client, member.user, member.info])


def unpack_member(packed: bytes) -> Member | None:
    """Who it is; None if it cannot be read."""
    try:
        run(scan_msgpack(packed, bounded=False))
        return Member(*_member.decode(packed))
    except (ValueError, RecursionError, InvalidParameters):
        logger.error("who is present cannot be read, and is left out: %.100r", packed)
        return None


def _packed(value: list[Any], encode: Callable[[Any], bytes], inner: str, refusal: str) -> bytes:
    try:
        packed = encode(value)
        run(scan_msgpack(packed, bounded=False))
        return packed
    except EncodingError as exc:
        inside = EncodingError((inner, *exc.path[1:]), exc.reason)
        raise TypeError(f"{refusal}: {inside}") from exc
    except (ValueError, OverflowError, RecursionError, InvalidParameters) as exc:
        raise TypeError(f"{refusal}: {exc}") from exc


def unpack(payload: bytes) -> Event | None:
    """The parts of an event. Each receiver decodes the args again; here only their validity is checked."""
    try:
        run(scan_msgpack(payload, bounded=False))
        event: Event = _envelope.decode(payload)
        _decoder.decode(event[3])
    except (ValueError, RecursionError, InvalidParameters):
        logger.error("an event that cannot be read was dropped: %.100r", payload)
        return None
    return event


def unpack_publication(payload: bytes) -> msgspec.Raw | None:
    """The data of a publication, still packed; None if it cannot be read."""
    try:
        run(scan_msgpack(payload, bounded=False))
        data: msgspec.Raw = _publication.decode(payload)[0]
        _decoder.decode(data)
    except (ValueError, RecursionError, InvalidParameters, IndexError):
        logger.error("a publication that cannot be read was dropped: %.100r", payload)
        return None
    return data
