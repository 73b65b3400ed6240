"""Tests of ``toto-aio new --template chat``: its users talk, in several processes and in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.cli.test_new import make
from tests.conftest import server_module
from tests.examples.test_chat import here, say, shown
from tests.support import programs

if TYPE_CHECKING:
    from tests.support.browser import Browser

pytest_plugins = ["tests.support.browser"]


async def test_the_chat(tmp_path: Path, browser: Browser, servers: Any) -> None:
    """Two pages talk, in two processes; what is said stays text, and a later page shows it too."""
    events = server_module("redis").fresh_url(servers("redis"))
    project = make(tmp_path, "chat")
    command = (*programs.SERVE, "toto.toml", "--port=0", "--processes=2", f"--events={events}")
    async with programs.serving(project, *command) as server:
        pages = [await browser.open(f"{server.address}/page#r") for _ in range(2)]
        for page in pages:
            await here(page, 2)
        await say(pages[0], "hello <b>you</b>")
        for page in (*pages, await browser.open(f"{server.address}/page#r")):
            assert await shown(page, 1) == ["Ada: hello <b>you</b>"]
