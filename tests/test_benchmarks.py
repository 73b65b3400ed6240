"""The output of the benchmarks: medians, goals and plots. Only running them shows that they measure."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from benchmarks import paired
from benchmarks.bench import SUITE
from benchmarks.figures import Goal, Report, Spread, goals_table, plot, ratio, spread
from benchmarks.harness import BODY, PARAMETERS, Failure, command_line, running, toto_aio
from benchmarks.scale import method
from benchmarks.slices import Load, alternate, differences, interval, ratios


def test_spread() -> None:
    """The median and quartiles, and ratios cycle by cycle."""
    assert spread([4, 1, 3, 2, 5]) == Spread(2, 3, 4)
    assert ratio([2, 30, 4], [1, 10, 2]) == Spread(2, 2, 2.5)
    assert Spread(1.26, 2.5, 3).shown(1) == "2.5 (1.3 to 3.0)"


def test_goals() -> None:
    """A goal is met on the right side of its bound, and the table is in the order of the goals."""
    least, most = Goal(2, "times", 2, Spread(1, 2.1, 3)), Goal(1, "calls", 2, Spread(1, 2.1, 3), at_most=True)
    assert (least.met, most.met) == (True, False)
    rows = goals_table([least, most]).splitlines()[2:]
    assert rows == [
        "| 1 | calls | <= 2 | 2.10 (1.00 to 3.00) | not met |",
        "| 2 | times | >= 2 | 2.10 (1.00 to 3.00) | met |",
    ]


def test_plot() -> None:
    """It is XML with a bar and a figure for each name, whatever characters are in it."""
    bars = {"toto_aio": Spread(1, 2, 3), "R&D <x>": Spread(2, 4, 8)}
    root = ElementTree.fromstring(plot(Report("name", "µs & more", bars, "")))  # noqa: S314  # our own
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["µs & more", "toto_aio", "2.0 (1.0 to 3.0)", "R&D <x>", "4.0 (2.0 to 8.0)"]
    widths = [
        float(bar.get("width", "")) for bar in root.iter("{http://www.w3.org/2000/svg}rect") if bar.get("x")
    ]
    assert widths[1] == 2 * widths[0]


def test_the_suite() -> None:
    """Each benchmark has a name, and 10,000 methods have 10,000 names of equal length."""
    assert list(SUITE) == [
        "frameworks",
        "sessions",
        "batch",
        "sockets",
        "logins",
        "channels",
        "calls",
        "typed",
        "scale",
    ]
    assert len(names := {method(number) for number in range(10_000)}) == 10_000
    assert {len(name) for name in names} == {7}


def test_ratios_of_two_versions(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each start has one ratio, the median of its rounds; a folder without the source is refused."""
    spent = {"base": [1.0, 2, 4], "base, again": [1.0, 2, 4], "head": [2.0, 3, 4]}
    assert paired.ratios_of(spent) == (2, 1, 1.5)
    monkeypatch.setattr("sys.argv", ["paired", "--base", "/"])
    with pytest.raises(SystemExit):
        paired.main()
    assert "write the folder of a checkout" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--cycles=1"], ["--seconds=0"]])
def test_options(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Quartiles need at least two cycles, and a slice at least a second."""
    with pytest.raises(SystemExit):
        command_line(argparse.ArgumentParser(), arguments)
    assert "at least" in capsys.readouterr().err


def test_interval() -> None:
    """The median of small differences has an interval around it that follows from their ranks."""
    assert interval([3, 1, 2]) == Spread(1, 2, 3)
    assert interval(list(range(1, 101))) == Spread(40, 50.5, 61)
    assert differences([5, 7, 9], [4, 4, 4]) == Spread(1, 3, 5)
    assert ratios([5, 6, 8], [4, 4, 4]) == Spread(1.25, 1.5, 2)


def test_loads_of_short_slices(tmp_path: Path) -> None:
    """Each load calls its server in every round; a response that is not as the first one is a failure."""
    with running("toto_aio", toto_aio, tmp_path / "server") as server, Load(server, BODY) as good:
        assert good.first.endswith(json.dumps({"result": PARAMETERS}, separators=(",", ":")).encode())
        wrong = Load(server, BODY.replace("echo", "none"), connections=2)
        spent = alternate({"good": good, "wrong": wrong}, 3, seconds=0)
        assert [len(values) for values in spent.values()] == [3, 3]
        assert all(value > 0 for value in spent["good"])
        good.first = good.first[:-1]
        with wrong, pytest.raises(Failure, match="instead of"):
            good.slice(0)
