"""The fixtures of all tests."""

from pathlib import Path

import pytest


@pytest.fixture
def toto_options(tmp_path):
    """Use the options of the service, with an empty database for each test; events are in memory."""
    return {
        "file": Path(__file__).parent.parent / "toto.toml",
        "database": f"sqlite:///{tmp_path}/test.db",
    }
