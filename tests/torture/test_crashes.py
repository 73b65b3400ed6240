"""Tests of the crash drill: its verdict, and a short run."""

from __future__ import annotations

import math

import pytest
from torture.clients import Drop
from torture.crashes import (
    NAIVE,
    OURS,
    REFUSED,
    Run,
    expected_delays,
    measure,
    read_options,
    table,
    verdict,
    was_in_flight,
)

from torture import crashes


def test_options() -> None:
    """Every count is at least one."""
    assert read_options(["--kills=7"]).kills == 7
    with pytest.raises(SystemExit):
        read_options(["--masters=0"])


def test_in_flight() -> None:
    """Requests that were, or may have been, on the killed worker count as in flight; others do not."""
    assert was_in_flight(Drop("end of file", True, 7, began=1, ended=2), 7, ended=1.5)
    assert was_in_flight(Drop("end of file", False, None, began=1, ended=2), 7, ended=1.5)
    assert not was_in_flight(Drop("end of file", True, 8, began=1, ended=2), 7, ended=1.5)
    assert not was_in_flight(Drop("end of file", False, None, began=1.6, ended=2), 7, ended=1.5)
    assert not was_in_flight(Drop(REFUSED, False, None, began=1, ended=2), 7, ended=1.5)
    assert not was_in_flight(Drop("TimeoutError", True, 7, began=1, ended=31), 7, ended=1.5)


def test_delays() -> None:
    """They double from a tenth of a second to half a minute, and are reset."""
    assert expected_delays(11) == [0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30, 0]


def test_verdict() -> None:
    """Each broken promise fails the drill, and so does a control that breaks none."""
    assert verdict(ours(), naive())[0]
    for broken in (
        ours(others=[REFUSED]),
        ours(delays=[0, 0.1, 0.1, 0]),
        ours(ends=[0.5, 3.1]),
        ours(answered=[0.6, 0.7, 0.8]),
        ours(imports=[0.2, 0.2, 0.5]),
    ):
        assert not verdict(broken, naive())[0]
    for harmless in (naive(others=["end of file"]), naive(ends=[0.5])):
        passed, said = verdict(ours(), harmless)
        assert (passed, "proves nothing" in said) == (False, True)


@pytest.mark.timeout(900)  # many workers start, one after the other
def test_a_short_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The promises hold, whatever the time it takes, and the control is detected."""
    monkeypatch.setattr(crashes, "SHUTDOWN_TIMEOUT", 2.0)
    found, control = measure(kills=1, idle_kills=1, masters=1, pauses=2)
    assert (found.kills, found.others) == (1, [])
    assert len(found.imports) == len(found.answered) == 1
    assert len(found.delays) == 4
    assert len(found.ends) == 1
    assert math.isfinite(max(found.ends))
    assert REFUSED in control.others
    assert control.ends == [math.inf]
    assert len({line.count("|") for line in table(found, control).splitlines()}) == 1


def ours(**figures: list[float] | list[str]) -> Run:
    """A run that keeps every promise except for these figures."""
    kept = {
        "answered": [0.4, 0.4, 0.9],
        "imports": [0.3, 0.4, 0.4],
        "delays": [0, 0.1, 0.2, 0],
        "ends": [0.5],
        **figures,
    }
    return Run(OURS, **kept)  # type: ignore[arg-type]


def naive(**figures: list[float] | list[str]) -> Run:
    """A run that breaks the promises except for these figures."""
    return Run(NAIVE, **{"others": [REFUSED], "ends": [math.inf], **figures})  # type: ignore[arg-type]
