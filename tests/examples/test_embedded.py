"""examples/embedded: the site over a real PostgreSQL, in a real browser."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
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


async def shows(page: Page, text: str) -> None:
    """Wait until a page shows a text; while it is being replaced, it runs nothing."""
    async with asyncio.timeout(WATCHDOG):
        while True:
            try:
                if text in await page.run("document.body.innerText"):
                    return
            except RuntimeError:
                pass
            await asyncio.sleep(0.02)


async def shows_form(page: Page, form: str) -> None:
    """Wait until a page has a form."""
    async with asyncio.timeout(WATCHDOG):
        while True:
            try:
                if await page.run("form in document.forms", form=form):
                    return
            except RuntimeError:
                pass
            await asyncio.sleep(0.02)


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


async def test_the_security_page(browser: Browser, address: str, folder: Path) -> None:
    """It verifies an address and turns the second factor on; then a login has a second step."""
    page = await browser.open(f"{address}/login?next=/security")
    await send(page, "login", **GRACE)
    await shows(page, "It is off.")
    await send(page, "email", email="grace@example.org")
    log = folder / "server.log"
    await eventually(lambda: "is your code for Notes" in log.read_text())
    [code] = re.findall(r"(\d{6}) is your code for Notes", log.read_text())
    await send(page, "verify", code=code)
    await shows(page, "grace@example.org")

    await shows(page, "It is off.")
    await send(page, "enrol", password="wrong")
    await shows(page, "Invalid user ID or password")
    await send(page, "enrol", password=GRACE["password"])
    await shows(page, "type")
    app = App(await page.run("document.getElementById('uri').href"))
    await send(page, "confirm", code=app.code())
    await shows(page, "It is on.")
    [recovery, *_] = (await page.run("document.getElementById('codes').textContent")).split()

    await page.go(f"{address}/")
    await send(page, "logout")
    await shows_form(page, "login")
    await page.go(f"{address}/security?from=link")
    await send(page, "login", **GRACE)
    await shows_form(page, "code")
    await send(page, "code", code=app.wrong)
    await shows(page, "Invalid user ID or password")
    await send(page, "code", code=recovery)
    await shows(page, "It is on.")
    assert await page.run("location.pathname + location.search") == "/security?from=link"
    await send(page, "disable", code=app.code(1))
    await shows(page, "It is off.")


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
