"""How figures are shown: medians with quartiles, tables in Markdown, goals, and a plot."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of a figure over the cycles, and its quartiles."""

    lower: float
    median: float
    upper: float

    def shown(self, digits: int) -> str:
        """The text for the table."""
        return f"{self.median:.{digits}f} ({self.lower:.{digits}f} to {self.upper:.{digits}f})"


@dataclass(frozen=True, slots=True)
class Goal:
    """A goal, and its measurement."""

    number: int
    text: str
    bound: float
    measured: Spread
    at_most: bool = False
    """Whether the bound is a maximum instead of a minimum."""

    @property
    def met(self) -> bool:
        """Whether the median is on the right side of the bound."""
        return self.measured.median <= self.bound if self.at_most else self.measured.median >= self.bound


@dataclass(frozen=True, slots=True)
class Report:
    """The results of a benchmark."""

    name: str
    title: str
    """What its plot shows, with the unit."""
    bars: Mapping[str, Spread]
    table: str
    goals: Sequence[Goal] = field(default=())
    digits: int = 1
    """Digits of the figures in its plot."""


def spread(values: Sequence[float]) -> Spread:
    """The quartiles of some values."""
    return Spread(*statistics.quantiles(values, n=4, method="inclusive"))


def ratio(ones: Sequence[float], others: Sequence[float]) -> Spread:
    """The ratio of two series, cycle by cycle."""
    return spread([one / other for one, other in zip(ones, others, strict=True)])


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def goals_table(goals: Sequence[Goal]) -> str:
    """Each goal with its measurement, and whether it is met."""
    rows = [
        [
            str(goal.number),
            goal.text,
            f"{'<=' if goal.at_most else '>='} {goal.bound:g}",
            goal.measured.shown(2),
            "met" if goal.met else "not met",
        ]
        for goal in sorted(goals, key=lambda goal: goal.number)
    ]
    return markdown(["goal", "what", "bound", "measured", ""], rows)


ROW, LEFT, WIDTH, RIGHT, TOP = 26, 260, 460, 170, 40


def plot(report: Report) -> str:
    """The bars of a report as SVG: the median, a line between the quartiles, and the figure."""
    scale = WIDTH / max(bar.upper for bar in report.bars.values())
    height = TOP + ROW * len(report.bars) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + RIGHT}" height="{height}" '
        'font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="10" y="22" font-weight="bold">{escape(report.title)}</text>',
    ]
    for number, (name, bar) in enumerate(report.bars.items()):
        y = TOP + ROW * number
        lower, long, upper = (value * scale for value in (bar.lower, bar.median, bar.upper))
        color = "#2a78b8" if name.startswith("toto_aio") else "#b8bec4"
        parts += [
            f'<text x="{LEFT - 8}" y="{y + 15}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{LEFT}" y="{y + 2}" width="{long:.1f}" height="{ROW - 8}" fill="{color}"/>',
            f'<path d="M{LEFT + lower:.1f} {y + 11}H{LEFT + upper:.1f}" stroke="black"/>',
            f'<text x="{LEFT + upper + 6:.1f}" y="{y + 15}">{bar.shown(report.digits)}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])
