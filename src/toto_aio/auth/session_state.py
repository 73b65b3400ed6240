"""The state of a session: packed for the store, compared, and changed."""

from __future__ import annotations

from typing import Any

import msgspec

from toto_aio.codecs import encode_msgpack
from toto_aio.codecs.codec import run
from toto_aio.codecs.msgpack_scan import scan_msgpack
from toto_aio.exceptions import InvalidParameters


def pack(state: dict[str, Any]) -> bytes:
    """A state as it is stored. Raises ``TypeError`` for what isn't plain data."""
    packed = encode_msgpack(state)
    try:
        run(scan_msgpack(packed, bounded=False))
    except InvalidParameters as exc:
        raise TypeError(f"The state of a session can't be saved: {exc.value}") from exc
    return packed


def unpack(state: bytes) -> dict[str, Any]:
    """A stored state. Raises ``ValueError`` if it can't be read."""
    try:
        run(scan_msgpack(state, bounded=False))
    except InvalidParameters as exc:
        raise ValueError(f"The state of a session can't be read: {exc.value}") from exc
    return _decoder.decode(state)


def difference(old: dict[str, Any], new: dict[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """The keys of ``new`` that differ from ``old``, and those removed. Compared as bytes: 1 is not True."""
    changed = {
        name: value
        for name, value in new.items()
        if name not in old or encode_msgpack(old[name]) != encode_msgpack(value)
    }
    return changed, old.keys() - new.keys()


def apply(state: dict[str, Any], changed: dict[str, Any], removed: set[str]) -> dict[str, Any]:
    """A state with the changes that ``difference`` found."""
    for name in removed:
        state.pop(name, None)
    state.update(changed)
    return state


_decoder = msgspec.msgpack.Decoder(dict[str, Any])
EMPTY = encode_msgpack({})
"""A state without keys, packed."""
