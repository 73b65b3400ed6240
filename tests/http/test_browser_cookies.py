"""Sessions in cookies in a real browser: the service's own pages use them, foreign pages cannot."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpServer

import toto_aio.methods
from tests.support.limits import WATCHDOG
from toto_aio import Handler, create_app
from toto_aio.invocation import authenticated, optionally_authenticated, safe
from toto_aio.registry import find_methods

if TYPE_CHECKING:
    from tests.support.browser import Browser, Origin, Page

pytest_plugins = ["tests.support.browser"]

ADA = {"user_id": "ada", "password": "correct horse"}
EVE = {"user_id": "eve", "password": "battery staple"}
Site = Callable[..., Awaitable[str]]

seen: list[str] = []


@authenticated
async def transfer(handler: Handler, parameters: dict[str, Any]) -> str:
    """Something that must not happen on the request of a foreign page."""
    assert handler.session is not None
    seen.append(handler.session.user_id)
    return "done"


@safe
@optionally_authenticated
async def whoami(handler: Handler, parameters: dict[str, Any]) -> str | None:
    """Return the caller's user id, by GET too."""
    seen.append("" if handler.session is None else handler.session.user_id)
    return None if handler.session is None else handler.session.user_id


@pytest.fixture
def site(aiohttp_server: AiohttpServer) -> Site:
    """A site with its own page and the service below it: ``await site()`` is its origin."""
    seen.clear()

    async def open_site(**options: Any) -> str:
        built_in = {name: method.invoke for name, method in find_methods(toto_aio.methods, 60).items()}
        methods = {**built_in, "transfer": transfer, "whoami": whoami}
        app = create_app(database="memory://", method_module=methods, use_cookies=True, **options)

        async def page(request: web.Request) -> web.Response:
            return web.Response(text="<!doctype html>own page", content_type="text/html")

        parent = web.Application()
        parent.router.add_get("/", page)
        parent.add_subapp("/app", app)
        server = await aiohttp_server(parent)
        return f"http://localhost:{server.port}"

    return open_site


async def call(page: Page, url: str, method: str, parameters: Any = None, **init: Any) -> Any:
    """What a page can read of a call that sends its cookies along."""
    body = json.dumps({"method": method, "parameters": parameters or {}})
    init = {"method": "POST", "body": body, "credentials": "include", **init}
    init.setdefault("headers", {"Content-Type": "application/json"})
    return await page.run("fetch(url, init).then(response => response.json())", url=url, init=init)


async def log_in(browser: Browser, own: str) -> Page:
    """A page of the site itself, whose user has logged in."""
    page = await browser.open(own)
    answer = await call(page, f"{own}/app/service", "account.create", ADA)
    assert answer["result"]["user_id"] == "ada"
    return page


async def test_the_own_page(browser: Browser, site: Site) -> None:
    """It logs in, calls with the cookie, which no script can see, and logs out."""
    own = await site()
    page = await log_in(browser, own)
    [cookie] = await page.cookies()
    assert cookie["name"] == "__Host-toto-session"
    assert (cookie["httpOnly"], cookie["secure"], cookie["sameSite"], cookie["path"]) == (
        True,
        True,
        "Lax",
        "/",
    )
    assert await page.run("document.cookie") == ""
    assert (await call(page, f"{own}/app/service", "transfer"))["result"] == "done"
    get = await page.run("fetch(url).then(response => response.json())", url=f"{own}/app/service/whoami")
    assert get["result"] == "ada"
    await call(page, f"{own}/app/service", "account.logout")
    assert await page.cookies() == []
    assert (await call(page, f"{own}/app/service", "transfer"))["error"]["code"] == 1004


SITES = [pytest.param("localhost", id="same site"), pytest.param("127.0.0.1", id="other site")]
SIMPLE = {"Content-Type": "text/plain"}
"""Headers that a page may send to another origin without a pre-flight request."""


@pytest.mark.parametrize("host", SITES)
async def test_a_foreign_page(browser: Browser, site: Site, origin: Origin, host: str) -> None:
    """However it calls, it neither acts as the user nor reads anything."""
    own = await site()
    page = await log_in(browser, own)
    foreign = await browser.open(await origin(host), beside=page)
    url = f"{own}/app/service"
    for headers in ({"Content-Type": "application/json"}, SIMPLE):
        with pytest.raises(RuntimeError, match="Failed to fetch"):
            await call(foreign, url, "transfer", headers=headers)
    # Without CORS the browser sends the request and hides the response; a form needs no script at all.
    body = json.dumps({"method": "transfer"})
    init = {"method": "POST", "mode": "no-cors", "credentials": "include", "body": body}
    await foreign.run("fetch(url, init).then(() => null)", url=url, init=init)
    await foreign.run(
        """new Promise((done) => {
            const frame = Object.assign(document.createElement("iframe"), {name: "frame"});
            document.body.appendChild(frame);
            const form = document.body.appendChild(document.createElement("form"));
            Object.assign(form, {method: "POST", action: url + "/transfer", target: "frame"});
            frame.onload = done;
            form.submit();
        }).then(() => null)""",
        url=url,
    )
    assert seen == []
    assert (await call(page, url, "transfer"))["result"] == "done"
    assert seen == ["ada"]


@pytest.mark.parametrize("host", SITES)
async def test_a_foreign_page_that_goes_there(
    browser: Browser, site: Site, origin: Origin, host: str
) -> None:
    """A form that navigates the whole window achieves no more."""
    own = await site()
    page = await log_in(browser, own)
    foreign = await browser.open(await origin(host), beside=page)
    submit = """(() => {
        const form = document.body.appendChild(document.createElement("form"));
        Object.assign(form, {method: "POST", action: url});
        setTimeout(() => form.submit(), 50);
    })()"""
    await foreign.run(submit, url=f"{own}/app/service/transfer")
    async with asyncio.timeout(20):
        shown = ""
        while "error" not in shown:
            await asyncio.sleep(0.1)
            with suppress(RuntimeError):  # it is navigating from one page to the other
                shown = await foreign.run("document.body.textContent")
    assert json.loads(shown)["error"]["code"] == 1004
    assert seen == []


@pytest.mark.parametrize("host", SITES)
async def test_a_foreign_page_logs_nobody_in(browser: Browser, site: Site, origin: Origin, host: str) -> None:
    """The user of a page stays the same, whatever login another page sends."""
    own = await site()
    page = await log_in(browser, own)
    url = f"{own}/app/service"
    other = await browser.open(own)
    await call(other, url, "account.create", EVE)
    foreign = await browser.open(await origin(host), beside=page)
    body = json.dumps({"method": "account.login", "parameters": EVE})
    init = {"method": "POST", "mode": "no-cors", "credentials": "include", "body": body}
    await foreign.run("fetch(url, init).then(() => null)", url=url, init=init)
    assert (await call(page, url, "whoami"))["result"] == "ada"


async def test_an_allowed_page(browser: Browser, site: Site, origin: Origin) -> None:
    """On the same site it uses the cookie; from another site the browser does not send it."""
    app, elsewhere = await origin("localhost"), await origin("127.0.0.1")
    own = await site(allow_origin=[app, elsewhere])
    page = await log_in(browser, own)
    allowed = await browser.open(app, beside=page)
    assert (await call(allowed, f"{own}/app/service", "transfer"))["result"] == "done"
    assert (await call(allowed, f"{own}/app/service", "whoami", credentials="omit"))["result"] is None
    other = await browser.open(elsewhere, beside=page)
    assert (await call(other, f"{own}/app/service", "whoami"))["result"] is None


async def test_a_form_of_the_own_page(browser: Browser, site: Site) -> None:
    """A plain form logs in without a script, and goes to the page that it names."""
    own = await site()
    page = await log_in(browser, own)
    await call(page, f"{own}/app/service", "account.logout")
    for password, query in (("wrong", "?error=1005"), (ADA["password"], "?in=1")):
        await page.run(
            """(() => {
                document.body.innerHTML = `<form method="post" action="/app/service/account/login">
                    <input name="user_id" value="ada"><input name="password" value="${password}">
                    <input name="redirect_to" value="/?in=1"><input name="error_redirect_to" value="/">
                    </form>`;
                document.querySelector("form").submit();
            })()""",
            password=password,
        )
        async with asyncio.timeout(WATCHDOG):
            while True:
                with suppress(RuntimeError):  # the page is on its way
                    if await page.run("location.search + document.readyState") == f"{query}complete":
                        break
                await asyncio.sleep(0.02)
    assert (await call(page, f"{own}/app/service", "transfer"))["result"] == "done"
