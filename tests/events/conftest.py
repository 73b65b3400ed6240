"""The brokers of the tests of events, each with a database of the test's own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import server_module
from tests.support.servers import Server


@pytest.fixture(params=["memory", "redis", "redis_cluster"])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of each kind of broker."""
    if request.param == "memory":
        return "memory://"
    server = request.getfixturevalue("servers")(request.param)
    return str(server_module(request.param).fresh_url(server))


@pytest.fixture
def redis_url(servers: Callable[[str], Server]) -> str:
    """An empty database of the server that all tests share."""
    return str(server_module("redis").fresh_url(servers("redis")))
