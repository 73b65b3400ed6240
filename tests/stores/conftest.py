"""A database on a server that only one module uses, whose kind is the module's ``KIND``."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.conftest import server_module
from tests.support.servers import Server
from tests.support.stores import opened
from toto_aio.stores import Store


@pytest.fixture
def url(request: pytest.FixtureRequest, own_server: Server) -> str:
    """The URL of a new, empty database."""
    return str(server_module(request.module.KIND).fresh_url(own_server))


@pytest.fixture
async def own_store(url: str) -> AsyncIterator[Store]:
    """A store on that database."""
    async with opened(url) as store:
        yield store
