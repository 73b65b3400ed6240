"""Tables that fit a terminal."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from toto_aio.cli.accounts.table import Table, width


def shown(capsys: pytest.CaptureFixture[str], *pages: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table whose rows come in pages."""
    table = Table(("USER", "NOTE"))
    for page in pages:
        table.add(page)
    return capsys.readouterr().out.splitlines()


def test_tables(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the widest columns are cut to fit, by what they take there; in a pipe nothing is."""
    rows = [("ada", "x" * 50), ("\u6f22" * 3, "y")]
    assert shown(capsys, rows) == ["USER    NOTE", f"ada     {'x' * 50}", "\u6f22\u6f22\u6f22  y"]
    assert shown(capsys, [("a", "b")], [("much longer", "c")]) == ["USER  NOTE", "a     b", "much longer  c"]
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    for columns in (30, 20, 16):
        monkeypatch.setenv("COLUMNS", str(columns))
        lines = shown(capsys, rows, [("z" * 99, "")])
        assert all(width(line) <= columns for line in lines), lines
        assert lines[1].startswith("ada")
        assert lines[1].endswith("x\u2026")
        assert lines[2].startswith("\u6f22\u6f22\u6f22  y")
        assert lines[3] == "zzzzz\u2026"
    monkeypatch.setenv("COLUMNS", "3")
    assert shown(capsys, [("a", "b")])[1] == "a     b"


def test_widths() -> None:
    """Wide characters take two columns, marks that combine take none."""
    assert [width(text) for text in ("", "ada", "\u00e9", "e\u0301", "\u6f22", "\uff41")] == [
        0,
        3,
        1,
        1,
        2,
        2,
    ]
