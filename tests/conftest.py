"""A service in a few lines, served by aiohttp's own test server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from pytest_aiohttp.plugin import AiohttpClient

import toto_aio.methods
from tests.support import PlainServer, Serve, Service
from toto_aio import create_app
from toto_aio.registry import find_methods


@pytest.fixture
def serve(aiohttp_client: AiohttpClient) -> Serve:
    """Serve methods: ``await serve({"echo": echo}, signing="off")``; in memory unless told otherwise.

    The built-in methods are there too.
    """

    async def serve(methods: Mapping[str, Any] | None = None, **options: Any) -> Service:
        built_in = {name: method.invoke for name, method in find_methods(toto_aio.methods, 60).items()}
        options = {"database": "memory://", "method_module": {**built_in, **(methods or {})}, **options}
        return Service(await aiohttp_client(PlainServer(create_app(**options))))

    return serve


@pytest.fixture
def errors(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The messages that were logged as errors."""
    return lambda: [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]


STORE_URLS: dict[str, Callable[[pytest.FixtureRequest], str]] = {
    "memory": lambda request: "memory://",
    "sqlite": lambda request: f"sqlite:///{request.getfixturevalue('tmp_path')}/toto.db",
}
"""Where the store of each kind is opened for a test; a new database is one row here."""


@pytest.fixture(params=STORE_URLS)
async def store(request: pytest.FixtureRequest) -> Any:
    """A new, empty store; a test that asks for it runs over every kind."""
    from toto_aio.stores import open_store  # which imports the driver of this kind alone

    store = await open_store(STORE_URLS[request.param](request))
    yield store
    await store.close()
