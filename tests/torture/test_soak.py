"""The soak: its statistics, its verdict, and a short run."""

from __future__ import annotations

from collections import Counter

import pytest
from torture.soak import CONTROL, OURS, Run, measure, read_options, slope, table, verdict
from torture.visitors import KINDS

BOUND = 512.0
"""KiB per second: what a service of a few seconds of age grows by is far below, and far above the goal."""


def test_options() -> None:
    """It takes some time."""
    assert read_options(["--minutes=60"]).minutes == 60
    with pytest.raises(SystemExit):
        read_options(["--minutes=0"])


def test_slope() -> None:
    """Growth by the second is found, and one step is none."""
    assert slope([(second, 100 + 3.0 * second) for second in range(20)]) == pytest.approx(3)
    assert slope([(second, 100 + 1000.0 * (second > 3)) for second in range(20)]) == 0


def test_verdict() -> None:
    """What is kept fails the drill, and so does a control that is not found out, or who does not come."""
    assert verdict([run(), control()])[0]
    for broken in (run(growth=1.1), run(leaked=1), run(visits=0)):
        assert not verdict([broken, control()])[0]
    for harmless in (control(growth=0.5), control(leaked=0)):
        passed, said = verdict([run(), harmless])
        assert (passed, "proves nothing" in said) == (False, True)


async def test_a_short_run() -> None:
    """Everybody gets what they should, and what they opened is closed. The growth is for real runs."""
    runs = await measure(3, BOUND)
    assert [each.service for each in runs] == [OURS, CONTROL]
    assert runs[0].leaked == 0
    assert all(each.visits.total() and each.memory for each in runs)
    assert len({line.count("|") for line in table(runs).splitlines()}) == 1


def run(service: str = OURS, *, growth: float = 0.5, leaked: int = 0, visits: int = 7) -> Run:
    """A run with these figures."""
    readings = [(float(second), 1000 + growth * second) for second in range(10)]
    return Run(service, Counter(dict.fromkeys(KINDS, visits)), readings, before=20, after=20 + leaked)


def control(*, growth: float = 4.0, leaked: int = 30) -> Run:
    """The control, with what it is to be found out by."""
    return run(CONTROL, growth=growth, leaked=leaked)
