"""Which of a few names was probably meant by one that is unknown.

``difflib`` takes five times as long (38 us for a name among six), and a call may have twenty such names.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from toto_aio.names import MAX_SHOWN, shortened

MAX_PARAMETERS = 64
"""The most names that an unknown one is compared with."""


def nearest(name: object, known: Iterable[str]) -> str:
    """The name that was probably meant: spelt otherwise, or with a mistake at one place; "" if none is."""
    if not isinstance(name, str) or len(name) > MAX_SHOWN:
        return ""
    bare = _bare(name)
    least, found = 1 + (len(bare) > 3) + (len(bare) > 8) + 1, ""
    for each, _ in zip(known, range(MAX_PARAMETERS), strict=False):
        distance = _distance(bare, _bare_known(each), least)
        if distance < least:
            least, found = distance, each
    return shortened(found)


def _bare(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


_bare_known = lru_cache(4096)(_bare)  # the author's names, and never a client's


def _distance(one: str, other: str, limit: int) -> int:
    """The characters between the first and the last place where two names differ; at most ``limit``."""
    longer, shorter = len(one), len(other)
    if longer < shorter:
        longer, shorter = shorter, longer
    if longer - shorter >= limit or (one[:1] != other[:1] and one[-1:] != other[-1:]):
        return limit  # two mistakes at the ends of a name are another name
    start = end = 0
    while start < shorter and one[start] == other[start]:
        start += 1
    while end < shorter - start and one[-1 - end] == other[-1 - end]:
        end += 1
    return longer - start - end
