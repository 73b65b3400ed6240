"""Tests of the whole application, and of a method in process."""

import pytest
from aiohttp.test_utils import TestClient, TestServer
from toto_aio.client import Client
from toto_aio.settings import read_settings

from methods import add
from service import OPTIONS, make_application


@pytest.fixture
async def server():
    """Serve the application on a free port, with its database in memory."""
    application = make_application(read_settings({}, OPTIONS), database="memory://")
    async with TestServer(application) as server:
        yield server


async def test_the_page(server):
    """The application serves its own page."""
    async with TestClient(server) as browser, browser.get("/") as response:
        assert "/api/service" in await response.text()


async def test_the_service(server):
    """The embedded service runs methods, and has accounts."""
    async with Client(server.make_url("/api/service"), signing="off") as client:
        assert await client.call("add", {"a": 1, "b": 2}) == 3
        await client.create_account("ada", "correct horse")
        assert client.session.user_id == "ada"


async def test_add(toto_call):
    """It adds numbers."""
    assert await toto_call(add, {"a": 1, "b": 2}) == 3
