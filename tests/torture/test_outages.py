"""Tests of the drill of outages: its verdict, and a short run."""

from __future__ import annotations

from pathlib import Path

import pytest
from torture.outages import CONTROL, Found, Run, outages, read_options, table, verdict


def run(kind: str = "redis", *, failing: float = 5.1, as_ever: float = 0.01, again: float = 0.5) -> Run:
    """A run with these figures."""
    return Run(kind, [0.1, failing], [0.001, as_ever], [0.1, again])


CONTROL_RUN = run(CONTROL, failing=8.0)


def test_options() -> None:
    """There is at least one round."""
    assert read_options(["--rounds=7"]).rounds == 7
    with pytest.raises(SystemExit):
        read_options(["--rounds=0"])


def test_verdict() -> None:
    """Late failures, other calls that wait, a late recovery, a wrong response and a slow start fail it."""
    assert verdict(Found([run(), CONTROL_RUN], [0.4], [0.3]))[0]
    wrong = run()
    wrong.wrong.append("1000")
    for broken in (run(failing=5.3), run(as_ever=0.3), run(again=1.1), wrong):
        assert not verdict(Found([broken, CONTROL_RUN], [0.4], [0.3]))[0]
    assert not verdict(Found([run(), CONTROL_RUN], [0.6], [0.3]))[0]
    passed, said = verdict(Found([run(), run(CONTROL)], [0.4], [0.3]))
    assert (passed, "proves nothing" in said) == (False, True)


async def test_a_short_run(tmp_path: Path) -> None:
    """All calls get the response that they should; how soon is for real runs."""
    measured = await outages("redis", "redis", 1, tmp_path)
    assert measured.wrong == []
    assert len(measured.failing) == 40
    assert len(measured.again) == 2
    assert len({line.count("|") for line in table(Found([measured], [0.4], [0.3])).splitlines()[:3]}) == 1
