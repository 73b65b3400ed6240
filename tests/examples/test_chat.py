"""examples/chat: several processes and Redis, by WebSocket and long polling, and in a real browser."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.conftest import server_module
from tests.support import ROOT
from tests.support.servers import accepts, free_port
from tests.support.service import eventually

if TYPE_CHECKING:
    from tests.support.browser import Browser, Page

pytest_plugins = ["tests.support.browser"]

FOLDER = ROOT / "examples" / "chat"


@asynccontextmanager
async def chats(count: int, *events: str) -> AsyncIterator[list[str]]:
    """The addresses of ``count`` processes of the example."""
    started = []
    try:
        for _ in range(count):
            port = free_port()
            command = [sys.executable, "service.py", str(port), *events]
            process = await asyncio.create_subprocess_exec(
                *command, cwd=FOLDER, stdout=asyncio.subprocess.DEVNULL
            )
            started.append((port, process))
        for port, _ in started:
            await eventually(lambda port=port: accepts(port))  # type: ignore[misc]
        yield [f"http://127.0.0.1:{port}" for port, _ in started]
    finally:
        for _, process in started:
            process.terminate()
        for _, process in started:
            await process.wait()


async def call(client: aiohttp.ClientSession, address: str, method: str, **parameters: str) -> Any:
    """The result of a call to one process."""
    body = {"method": method, "parameters": parameters}
    async with client.post(f"{address}/chat/service", json=body) as response:
        return (await response.json())["result"]


async def test_four_processes(servers: Any) -> None:
    """A message sent to one is received in all of them, by sockets and by waiting calls."""
    events = server_module("redis").fresh_url(servers("redis"))
    async with AsyncExitStack() as stack:
        addresses = await stack.enter_async_context(chats(4, events))
        client = await stack.enter_async_context(aiohttp.ClientSession())
        sockets = [await client.ws_connect(f"{address}/chat/service/websocket") for address in addresses]
        for socket in sockets:
            await socket.send_json({"id": 1, "method": "listen", "parameters": {"room": "r"}})
            assert (await socket.receive_json(timeout=20))["result"] == "listening"
        for turn, address in enumerate(addresses * 3):
            waiting = [asyncio.create_task(call(client, other, "wait", room="r")) for other in addresses]
            for other in addresses * 3:  # once it has answered these, it has begun what waits
                await call(client, other, "say", room="elsewhere", name="Eve", text="nobody hears it")
            await asyncio.sleep(0.1)
            await call(client, address, "say", room="r", name="Ada", text=str(turn))
            said = {"name": "Ada", "text": str(turn)}
            assert await asyncio.wait_for(asyncio.gather(*waiting), 20) == [said] * 4
            for socket in sockets:
                assert json.loads(await socket.receive_str(timeout=20)) == said


async def shown(page: Page, list: str, count: int) -> Any:
    """The texts in a list of the page, once it has ``count`` of them."""
    return await page.run(
        """new Promise((done) => {
            const look = () => {
                const items = [...document.getElementById(list).children].map((item) => item.textContent);
                items.length >= count ? done(items) : setTimeout(look, 20);
            };
            look();
        })""",
        list=list,
        count=count,
    )


async def say(page: Page, text: str) -> None:
    """Type something into the form, and send it."""
    await page.run(
        "(document.getElementById('text').value = text, document.forms[0].requestSubmit())", text=text
    )


@pytest.mark.parametrize("count", [1, 2], ids=["one process", "two processes"])
async def test_in_the_browser(browser: Browser, servers: Any, count: int) -> None:
    """Two pages chat, each with a socket and long polling side by side; messages are shown as text."""
    events = [server_module("redis").fresh_url(servers("redis"))] if count > 1 else []
    async with chats(count, *events) as addresses:
        pages = [await browser.open(f"{address}/#r") for address in (addresses[0], addresses[-1])]
        for page in pages:
            await page.run(
                "new Promise((done) => { const look = () => document.body.dataset.socket ? done() "
                ": setTimeout(look, 20); look(); })"
            )
        await asyncio.sleep(1)  # until their polling has begun, which nothing tells
        await say(pages[0], "hello <b>you</b>")
        for page in pages:
            for list in ("socket", "polling"):
                assert await shown(page, list, 1) == ["Ada: hello <b>you</b>"]
        await asyncio.sleep(1)
        await say(pages[1], "hello yourself")
        for page in pages:
            for list in ("socket", "polling"):
                assert (await shown(page, list, 2))[1] == "Ada: hello yourself"
