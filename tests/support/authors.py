"""The runs of pytest that an author's project has, below our own: their environment."""

from __future__ import annotations

import os

OURS = ("schemathesis", "hypothesispytest")
"""Plug-ins that we have installed and an author has not: to import them costs ten times what pytest does."""
OPTIONS = " ".join(f"-p no:{name}" for name in OURS)


def environment(options: str = "") -> dict[str, str]:
    """The environment of such a run, with options of pytest: nothing of the run that it is part of."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COV_", "PYTEST_"))}
    return {**kept, "PYTEST_ADDOPTS": f"{OPTIONS} {options}", "PYTHONDONTWRITEBYTECODE": "1"}
