"""Tests of the drill of codes: its verdict, and a short run."""

from __future__ import annotations

import random

import pytest
from torture.code_timing import OURS, SERVICES, Pair, compared, measure, read_options, table, verdict


def test_a_short_run() -> None:
    """Each kind of call is timed on each service, as often as there are rounds."""
    control = "control, 1 ms more for a known address"
    times = measure(4, {OURS: "", control: SERVICES[control]})
    assert {len(spent) for of_service in times.values() for spent in of_service.values()} == {4}
    pairs = compared(times)
    assert [(pair.service, pair.call) for pair in pairs] == [
        (OURS, "request"),
        (OURS, "wrong code"),
        (control, "request"),
    ]
    assert table(pairs).count("\n") == 4


def test_the_verdict() -> None:
    """It fails for a leak, and if a control is not detected."""
    hat = random.Random(1)  # noqa: S311  # the same numbers each time
    same, other, late = ([hat.randint(low, low + 1000) for _ in range(500)] for low in (0, 0, 500))
    ours, leaking = Pair(OURS, "request", same, other, 1), Pair(OURS, "request", same, late, 1)
    found, missed = Pair("control", "request", same, late, 1), Pair("control", "request", same, other, 1)
    assert verdict([ours, found])[0] is True
    assert "told apart by time: request" in verdict([leaking, found])[1]
    assert "this proves nothing" in verdict([ours, missed])[1]


def test_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Ten thousand rounds, or another number of them."""
    assert read_options([]).rounds == 10_000
    with pytest.raises(SystemExit):
        read_options(["--rounds=0"])
    assert "at least 1" in capsys.readouterr().err
