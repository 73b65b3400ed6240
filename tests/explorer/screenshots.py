"""Makes the pictures of docs/explorer.md: ``python -m tests.explorer.screenshots``."""

from __future__ import annotations

import asyncio

from aiohttp.test_utils import TestServer

from tests.explorer.service import METHODS, service
from tests.support import ROOT
from tests.support.browser import Browser, serving
from tests.support.explorer import open_explorer

FOLDER = ROOT / "docs" / "_static"
SHOWN = ("notes.add", "notes.echo", "notes.upload", "rooms.join", "rooms.say")


async def main() -> None:
    """Show a call that has succeeded, and a wrong one on a phone."""
    app = service({name: METHODS[name] for name in SHOWN}, signing="session")
    with serving() as chromium:
        async with TestServer(app) as server, Browser(chromium) as browser:
            explorer = await open_explorer(browser, str(server.make_url("/")).rstrip("/"))
            page = explorer.page
            await explorer.log_in()
            await explorer.go("method/notes.add")
            await explorer.write(title="Milk", priority="5", color='"green"')
            await page.resize(1000, 800)
            await page.run("void window.scrollTo(0, 0)")
            (FOLDER / "explorer.png").write_bytes(await page.shot())
            await page.resize(390, 844)
            await explorer.write(title="", priority="many")
            await explorer.click("Call")
            await explorer.read("2 things are wrong")
            await page.run("document.querySelector('fieldset').scrollIntoView()")
            (FOLDER / "explorer-phone.png").write_bytes(await page.shot())


if __name__ == "__main__":
    asyncio.run(main())
