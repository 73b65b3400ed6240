"""Tests of the drill of events for one process: its verdict, and a short run."""

from __future__ import annotations

from collections import Counter

import pytest
from torture.handover import KILLED, OURS, Run, measure, read_options, table, verdict


def test_options() -> None:
    """Every count is at least one, and there are two processes."""
    assert read_options(["--events=7"]).events == 7
    for wrong in ("--restarts=0", "--processes=1"):
        with pytest.raises(SystemExit):
            read_options([wrong])


def test_verdict() -> None:
    """One event that is lost or handled twice fails the drill, as does a control that loses none."""
    assert verdict([run(), run(KILLED, lost=1)])[0]
    assert verdict([run(lost=1), run(KILLED, lost=1)])[1].startswith("FAILED: 1 events were lost, 0")
    assert verdict([run(doubled=1), run(KILLED, lost=1)])[1].startswith("FAILED: 0 events were lost, 1")
    for harmless in (run(KILLED), run(KILLED, doubled=1)):
        passed, said = verdict([run(), harmless])
        assert (passed, "proves nothing" in said) == (False, True)


def test_verdict_on_what_was_not_done() -> None:
    """Restarts that did not happen prove nothing, nor do restarts while no event waited."""
    control = run(KILLED, lost=1)
    assert not verdict([run(disturbed=1), control])[0]
    assert not verdict([run(sent=99), control])[0]
    assert not verdict([run(waiting=0), control])[0]


def test_a_short_run() -> None:
    """No event is lost or handled twice. Whether the control loses one of so few is chance."""
    runs = measure(events=400, restarts=1, processes=2)
    passed, said = verdict([runs[0], run(KILLED, lost=1)])
    assert passed, f"{said}\n{table(runs)}"
    assert len({line.count("|") for line in table(runs).splitlines()}) == 1


def run(
    service: str = OURS,
    *,
    sent: int = 100,
    lost: int = 0,
    doubled: int = 0,
    disturbed: int = 2,
    waiting: int = 5,
) -> Run:
    """A run with these figures."""
    found = Run(service, 100, 2, disturbed, [waiting] * 3, set(range(sent)))
    found.handled = Counter(range(sent - lost)) + Counter(range(doubled))
    return found
