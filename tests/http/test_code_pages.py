"""The pages behind the links in mails: opening one does nothing, its button is a call."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from pytest_aiohttp.plugin import AiohttpClient

from tests.conftest import built_in
from tests.support.limits import WATCHDOG
from tests.support.mail import Mailbox, code_methods, link_of
from tests.support.servers import free_port
from tests.support.service import Serve
from toto_aio import create_app

if TYPE_CHECKING:
    from tests.support.browser import Browser

pytest_plugins = ["tests.support.browser"]

SENDER = "Notes & more <notes@notes.example>"


def options(mailbox: Mailbox, public_url: str, **others: Any) -> dict[str, Any]:
    """The options of a service with links."""
    methods = {**built_in(), **code_methods()}
    given = {"mail": mailbox, "mail_from": SENDER, "public_url": public_url, "method_module": methods}
    return {"database": "memory://", **given, **others}


async def account(client: TestClient[Any, Any], mailbox: Mailbox, root: str = "/service") -> str:
    """Make an account whose address is verified; returns the link of a mail for a new password."""
    answer = await client.post(f"{root}/account/create", json={"user_id": "ada", "password": "correct horse"})
    session = {"x-toto-session-id": (await answer.json())["result"]["session_id"]}
    email = {"email": "ada@example.org"}
    await client.post(f"{root}/account/verify_email/request", json=email, headers=session)
    token = parse_qs(urlsplit(link_of(await mailbox.next())).query)["token"][0]
    await client.post(f"{root}/account/verify_email/confirm", json={"token": token})
    await client.post(f"{root}/account/reset_password/request", json={**email, "language": "de"})
    return link_of(await mailbox.next())


async def test_a_scanner(aiohttp_client: AiohttpClient) -> None:
    """It opens the link as often as it likes, and the code is still valid; the page leaks nothing."""
    mailbox = Mailbox()
    client = await aiohttp_client(create_app(**options(mailbox, "https://notes.example")))
    link = urlsplit(await account(client, mailbox))
    for verb in ("GET", "HEAD", "GET"):
        page = await client.request(verb, f"{link.path}?{link.query}", headers={"Host": "evil.example"})
        assert page.status == 200
    text = await page.text()
    assert "<h1>Notes &amp; more</h1>" in text
    assert "evil.example" not in text
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "same-origin"
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    token = parse_qs(link.query)["token"][0]
    form = {"token": token, "new_password": "battery staple"}
    done = await client.post(link.path, data=form)
    assert (await done.json()) == {"result": {"user_id": "ada"}}
    assert "battery" not in text


async def test_what_the_page_shows(aiohttp_client: AiohttpClient) -> None:
    """A form, and where its call leads: done, once more, or that the link is not valid."""
    mailbox = Mailbox()
    client = await aiohttp_client(create_app(**options(mailbox, "https://notes.example")))
    link = urlsplit(await account(client, mailbox))
    token = parse_qs(link.query)["token"][0]

    async def page(query: str) -> str:
        response = await client.get(f"{link.path}?{query}")
        assert response.status == 200
        return await response.text()

    for query, shown in (
        ("", "This link is used, or too old"),
        ("token=" + "x" * 201, "This link is used, or too old"),
        (f"token={token}&error=1005", "This link is used, or too old"),
        (f"token={token}&error=1003", "This password is too short"),
        ("done=", "Done. You can close this page."),
        (f"token={token}", 'name="new_password"'),
    ):
        assert shown in await page(query), query
    assert 'class="error"' not in await page(f"token={token}")
    odd = await page("token=%22%3E%3Cscript%3E&language=%22%3E%3Cscript%3E&error=%3Cscript%3E")
    assert "<script>" not in odd
    assert "&quot;&gt;&lt;script&gt;" in odd

    # As a browser does it: the password is too short, then it is not, then the link is used.
    form = {
        "token": token,
        "redirect_to": f"{link.path}?done=",
        "error_redirect_to": f"{link.path}?token={token}",
    }
    right = "battery staple"
    for password, location in (("x", "error=1003"), (right, "done="), (right, "error=1005")):
        posted = await client.post(link.path, data={**form, "new_password": password}, allow_redirects=False)
        assert posted.status == 303
        assert location in posted.headers["Location"], password


async def test_in_a_browser(browser: Browser) -> None:
    """Somebody opens the link, below the prefix of an application around the service, and sets a password."""
    mailbox = Mailbox()
    port = free_port()
    parent = web.Application()
    parent.add_subapp(
        "/api", create_app(**options(mailbox, f"http://localhost:{port}/api", use_cookies=True))
    )
    async with TestClient(TestServer(parent, host="localhost", port=port)) as client:
        page = await browser.open(await account(client, mailbox, "/api/service"))
        for password, shown in (("short", "This password is too short"), ("battery staple", "Done.")):
            await page.run(
                "document.querySelector('[name=new_password]').value = password", password=password
            )
            await page.run("document.querySelector('button').click()")
            async with asyncio.timeout(WATCHDOG):
                while shown not in (await page.run("document.body?.textContent") or ""):
                    await asyncio.sleep(0.05)
        login = {"user_id": "ada", "password": "battery staple"}
        answer = await client.post("/api/service/account/login", json=login)
        assert (await answer.json())["result"]["user_id"] == "ada"


async def test_without_links(serve: Serve) -> None:
    """Without a URL of the application, or paths of methods, mails have codes, and there is no page."""
    for given in ({"public_url": ""}, {"public_url": "https://n.example", "method_select": "parameter"}):
        mailbox = Mailbox()
        service = await serve(code_methods(), mail=mailbox, mail_from=SENDER, **given)
        ada = await service.create()
        await service.result("account.verify_email.request", {"email": "a@example.org"}, session=ada)
        with pytest.raises(ValueError, match="not enough values"):
            link_of(await mailbox.next())
        response = await service.client.get("/service/account/verify_email/confirm?token=x")
        assert response.headers["Content-Type"].startswith("application/json")
