"""examples/chat: several processes and Redis, and in a real browser through a rolling restart."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from tests.conftest import server_module
from tests.support import ROOT, programs
from tests.support.servers import START_LIMIT, accepts, free_port

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
        async with asyncio.timeout(START_LIMIT):
            for port, process in started:
                while not accepts(port):
                    assert process.returncode is None
                    await asyncio.sleep(0.02)
        yield [f"http://127.0.0.1:{port}" for port, _ in started]
    finally:
        for _, process in started:
            process.terminate()
        for _, process in started:
            await process.wait()


async def until(page: Page, expression: str, **names: Any) -> Any:
    """The value of an expression once it is true in the page."""
    return await page.run(
        f"""new Promise((done) => {{
            const look = () => {{ const found = {expression}; found ? done(found) : setTimeout(look, 20); }};
            look();
        }})""",
        **names,
    )


async def here(page: Page, count: int) -> None:
    """Wait until the page says that so many are there."""
    await until(page, "document.getElementById('here').textContent === `${count}`", count=count)


async def shown(page: Page, count: int) -> Any:
    """What the page shows, once that is so much."""
    lines = "[...document.querySelectorAll('#lines li')].map((each) => each.textContent)"
    return await until(page, f"{lines}.length >= count && {lines}", count=count)


async def say(page: Page, text: str) -> None:
    """Type something into the form, and send it."""
    await page.run(
        "(document.getElementById('text').value = text, document.forms[0].requestSubmit())", text=text
    )


def test_it_is_the_template() -> None:
    """``toto-aio new`` makes the same page and methods; the example is whole, to be read and run as it is."""
    template = ROOT / "src" / "toto_aio" / "cli" / "templates" / "chat" / "methods"
    for name in ("here.py", "join.py", "say.py"):
        assert (FOLDER / "rooms" / name).read_text() == (template / name).read_text(), name
    page, made = ((FOLDER / "index.html").read_text(), (template / "page.html").read_text())
    for ours, theirs in (
        ('const service = "/chat/service"', r'const service = location.pathname.replace(/\/page$/, "")'),
        ("<title>Chat<", "<title>project_name<"),
        ("<h1>Chat<", "<h1>project_name<"),
    ):
        assert page.count(ours) == made.count(theirs) == 1, ours
        page = page.replace(ours, theirs)
    assert page == made


async def test_in_two_processes(browser: Browser, servers: Any) -> None:
    """What is said in one is shown in both, as text; a later page shows it too, and all know who is there."""
    events = server_module("redis").fresh_url(servers("redis"))
    async with chats(2, events) as [one, other]:
        pages = [await browser.open(f"{address}/#r") for address in (one, other)]
        for page in pages:
            await here(page, 2)
        await say(pages[0], "hello <b>you</b>")
        said = ["Ada: hello <b>you</b>"]
        for page in pages:
            assert await shown(page, 1) == said
        elsewhere = await browser.open(f"{one}/#elsewhere")
        await here(elsewhere, 1)
        late = await browser.open(f"{other}/#r")
        assert await shown(late, 1) == said
        for page in (*pages, late):
            await here(page, 3)
        await late.go("about:blank")
        for page in pages:
            await here(page, 2)
        wrong = await browser.open(f"{one}/#no:room")
        await until(wrong, "document.getElementById('state').textContent === 'there is no such room'")


HOLD = """
const real = fetch;
let first = true, released, asked = 0, given = 0;
const release = new Promise((done) => released = done);
globalThis.fetch = async (...request) => {
  const is_first = first && request[1].body.includes('"here"');
  first &&= !is_first;
  asked++;
  const response = await real(...request);
  await response.clone().text();
  if (is_first) await release;
  given++;
  return response;
};
"""
"""Keeps back the first answer to who is there."""


async def test_an_answer_that_comes_late(browser: Browser) -> None:
    """How many are there is what was asked last, in whichever order the answers come."""
    async with chats(1) as [address]:
        page = await browser.open("about:blank")
        await page.command("Page.addScriptToEvaluateOnNewDocument", source=HOLD)
        await page.go(f"{address}/#r")
        await until(page, "asked > 0")
        await here(await browser.open(f"{address}/#r"), 2)
        await asyncio.sleep(0.2)  # the page has heard of the other by now
        await page.run("void released()")
        await until(page, "given > 1 && given === asked")
        await here(page, 2)


async def test_through_a_rolling_restart(browser: Browser, servers: Any) -> None:
    """On a phone, by keyboard: what is said before, during and after it is shown once and in order."""
    events = server_module("redis").fresh_url(servers("redis"))
    command = (*programs.SERVE, "service:application", "--port=0", "--processes=2")
    async with programs.serving(FOLDER, *command, EVENTS=events) as server:
        pages = [await browser.open(f"{server.address}#r") for _ in range(2)]
        writer = pages[0]
        metrics = {"width": 390, "height": 844, "deviceScaleFactor": 3, "mobile": True}
        await browser.command("Emulation.setDeviceMetricsOverride", writer.session, **metrics)
        for page in pages:
            await here(page, 2)
        await browser.command("Input.insertText", writer.session, text="by keyboard")
        enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
        for kind in ("keyDown", "keyUp"):
            await browser.command("Input.dispatchKeyEvent", writer.session, type=kind, **enter)
        expected = ["Ada: by keyboard"]
        assert await shown(writer, 1) == expected
        restarting = True

        async def talk() -> None:
            while restarting or len(expected) < 30:
                expected.append(f"Ada: {len(expected)}")
                await say(writer, expected[-1].removeprefix("Ada: "))
                await asyncio.sleep(0.05)

        talking = asyncio.create_task(talk())
        await shown(pages[1], 5)
        server.process.send_signal(signal.SIGHUP)
        await server.wait_for("Serving on ")
        restarting = False
        await talking
        await say(writer, "after " + 200 * "w")
        expected.append("Ada: after " + 200 * "w")
        for page in pages:
            assert await shown(page, len(expected)) == expected
            await here(page, 2)
        assert await writer.run("[innerWidth, document.documentElement.scrollWidth]") == [390, 390]
        for scheme in ("light", "dark"):
            features = [{"name": "prefers-color-scheme", "value": scheme}]
            await browser.command("Emulation.setEmulatedMedia", writer.session, features=features)
            light, dark = "rgb(0, 0, 0)", "rgb(255, 255, 255)"
            color = await writer.run("getComputedStyle(document.body).color")
            assert color == (light if scheme == "light" else dark)
