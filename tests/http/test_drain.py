"""A shutdown that drops no request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import pytest
from aiohttp import web

from tests.support.limits import PATIENCE, WATCHDOG
from toto_aio import create_app
from toto_aio.http.drain import DRAIN, Drain


@dataclass
class Draining:
    """A service that can be drained, and a client."""

    drain: Drain
    server: web.Server
    client: aiohttp.ClientSession
    url: str
    begun: asyncio.Event
    """Whether the call of ``slow`` has begun."""
    may_end: asyncio.Event
    """Whether it may end."""

    async def run(self, limit: float = PATIENCE) -> None:
        """Drain. By default it is over long before its limit."""
        self.drain.begin()
        async with asyncio.timeout(WATCHDOG):
            await self.drain.wait(self.server, limit)

    async def call(self, path: str = "", method: str = "echo") -> str | None:
        """The header ``Connection`` of the response to a call."""
        async with self.client.post(self.url + path, json={"method": method}) as response:
            await response.read()
            return response.headers.get("Connection")


@pytest.fixture
async def draining() -> AsyncIterator[Draining]:
    """A service with a method."""

    async def echo(handler: object, parameters: object) -> object:
        return parameters

    begun, may_end = asyncio.Event(), asyncio.Event()

    async def slow(handler: object, parameters: object) -> object:
        begun.set()
        await may_end.wait()
        return parameters

    async def gone(handler: object, parameters: object) -> object:
        raise web.HTTPGone

    methods = {"echo": echo, "slow": slow, "gone": gone}
    app = create_app(method_module=methods, database="memory://")
    runner = web.AppRunner(app)
    async with serving(runner) as url, aiohttp.ClientSession() as client:
        assert runner.server is not None
        yield Draining(app[DRAIN], runner.server, client, url, begun, may_end)


@asynccontextmanager
async def serving(runner: web.AppRunner) -> AsyncIterator[str]:
    """The address of a runner's site."""
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/service"
    await runner.cleanup()


async def test_a_connection_that_is_kept_alive(draining: Draining) -> None:
    """It gets one more response, which closes it; then the drain is over."""
    assert await draining.call() is None
    drained = asyncio.create_task(draining.run())
    await asyncio.sleep(0.1)
    assert not drained.done()
    assert await draining.call() == "close"
    await drained


async def test_a_call_in_flight(draining: Draining) -> None:
    """Its response closes the connection too: after the drain nobody could serve the next request."""
    slow = asyncio.create_task(draining.call(method="slow"))
    await draining.begun.wait()
    await draining.run(0.1)
    assert not slow.done()
    draining.may_end.set()
    assert await slow == "close"


async def test_what_aiohttp_answers(draining: Draining) -> None:
    """Responses that do not come from a service say the same."""
    assert await draining.call() is None
    drained = asyncio.create_task(draining.run())
    await asyncio.sleep(0)
    assert await draining.call("/no/such/path") == "close"
    await drained


async def test_an_idle_connection(draining: Draining) -> None:
    """A client that sends nothing is waited for no longer than the limit."""
    assert await draining.call() is None
    begin = asyncio.get_running_loop().time()
    await draining.run(0.2)
    assert asyncio.get_running_loop().time() - begin >= 0.2


async def test_sockets(draining: Draining) -> None:
    """They are closed in another way and not waited for, including those opened during the drain."""
    async with draining.client.ws_connect(draining.url + "/websocket") as socket:
        await draining.run()
        async with draining.client.ws_connect(draining.url + "/websocket") as another:
            await draining.run()
            for frames in (socket, another):
                await frames.send_json({"id": 1, "method": "echo", "parameters": {"a": 1}})
                assert await frames.receive_json() == {"id": 1, "result": {"a": 1}}


async def test_a_method_that_answers_in_aiohttps_words(draining: Draining) -> None:
    """Its response closes the connection as well."""
    assert await draining.call() is None
    drained = asyncio.create_task(draining.run())
    await asyncio.sleep(0)
    assert await draining.call(method="gone") == "close"
    await drained
