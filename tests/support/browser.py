"""A headless Chromium for tests, controlled by the DevTools protocol: fixtures ``browser`` and ``origin``.

A test module gets them with ``pytest_plugins = ["tests.support.browser"]``. All modules share one Chromium,
and each opened page has its own cookies:

    page = await browser.open(await origin("localhost", "<p>Hello"))
    text = await page.run("document.querySelector(selector).textContent", selector="p")
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import select
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import pytest
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpServer

from tests.support.servers import Server, descendants

LIMIT = 120.0
"""The time limit for anything that the browser does on a busy machine, in seconds."""
PROGRAM = "chromium-headless-shell"
"""Chromium without windows: a third of the processor time, and the same pages, network and cookies."""
FLAGS = (
    "--no-sandbox",  # the sandbox does not work as root
    "--no-proxy-server",
    "--no-first-run",
    "--disable-gpu",
    "--disable-quic",
    "--disable-crash-reporter",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)

T = TypeVar("T")
Origin = Callable[..., Awaitable[str]]


@pytest.fixture(scope="session")
def chromium() -> Iterator[str]:
    """The DevTools address of a Chromium that all tests share."""
    with serving() as address:
        yield address


@contextmanager
def serving() -> Iterator[str]:
    """Run a Chromium; its DevTools address."""
    server = Server(_command, is_ready=lambda _: len(_devtools(server.directory)) == 2)
    with server:
        port, path = _devtools(server.directory)
        yield f"ws://127.0.0.1:{port}{path}"
        with _ending(descendants(server.pid)):
            server.kill()


@pytest.fixture
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """The browser; its pages are closed after the test."""
    async with Browser(chromium) as browser:
        yield browser


@pytest.fixture
def origin(aiohttp_server: AiohttpServer) -> Origin:
    """A new origin with one page: ``await origin("localhost", "<p>Hello")`` is its address, without a slash.

    Each has its own port. Chromium reaches 127.0.0.1 as ``localhost`` and ``any.localhost`` too, and these
    are different sites. ``headers`` are sent with the page.
    """

    async def open_origin(
        host: str = "127.0.0.1", html: str = "", headers: Mapping[str, str] | None = None
    ) -> str:
        async def answer(request: web.Request) -> web.Response:
            text = f"<!doctype html>{html}"
            return web.Response(text=text, content_type="text/html", headers=headers)

        app = web.Application()
        app.router.add_get("/{path:.*}", answer)
        server = await aiohttp_server(app)
        return f"http://{host}:{server.port}"

    return open_origin


class Browser:
    """A connection to a Chromium. ``async with Browser(url) as browser:`` closes all that it opened."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._answers: list[asyncio.Future[dict[str, Any]]] = []
        self._loads: dict[str, asyncio.Event] = {}
        self._told: dict[str, list[dict[str, Any]]] = {}

    async def __aenter__(self) -> Browser:
        async with AsyncExitStack() as stack:
            http = await stack.enter_async_context(aiohttp.ClientSession())
            self._socket = await stack.enter_async_context(http.ws_connect(self._url, max_msg_size=0))
            self._reader = asyncio.create_task(self._read(), name="browser")
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
        await self._reader

    async def open(self, url: str, beside: Page | None = None) -> Page:
        """Open a page on a URL, with its own cookies and storage, or with those of the page ``beside``."""
        if beside is None:
            context = (await self.command("Target.createBrowserContext", disposeOnDetach=True))[
                "browserContextId"
            ]
        else:
            context = beside.context
        target = await self.command("Target.createTarget", url="about:blank", browserContextId=context)
        attached = await self.command("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        page = Page(self, context, attached["sessionId"])
        self._told[page.session] = page.told
        await self.command("Page.enable", page.session)
        await self.command("Page.setLifecycleEventsEnabled", page.session, enabled=True)
        await page.go(url)
        return page

    async def command(self, method: str, session: str | None = None, /, **parameters: Any) -> dict[str, Any]:
        """The result of a DevTools command. Raises ``RuntimeError`` if it fails, and ``TimeoutError``."""
        message = {"id": len(self._answers), "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        answer = asyncio.get_running_loop().create_future()
        self._answers.append(answer)
        await self._socket.send_json(message)
        return await _within_limit(answer, f"answer {method} {parameters}")

    async def loaded(self, loader: str) -> None:
        """Wait until a document and its resources are loaded."""
        await _within_limit(self._loads.setdefault(loader, asyncio.Event()).wait(), "load the page")

    async def _read(self) -> None:
        async for received in self._socket:
            message = json.loads(received.data)
            if "id" in message:
                answer = self._answers[message["id"]]
                if answer.done():
                    pass  # the waiting task has given up
                elif "error" in message:
                    answer.set_exception(RuntimeError(f"the browser says: {message['error']['message']}"))
                else:
                    answer.set_result(message["result"])
            elif message["method"] == "Page.lifecycleEvent" and message["params"]["name"] == "load":
                self._loads.setdefault(message["params"]["loaderId"], asyncio.Event()).set()
            elif message.get("sessionId") in self._told:
                self._told[message["sessionId"]].append(message)
        for answer in self._answers:
            if not answer.done():
                answer.set_exception(RuntimeError("the browser has left"))


class Page:
    """A page of a browser."""

    def __init__(self, browser: Browser, context: str, session: str) -> None:
        self.context = context
        self.session = session
        self.told: list[dict[str, Any]] = []
        """What the browser has told of the page, in domains of the protocol that were enabled."""
        self._browser = browser

    async def command(self, method: str, /, **parameters: Any) -> dict[str, Any]:
        """The result of a DevTools command about this page."""
        return await self._browser.command(method, self.session, **parameters)

    async def type(self, text: str) -> None:
        """Type a text into what has the focus."""
        await self.command("Input.insertText", text=text)

    async def press(self, key: str, *, ctrl: bool = False) -> None:
        """Press a key by its name, such as ``Tab`` or ``/``."""
        known = {"Enter": 13, "Tab": 9, "Escape": 27, "ArrowDown": 40, "ArrowUp": 38, " ": 32}
        code = known.get(key, ord(key[0].upper()))
        text = {"Enter": "\r", "Tab": ""}.get(key, key if len(key) == 1 else "")
        shared = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 2 if ctrl else 0}
        down = "keyDown" if text and not ctrl else "rawKeyDown"
        await self.command("Input.dispatchKeyEvent", type=down, text=text, **shared)
        await self.command("Input.dispatchKeyEvent", type="keyUp", **shared)

    async def resize(self, width: int, height: int = 900, *, dark: bool = False) -> None:
        """Show the page on a screen of this size, to somebody who prefers light or dark colours."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self.command("Emulation.setDeviceMetricsOverride", **size)
        preferred = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.command("Emulation.setEmulatedMedia", features=[preferred])

    async def shot(self) -> bytes:
        """What the screen shows, as PNG."""
        shot = await self.command("Page.captureScreenshot", format="png")
        return base64.b64decode(shot["data"])

    async def go(self, url: str) -> None:
        """Go to a URL, and wait until it is loaded."""
        started = await self._browser.command("Page.navigate", self.session, url=url)
        if "errorText" in started:
            raise RuntimeError(f"the browser cannot open {url}: {started['errorText']}")
        if "loaderId" in started:  # otherwise it is the same document
            await self._browser.loaded(started["loaderId"])

    async def run(self, expression: str, **names: Any) -> Any:
        """The value of a JavaScript expression, which may ``await``; ``names`` are defined in it.

        Raises ``RuntimeError`` for an exception in it, and ``TimeoutError``.
        """
        function = f"(async ({{{', '.join(names)}}}) => ({expression}))({json.dumps(names)})"
        done = await self._browser.command(
            "Runtime.evaluate", self.session, expression=function, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in done:
            thrown = done["exceptionDetails"].get("exception", {})
            raise RuntimeError(
                thrown.get("description") or thrown.get("value") or done["exceptionDetails"]["text"]
            )
        return done["result"].get("value")

    async def cookies(self) -> list[dict[str, Any]]:
        """All cookies of the page's context, including those that no script can see."""
        got = await self._browser.command("Storage.getCookies", browserContextId=self.context)
        return list(got["cookies"])


async def _within_limit(awaitable: Awaitable[T], what: str) -> T:
    try:
        async with asyncio.timeout(LIMIT):
            return await awaitable
    except TimeoutError as exc:
        raise TimeoutError(f"the browser did not {what} within {LIMIT:g} s") from exc


@contextmanager
def _ending(pids: Iterable[int]) -> Iterator[None]:
    """Finally wait for these processes to end, so that none writes into a folder that is being removed."""
    with ExitStack() as stack:
        ends = []
        for pid in pids:
            with suppress(ProcessLookupError):
                ends.append(os.pidfd_open(pid))
                stack.callback(os.close, ends[-1])
        yield
        for end in ends:
            select.select([end], [], [], LIMIT)


def _command(directory: Path, port: int) -> Sequence[str]:
    # It must not find the settings of the user who runs the tests, nor leave anything in their folders.
    profile = f"--user-data-dir={directory / 'profile'}"
    # Debian's script of this name in /usr/bin would stand between us and the browser.
    program = shutil.which(PROGRAM, path=os.pathsep.join(["/usr/lib/chromium", os.environ["PATH"]]))
    return ["env", f"HOME={directory}", f"TMPDIR={directory}", program or PROGRAM, *FLAGS, profile]


def _devtools(directory: Path) -> list[str]:
    """The browser's port and the path of its DevTools, once it has written them to a file."""
    with suppress(FileNotFoundError):
        return (directory / "profile" / "DevToolsActivePort").read_text().split()
    return []
