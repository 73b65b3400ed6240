"""examples/embedded: the site over a real PostgreSQL, in a real browser."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from tests.conftest import server_module
from tests.examples.test_examples import load
from tests.support import ROOT
from tests.support.authenticator import App
from tests.support.limits import WATCHDOG
from tests.support.running import serving
from tests.support.service import eventually

if TYPE_CHECKING:
    from tests.support.browser import Browser, Origin, Page

pytest_plugins = ["tests.support.browser"]

FOLDER = ROOT / "examples" / "embedded"
ADA = {"user_id": "ada", "password": "correct horse"}
GRACE = {"user_id": "grace", "password": "battery staple"}


@pytest.fixture(scope="module")
def postgresql(servers: Any) -> str:
    """The URL of an empty database."""
    return str(server_module("postgresql").fresh_url(servers("postgresql")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the site runs, with its log."""
    return tmp_path_factory.mktemp("embedded")


@pytest.fixture(scope="module")
def address(postgresql: str, folder: Path) -> Iterator[str]:
    """The address of the site, run as its users run it, with accounts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE", postgresql)
        with serving([str(FOLDER / "service.py"), "0"], folder) as found:
            asyncio.run(create_accounts(found))
            yield found
    assert "Error" not in (folder / "server.log").read_text()


async def create_accounts(address: str) -> None:
    """Create accounts, as a program does."""
    async with aiohttp.ClientSession() as client:
        for account in (ADA, GRACE):
            async with client.post(f"{address}/api/service/account.create", json=account) as response:
                assert "session_id" in (await response.json())["result"]


async def until(page: Page, expression: str, **names: Any) -> None:
    """Wait until an expression holds in a page that is complete, with its style and scripts.

    While a page is being replaced, it runs nothing.
    """
    deadline = asyncio.get_running_loop().time() + WATCHDOG
    while asyncio.get_running_loop().time() < deadline:
        with suppress(RuntimeError):
            if await page.run(f"document.readyState === 'complete' && ({expression})", **names):
                return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{expression} {names}: it shows {await page.run('document.body.innerText')!r}")


async def shows(page: Page, text: str) -> None:
    """Wait until a page shows a text."""
    await until(page, "document.body.innerText.includes(text)", text=text)


async def fill(page: Page, form: str, **fields: str) -> None:
    """Fill in a form."""
    for name, value in fields.items():
        await page.run("document.forms[form].elements[name].value = value", form=form, name=name, value=value)


async def send(page: Page, form: str, **fields: str) -> None:
    """Fill in a form, and send it."""
    await fill(page, form, **fields)
    await page.run("setTimeout(() => document.forms[form].requestSubmit())", form=form)


async def test_the_site(browser: Browser, address: str) -> None:
    """The login form leads back to the page that was wanted; notes of pages and methods are the same."""
    page = await browser.open(f"{address}/?from=link")
    await shows(page, "Log in")
    await send(page, "login", user_id="ada", password="wrong")
    await shows(page, "Invalid user ID or password")
    await send(page, "login", **ADA)
    await shows(page, "ada's notes")
    assert await page.run("location.pathname + location.search") == "/?from=link"
    assert await page.run("document.cookie") == ""
    await send(page, "note", text="<b>from a page</b>")
    await shows(page, "<b>from a page</b>")
    call = {"method": "add", "parameters": {"text": "from a method"}}
    added = await page.run(
        "fetch('/api/service', {method: 'POST', headers: {'content-type': 'application/json'}, body: "
        "JSON.stringify(call)}).then(response => response.json())",
        call=call,
    )
    assert added["result"] == 2
    await page.go(f"{address}/")
    assert await page.run("[...document.querySelectorAll('li')].map(li => li.textContent)") == [
        "from a method",
        "<b>from a page</b>",
    ]
    await send(page, "logout")
    await shows(page, "Log in")
    await page.go(f"{address}/")
    assert await page.run("location.pathname") == "/login"


async def test_a_new_account(browser: Browser, address: str) -> None:
    """A method creates it, and its cookie counts for the pages."""
    page = await browser.open(f"{address}/login")
    await fill(page, "login", user_id="eve", password="correct horse")
    await page.run("document.getElementById('create').click()")
    await shows(page, "eve's notes")


class Keyboard:
    """A page that is used without a mouse."""

    def __init__(self, browser: Browser, page: Page) -> None:
        self._browser = browser
        self._page = page

    async def press(self, key: str, text: str = "") -> None:
        """Press a key."""
        codes = {"Tab": 9, "Enter": 13, " ": 32}
        event = {"key": key, "code": key.strip() or "Space", "windowsVirtualKeyCode": codes[key]}
        await self._browser.command(
            "Input.dispatchKeyEvent", self._page.session, type="keyDown", text=text, **event
        )
        await self._browser.command("Input.dispatchKeyEvent", self._page.session, type="keyUp", **event)

    async def tab_to(self, selector: str) -> None:
        """Press Tab until an element has the focus."""
        await until(self._page, "!!document.querySelector(selector)?.checkVisibility()", selector=selector)
        for _ in range(30):
            await self.press("Tab")
            if await self._page.run("document.activeElement.matches(selector)", selector=selector):
                return
        raise AssertionError(f"Tab does not reach {selector}")

    async def type(self, form: str, *texts: str) -> None:
        """Type into the fields of a form, whose first one has got the focus, and send it."""
        await until(self._page, "document.activeElement.form?.id === form", form=form)
        await self._page.run("document.activeElement.select()")
        for place, text in enumerate(texts):
            if place:
                await self.press("Tab")
            await self._browser.command("Input.insertText", self._page.session, text=text)
        await self.press("Enter", "\r")


PHONE: dict[str, dict[str, Any]] = {
    "Emulation.setDeviceMetricsOverride": {
        "width": 390,
        "height": 844,
        "deviceScaleFactor": 1,
        "mobile": True,
    },
    "Emulation.setEmulatedMedia": {"features": [{"name": "prefers-color-scheme", "value": "dark"}]},
    "Emulation.setFocusEmulationEnabled": {"enabled": True},
}


@pytest.fixture
async def phone(browser: Browser, address: str) -> Page:
    """A dark page of a phone."""
    page = await browser.open(f"{address}/login?next=/security?from%3Dlink")
    for command, parameters in PHONE.items():
        await browser.command(command, page.session, **parameters)
    await page.go(f"{address}/login?next=/security?from%3Dlink")
    return page


LOOK = """{
    width: document.documentElement.scrollWidth,
    color: getComputedStyle(document.body).color,
    inline: document.querySelectorAll("script:not([src]), style, [style], [onclick], [onsubmit]").length,
    foreign: performance.getEntriesByType("resource").filter(each => !each.name.startsWith(origin)).length,
    named: [...document.querySelectorAll("input:not([type=hidden])")].every(each => each.labels.length),
}"""


async def looks_right(page: Page) -> None:
    """A page fits a phone, is dark there, and has nothing from elsewhere."""
    assert await page.run(LOOK) == {
        "width": 390,
        "color": "rgb(255, 255, 255)",
        "inline": 0,
        "foreign": 0,
        "named": True,
    }


async def code_in_mail(folder: Path, address: str) -> str:
    """The code of the last mail to an address, which the log has."""
    mails = re.compile(rf"{re.escape(address)}.*?(\d{{6}}) is your code for Notes", re.DOTALL)
    await eventually(lambda: mails.search((folder / "server.log").read_text()) is not None)
    return str(mails.findall((folder / "server.log").read_text())[-1])


async def test_the_security_page(browser: Browser, phone: Page, address: str, folder: Path) -> None:
    """By keyboard on a phone: an address, a second factor, its login in two steps, a remembered device."""
    page, keyboard = phone, Keyboard(browser, phone)
    await looks_right(page)
    await keyboard.type("login", *GRACE.values())
    await shows(page, "It is off.")
    assert await page.run("location.pathname + location.search") == "/security?from=link"

    await keyboard.tab_to("#email input")
    await keyboard.type("email", "grace@example.org", GRACE["password"])
    code = await code_in_mail(folder, "grace@example.org")
    await keyboard.type("verify", f"{(int(code) + 1) % 10**6:06}")
    await shows(page, "The code is wrong, used or expired: ask for a new one.")
    await keyboard.type("verify", code)
    await shows(page, "grace@example.org is verified.")

    await keyboard.tab_to("#enrol input")
    await keyboard.type("enrol", "wrong")
    await shows(page, "Invalid user ID or password")
    await keyboard.type("enrol", GRACE["password"])
    await until(page, "document.getElementById('uri').href.startsWith('otpauth:')")
    app = App(await page.run("document.getElementById('uri').href"))
    await looks_right(page)
    await keyboard.type("confirm", app.code())
    await shows(page, "It is on. Recovery codes left: 10.")
    await until(page, "document.activeElement.id === 'codes'")
    [recovery, former, *_] = await recovery_codes(page)
    await keyboard.tab_to("#renew input")
    await keyboard.type("renew", recovery)
    await until(page, "!document.getElementById('codes').textContent.includes(former)", former=former)
    await shows(page, "It is on. Recovery codes left: 10.")
    [recovery, another, *_] = await recovery_codes(page)
    await looks_right(page)

    await log_in_again(page, keyboard, address)
    await until(page, "'second' in document.forms")
    await looks_right(page)
    await keyboard.type("second", former)
    await shows(page, "The code is wrong, or has been used.")
    await keyboard.tab_to("#second [name=remember]")
    await keyboard.press(" ", " ")
    await keyboard.tab_to("#second [name=code]")
    await keyboard.type("second", recovery)
    await shows(page, "It is on. Recovery codes left: 9.")
    await shows(page, "Remembered devices")
    [device] = [cookie for cookie in await page.cookies() if cookie["name"] == "device"]
    assert device["httpOnly"]
    await looks_right(page)

    await log_in_again(page, keyboard, address)
    await shows(page, "It is on.")  # in one step
    await keyboard.tab_to("#list button")
    await keyboard.press("Enter", "\r")
    await until(page, "!document.getElementById('devices').checkVisibility()")
    await log_in_again(page, keyboard, address)
    await keyboard.type("second", app.code(1))
    await shows(page, "It is on.")

    await keyboard.tab_to("#email [name=email]")
    await keyboard.type("email", "hopper@example.org", GRACE["password"])
    await keyboard.type("verify", await code_in_mail(folder, "hopper@example.org"))
    await shows(page, "hopper@example.org is verified.")
    await keyboard.tab_to("#disable input")
    await keyboard.type("disable", another)
    await shows(page, "It is off.")


async def recovery_codes(page: Page) -> list[str]:
    """The recovery codes that a page shows."""
    return str(await page.run("document.getElementById('codes').textContent")).split()


async def log_in_again(page: Page, keyboard: Keyboard, address: str) -> None:
    """Log out, and log in with the password."""
    await page.go(f"{address}/")
    await keyboard.tab_to("#logout button")
    await keyboard.press("Enter", "\r")
    await until(page, "'login' in document.forms")
    await page.go(f"{address}/login?next=/security")
    await keyboard.type("login", *GRACE.values())


async def test_what_the_pages_may_do(address: str) -> None:
    """They run scripts of the site only, and no page shows what somebody has sent as HTML."""
    async with aiohttp.ClientSession() as client:
        form = {"ticket": '"><script>alert(1)</script>$alert', "code": "<b>"}
        async with client.post(f"{address}/login", data=form) as response:
            assert response.status in (401, 403)
        form = {"user_id": "<script>$body", "password": "x"}
        headers = {"Origin": address}
        async with client.post(f"{address}/login", data=form, headers=headers) as response:
            assert response.status == 401
            assert "<script>$body" not in await response.text()
            policy = response.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; ")
        assert "unsafe" not in policy
        async with client.get(f"{address}/security", allow_redirects=False) as response:
            assert response.status == 401


@pytest.mark.usefixtures("importable")
def test_the_key_for_trials(tmp_path: Path) -> None:
    """It is made once, for its owner only, and stays the same."""
    module = load(FOLDER / "service.py")
    file = tmp_path / ".secret_key"
    key = module.development_key(file)
    assert len(key) >= 32
    assert file.stat().st_mode & 0o777 == 0o600
    assert module.development_key(file) == key


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"], ids=["same site", "other site"])
async def test_a_foreign_form(browser: Browser, origin: Origin, address: str, host: str) -> None:
    """It writes no note and logs nobody out or in, whether or not the browser sends the cookie along."""
    page = await browser.open(f"{address}/login")
    await send(page, "login", **ADA)
    await shows(page, "ada's notes")
    form = "<form id=f method=post><input name=text value=foreign><input name=user_id value=eve></form>"
    for path in ("/", "/login", "/logout"):
        foreign = await browser.open(await origin(host, form), beside=page)
        await foreign.run(
            "setTimeout(() => (document.forms.f.action = url, document.forms.f.submit()))",
            url=address + path,
        )
        await shows(foreign, "Log in" if path == "/logout" else "Pages of this origin")
        await page.go(f"{address}/")
        await shows(page, "ada's notes")
        assert "foreign" not in await page.run("document.body.innerText")


@asynccontextmanager
async def running(postgresql: str) -> AsyncIterator[Any]:
    """The pool of the site, which is started in this process."""
    module = load(FOLDER / "service.py")
    runner = web.AppRunner(module.make_application(postgresql))
    await runner.setup()
    try:
        yield runner.app[module.POOL]
    finally:
        await runner.cleanup()


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The methods of the example can be imported, and are forgotten afterwards."""
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.setenv("SECRET_KEY", "k" * 32)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "methods"]:
        del sys.modules[name]  # monkeypatch would restore it


OLD = """INSERT INTO notes (user_id, text, written)
    VALUES ('bob', 'old', now() - interval '2 years'), ('bob', 'new', now() - interval '1 day')"""


@pytest.mark.usefixtures("importable")
async def test_the_task(postgresql: str, errors: Any) -> None:
    """It deletes old notes at the start; it and the service end before the pool is closed."""
    async with running(postgresql) as pool:
        await pool.execute(OLD)
    assert pool.is_closing()
    async with running(postgresql) as pool, asyncio.timeout(WATCHDOG):
        while len(left := await pool.fetch("SELECT text FROM notes WHERE user_id = 'bob'")) > 1:
            await asyncio.sleep(0.01)
    assert left[0]["text"] == "new"
    assert errors() == []
