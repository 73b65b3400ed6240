"""Tests of the drill of channels: its books, its verdict, and a short run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torture.channels import Plan, Run, disturbed, read_options, table, verdict
from torture.ledger import Ledger, Reading, totals

from toto_aio.channels import Position

CONTROLS = [
    Run(Plan("any run", 9, kills=1, any_run=True), lost=1),
    Run(Plan("forgets", 9, cuts=1, forgets=True), lost=1),
]


def test_options() -> None:
    """There is something of everything, and more than one process."""
    assert read_options(["--messages=500", "--cuts=3"]).cuts == 3
    for wrong in ("--messages=1", "--kills=0", "--processes=1"):
        with pytest.raises(SystemExit):
            read_options([wrong])


def test_books() -> None:
    """What did not come is lost unless that was told, and nothing may come or be numbered twice."""
    ledger = Ledger("room:1")
    for offset, number in enumerate("abcdef", 1):
        ledger.acknowledge(Position("x", offset), ord(number))

    def reading(*took: tuple[int, str], after: int = 0, told: int | None = None) -> Reading:
        found = Reading(ledger)
        found.begin(Position("x", after))
        for offset, number in took:
            if offset == told:
                found.begin(Position("x", offset - 1))
            found.take(Position("x", offset), ord(number))
        return found

    def books(found: Reading) -> tuple[int, int, int]:
        return (found.told, found.lost(), found.doubled())

    everything = tuple(enumerate("abcdef", 1))
    assert books(reading(*everything)) == (0, 0, 0)
    assert books(reading(*everything[2:], after=2)) == (0, 0, 0)
    assert books(reading(*everything[:2], *everything[4:], told=5)) == (1, 0, 0)
    assert books(reading(*everything[:2], *everything[4:])) == (0, 2, 0)
    assert books(reading(*everything[:4])) == (0, 2, 0)
    assert books(reading(*everything[:3], *everything[2:])) == (0, 0, 1)
    assert books(reading(*everything[:5], (6, "z"))) == (0, 1, 0)
    assert books(reading(*everything[:5], (6, "a"))) == (0, 1, 1)
    assert reading(*everything[:4]).is_at(Position("x", 4))
    ledger.acknowledge(Position("x", 6), ord("g"))
    assert books(reading(*everything))[2] == 1
    assert totals([reading(*everything[:4])] * 2) == {"received": 8, "told": 0, "lost": 4, "doubled": 2}
    for told in (True, False):
        new = reading(*everything[:4])
        if told:
            new.begin(Position("z", 0))
        new.take(Position("z", 1), ord("a"))
        assert (new.told, new.lost()) == (told, not told)


def test_verdict() -> None:
    """Losses, doubles, needless news and unfinished runs fail it, as does a control without fault."""
    kills, cuts = Plan("kills", 9, kills=1), Plan("cuts", 9, cuts=1)

    def runs(**of: Any) -> list[Run]:
        return [
            Run(kills, 9, kills=1, told=4),
            Run(cuts, **{"acknowledged": 9, "cuts": 1, **of}),
            *CONTROLS,
        ]

    assert verdict(runs())[0]
    assert verdict([*runs()[:2], Run(CONTROLS[0].plan, doubled=1)])[0]
    for broken in ({"lost": 1}, {"doubled": 1}, {"told": 1}, {"cuts": 0}, {"acknowledged": 8}):
        assert verdict(runs(**broken))[1].startswith("FAILED: cuts: ")
    for control in CONTROLS:
        passed, said = verdict([*runs()[:2], Run(control.plan), CONTROLS[0]])
        assert (passed, "proves nothing" in said) == (False, True)
    assert len({line.count("|") for line in table(runs()).splitlines()}) == 1


async def test_a_short_run(tmp_path: Path) -> None:
    """Nothing is lost through a kill of Redis and cut connections."""
    run = await disturbed(Plan("short", 500, kills=1, cuts=4, aof=False), tmp_path, 2)
    assert (run.kills, run.cuts, run.lost, run.doubled) == (1, 4, 0, 0)
    assert run.told > 0
