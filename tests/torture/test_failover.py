"""Tests of the drill of failovers: its verdict, and a short run."""

from __future__ import annotations

from typing import Any

import pytest
from torture.failover import OURS, UNCHECKED, Round, Run, fail_over, read_options, table, unchecked, verdict

from tests.support.limits import PATIENCE, limits
from toto_aio import redis_connection
from toto_aio.brokers import redis_listener

OLD = Round(stale=14.9, refused=0.1, lost=14.9, sent=10, heard=0, told=False)
"""A round of the control."""


def one(**figures: Any) -> Round:
    """A round in which nothing went wrong, except for these figures."""
    return Round(
        **{"stale": 4.9, "refused": 0.1, "lost": 5.0, "sent": 20, "heard": 10, "told": True, **figures}
    )


def test_options() -> None:
    """There is at least one round."""
    assert read_options(["--rounds=7"]).rounds == 7
    with pytest.raises(SystemExit):
        read_options(["--rounds=0"])


def test_verdict() -> None:
    """Old sessions, refused writes, lost events and unnoticed gaps fail it, and a control that passes."""
    control = Run(UNCHECKED, [OLD])
    assert verdict([Run(OURS, [one(), one()]), control])[0]
    for broken in (one(stale=7.5), one(refused=7.5), one(lost=12.5), one(told=False), one(heard=0)):
        assert not verdict([Run(OURS, [one(), broken]), control])[0]
    passed, said = verdict([Run(OURS, [one()]), Run(UNCHECKED, [one()])])
    assert (passed, "proves nothing" in said) == (False, True)


async def test_a_short_run() -> None:
    """A process goes over to the new primary, and is told; how soon is for real runs. The control stays."""
    runs = [Run(OURS), Run(UNCHECKED)]
    with limits(redis_connection, ROLE_INTERVAL=0.1), limits(redis_listener, HEARTBEAT=0.1, ECHO_LIMIT=0.5):
        await fail_over(runs[0], 1, "redis-server", PATIENCE, early=True)
    with unchecked():
        await fail_over(runs[1], 1, "redis-server", 0.5)
    [ours], [control] = (run.rounds for run in runs)
    assert (ours.told, ours.heard > 0) == (True, True)
    assert (control.told, control.heard) == (False, 0)
    assert control.stale > 0
    assert table(runs).count("\n") == 3
