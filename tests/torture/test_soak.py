"""Tests of the soak drill: its statistics, its verdict, and a short run."""

from __future__ import annotations

from collections import Counter

import pytest
from torture.soak import CONTROL, OURS, Run, measure, read_options, slope, table, verdict
from torture.workload import KINDS

BOUND = 512.0
"""KiB per second: far above what a service grows by in its first seconds, and far above the goal."""


def test_options() -> None:
    """The time is more than zero."""
    assert read_options(["--minutes=60"]).minutes == 60
    with pytest.raises(SystemExit):
        read_options(["--minutes=0"])


def test_slope() -> None:
    """Growth by the second is detected, and a single step counts as none."""
    assert slope([(second, 100 + 3.0 * second) for second in range(20)]) == pytest.approx(3)
    assert slope([(second, 100 + 1000.0 * (second > 3)) for second in range(20)]) == 0


def test_verdict() -> None:
    """A leak fails the drill, and so does an undetected control, or a kind of client that was not there."""
    assert verdict([run(), control()])[0]
    for broken in (run(growth=1.1), run(leaked=1), run(uses=0)):
        assert not verdict([broken, control()])[0]
    for harmless in (control(growth=0.5), control(leaked=0)):
        passed, said = verdict([run(), harmless])
        assert (passed, "proves nothing" in said) == (False, True)


async def test_a_short_run() -> None:
    """Everybody gets what they should, and what they opened is closed. The growth is for real runs."""
    runs = await measure(3, BOUND)
    assert [each.service for each in runs] == [OURS, CONTROL]
    assert runs[0].leaked == 0
    assert all(each.uses.total() and each.memory for each in runs)
    assert len({line.count("|") for line in table(runs).splitlines()}) == 1


def run(service: str = OURS, *, growth: float = 0.5, leaked: int = 0, uses: int = 7) -> Run:
    """A run with these figures."""
    readings = [(float(second), 1000 + growth * second) for second in range(10)]
    return Run(service, Counter(dict.fromkeys(KINDS, uses)), readings, before=20, after=20 + leaked)


def control(*, growth: float = 4.0, leaked: int = 30) -> Run:
    """The control, with the leaks by which it is detected."""
    return run(CONTROL, growth=growth, leaked=leaked)
