"""What a MessagePack object would cost to decode, and whether its keys are text, without decoding it.

msgspec makes tuples of arrays that are keys. The hash of a tuple of integers has no secret, so anyone can
compute keys that all collide, and 1 MiB of them takes a minute to put into a dict. The hash of text has one.
"""

from __future__ import annotations

from toto_aio.codecs.codec import Steps
from toto_aio.codecs.limits import MAX_CONTAINERS, MAX_DEPTH, MAX_VALUES, malformed, too_deep, too_many
from toto_aio.exceptions import InvalidParameters

STEP = 2**13
"""Bytes that are scanned before the loop may have its turn; each may be a value."""


def scan_msgpack(body: bytes, *, bounded: bool = True) -> Steps:
    """Raise ``InvalidParameters`` for a key that isn't text and, if ``bounded``, for too many values.

    Returns whether there are values that may break another rule. Other mistakes than truncation are left to
    the decoder, which stops at the first.
    """
    outer: list[tuple[int, bool]] = []  # the containers that the current one is in
    left, is_map = 1, False  # what is left of the current one: of a map, keys and values
    values, containers, at, turn = 1, 0, 0, STEP
    has_special = False
    try:
        while True:
            while not left:
                if not outer:
                    return has_special
                left, is_map = outer.pop()
            head = body[at]
            if is_map and not left & 1 and not _IS_TEXT[head]:
                raise InvalidParameters("Keys must be strings.", status=400)
            left -= 1
            if size := _SIZES[head]:
                at += size
            elif size := _SPECIAL[head]:
                first = body[at + 1]
                if head > _UINT64 or (first >= 0x80 if head == _UINT64 else first & 0x7F == 0x7F):
                    has_special = True  # an extension, a large integer, or the exponent of NaN and infinity
                at += size
            elif length := _LENGTHS[head]:
                has_special |= length > _EXTRA
                extra, length = divmod(length, _EXTRA)
                at += 1 + length + extra + int.from_bytes(body[at + 1 : at + 1 + length], "big")
            else:
                outer.append((left, is_map))
                is_map = bool(_IS_MAP[head])
                if head < 0xA0:
                    left = head & 15
                    at += 1
                else:
                    length = 2 if head in _SHORT else 4
                    left = int.from_bytes(body[at + 1 : at + 1 + length], "big")
                    at += 1 + length
                if is_map:
                    left *= 2
                values += left
                containers += bounded
                if values > MAX_VALUES and bounded:
                    raise too_many(MAX_VALUES, "values")
                if containers > MAX_CONTAINERS:
                    raise too_many(MAX_CONTAINERS, "objects and arrays")
                if len(outer) > MAX_DEPTH and bounded:
                    raise too_deep()
            if at > turn:
                turn = at + STEP
                yield
    except IndexError:
        raise malformed("MessagePack", "Input data was truncated") from None


def _table(entries: dict[int, int]) -> bytes:
    return bytes(entries.get(head, 0) for head in range(256))


_FIXED = {0xCC: 2, 0xCD: 3, 0xCE: 5, 0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9}
_SINGLE = dict.fromkeys([*range(0x80), *range(0xC0, 0xC4), *range(0xE0, 0x100)], 1)
_FIXED_TEXTS = {0xA0 | length: 1 + length for length in range(32)}
_SIZES = _table({**_SINGLE, **_FIXED_TEXTS, **_FIXED})
"""The bytes of a value, head included, if the head alone tells."""
_UINT64 = 0xCF
_SPECIAL = _table({0xCA: 5, 0xCB: 9, 0xCF: 9, 0xD4: 3, 0xD5: 4, 0xD6: 6, 0xD7: 10, 0xD8: 18})
"""The bytes of a float, an unsigned integer of 64 bits or an extension of fixed size."""
_EXTRA = 8
_LENGTHS = _table(
    {
        **{0xD9: 1, 0xDA: 2, 0xDB: 4, 0xC4: 1, 0xC5: 2, 0xC6: 4},  # text and binary
        **{0xC7: _EXTRA + 1, 0xC8: _EXTRA + 2, 0xC9: _EXTRA + 4},  # extensions, whose type is one byte more
    }
)
"""The bytes of the length of a value, plus ``_EXTRA`` for one byte that the length doesn't count."""
_IS_TEXT = _table(dict.fromkeys([*_FIXED_TEXTS, 0xD9, 0xDA, 0xDB], 1))
_IS_MAP = _table(dict.fromkeys([*range(0x80, 0x90), 0xDE, 0xDF], 1))
_SHORT = frozenset({0xDC, 0xDE})
"""The heads of containers with a length of two bytes; others have four."""
