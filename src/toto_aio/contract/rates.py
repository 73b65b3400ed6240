"""The rates of a method as its document states them, and which of them let through what others do."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import msgspec
from msgspec import Struct

from toto_aio.auth.rates import Rate


class Limit(Struct, frozen=True, order=True):
    """At most so many calls ``per`` so many seconds, counted ``by`` user, session or address."""

    times: int
    per: float
    by: str

    def __str__(self) -> str:
        return str(Rate(self.times, self.per, self.by))

    def is_kept_by(self, others: Collection[Limit]) -> bool:
        """Whether clients that keep these others keep it as well: it is no stricter than one of them."""
        return any(
            other.by == self.by and other.times * math.ceil(self.per / other.per) <= self.times
            for other in others
        )


def read_limits(stated: Any) -> tuple[Limit, ...]:
    """Those of a method's own in ``x-rates``; anything else there is passed over.

    A rate of all methods together is an option of the service.
    """
    found = []
    for each in stated if isinstance(stated, list) else ():
        try:
            limit = msgspec.convert(each, Limit)
        except msgspec.ValidationError:
            continue
        if limit.per > 0 and each.get("of_all") is not True:
            found.append(limit)
    return tuple(sorted(found))
