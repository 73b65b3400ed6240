"""Times as people write them: ``30d``, ``12h``, ``15m``, ``90s``."""

from __future__ import annotations

import re
from typing import Any

UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
"""Seconds of each unit."""
FORM = "a time such as 30d, 12h, 15m or 90s"
MAX_SECONDS = 36500 * 86400.0
"""The longest time, a hundred years: a database or a clock cannot represent what is much longer."""
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([dhms])\s*", re.ASCII)


def in_seconds(value: Any) -> Any:
    """The seconds of a time with a unit; any other value as it is."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    return value if found is None else float(found[1]) * UNITS[found[2]]
