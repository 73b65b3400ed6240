"""Names that clients sent, as errors and logs show them."""

from __future__ import annotations

import reprlib

MAX_SHOWN = 64
"""The most characters of a name that are shown: one may be as long as a body."""


def shortened(name: object, most: int = MAX_SHOWN) -> str:
    """The name, cut if it is longer than ``most`` characters; what isn't text is shown in part."""
    text = name if isinstance(name, str) else _REPR.repr(name)
    return text if len(text) <= most else f"{text[: most - 3]}..."


_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = MAX_SHOWN
