"""Tests of ``toto-aio new --template chat``: its users talk, in several processes and in a real browser."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

from tests.cli.test_new import make
from tests.conftest import server_module
from tests.examples.test_chat import say, shown
from tests.support import programs

if TYPE_CHECKING:
    from tests.support.browser import Browser

pytest_plugins = ["tests.support.browser"]


async def test_the_chat_in_processes(tmp_path: Path, servers: Any) -> None:
    """What is said in one process arrives in all of them, at sockets and at waiting calls."""
    events = server_module("redis").fresh_url(servers("redis"))
    project = make(tmp_path, "chat")
    command = (*programs.SERVE, "toto.toml", "--port=0", "--processes=2", f"--events={events}")
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(programs.serving(project, *command))
        clients = [await stack.enter_async_context(aiohttp.ClientSession()) for _ in range(6)]
        sockets = [await client.ws_connect(f"{server.address}/websocket") for client in clients]
        for socket in sockets:
            await socket.send_json({"id": 1, "method": "listen", "parameters": {"room": "r"}})
            assert (await socket.receive_json(timeout=20))["result"] == "listening"
        waiting = asyncio.create_task(server.call({"method": "wait", "parameters": {"room": "r"}}))
        said = {"name": "Ada", "text": "hello"}
        async with asyncio.timeout(20):
            while not waiting.done():  # again, as the first could come before the call waits
                await server.call({"method": "say", "parameters": {"room": "r", **said}})
                await asyncio.wait({waiting}, timeout=0.2)
        for socket in sockets:
            assert json.loads(await socket.receive_str(timeout=20)) == said
        assert (await waiting)["result"] == said
        for socket in sockets:
            await socket.close()


async def test_the_chat_in_the_browser(tmp_path: Path, browser: Browser) -> None:
    """Two pages talk, each by WebSocket and by long polling; what is said stays text."""
    project = make(tmp_path, "chat")
    async with programs.serving(project, *programs.SERVE, "toto.toml", "--port=0") as server:
        pages = [await browser.open(f"{server.address}/page#r") for _ in range(2)]
        for page in pages:
            await page.run(
                "new Promise((done) => { const look = () => document.body.dataset.socket ? done() "
                ": setTimeout(look, 20); look(); })"
            )
        await asyncio.sleep(0.2)
        await say(pages[0], "hello <b>you</b>")
        for page in pages:
            for list in ("socket", "polling"):
                assert await shown(page, list, 1) == ["Ada: hello <b>you</b>"]
