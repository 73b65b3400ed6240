"""The threat model, and the guarantees of channels: each row names tests that exist."""

from __future__ import annotations

import re

from tests.support import ROOT


def test_each_row_names_its_tests() -> None:
    """Every test that the table names exists, and can be run."""
    rows = re.findall(r"^\| (?!threat|---)(.+) \|$", (ROOT / "SECURITY.md").read_text(), re.MULTILINE)
    assert len(rows) > 20
    require_tests(rows)


def test_each_guarantee_names_its_tests() -> None:
    """So does each row of what channels guarantee."""
    (table,) = re.findall(
        r"\n## What is guaranteed\n\n.+\n\| --- .+\n((?:\| .+\n)+)", (ROOT / "docs/channels.md").read_text()
    )
    require_tests(table.splitlines())


def require_tests(rows: list[str]) -> None:
    """Fail unless each row names tests, which exist."""
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row)
        assert named, row
        for file, test in named:
            text = (ROOT / file).read_text()
            assert re.search(rf"^(async )?def {test}\(", text, re.MULTILINE), (file, test)


def test_the_drills_exist() -> None:
    """So do the drills that it names."""
    drills = re.findall(r"`(torture/\w+\.py)`", (ROOT / "SECURITY.md").read_text())
    assert drills
    assert all((ROOT / drill).is_file() for drill in drills)
