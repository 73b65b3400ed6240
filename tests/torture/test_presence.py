"""Tests of the drill of who is present: its verdict, and a short run."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from torture.presence import NOBODY_DIES, Plan, Run, disturbed, read_options, table, verdict

from tests.support.limits import PATIENCE, limits
from torture import guests

QUICK = """from toto_aio.brokers import redis_processes

redis_processes.BEAT, redis_processes.DEAD_AFTER, redis_processes.FRESH = 0.3, 1.0, 0.4
"""
"""Processes are taken for dead much earlier."""
CONTROL = Run(Plan("nobody dies", kills=1, change=NOBODY_DIES, is_control=True), [math.inf])


def test_options() -> None:
    """There is something of everything, and more than one process."""
    assert read_options(["--kills=3", "--clients=50"]).clients == 50
    for wrong in ("--kills=0", "--freezes=0", "--restarts=1", "--clients=7", "--processes=1"):
        with pytest.raises(SystemExit):
            read_options([wrong])


def test_verdict() -> None:
    """It fails if anything was wrong for too long or not done, or a control was right."""
    kills, freezes = Plan("kills", kills=2), Plan("freezes", freezes=1)

    def runs(*seconds: float) -> list[Run]:
        return [Run(kills, [8.0, 9.9]), Run(freezes, list(seconds)), CONTROL]

    assert verdict(runs(8.5, 0.1))[0]
    for broken in (runs(8.5), runs(8.5, math.inf), runs(10.1, 0.1)):
        assert verdict(broken)[1].startswith("FAILED: freezes: "), broken
    passed, said = verdict([*runs(8.5, 0.1)[:2], Run(CONTROL.plan, [3.0])])
    assert (passed, "proves nothing" in said) == (False, True)
    assert len({line.count("|") for line in table(runs(8.5, 0.1)).splitlines()}) == 1


async def test_a_short_run(tmp_path: Path) -> None:
    """Who is present becomes right again after all that the drill does, whatever the time it takes."""
    plan = Plan("short", kills=1, freezes=1, restarts=1, aof=False, change=QUICK)
    with limits(guests, HOLD=0.1, ANSWER_LIMIT=PATIENCE):
        run = await disturbed(plan, tmp_path, 8, 2, PATIENCE)
    assert len(run.seconds) == run.wanted == 4
    assert math.inf not in run.seconds
