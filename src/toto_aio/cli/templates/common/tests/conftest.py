"""What all tests have in common."""

from pathlib import Path

import pytest


@pytest.fixture
def toto_options():
    """The options of the service; its database and its events are in memory for a test."""
    return {"file": Path(__file__).parent.parent / "toto.toml"}
