"""Rates: how many calls a client may make within a time, as an author or an operator writes them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any, Literal, NamedTuple, get_args

from toto_aio.names import shortened
from toto_aio.settings.durations import MAX_SECONDS, in_seconds

By = Literal["user", "address", "session"]
"""Whose calls are counted together. Callers who are not logged in always count by their address."""
BY: tuple[str, ...] = get_args(By)
MAX_TIMES = 10**9
"""The most calls of a rate: a counter of every store can have so many, and more of them."""
FORM = "100/60 (calls and seconds), 1000/1d, or 100/60/address"


class Rate(NamedTuple):
    """At most so many calls ``per`` so many seconds; ``of_all`` methods together, if an option says so."""

    times: int
    per: float
    by: str = "user"
    of_all: bool = False

    def __str__(self) -> str:
        calls = "call" if self.times == 1 else "calls"
        of_all = " to all methods" if self.of_all else ""
        return f"{self.times} {calls}{of_all} in {self.per:g} s by {self.by}"


def make_rate(times: Any, per: Any, by: Any, *, of_all: bool = False) -> Rate:
    """A rate. ``per`` may also be a time such as ``1d``. Raises ``ValueError`` for what cannot be one."""
    if type(times) is not int or not 1 <= times <= MAX_TIMES:
        raise ValueError(f"rate: write a number of calls from 1 to {MAX_TIMES}, not {shortened(times)!r}")
    seconds = in_seconds(per)
    if type(seconds) not in (int, float) or not 1 <= seconds <= MAX_SECONDS:
        raise ValueError(
            f"rate: per: write 1 to {MAX_SECONDS:.0f} seconds, or a time such as 15m, not {shortened(per)!r}"
        )
    if by not in BY:
        raise ValueError(f"rate: by: write one of {', '.join(BY)}, not {shortened(by)!r}")
    return Rate(times, float(seconds), by, of_all)


def in_order(rates: Iterable[Rate]) -> tuple[Rate, ...]:
    """Rates as they are counted: the shortest first. Raises ``ValueError`` for two that say the same thing.

    A call that the rate of a second refuses does not count towards the rate of a day.
    """
    found = sorted(rates, key=lambda rate: (rate.per, BY.index(rate.by)))
    for before, after in pairwise(found):
        if (before.per, before.by) == (after.per, after.by):
            raise ValueError(f"rate: {before} and {after}: write one of them")
    return tuple(found)


def read_rates(texts: Iterable[str]) -> tuple[Rate, ...]:
    """The rates of all methods together, as the option has them. Raises ``ValueError``."""
    return in_order(map(_read_rate, texts))


def _read_rate(text: str) -> Rate:
    parts = [part.strip() for part in text.split("/")]
    times, per, by = [*parts, "user"][:3] if len(parts) in (2, 3) else ("", "", "")
    if not (times.isascii() and times.isdecimal() and len(times) <= 10):
        raise ValueError(f"rate: write {FORM}, not {shortened(text)!r}")
    seconds = float(per) if per.isascii() and per.isdecimal() and len(per) <= 12 else per
    return make_rate(int(times), seconds, by, of_all=True)
