"""Channels: named streams that clients subscribe to, and the patterns of their names.

    @channel("room:{room}", history=100)
    @authenticated
    async def invoke(handler, room: str): ...  # raises to refuse

This module knows the names and the positions; ``events/channels.py`` delivers what is published.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from msgspec import Struct

from toto_aio.members import Admission, Member, PresenceStats

__all__ = ["Admission", "Channel", "Member", "Position", "PresenceStats"]

NAME = re.compile(r"[A-Za-z0-9_.:@#$=,-]{1,255}")
"""What the name of a channel may be. Braces would move its keys to another slot of a Redis cluster."""
MAX_HISTORY = 10_000
"""Publications of a channel that can be kept: a client that comes back may get all of them at once."""
MAX_TTL = 366 * 86400.0
"""Seconds that they can be kept."""


class Position(Struct, frozen=True):
    """A place in a channel that has a history: the number of a publication, and the epoch that counts it.

    Numbers begin with 1, and offset 0 is before the first. Another epoch is another count: what was published
    between a position of the one and a position of the other is unknown.
    """

    epoch: str
    offset: int


@dataclass(frozen=True)
class Channel:
    """The channels whose names match ``pattern``, such as ``room:{room}``, and what is kept of them.

    A name in braces stands for one character or more, but no colon. ``history`` is how many publications are
    kept for those that come back, until nothing was published for ``ttl`` seconds. With ``presence`` it is
    known who has subscribed, and with ``join_leave`` subscribers are told who comes and goes. Raises
    ``ValueError``.
    """

    pattern: str
    history: int = 0
    ttl: float = 3600.0
    presence: bool = False
    join_leave: bool = False

    def __post_init__(self) -> None:
        _parts(self.pattern)
        if type(self.history) is not int or not 0 <= self.history <= MAX_HISTORY:
            raise ValueError(f"history: write a number up to {MAX_HISTORY}, not {self.history!r}")
        if isinstance(self.ttl, bool) or not isinstance(self.ttl, int | float) or not 0 < self.ttl <= MAX_TTL:
            raise ValueError(f"ttl: write seconds, more than 0 and at most a year, not {self.ttl!r}")
        for name in ("presence", "join_leave"):
            if type(getattr(self, name)) is not bool:
                raise ValueError(f"{name}: write True or False, not {getattr(self, name)!r}")
        if self.join_leave and not self.presence:
            raise ValueError("join_leave: write presence=True too: who leaves has to be known")

    @property
    def variables(self) -> tuple[str, ...]:
        """The names in braces, in their order."""
        return tuple(each.variable for each in _parts(self.pattern) if each.variable)

    def name_of(self, variables: Mapping[str, object]) -> str:
        """The name of the channel with these values for the variables.

        Raises ``KeyError`` for one that is missing, and ``ValueError`` for what no name can have there.
        """
        texts = {name: str(variables[name]) for name in self.variables}
        for name, text in texts.items():
            if ":" in text or NAME.fullmatch(text) is None:
                raise ValueError(f"{name}: write letters, digits and _.@#$=,-, not {text!r}")
        return self.pattern.format_map(texts)


class ChannelTable:
    """The channels of a service or program; of two patterns that match a name the narrower one counts.

    Raises ``ValueError`` for two of which neither is the narrower one.
    """

    def __init__(self, channels: Iterable[Channel]) -> None:
        self._by_length: dict[int, list[tuple[re.Pattern[str], Channel]]] = {}
        known: list[tuple[list[Part], Channel]] = []
        for channel in channels:
            parts = _parts(channel.pattern)
            for others, other in known:
                if not _narrower(parts, others) and not _narrower(others, parts) and _overlap(parts, others):
                    raise ValueError(
                        f"the channels {other.pattern!r} and {channel.pattern!r} share names: "
                        "begin one of them with another word"
                    )
                if parts == others or (_narrower(parts, others) and _narrower(others, parts)):
                    raise ValueError(f"the channel {channel.pattern!r} is there twice")
            known.append((parts, channel))
        # Each pattern stands behind those that are narrower than it is.
        wider = [sum(_narrower(parts, others) for others, _ in known) for parts, _ in known]
        for _, (parts, channel) in sorted(zip(wider, known, strict=True), key=lambda each: -each[0]):
            matches = re.compile(":".join(each.expression for each in parts))
            self._by_length.setdefault(len(parts), []).append((matches, channel))

    def __bool__(self) -> bool:
        return bool(self._by_length)

    def find(self, name: Any) -> tuple[Channel, dict[str, str]] | None:
        """The channel of a name, and the values of its variables; None if no pattern matches."""
        if type(name) is not str or NAME.fullmatch(name) is None:
            return None
        for matches, channel in self._by_length.get(name.count(":") + 1, ()):
            if (found := matches.fullmatch(name)) is not None:
                return channel, found.groupdict()
        return None


class Part(NamedTuple):
    """What stands between two colons of a pattern: a text, or a variable with text around it."""

    before: str
    variable: str = ""
    after: str = ""

    @property
    def expression(self) -> str:
        """It as a regular expression."""
        if not self.variable:
            return re.escape(self.before)
        return f"{re.escape(self.before)}(?P<{self.variable}>[^:]+){re.escape(self.after)}"


_PART = re.compile(r"([A-Za-z0-9_.@#$=,-]*)(?:\{([a-z][a-z0-9_]*)\}([A-Za-z0-9_.@#$=,-]*))?", re.ASCII)


def _parts(pattern: Any) -> list[Part]:
    if not isinstance(pattern, str):
        raise TypeError('write @channel("room:{room}"): it needs the pattern of its names')
    parts = []
    for text in pattern.split(":"):
        found = _PART.fullmatch(text)
        if found is None or not text:
            raise ValueError(
                f"channel: cannot read {pattern!r}: write words of letters, digits and _.@#$=,- between "
                "colons, each with one variable at most, as in room:{room}"
            )
        parts.append(Part(found[1], found[2] or "", found[3] or ""))
    variables = [each.variable for each in parts if each.variable]
    if len(set(variables)) < len(variables) or len(pattern) > 200:
        raise ValueError(f"channel: {pattern!r} has a variable twice, or more than 200 characters")
    return parts


def _narrower(one: list[Part], other: list[Part]) -> bool:
    """Whether each name that matches the one matches the other."""
    return len(one) == len(other) and all(map(_is_within, one, other))


def _is_within(part: Part, other: Part) -> bool:
    if not other.variable:
        return part == other
    if part.variable:
        return part.before.startswith(other.before) and part.after.endswith(other.after)
    return re.fullmatch(other.expression, part.before) is not None


def _overlap(one: list[Part], other: list[Part]) -> bool:
    """Whether a name can match both."""
    return len(one) == len(other) and all(map(_meet, one, other))


def _meet(part: Part, other: Part) -> bool:
    if not part.variable or not other.variable:
        return _is_within(part, other) or _is_within(other, part)
    begins = part.before.startswith(other.before) or other.before.startswith(part.before)
    return begins and (part.after.endswith(other.after) or other.after.endswith(part.after))
