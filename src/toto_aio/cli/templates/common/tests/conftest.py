"""The fixtures of all tests."""

from pathlib import Path

import pytest


@pytest.fixture
def toto_options():
    """Use the options of the service; in tests its database and events are in memory."""
    return {"file": Path(__file__).parent.parent / "toto.toml"}
