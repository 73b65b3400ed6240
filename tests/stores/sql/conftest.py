"""A new store of every persistent kind of SQL database."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import server_module
from tests.support.sql_stores import PERSISTENT


@pytest.fixture(params=PERSISTENT)
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new store of each persistent kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/toto.db"
    servers = request.getfixturevalue("servers")
    return str(server_module(request.param).fresh_url(servers(request.param)))
