"""Text of clients, as stores, errors and logs have it.

aiohttp reads the bytes of a header or a path that aren't UTF-8 as surrogates (``surrogateescape``), which no
database and no codec can write.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Sequence

MAX_SHOWN = 64
"""The most characters of a name that are shown: one may be as long as a body."""
MAX_STEPS = 12
"""The most steps of a path that are shown."""


def shortened(name: object, most: int = MAX_SHOWN) -> str:
    """The name, cut if it is longer than ``most`` characters; what isn't text is shown in part."""
    if type(name) is str and len(name) <= most and name.isascii():
        return name  # almost all
    text = name if isinstance(name, str) else _REPR.repr(name)
    return without_surrogates(text if len(text) <= most else f"{text[: most - 3]}...")


def shown_path(path: Sequence[object]) -> str:
    """A path as one would write it: ``result.items[3].owner``."""
    if len(path) == 1 and type(step := path[0]) is str and step.isidentifier():
        return shortened(step)
    text = ""
    for step in path[:MAX_STEPS]:
        if isinstance(step, int):
            text += f"[{step}]"
        elif isinstance(step, str) and step.isidentifier():
            text += f".{shortened(step)}"
        else:
            text += f"[{shortened(step)!r}]"
    return text.removeprefix(".") + ("..." if len(path) > MAX_STEPS else "")


def readable(text: str) -> str:
    """The text, with U+FFFD for each surrogate and each control character, which PostgreSQL may refuse."""
    return text if text.isprintable() else _UNREADABLE.sub("\ufffd", text)


def shown_text(text: str, most: int = 200) -> str:
    """The text as a log has it: cut, with an escape for each character that nobody sees."""
    text = text[:most]
    return text if text.isprintable() else repr(text)[1:-1]


def without_surrogates(text: str) -> str:
    """The text, with U+FFFD for each surrogate."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


_SURROGATES = re.compile("[\ud800-\udfff]")
_UNREADABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = MAX_SHOWN
