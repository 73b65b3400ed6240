"""Tests of the drill of idempotency keys: its verdict, and a short run."""

from __future__ import annotations

from collections import Counter

import pytest
from torture.idempotent import Run, measure, read_options, table, verdict


def test_options() -> None:
    """There are enough keys and processes, and only databases that there are."""
    assert read_options(["--keys=30", "--databases=sqlite,redis"]).databases == ("sqlite", "redis")
    for wrong in ("--keys=1", "--processes=1", "--databases=oracle"):
        with pytest.raises(SystemExit):
            read_options([wrong])


def test_verdict() -> None:
    """A key that counts twice or is lost fails the drill, as does a control that nothing is found in."""
    control = run(marked=False, append2=2)
    assert verdict([run(), control])[0]
    assert verdict([run(append2=2), control])[1].startswith("FAILED: 1 keys counted more than once, 0")
    assert verdict([run(append2=0), control])[1].startswith("FAILED: 0 keys counted more than once, 1")
    assert verdict([run(pay1=2), control])[1].startswith("FAILED: 1 keys counted more than once, 0")
    assert verdict([run(pay3=0), control])[1].startswith("FAILED: 0 keys counted more than once, 1")
    assert verdict([run(append4=0), control])[0]  # nobody knows what became of it
    for wrong in ([run(), run(marked=False)], [run(killed=0), control], [run(keys=5), control]):
        assert not verdict(wrong)[0]


def test_a_short_run() -> None:
    """No key counts twice. Whether the control runs one of so few twice is chance."""
    runs = measure(keys=80, processes=2, databases=["sqlite"])
    passed, said = verdict([runs[0], run(marked=False, append2=2)])
    assert passed, f"{said}\n{table(runs)}"
    assert len({line.count("|") for line in table(runs).splitlines()}) == 1


def run(*, marked: bool = True, killed: int = 1, keys: int = 4, **counts: int) -> Run:
    """A run of four keys, the last two of which have error 1016; each counts once, or as often as is said."""
    found = Run("sqlite", keys, marked, killed)
    found.results, found.unknown = {"pay1", "append2"}, {"pay3", "append4"}
    for key in ("pay1", "append2", "pay3", "append4"):
        of = found.paid if key.startswith("pay") else found.appended
        of[key] = counts.get(key, 1)
    found.paid, found.appended = +Counter(found.paid), +Counter(found.appended)
    return found
