"""Tests of the drill that tries a service by its document: its verdict, and a short run."""

from __future__ import annotations

import pytest
from torture.contract import CONTROL, OURS, Run, measure, read_options, table, verdict
from torture.fits import fits, is_sent


def test_options() -> None:
    """There is at least one call."""
    assert read_options(["--cases=7", "--seed=3"]).seed == 3
    with pytest.raises(SystemExit):
        read_options(["--cases=0"])


def test_verdict() -> None:
    """It passes if nothing was found, and the faults of the control were."""
    ours, control = (
        Run(OURS, 7, 1.0, links=3),
        Run(CONTROL, 7, 1.0, ["ST101 Server error", "ST108 violates schema"]),
    )
    assert verdict([ours, control])[0]
    assert "proves nothing" in verdict([ours, Run(CONTROL, 7, 1.0, ["ST101 Server error"])])[1]
    assert not verdict([Run(OURS, 7, 1.0, ["ST205 Allow header mismatch"]), control])[0]
    assert "no links" in verdict([Run(OURS, 7, 1.0), control])[1]
    assert "so far" in verdict([Run(OURS, 7, 1.0, interrupted=True)])[1]


def test_what_json_schema_cannot_say() -> None:
    """Integers of more than 64 bits are left out of what schemathesis sends, at any depth."""
    assert all(map(fits, (2**63 - 1, -(2**63), 1e300, None, "9" * 30, {"a": [1, {"b": True}]})))
    assert not any(map(fits, (2**63, -(2**63) - 1, [[2**63]], {"a": {"b": 2**64}})))


def test_what_cannot_be_sent() -> None:
    """A form with an empty list is left out: it would arrive as a form without it."""
    assert all(map(is_sent, ({}, {"a": ""}, {"a": [""]}, {"a": {"b": []}}, "text", b"", [])))
    assert not is_sent({"a": 1, "b": []})


@pytest.mark.timeout(900)  # it starts schemathesis twice
async def test_a_short_run() -> None:
    """schemathesis finds nothing in a service of thirty methods, and both faults of the control.

    Two calls of each operation are made up, which costs 20 ms a call. The others are of the coverage
    phase, at 4 ms a call, for a ninth of the methods.
    """
    runs = await measure(60, 1, covered=9)
    assert verdict(runs)[0], verdict(runs)[1] + table(runs)
    assert runs[0].cases >= 200
