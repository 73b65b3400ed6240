"""The extras of the package: those that errors name exist, and ``all`` has what a service can use."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.support import ROOT

EXTRAS: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
    "optional-dependencies"
]
NAMED = re.compile(r"(?:toto-aio|'[./]+)\[([\w,]+)\]")


def files() -> Iterator[Path]:
    """What tells users, or the projects of users, what to install."""
    yield ROOT / "README.md"
    for folder, kind in (
        ("docs", "*.md"),
        ("examples", "*.md"),
        ("src", "*.py"),
        ("src", "*.toml"),
        ("examples", "*.toml"),
    ):
        yield from (ROOT / folder).rglob(kind)


def test_every_extra_that_is_named_exists() -> None:
    """An error that says what to install, a page and a new project name extras that there are."""
    named = {
        (file.name, extra)
        for file in files()
        for extras in NAMED.findall(file.read_text())
        for extra in extras.split(",")
    }
    assert ("mysql.py", "aiomysql") in named
    assert {(file, extra) for file, extra in named if extra not in EXTRAS} == set()


def test_all_has_what_a_service_can_use() -> None:
    """It has each extra, except for what is for the tests of a service."""
    [everything] = EXTRAS["all"]
    [names] = NAMED.findall(everything)
    assert set(names.split(",")) == set(EXTRAS) - {"all", "testing"}
