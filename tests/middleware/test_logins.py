"""One login for pages, methods and sockets."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from tests.support.site import PASSWORD, OpenSite, Site
from toto_aio.exceptions import InvalidCredentials
from toto_aio.invocation import anonymous_session, authenticated
from toto_aio.middleware import CONNECTION, get_account, get_session, log_in, log_out, next_page, require


@authenticated
async def whoami(handler: Any, parameters: Any) -> str:
    """Return the caller's user id."""
    return str(handler.session.user_id)


async def call(site: Site, method: str, parameters: Any = None) -> dict[str, Any]:
    """The response to a call of one of the site's pages."""
    return await site.service.call(method, parameters, **{"Origin": site.origin})


async def test_a_login_on_a_page(site: OpenSite) -> None:
    """It holds for methods and sockets, and a logout on a page closes the sockets."""
    browser = await site(methods={"whoami": whoami})
    assert await browser.user() == "nobody"
    response = await browser.log_in()
    assert response.status == 200
    assert "HttpOnly" in response.headers["Set-Cookie"]
    assert "session_id" not in await response.json()
    assert await browser.user() == "ada"
    assert (await call(browser, "whoami"))["result"] == "ada"
    socket = await browser.client.ws_connect("/api/service/websocket", headers={"Origin": browser.origin})
    await socket.send_json({"id": 1, "method": "whoami"})
    assert (await socket.receive_json(timeout=20))["result"] == "ada"
    assert await (await browser.post("/logout")).text() == "bye"
    assert (await socket.receive(timeout=20)).type in (WSMsgType.CLOSE, WSMsgType.CLOSED)
    assert browser.cookie is None
    assert await browser.user() == "nobody"
    assert (await call(browser, "whoami"))["error"]["code"] == 1004


async def test_a_login_by_a_method(site: OpenSite) -> None:
    """It shows on pages, and a logout by a method does."""
    browser = await site()
    await call(browser, "account.login", {"user_id": "ada", "password": PASSWORD})
    assert await browser.user() == "ada"
    await call(browser, "account.logout")
    assert await browser.user() == "nobody"


async def test_a_program(site: OpenSite) -> None:
    """It shows the session in the header, and gets no cookie where the service uses none."""
    program = await site(use_cookies=False)
    session = await (await program.log_in()).json()
    assert program.cookie is None
    assert await program.user(**{"x-toto-session-id": session["session_id"]}) == "ada"
    assert await program.user() == "nobody"


async def test_a_new_id_at_every_login(site: OpenSite) -> None:
    """The session before it ends, also one that was anonymous or another user's."""
    browser = await site()
    await browser.service.create("bob", PASSWORD)
    ids = []
    for user in ("ada", "ada", "bob"):
        await browser.log_in(user)
        ids.append(browser.cookie)
        assert await browser.user() == user
    assert len(set(ids)) == 3
    browser.client.session.cookie_jar.clear()
    for session, user in zip(ids, ("nobody", "nobody", "bob"), strict=True):
        assert await browser.user(**{"x-toto-session-id": str(session)}) == user


async def test_a_login_after_a_check_of_ones_own(site: OpenSite) -> None:
    """The application says who the user is; without such an account it is an error, as it may create one."""

    async def page(request: web.Request) -> web.Response:
        try:
            await log_in(request, request.query["user"])
        except InvalidCredentials:
            await request.app[CONNECTION].accounts.create(request.query["user"], None)
            await log_in(request, request.query["user"])
        account = await get_account(request)
        assert account is not None
        raise web.HTTPSeeOther(f"/who?{account.user_id}")

    browser = await site({"/page": page})
    for user in ("ada", "eve"):
        response = await browser.post(f"/page?user={user}")
        assert (response.status, response.headers["Location"]) == (303, f"/who?{user}")
        assert await browser.user() == user


@pytest.mark.parametrize("password", [None, "", "wrong", b"file"], ids=repr)
async def test_no_login_without_the_password(site: OpenSite, password: Any) -> None:
    """A wrong, empty or missing one, and a file in its place, are refused."""
    browser = await site()
    form = aiohttp.FormData({"user_id": "ada"}, default_to_multipart=True)
    if isinstance(password, bytes):
        form.add_field("password", password, filename="password")
    elif password is not None:
        form.add_field("password", password)
    response = await browser.post("/login", form)
    assert response.status == (400 if password is None or isinstance(password, bytes) else 401)
    assert browser.cookie is None
    assert await browser.user() == "nobody"


async def test_no_login_without_a_user(site: OpenSite) -> None:
    """A form without the user's name, or a handler that has none, makes no anonymous session."""

    async def page(request: web.Request) -> web.Response:
        await log_in(request, None)  # type: ignore[arg-type]
        return web.Response()

    browser = await site({"/page": page})
    for path in ("/login", "/page"):
        assert (await browser.post(path, {"password": PASSWORD})).status == 400
        assert browser.cookie is None


async def test_guesses_on_a_form(site: OpenSite) -> None:
    """They count together with those by the method."""
    browser = await site(login_attempts=2)
    wrong = {"user_id": "ada", "password": "wrong"}
    assert (await browser.post("/login", wrong)).status == 401
    assert (await call(browser, "account.login", wrong))["error"]["code"] == 1005
    response = await browser.post("/login", {"user_id": "ada", "password": "wrong"})
    assert response.status == 429
    assert int(response.headers["Retry-After"]) > 0
    assert (await call(browser, "account.login", wrong))["error"]["code"] == 1012


async def test_within_one_request(site: OpenSite) -> None:
    """A login, a second one and a logout take effect at once; session and account are loaded once."""
    seen: list[Any] = []

    async def page(request: web.Request) -> web.Response:
        seen.append(await get_session(request))
        await log_in(request, "ada")
        first, account = await get_session(request), await get_account(request)
        assert first is await get_session(request)
        assert account is await get_account(request)
        await log_in(request, "bob")
        other = await get_account(request)
        seen.extend([first and first.user_id, other and other.user_id])
        await log_out(request)
        seen.extend([await get_session(request), await get_account(request)])
        return web.Response()

    browser = await site({"/page": page})
    await browser.service.create("bob", PASSWORD)
    response = await browser.post("/page")
    assert response.status == 200
    assert seen == [None, "ada", "bob", None, None]
    assert browser.cookie is None
    sessions = await call(browser, "account.login", {"user_id": "ada", "password": PASSWORD})
    assert sessions["result"]["user_id"] == "ada"
    kept = (await call(browser, "account.sessions"))["result"]["sessions"]
    assert len(kept) == 2  # of account.create, and of this login


async def test_a_renewed_session(site: OpenSite) -> None:
    """A page that renews a session renews its cookie."""
    browser = await site(session_ttl=1000, session_renew=1000)
    await browser.log_in()
    response = await browser.get("/who")
    assert "Max-Age=" in response.headers["Set-Cookie"]


async def test_state_of_a_session(site: OpenSite) -> None:
    """Pages and methods read and write the same."""

    @authenticated
    async def read(handler: Any, parameters: Any) -> Any:
        return handler.session["seen"]

    async def page(request: web.Request) -> web.Response:
        session = await get_session(request)
        assert session is not None
        session["seen"] = "page"
        await session.save()
        return web.Response()

    browser = await site({"/page": page}, methods={"read": read})
    await browser.log_in()
    assert (await browser.get("/page")).status == 200
    assert (await call(browser, "read"))["result"] == "page"


async def test_require(site: OpenSite) -> None:
    """Users pass; a program gets 401, and a browser the login page, which knows where to come back to."""
    browser = await site(login_url="/login?x=1")
    html = {"Accept": "text/html,*/*;q=0.8"}
    assert (await browser.get("/members")).status == 401
    response = await browser.get("/members?a=1&b=%C3%A9", **html)
    assert response.status == 303
    assert response.headers["Location"] == "/login?x=1&next=/members?a%3D1%26b%3D%25C3%25A9"
    response = await browser.post("/members", **html)
    assert (response.status, response.headers["Location"]) == (303, "/login?x=1")
    await browser.log_in()
    for response in (await browser.get("/members", **html), await browser.post("/members", **html)):
        assert await response.text() == "welcome ada"


async def test_require_without_a_login_page(site: OpenSite) -> None:
    """Browsers get 401 too; so does an anonymous session."""

    @anonymous_session
    async def begin(handler: Any, parameters: Any) -> None:
        return None

    browser = await site(methods={"begin": begin})
    await call(browser, "begin")
    assert browser.cookie is not None
    response = await browser.get("/members", Accept="text/html")
    assert (response.status, await response.text()) == (401, "Log in first.")
    assert await browser.user() == ""


async def test_require_a_role(site: OpenSite) -> None:
    """A user without it gets 403, also with a login page, to which only a browser without a login is sent."""

    async def rule(request: web.Request) -> web.Response:
        return web.Response(text=f"{(await require(request, role='admin')).user_id} rules")

    async def edit(request: web.Request) -> web.Response:
        await require(request, role=("editor", "admin"))
        return web.Response(text="edited")

    async def wrong(request: web.Request) -> web.Response:
        for role in ("", "a b", ()):
            with pytest.raises(ValueError, match="write"):
                await require(request, role=role)
        return web.Response(text="refused")

    browser = await site({"/rule": rule, "/edit": edit, "/wrong": wrong}, login_url="/login")
    html = {"Accept": "text/html"}
    assert browser.service.client.app is not None
    accounts = browser.service.client.app[CONNECTION].accounts
    for path in ("/rule", "/edit"):
        assert (await browser.get(path)).status == 401
        response = await browser.get(path, **html)
        assert (response.status, response.headers["Location"]) == (303, f"/login?next={path}")
    await browser.log_in()
    for roles, statuses in (((), (403, 403)), (("editor",), (403, 200)), (("admin", "a"), (200, 200))):
        await accounts.set_roles("ada", roles)
        assert [(await browser.get(path, **html)).status for path in ("/rule", "/edit")] == list(statuses)
    assert await (await browser.get("/rule")).text() == "ada rules"
    await accounts.set_roles("ada", ["editor"])
    response = await browser.get("/rule")
    assert (response.status, await response.text()) == (403, "You are not allowed to do this.")
    assert response.headers["Cache-Control"] == "no-store"
    assert await (await browser.get("/wrong")).text() == "refused"


@pytest.mark.parametrize(
    ("given", "page"),
    [
        ("/members?a=1", "/members?a=1"),
        ("/", "/"),
        ("", "/home"),
        ("members", "/home"),
        ("//evil.example", "/home"),
        ("/\\evil.example", "/home"),
        ("/\t/evil.example", "/home"),
        ("/\n", "/home"),
        ("https://evil.example", "/home"),
        ("javascript:alert(1)", "/home"),
        (" /members", "/home"),
    ],
)
async def test_the_page_to_come_back_to(site: OpenSite, given: str, page: str) -> None:
    """It is a page of this site; a link to the login leads to nobody else."""

    async def show(request: web.Request) -> web.Response:
        return web.json_response(next_page(request, "/home"))

    browser = await site({"/show": show})
    response = await browser.client.get("/show", params={"next": given})
    assert json.loads(await response.text()) == page
