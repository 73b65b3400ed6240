"""Tests of the shutdown drill: its verdict, and a short run."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from torture.drain import (
    ALL_AT_ONCE,
    BLOCKED,
    OURS,
    RUN_APP,
    Result,
    measure,
    plan,
    read_options,
    states,
    table,
    verdict,
)

FROZEN = "a frozen PostgreSQL"


def test_options() -> None:
    """There is at least one client."""
    assert read_options(["--clients=7"]).clients == 7
    with pytest.raises(SystemExit):
        read_options(["--clients=0"])


def test_plan() -> None:
    """Every state is tried with one process and with two, and the control is included."""
    tried = [(result.state, result.processes) for result in plan() if result.service == OURS]
    assert tried == [(name, processes) for name in states(1) for processes in (1, 2)]
    assert [result.service for result in plan()].count(RUN_APP) == 1


def test_verdict() -> None:
    """A late shutdown, a wrong outcome for a client and a wrong status each fail the drill."""
    control = result(RUN_APP, BLOCKED, seconds=math.inf)
    assert verdict([result(), result(state=BLOCKED, status=1), control])[0]
    for broken in (
        result(seconds=5.1),
        result(wrong={"DROPPED": 1}),
        result(status=1),
        result(state=BLOCKED, status=0),
    ):
        assert not verdict([broken, control])[0]
    passed, said = verdict([result(), result(RUN_APP, BLOCKED)])
    assert (passed, "proves nothing" in said) == (False, True)


@pytest.mark.timeout(900)  # the clients of all states come one by one
def test_a_short_run() -> None:
    """Every client gets what it should, and the service ends by itself, whatever the time it takes."""
    wanted = {ALL_AT_ONCE: (1, 2), BLOCKED: (1, 2), FROZEN: (2,)}
    # Twice the time of the drill: a busy machine needs it until all clients are in their state.
    results = [each for each in plan(10.0) if each.processes in wanted.get(each.state, ())]
    measure(results, 1, at_once=True)
    for found in results:
        if found.service == OURS:
            assert not found.wrong.total(), table([found])
            assert math.isfinite(found.seconds), table([found])
            assert found.status == (found.state == BLOCKED and found.processes == 1)
        else:
            assert math.isinf(found.seconds)


def result(
    service: str = OURS,
    state: str = ALL_AT_ONCE,
    *,
    seconds: float = 4.0,
    status: int = 0,
    wrong: dict[str, int] | None = None,
) -> Result:
    """The result of one process."""
    return Result(service, state, 1, 5.0, seconds, status, wrong=Counter(wrong or {}))
