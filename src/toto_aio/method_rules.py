"""What the decorators state about a method: one record on its function, which everything else reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

from toto_aio.auth.rates import Rate
from toto_aio.channels import Channel
from toto_aio.deprecation import Deprecation
from toto_aio.marked import RULES


class Guard(IntEnum):
    """What a method demands of the caller's session; of several decorators the strictest counts."""

    NONE = 0
    OPTIONAL = 1
    ANONYMOUS = 2
    AUTHENTICATED = 3
    PARAMETER = 4


CALLERS = {
    Guard.NONE: "anyone",
    Guard.OPTIONAL: "anyone, with their session",
    Guard.ANONYMOUS: "anyone, in a session",
    Guard.AUTHENTICATED: "logged in",
    Guard.PARAMETER: "logged in by session_id",
}
"""Who may call a method, by its guard."""


@dataclass(slots=True)
class Rules:
    """What the decorators state about one ``invoke``."""

    guard: Guard = Guard.NONE
    roles: tuple[str, ...] = ()
    """The caller's account must have one of them, if there are any."""
    fresh: float | None = None
    """Seconds since the caller has logged in, at most."""
    rates: tuple[Rate, ...] = ()
    """How often a client may call."""
    required: tuple[str, ...] = ()
    defaults: dict[str, Any] = field(default_factory=dict)
    asynchronous: bool = False
    raw: bool = False
    jsonp: str | None = None
    redirects: dict[str, str] = field(default_factory=dict)
    default_redirect: str | None = None
    safe: bool = False
    cancellable: bool = False
    timeout: float | None = None
    deprecation: Deprecation | None = None
    idempotent: bool = False
    secret: bool = False  # no result is kept for those who repeat a call
    transactional: bool = False  # a call that was cut off before its commit has done nothing
    channel: Channel | None = None
    """The channels whose subscribers it admits."""
    publish: str = ""
    """The method through which clients publish to them; "" if they don't."""
    is_marked: bool = False
    """Whether it is a method of its own, beside the ``invoke`` of its module."""


def rules_of(function: Callable[..., Any]) -> Rules:
    """The record of a function; a wrapper has that of what it wraps, and an object its ``__call__``'s."""
    for each in wrapped_by(function):
        for place in (each, type(each).__call__):
            if isinstance(rules := getattr(place, RULES, None), Rules):
                return rules
    return Rules()


def wrapped_by(function: Callable[..., Any]) -> list[Callable[..., Any]]:
    """A function, what it wraps according to ``__wrapped__``, and so on."""
    chain = [function]
    while (inner := getattr(chain[-1], "__dict__", {}).get("__wrapped__")) is not None and inner not in chain:
        chain.append(inner)
    return chain


def own_rules(function: Callable[..., Any]) -> Rules:
    """The record of a function to write into: its own, not the one of what it wraps."""
    rules = replace(rules_of(function))
    setattr(function, RULES, rules)
    return rules
