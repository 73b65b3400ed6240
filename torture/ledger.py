"""What subscribers of channels got, compared with what was acknowledged: what is lost, and what came twice.

Every message is a number that is published once. A subscriber keeps stretches: the numbers that it was given
one after the other from a position on. A stretch ends only when the subscriber is told that something is
missing. Then whatever was acknowledged after its last position must have come, or the next stretch begins.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from toto_aio.channels import Position


@dataclass(eq=False)
class Ledger:
    """What was acknowledged for one channel."""

    name: str
    at: dict[Position, int] = field(default_factory=dict)
    given_twice: int = 0
    """Positions under which two messages were acknowledged."""

    def acknowledge(self, position: Position, number: int) -> None:
        """A message has this position, says the service."""
        self.given_twice += self.at.setdefault(position, number) != number


@dataclass
class Stretch:
    """What came after a position without a gap: each message has the next offset."""

    after: Position
    numbers: list[int] = field(default_factory=list)

    @property
    def end(self) -> int:
        """The last offset."""
        return self.after.offset + len(self.numbers)


@dataclass
class Reading:
    """What one subscriber got."""

    ledger: Ledger
    stretches: list[Stretch] = field(default_factory=list)
    told: int = 0
    """How often the subscriber was told that something is missing."""
    jumped: int = 0
    """Messages that did not come although the subscriber was not told."""
    again: int = 0
    """Messages that came again at the same or an older position."""

    @property
    def received(self) -> int:
        """How many messages came."""
        return sum(len(stretch.numbers) for stretch in self.stretches)

    def begin(self, after: Position) -> None:
        """The subscription begins, or goes on elsewhere, and the subscriber was told."""
        self.told += bool(self.stretches)
        self.stretches.append(Stretch(after))

    def take(self, position: Position, number: int) -> None:
        """A message has come."""
        stretch = self.stretches[-1]
        if position.epoch != stretch.after.epoch:
            self.jumped += 1
            stretch = Stretch(Position(position.epoch, position.offset - 1))
            self.stretches.append(stretch)
        elif position.offset <= stretch.end:
            self.again += 1
            return
        elif position.offset > stretch.end + 1:
            self.jumped += position.offset - stretch.end - 1
            stretch = Stretch(Position(position.epoch, position.offset - 1))
            self.stretches.append(stretch)
        stretch.numbers.append(number)

    def is_at(self, position: Position) -> bool:
        """Whether nothing is to come any more, if this is the last position."""
        last = self.stretches[-1]
        return (last.after.epoch, last.end) == (position.epoch, position.offset)

    def lost(self) -> int:
        """Messages that were acknowledged and neither came nor were told to be missing."""
        lost, last = self.jumped, self.stretches[-1]
        for position, number in self.ledger.at.items():
            for stretch in self.stretches:
                index = position.offset - stretch.after.offset - 1
                if position.epoch == stretch.after.epoch and 0 <= index < len(stretch.numbers):
                    lost += stretch.numbers[index] != number
            lost += position.epoch == last.after.epoch and position.offset > last.end
        return lost

    def doubled(self) -> int:
        """Messages that came more than once, and positions that were given twice."""
        twice = sum(len(stretch.numbers) - len(set(stretch.numbers)) for stretch in self.stretches)
        return twice + self.again + self.ledger.given_twice


def totals(readings: Iterable[Reading]) -> dict[str, int]:
    """The sums of what several subscribers got."""
    found = dict.fromkeys(("received", "told", "lost", "doubled"), 0)
    for reading in readings:
        found["received"] += reading.received
        found["told"] += reading.told
        found["lost"] += reading.lost()
        found["doubled"] += reading.doubled()
    return found
