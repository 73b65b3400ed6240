"""Moments whose offset from UTC has seconds, as those of many places had before 1900: msgspec rounds it.

No place ever had an offset of less than half a minute, which would be rounded to none at all.
"""

from __future__ import annotations

import datetime
import re
from typing import Any

OFFSET = re.compile(rb'T\d\d:\d\d:\d\d(?:\.\d+)?[+-]\d\d:\d\d"')
"""Finds a moment with an offset in a JSON text; it costs little where there is none."""


def exact(moment: datetime.datetime) -> datetime.datetime:
    """The same moment, in UTC if ISO 8601 has no way to write its offset."""
    return moment.astimezone(datetime.UTC) if _has_seconds(moment) else moment


def may_be_rounded(value: Any) -> bool:
    """Whether a value may contain a moment that ``exact`` changes; True for what isn't plain data."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        kind = type(item)
        if kind in _SIMPLE:
            continue
        if kind is dict:
            waiting += item.values()
            waiting += [key for key in item if type(key) is not str]
        elif kind is list or kind is tuple:
            waiting += item
        elif kind is not datetime.datetime or _has_seconds(item):
            return True
    return False


_SIMPLE = frozenset((str, int, float, bool, bytes, type(None), datetime.date))
_MINUTE = datetime.timedelta(minutes=1)


def _has_seconds(moment: datetime.datetime) -> bool:
    offset = moment.utcoffset()
    return bool(offset and offset % _MINUTE)
