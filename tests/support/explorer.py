"""The explorer in a browser: fixture ``explore``, which opens it and shows what a reader sees and does.

``pytest_plugins = ["tests.support.browser", "tests.support.explorer"]`` gives it to a test module. After the
test, no page may have left its origin, broken its own rules, or thrown an exception.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpClient

from tests.support.browser import Browser, Page
from tests.support.service import Client, FastServer

SCRIPT = """
globalThis.until = async (condition) => {
  let last = null;
  for (const start = Date.now(); Date.now() - start < 100_000;) {
    await new Promise(done => setTimeout(done, 10));
    try { if (last = condition()) return last; } catch (error) { last = error; }
  }
  throw new Error(`${last}: never ${condition}: ${document.body.innerText.slice(0, 3000)}`);
};
globalThis.seen = (element) => element.checkVisibility();
globalThis.field = (name) => {
  const label = [...document.querySelectorAll("label")].filter(seen)
    .find(each => (each.querySelector(".name") ?? each).textContent.trim() === name);
  return label.control ?? document.getElementById(label.htmlFor);
};
globalThis.button = (name) =>
  [...document.querySelectorAll("button, summary")].filter(seen).find(each => each.textContent === name);
globalThis.write = (name, value) => {
  const found = field(name);
  if (found.type === "checkbox") { if (found.checked !== value) found.click(); return true; }
  found.value = value;
  found.dispatchEvent(new Event("input", { bubbles: true }));
  return true;
};
globalThis.panel = () => document.getElementById("panel").innerText;
globalThis.notice = () => document.getElementById("notice").innerText;
globalThis.session = () => document.getElementById("session").innerText;
"""

Explore = Callable[..., Awaitable["Explorer"]]


class Explorer:
    """The page, as somebody uses it."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page = page
        self.origin = origin

    async def see(self, condition: str) -> Any:
        """Wait until a condition in JavaScript holds; its value."""
        return await self.page.run(f"until(() => {condition})")

    async def read(self, *texts: str) -> str:
        """Wait until the panel has these texts; all of its text."""
        for text in texts:
            await self.page.run("until(() => panel().includes(text))", text=text)
        return str(await self.page.run("panel()"))

    async def write(self, **values: Any) -> None:
        """Write into fields by their labels."""
        for name, value in values.items():
            await self.page.run("until(() => write(name, value))", name=name, value=value)

    async def click(self, name: str) -> None:
        """Press a button."""
        await self.page.run("until(() => button(name)).then(each => each.click())", name=name)

    async def go(self, view: str) -> None:
        """Go to a part of the page, such as ``method/notes.add``."""
        await self.page.run("void (location.hash = view)", view=view)
        title = view.rpartition("/")[2] if "/" in view else view.capitalize()
        await self.page.run(
            "until(() => document.querySelector('#panel h2').textContent === title)", title=title
        )

    async def log_in(self, user: str = "ada", button: str = "Create the account") -> None:
        """Log in by the form, or create the account."""
        await self.click("Log in")
        await self.write(User=user, Password="correct horse")
        if button == "Log in":  # the summary has this name too
            await self.page.run("document.querySelector('#session form button').click()")
        else:
            await self.click(button)
        await self.page.run("until(() => document.getElementById('user').textContent === user)", user=user)

    async def methods(self) -> list[str]:
        """The names in the list."""
        await self.see("document.querySelector('#methods a')")
        script = "[...document.querySelectorAll('#methods section a')].map(each => each.textContent)"
        return list(await self.page.run(script))

    def require_innocence(self) -> None:
        """Fail if a request has left the origin, a rule of the page was broken, or a script has failed."""
        for message in self.page.told:
            parameters = message["params"]
            if message["method"] == "Network.requestWillBeSent":
                url = urlsplit(parameters["request"]["url"])
                is_own = f"{url.scheme}://{url.netloc}" == self.origin
                assert is_own or url.scheme == "data", url  # the browser draws its own controls with data:
            elif message["method"] == "Network.webSocketCreated":
                assert urlsplit(parameters["url"]).netloc == urlsplit(self.origin).netloc
            elif message["method"] == "Log.entryAdded":
                assert parameters["entry"]["source"] == "network", parameters  # a status of 400 is told too
            else:
                assert message["method"] not in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled"), (
                    parameters
                )


async def open_explorer(
    browser: Browser, origin: str, path: str = "/service/explorer", beside: Explorer | None = None
) -> Explorer:
    """Open the explorer of a service; ``beside`` has the same cookies."""
    page = await browser.open("about:blank", beside=None if beside is None else beside.page)
    explorer = Explorer(page, origin)
    for domain in ("Network", "Log", "Runtime"):
        await page.command(f"{domain}.enable")
    await page.command("Page.addScriptToEvaluateOnNewDocument", source=SCRIPT)
    await page.resize(1100)
    await page.go(f"{origin}{path}")
    await explorer.see("document.querySelector('#panel h2')")
    return explorer


@pytest.fixture
async def explore(browser: Browser, aiohttp_client: AiohttpClient) -> AsyncIterator[Explore]:
    """Serve an application on the fast path, and open its explorer; or one ``beside`` another."""
    opened: list[Explorer] = []

    async def explore(
        app: web.Application | None = None, path: str = "/service/explorer", beside: Explorer | None = None
    ) -> Explorer:
        if beside is None:
            assert app is not None
            client: Client = await aiohttp_client(FastServer(app))
            origin = f"http://127.0.0.1:{client.port}"
        else:
            origin = beside.origin
        opened.append(await open_explorer(browser, origin, path, beside))
        return opened[-1]

    yield explore
    for explorer in opened:
        explorer.require_innocence()
