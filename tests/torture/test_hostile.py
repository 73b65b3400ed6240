"""Tests of the drill of hostile inputs: its inputs, its verdict, and a short run."""

from __future__ import annotations

import pytest
from torture.hostile import COLLIDING, CONTROL, OURS, Result, measure, read_options, table, verdict
from torture.hostile_inputs import Frames, Requests, colliding, inputs

SMALL = 20_000
"""Bytes of an input in the short run, which is about responses and not about time."""
REFUSED = {
    "JSON: opening brackets": "400",
    "MessagePack: colliding keys": "400",
    "BSON: code": "400",
    "form: ampersands": "400",
    "form: escapes": "200",
    "multipart: line ends": "200",
    "multipart: parts": "200",
    "query: one name many times": "200",
    "X-Forwarded-For": "200",
    "a head that is too large": "400",
    "cookies": "200",
    "chunks of one byte": "200",
    "gzip of zeros": "413",
    "text frame: opening brackets": "errors",
    "binary frame: colliding keys": "errors",
    "frames: empty": "closed with 1008",
    "frames: pings": "closed with 1008",
    "frames: calls": "results",
}


def test_options() -> None:
    """There is at least one round."""
    assert read_options(["--rounds=2", "--only=JSON"]) == (2, "JSON")
    with pytest.raises(SystemExit):
        read_options(["--rounds=0"])


def test_the_collisions_collide() -> None:
    """Otherwise the control would break no guarantee."""
    pairs = [pair for pair, _ in zip(colliding(0), range(50), strict=False)]
    assert len({hash(pair) for pair in pairs}) == 1
    assert len(set(pairs)) == 50


def test_inputs() -> None:
    """Every one can be made, and has about as many bytes as it should, or a single request."""
    for name, make in inputs(SMALL).items():
        made = make()
        sizes = [len(made.frames)] if isinstance(made, Frames) else [len(each) for each in made.requests]
        assert sum(sizes) < 2 * SMALL or len(sizes) == 1, name


def test_verdict() -> None:
    """A held loop and a costly input fail the drill, and so does a control that holds nothing."""
    assert verdict([result(), control()])[0]
    assert verdict([result(wait=60, cost=40), control()])[
        0
    ]  # it can't hold the loop for longer than it computes
    assert verdict([result(cost=600, flood=True), control()])[0]
    for broken in (result(wait=60, cost=70), result(cost=600)):
        assert not verdict([broken, control()])[0]
    passed, said = verdict([result(), result(CONTROL)])
    assert (passed, "proves nothing" in said) == (False, True)


def test_a_short_run() -> None:
    """Each input gets the response that it should, and the next request is served."""
    makers = {name: make for name, make in inputs(SMALL).items() if name in REFUSED}
    assert makers.keys() == REFUSED.keys()
    results = measure(1, makers=makers)
    assert {each.name: each.outcome for each in results[:-1]} == REFUSED
    assert (results[-1].service, results[-1].name) == (CONTROL, COLLIDING)
    assert len({line.count("|") for line in table(results).splitlines()}) == 1


def result(service: str = OURS, *, wait: float = 20, cost: float = 30, flood: bool = False) -> Result:
    """The result of an input with these figures, in the better of two rounds."""
    return Result(service, "x", flood, "200", [wait, 500], [cost, 900])


def control() -> Result:
    """The control, with the loop held as it should be."""
    return result(CONTROL, wait=800, cost=700)


def test_piped_requests_are_floods() -> None:
    """Their cost is that of their calls."""
    for make in inputs(SMALL).values():
        made = make()
        assert not isinstance(made, Requests) or made.flood or not made.piped
