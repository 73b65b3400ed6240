"""Tests of the drill of login times: its statistics, and a short run."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from torture.login_timing import (
    KINDS,
    OURS,
    SERVICES,
    Pair,
    compare,
    mann_whitney,
    measure,
    read_options,
    table,
    verdict,
)

CONTROL = "control, hashes nothing for an unknown user"


@pytest.mark.parametrize(
    ("one", "other", "auc", "p"),
    [
        ([19, 22, 16, 29, 24], [20, 11, 17, 12], 0.85, 0.11134688653314041),
        ([1, 2, 2, 3, 3, 3], [2, 3, 4, 4, 5], 0.18333333333333332, 0.08871369199677616),
        (range(8), range(8, 16), 0.0, 0.0009391056991171899),
        ([1, 2, 3], [1, 2, 3], 0.5, 1.0),
        ([1, 1], [1, 1], 0.5, 1.0),
    ],
)
def test_known_values(one: Sequence[float], other: Sequence[float], auc: float, p: float) -> None:
    """The figures equal those of ``scipy.stats.mannwhitneyu(one, other, method='asymptotic')``."""
    assert mann_whitney(one, other) == pytest.approx((auc, p))
    assert mann_whitney(other, one) == pytest.approx((1 - auc, p))


def test_no_difference() -> None:
    """Values from one distribution are significant as rarely as the level says."""
    found = 0
    for seed in range(400):
        hat = random.Random(seed)  # noqa: S311  # the same numbers each time
        one, other = ([round(hat.gauss(30, 2), 1) for _ in range(60)] for _ in range(2))
        found += mann_whitney(one, other)[1] < 0.05
    assert 8 < found < 34  # 20 are expected


def test_a_clear_difference() -> None:
    """A difference of half a deviation is detected with as many values as a run has."""
    hat = random.Random(1)  # noqa: S311  # the same numbers each time
    auc, p = mann_whitney([hat.gauss(31, 2) for _ in range(1000)], [hat.gauss(30, 2) for _ in range(1000)])
    assert auc == pytest.approx(0.638, abs=0.03)  # 0.638 = Phi(0.5 / sqrt(2))
    assert p < 1e-9


def test_significant_and_it_matters() -> None:
    """A pair is only told apart if it exceeds both bounds."""
    assert not pair(auc=0.52, p=1e-9).told_apart
    assert not pair(auc=0.9, p=0.2).told_apart
    assert pair(auc=0.44, p=1e-9).told_apart
    assert pair(auc=0.56, p=1e-9).told_apart


def test_pairs_share_the_level() -> None:
    """The more pairs a service has, the rarer each must be."""
    times = {"a": [1, 2, 3, 4], "b": [3, 4, 5, 6], "c": [1, 2, 3, 4]}
    pairs = compare(OURS, times)
    assert [pair.kinds for pair in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert pairs[0].p == pytest.approx(3 * mann_whitney(times["a"], times["b"])[1])
    assert pairs[1].p == 1.0


def test_verdict() -> None:
    """A leak fails the drill; an undetected control does too, and the drill says that nothing is proved."""
    same, apart = pair(auc=0.5, p=1.0), pair(auc=0.9, p=0.0)
    missed, found = pair(CONTROL, auc=0.5, p=1.0), pair(CONTROL, auc=0.1, p=0.0)
    assert verdict([same, found])[0]
    passed, said = verdict([same, missed])
    assert (passed, "proves nothing" in said, CONTROL in said) == (False, True, True)
    passed, said = verdict([same, apart, found])
    assert (passed, "a and b" in said) == (False, True)


def test_rounds() -> None:
    """There is at least one round."""
    assert read_options(["--rounds=7"]).rounds == 7
    with pytest.raises(SystemExit):
        read_options(["--rounds=0"])


def test_a_short_run(capsys: pytest.CaptureFixture[str]) -> None:
    """It times every kind on each service, and compares what it has; the statistics are for real runs."""
    times = measure(8, {name: SERVICES[name] for name in (OURS, CONTROL)})
    assert [len(spent) for of_service in times.values() for spent in of_service.values()] == [8] * 6
    pairs = [pair for service, of_service in times.items() for pair in compare(service, of_service)]
    assert len(pairs) == len(KINDS) * (len(KINDS) - 1) // 2 + 1
    assert pairs[-1].service == CONTROL
    assert len({line.count("|") for line in table(pairs).splitlines()}) == 1
    assert "accounts" in capsys.readouterr().err


def pair(service: str = OURS, *, auc: float, p: float) -> Pair:
    """A pair of kinds with these figures."""
    return Pair(service, ("a", "b"), (1.0, 2.0), auc, p)
