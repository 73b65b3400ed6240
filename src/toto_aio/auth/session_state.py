"""The state of a session: packed for the store, compared, and changed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from toto_aio.codecs.codec import run
from toto_aio.codecs.msgpack_codec import EXACT
from toto_aio.codecs.msgpack_scan import scan_msgpack
from toto_aio.exceptions import InvalidParameters
from toto_aio.names import shortened

MAX_SIZE = 4 * 1024 * 1024
"""The most bytes of a state. Databases have limits from 16 MiB on, in which some bytes count twice."""
SAME_TYPES: frozenset[type] = frozenset({str, bytes, bool, int, float, type(None)})
"""Types of values that come back as they were saved, besides containers and times."""


def pack(state: dict[str, Any]) -> bytes:
    """A state as it is stored.

    Raises ``TypeError`` for what would not come back as it is, and ``ValueError`` for too large a state.
    """
    packed = EXACT.encode_again(state)
    if len(packed) > MAX_SIZE:
        raise ValueError(
            f"The state of a session can't be saved: it has {len(packed)} bytes, and {MAX_SIZE} at most are "
            "kept, as each request reads all of it: store large data in a table of your own"
        )
    try:
        run(scan_msgpack(packed, bounded=False))
    except InvalidParameters as exc:
        raise TypeError(f"The state of a session can't be saved: {exc.value}") from exc
    for name, value in state.items():
        if kind := other_type(value, SAME_TYPES, with_times=True):
            raise TypeError(
                f"The state of a session can't be saved: {shortened(name)!r} has a value of type "
                f"{kind.__name__}, which would come back as another type: store text, a number, a list or "
                "dict, or a datetime with a time zone"
            )
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
        if name not in old or EXACT.encode_again(old[name]) != EXACT.encode_again(value)
    }
    return changed, old.keys() - new.keys()


def apply(state: dict[str, Any], changed: dict[str, Any], removed: set[str]) -> dict[str, Any]:
    """A state with the changes that ``difference`` found."""
    for name in removed:
        state.pop(name, None)
    state.update(changed)
    return state


def other_type(root: Any, same: frozenset[type], *, with_times: bool = False) -> type | None:
    """The first type in a value, beside lists and dicts, that isn't one of the ``same``."""
    level = [root]
    while level:
        below: list[Any] = []
        for value in level:
            kind = type(value)
            if kind is dict:
                below += value.values()
            elif kind is list:
                below += value
            elif kind not in same and not (with_times and kind is datetime and value.utcoffset() is not None):
                return kind
        level = below
    return None


_decoder = msgspec.msgpack.Decoder(dict[str, Any])
EMPTY = EXACT.encode_again({})
"""A state without keys, packed."""
