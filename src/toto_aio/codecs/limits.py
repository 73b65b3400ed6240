"""What a body may cost: limits that are checked before it is decoded.

A decoder written in C holds the event loop, and the interpreter, until it is done: neither a thread nor a
time limit helps. So the work is bounded beforehand. At these limits the worst body takes a decoder 20 ms:
``python -m torture.hostile`` measures it.
"""

from __future__ import annotations

from toto_aio.exceptions import InvalidParameters

MAX_DEPTH = 64
"""Maximum levels of nested objects and arrays, including the outermost."""
MAX_VALUES = 2**17
"""The most values of a body, including objects, arrays and the keys of objects."""
MAX_CONTAINERS = 2**15
"""The most objects and arrays: one costs as much as 20 numbers, as the garbage collector visits it."""
MAX_EXPONENTS = 2**14
"""The most numbers of a JSON text that have an exponent, which are 20 times as slow to read as others."""
MAX_RICH = 2**12
"""The most BSON values that become objects of a class: dates, object ids, UUIDs, decimals, binary subtypes.
One costs up to 3 microseconds, as much as 100 numbers. An integer of 64 bits counts as a sixteenth of one."""

UNSCANNED = 2**11
"""The most bytes of MessagePack that are decoded before their keys are checked: the worst take 0.4 ms."""
LARGE = 2**14
"""Above so many bytes a body is decoded in steps, between which the loop serves others."""


def too_many(limit: int, what: str) -> InvalidParameters:
    """The error for a body beyond a limit."""
    return InvalidParameters(f"A body has at most {limit} {what}.", status=400)


def too_deep() -> InvalidParameters:
    """The error for a body that is nested too deeply."""
    return InvalidParameters(f"Nested deeper than {MAX_DEPTH} levels.", status=400)


class MalformedError(InvalidParameters):
    """A body that isn't what its content type says."""


def malformed(name: str, reason: object) -> MalformedError:
    """The error for a body that isn't what its content type says."""
    return MalformedError(f"Not {name}: {reason}", status=400)
