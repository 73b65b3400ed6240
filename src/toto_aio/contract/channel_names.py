"""What generated clients call the channels of a pattern: ``room:{room}`` is ``room``."""

from __future__ import annotations

import re
from collections.abc import Iterable


def names_of(patterns: Iterable[str]) -> dict[str, str]:
    """The names in snake case. A pattern keeps its name whatever longer ones there are besides."""
    found: dict[str, str] = {}
    for pattern in sorted(patterns, key=lambda each: (each.count(":"), each)):
        words = re.findall(r"[A-Za-z0-9]+", re.sub(r"\{\w+\}", " ", pattern)) or ["channel"]
        name = "_".join(words).lower()
        if name in found.values():
            name = "_".join([name, "by", *re.findall(r"\{(\w+)\}", pattern)])
        while name in found.values():
            name += "_"
        found[pattern] = name if name[0].isalpha() else f"channel_{name}"
    return found
