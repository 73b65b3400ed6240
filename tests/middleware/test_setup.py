"""Setting up the middleware, and what goes wrong when it is not, or twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpClient

import toto_aio.methods
from tests.support.documented import documented_client
from tests.support.service import Client, FastServer, PlainServer
from tests.support.site import PASSWORD, OpenSite, Site, make_site, who
from toto_aio import create_app
from toto_aio.events import EventManager
from toto_aio.http.fast.request import FastRequest
from toto_aio.http.response import is_observed
from toto_aio.invocation import optionally_authenticated
from toto_aio.middleware import CONNECTION, EVENTS, get_session, is_page, log_in, setup
from toto_aio.settings import SettingsError
from toto_aio.stores.memory import MemoryStore


async def nothing(handler: Any, parameters: Any) -> None:
    """Do nothing."""


def service() -> web.Application:
    """A new service."""
    return create_app(method_module={"nothing": nothing}, database="memory://")


async def test_before_or_after_it_is_added(aiohttp_client: AiohttpClient) -> None:
    """The order of the two lines does not matter."""
    for first in (True, False):
        application, part = web.Application(), service()
        application.router.add_get("/who", who)
        if first:
            setup(application, part)
        application.add_subapp("/api", part)
        if not first:
            setup(application, part)
        assert await Site(await aiohttp_client(PlainServer(application))).user() == "nobody"


async def test_what_is_refused() -> None:
    """Arguments in the wrong order, other applications, and a second call; the error says what to write."""
    application, part = web.Application(), service()
    for arguments in ((part, application), (application, web.Application()), (part, service())):
        with pytest.raises(SettingsError, match=r"write setup\(application, service\)"):
            setup(*arguments)
    setup(application, part)
    for again in ((application, part), (application, service()), (web.Application(), part)):
        with pytest.raises(SettingsError, match="write setup once"):
            setup(*again)
    late = web.Application()
    web.Application().add_subapp("/late", late)
    with pytest.raises(SettingsError, match="before the application is started or added"):
        setup(late, service())


async def test_a_service_that_was_not_added() -> None:
    """The start says which line is missing, also if it was added to another application."""
    for other in (None, web.Application()):
        application, part = web.Application(), service()
        setup(application, part)
        if other is not None:
            other.add_subapp("/api", part)
        with pytest.raises(SettingsError, match=r'application\.add_subapp\("/api", service\)'):
            await web.AppRunner(application).setup()


async def test_setup_was_forgotten(aiohttp_client: AiohttpClient, errors: Any) -> None:
    """A page that asks for the session says what to write, and in a method it is another name."""

    async def method(handler: Any, parameters: Any) -> str:
        with pytest.raises(RuntimeError, match=r"write handler\.session in a method"):
            await get_session(handler.request)
        return "right"

    application = web.Application()
    application.router.add_get("/who", who)
    application.add_subapp("/api", create_app(method_module={"method": method}, database="memory://"))
    site = Site(await aiohttp_client(PlainServer(application)))
    assert (await site.get("/who")).status == 500
    assert "Error handling request" in errors()[0]
    assert await site.service.result("method") == "right"


async def test_what_the_application_may_use(site: OpenSite) -> None:
    """Accounts, sessions, database and events of the service are in the application, under its keys."""
    found: list[Any] = []

    async def page(request: web.Request) -> web.Response:
        account = await request.app[CONNECTION].accounts.get("ada")
        found.append(account)
        assert isinstance(request.app[EVENTS], EventManager)
        return web.Response()

    assert (await (await site({"/page": page})).get("/page")).status == 200
    assert found[0]["user_id"] == "ada"


async def test_without_events(aiohttp_client: AiohttpClient) -> None:
    """The key of events is missing if they are off."""
    application, _ = make_site(events="off")
    await aiohttp_client(PlainServer(application))
    assert EVENTS not in application
    assert CONNECTION in application


async def test_the_end(aiohttp_client: AiohttpClient) -> None:
    """The service ends before the application closes what the service may use."""
    order = []

    async def open_database(application: web.Application) -> AsyncIterator[str]:
        yield "memory://"
        order.append("service")

    async def own(application: web.Application) -> AsyncIterator[None]:
        yield
        order.append("application")

    application, _ = make_site(database=open_database)
    application.cleanup_ctx.append(own)
    client: Client = await aiohttp_client(PlainServer(application))
    await client.close()
    assert order == ["service", "application"]


async def test_pages_of_another_sub_application(aiohttp_client: AiohttpClient) -> None:
    """They have the session too, and a service may be deeper within the application."""
    application, inner, part = web.Application(), web.Application(), service()
    setup(application, part)
    inner.router.add_get("/who", who)
    inner.add_subapp("/api", part)
    application.add_subapp("/inner", inner)
    client: Client = await aiohttp_client(PlainServer(application))
    assert await (await client.get("/inner/who")).text() == "nobody"


async def test_two_services(aiohttp_client: AiohttpClient) -> None:
    """Each has the pages of its own sub-application."""
    first, one = make_site()
    second, two = make_site()
    del one, two
    application = web.Application()
    application.add_subapp("/first", first)
    application.add_subapp("/second", second)
    client: Client = await aiohttp_client(PlainServer(application))
    sites = Site(client), Site(client)
    sites[0].service.root, sites[1].service.root = "/first/api/service", "/second/api/service"
    session = await sites[0].service.create()
    for path, user in (("/first/who", "ada"), ("/second/who", "nobody")):
        assert await (await client.get(path, headers={"x-toto-session-id": session})).text() == user


async def test_pages_around_those_of_another_service(aiohttp_client: AiohttpClient) -> None:
    """A request has the sessions of the innermost pages; each response is finished once."""
    store = MemoryStore()
    inner, _ = make_site(database=store, signing="session")
    outer, _ = make_site(database=store, signing="session")
    users = []

    @web.middleware
    async def note(request: web.Request, handler: Any) -> Any:
        if is_page(request):
            session = await get_session(request)
            users.append(session and session.user_id)
        return await handler(request)

    outer.middlewares.append(note)
    outer.add_subapp("/inner", inner)
    site = Site(await aiohttp_client(PlainServer(outer)))
    site.service.root = "/inner/api/service"
    await site.service.create("ada", PASSWORD)
    login = await site.post("/inner/login", {"user_id": "ada", "password": PASSWORD})
    for name in ("Set-Cookie", "Vary", "Cache-Control"):
        assert len(login.headers.getall(name)) == 1
    site.client.session.cookie_jar.clear()
    result = await site.service.result("account.login", {"user_id": "ada", "password": PASSWORD})
    session, key = result["session_id"], result["key"]
    for path, body, answer in (
        ("/inner/members", b"{}", b"welcome ada"),
        ("/inner/api/service", b'{"method": "account.sessions"}', b'{"result":'),
    ):
        headers = documented_client().signed_headers(session, key, "POST", path, "application/json", body)
        response = await site.client.post(path, data=body, headers=headers)
        assert (await response.read()).startswith(answer)
        for name in ("x-toto-hmac", "Vary", "Cache-Control"):
            assert len(response.headers.getall(name)) == 1
    assert users == [None, "ada"]


async def test_another_service_beside_it(aiohttp_client: AiohttpClient) -> None:
    """Its requests pass untouched: a signature counts there, though both have the same sessions."""
    store = MemoryStore()
    application, _ = make_site(database=store, signing="session")
    other = create_app(database=store, signing="session", method_module=toto_aio.methods)
    application.add_subapp("/other", other)
    site = Site(await aiohttp_client(PlainServer(application)))
    await site.service.create("ada", PASSWORD)
    result = await site.service.result("account.login", {"user_id": "ada", "password": PASSWORD})
    body = b'{"method": "account.sessions"}'
    headers = documented_client().signed_headers(
        result["session_id"], result["key"], "POST", "/other/service", "application/json", body
    )
    response = await site.client.post("/other/service", data=body, headers=headers)
    assert "result" in await response.json()


@pytest.mark.parametrize("raises", [False, True], ids=["returned", "raised"])
async def test_an_application_around_it_that_replaces_the_request(
    aiohttp_client: AiohttpClient, raises: bool
) -> None:
    """What the page did with the session shows in the response, though that answers another request."""

    async def page(request: web.Request) -> web.Response:
        await log_in(request, "ada")
        if raises:
            raise web.HTTPSeeOther("/who")
        return web.Response()

    @web.middleware
    async def replace(request: web.Request, handler: Any) -> Any:
        return await handler(request.clone(remote="192.0.2.1"))

    inner, _ = make_site({"/page": page})
    outer = web.Application(middlewares=[replace])
    outer.add_subapp("/inner", inner)
    site = Site(await aiohttp_client(PlainServer(outer)))
    site.service.root = "/inner/api/service"
    await site.service.create("ada", PASSWORD)
    response = await site.post("/inner/page")
    assert "toto-session=" in response.headers["Set-Cookie"]
    assert response.headers["Cache-Control"] == "no-store"


async def test_a_service_that_does_not_close(errors: Any) -> None:
    """Its error is logged, and what the application owns is closed after it."""
    order = []

    async def own(application: web.Application) -> AsyncIterator[None]:
        yield
        order.append("application")

    async def fails(application: web.Application) -> AsyncIterator[str]:
        yield "memory://"
        order.append("service")
        raise OSError("gone")

    part = create_app(method_module={"nothing": nothing}, database=fails)
    application = web.Application()
    application.cleanup_ctx.append(own)
    setup(application, part)
    application.add_subapp("/api", part)
    runner = web.AppRunner(application)
    await runner.setup()
    await runner.cleanup()
    assert order == ["service", "application"]
    assert "not everything that the service had opened could be closed" in errors()[0]


async def test_calls_stay_unobserved(site: OpenSite) -> None:
    """The service knows that nothing sees its responses, so it writes them in one piece, unlike pages."""
    seen = []

    async def method(handler: Any, parameters: Any) -> None:
        seen.append(is_observed(handler.request, handler.reply._context.signals))

    service = (await site(methods={"method": method})).service
    await service.result("method")
    assert seen == [False]


async def test_calls_stay_fast(aiohttp_client: AiohttpClient) -> None:
    """Under ``toto-aio serve`` they take the fast path, with the login of a page."""
    requests = []

    @optionally_authenticated
    async def method(handler: Any, parameters: Any) -> str:
        requests.append(handler.reply.http_request)
        return str(handler.session.user_id)

    application, _ = make_site(methods={"method": method})
    site = Site(await aiohttp_client(FastServer(application)))
    await site.service.create()
    await site.log_in()
    assert (await site.service.call("method", Origin=site.origin))["result"] == "ada"
    assert isinstance(requests[0], FastRequest)


async def test_the_other_middlewares(aiohttp_client: AiohttpClient) -> None:
    """They have the session, whether they were added before or after, and may replace the request."""
    users = []

    @web.middleware
    async def note(request: web.Request, handler: Any) -> Any:
        if not is_page(request):
            with pytest.raises(RuntimeError, match=r"unless toto_aio\.middleware\.is_page"):
                await get_session(request)
            return await handler(request)
        session = await get_session(request)
        users.append(None if session is None else session.user_id)
        return await handler(request.clone(remote="192.0.2.1"))

    application, _ = make_site(middlewares=[note])
    application.middlewares.append(note)
    site = Site(await aiohttp_client(PlainServer(application)))
    await site.service.create()
    session = (await (await site.log_in()).json())["user_id"]
    assert session == "ada"
    assert await site.user() == "ada"
    assert users == [None, None, "ada", "ada"]
