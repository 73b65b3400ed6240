"""A database on a server that only one module uses, whose kind is the module's ``KIND``."""

from __future__ import annotations

import gc
import warnings
from collections.abc import AsyncIterator, Iterator

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


@pytest.fixture
def forgotten_sockets() -> Iterator[None]:
    """Let go of what pymongo forgets: the socket of a client that is closed while it connects.

    Without this a later test is told of it, and fails.
    """
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
