"""Services in an application of somebody else's: which calls are theirs alone, on every way to them."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from tests.support.limits import PATIENCE, WATCHDOG
from tests.support.service import FastRunner
from toto_aio import create_app
from toto_aio.dispatch.handler import Handler
from toto_aio.exceptions import TotoException
from toto_aio.http.drain import DRAIN
from toto_aio.http.embedded import drain_of, find_services
from toto_aio.http.fast import FastConnection
from toto_aio.http.parent import transparent
from toto_aio.http.service import SERVICE
from toto_aio.invocation import authenticated

NAME = web.AppKey("name", str)
BODY = {"method": "echo", "parameters": {"a": 1}}

Change = Callable[[web.Application], object]
"""What a test adds to the application around a service at /api/service."""


async def echo(handler: Handler, parameters: Any) -> Any:
    """Return the parameters."""
    return parameters


async def seen(handler: Handler, parameters: Any) -> Any:
    """Return what a method sees of the applications around it, and of its route."""
    request = handler.request
    assert request.app[SERVICE] is request.config_dict[SERVICE]
    return [
        request.config_dict[NAME],
        len(request.match_info.apps),
        str(request.rel_url),
        dict(request.match_info),
        request.match_info.get_info().get("path") or request.match_info.get_info().get("formatter"),
    ]


async def fails(handler: Handler, parameters: Any) -> None:
    """Raise an error of the service, or one of aiohttp's."""
    raise web.HTTPPaymentRequired(text="a coin") if parameters.get("aiohttp") else TotoException(2001, "no")


async def page(request: web.Request) -> web.Response:
    """A page of the application's own."""
    return web.Response(text=f"a page: {request.match_info.get('x', '')}")


def service(**options: Any) -> web.Application:
    """A service in memory."""
    methods = {"echo": echo, "seen": seen, "fails": fails}
    return create_app(**{"method_module": methods, "database": "memory://", **options})


def site(change: Change | None = None, **options: Any) -> web.Application:
    """An application with a page and a service."""
    app = web.Application()
    app[NAME] = "the site"
    app.router.add_get("/", page)
    app.add_subapp("/api", service(**options))
    if change is not None:
        change(app)
    return app


class Site:
    """A running application, and how many requests its fast path has answered."""

    def __init__(self, runner: web.AppRunner, client: aiohttp.ClientSession) -> None:
        self.runner = runner
        self.client = client
        self.fast = 0

    async def post(self, path: str, body: Any = BODY) -> tuple[int, str]:
        """The status and the text of the response to a POST."""
        url = "http://{}:{}".format(*self.runner.addresses[0])
        async with self.client.post(url + path, json=body) as response:
            return response.status, await response.text()


@asynccontextmanager
async def running(
    monkeypatch: pytest.MonkeyPatch, app: web.Application, *, fast: bool = True
) -> AsyncIterator[Site]:
    """Run an application with the connections that ``toto-aio serve`` uses, or with aiohttp's."""
    runner = (FastRunner if fast else web.AppRunner)(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with aiohttp.ClientSession() as client:
            site = Site(runner, client)
            own = FastConnection._call

            def count(self: FastConnection, request: Any, waiter: Any) -> Any:
                site.fast += 1
                return own(self, request, waiter)

            with monkeypatch.context() as patch:
                patch.setattr(FastConnection, "_call", count)
                yield site
    finally:
        await runner.cleanup()


CALLS = [
    ("/api/service", BODY),
    ("/api/service/echo", {"a": 2}),
    ("/api/service/", BODY),
    ("/api/service", {"method": "seen"}),
    ("/api/service/seen", {}),
    ("/api/service", {"method": "fails"}),
    ("/api/service/fails", {"aiohttp": True}),
    ("/api/service", {"batch": {"1": BODY}}),
    ("/api/service/no/such", {}),
]


async def test_same_responses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fast path answers plain calls as aiohttp's router does; other paths are aiohttp's."""
    answers = []
    for fast in (False, True):
        async with running(monkeypatch, site(), fast=fast) as app:
            answers.append([await app.post(*call) for call in CALLS for _ in range(2)])
            assert app.fast == (2 * len(CALLS) if fast else 0)
            for path in ("/", "/api", "/api/", "/api/other", "/api/services", "/service"):
                assert (await app.post(path))[0] in (404, 405)
            assert app.fast == (2 * len(CALLS) if fast else 0)
    general, fast_ones = answers
    assert general == fast_ones
    assert general[6][1].startswith('{"result":["the site",2,"/api/service",{},"/api/service"]')


async def test_under_several_prefixes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Services with paths and limits of their own, one of them two applications deep, one at its root."""
    inner = web.Application()
    inner.add_subapp("/v1", service(max_body_size=100))
    app = web.Application()
    app[NAME] = "outer"
    app.add_subapp("/deep", inner)
    app.add_subapp("/flat", service(root="/"))
    assert [(found.path, len(found.around)) for found in find_services(app)] == [
        ("/deep/v1/service", 2),
        ("/flat", 1),
    ]
    long = {"method": "echo", "parameters": {"a": "x" * 200}}
    async with running(monkeypatch, app) as site:
        for path in ("/deep/v1/service", "/flat", "/flat/echo", "/flat/"):
            assert await site.post(path) == (200, '{"result":{"a":1}}'), path
        assert site.fast == 4
        assert (await site.post("/flat", long))[0] == 200
        assert site.fast == 5
        assert (await site.post("/deep/v1/service", long))[0] == 413
        assert (await site.post("/deep/v1/service/seen", {}))[1].startswith('{"result":["outer",3,')


async def test_the_realm_has_the_prefix() -> None:
    """A 401 names the root of the service as the site has it, so that two services have two realms."""
    app = web.Application()

    @authenticated
    async def locked() -> None:
        """Be for users."""

    for prefix in ("/a", "/b"):
        app.add_subapp(
            prefix,
            create_app(method_module={"locked": locked}, database="memory://", error_status="http"),
        )
    async with TestClient(TestServer(app)) as client:
        for path, realm in (("/a", "/a/service"), ("/b", "/b/service")):
            response = await client.post(f"{path}/service/locked", json={})
            assert response.status == 401, (path, await response.text())
            assert (response.status, response.headers["WWW-Authenticate"]) == (401, f'Bearer realm="{realm}"')


@transparent
@web.middleware
async def sees_through(request: web.Request, handler: Any) -> Any:
    """A middleware that leaves services alone."""
    return await handler(request)


@web.middleware
async def middleware(request: web.Request, handler: Any) -> Any:
    """Change each response."""
    response = await handler(request)
    response.headers["x-seen"] = "yes"
    return response


async def signal(request: web.Request, response: web.StreamResponse) -> None:
    """Change each response."""
    response.headers["x-seen"] = "yes"


@pytest.mark.parametrize(
    ("change", "is_fast"),
    [
        (lambda app: app.middlewares.append(sees_through), True),
        (drain_of, True),
        (lambda app: app.middlewares.append(middleware), False),
        (lambda app: app.on_response_prepare.append(signal), False),
        (lambda app: app.middlewares.extend([sees_through, middleware]), False),
    ],
    ids=["transparent", "drain", "middleware", "signal", "one of two"],
)
async def test_who_sees_the_responses(monkeypatch: pytest.MonkeyPatch, change: Change, is_fast: bool) -> None:
    """A middleware or signal of the application gets aiohttp's responses, except one that is transparent."""
    async with running(monkeypatch, site(change)) as app:
        url = "http://{}:{}".format(*app.runner.addresses[0])
        for _ in range(2):
            async with app.client.post(f"{url}/api/service", json=BODY) as response:
                assert await response.json() == {"result": {"a": 1}}
                assert ("x-seen" in response.headers) is not is_fast
        assert app.fast == (2 if is_fast else 0)


@pytest.mark.parametrize(
    ("owner", "name"),
    [(web.Application, "_handle"), (web.UrlDispatcher, "resolve")],
    ids=["handle", "resolve"],
)
async def test_tools_that_trace_requests(
    monkeypatch: pytest.MonkeyPatch, owner: type[Any], name: str
) -> None:
    """What they put in the place of aiohttp's own functions, as Sentry does, sees each call."""
    original = getattr(owner, name)
    traced = []

    @functools.wraps(original)
    async def trace(self: Any, request: web.Request) -> Any:
        traced.append(request.path)
        return await original(self, request)

    monkeypatch.setattr(owner, name, trace)
    async with running(monkeypatch, site()) as app:
        for _ in range(2):
            assert await app.post("/api/service") == (200, '{"result":{"a":1}}')
        assert app.fast == 0
    assert set(traced) == {"/api/service"}


def routes(*paths: str, verb: str = "POST") -> Change:
    """Add pages to the application."""

    def change(app: web.Application) -> None:
        for path in paths:
            app.router.add_route(verb, path, page)

    return change


def sub_app(prefix: str) -> Change:
    """Add another application to it."""

    def change(app: web.Application) -> None:
        inner = web.Application()
        inner.router.add_post("/{x:.*}", page)
        app.add_subapp(prefix, inner)

    return change


def domain(app: web.Application) -> None:
    """Add an application for a domain, which aiohttp asks first of all."""
    inner = web.Application()
    inner.router.add_post("/{x:.*}", page)
    app.add_domain("localhost", inner)


@pytest.mark.parametrize(
    ("change", "path", "is_fast"),
    [
        (routes("/other", "/api/other", "/api/services", "/api/service-{x}"), "/api/service", True),
        (routes("/{x:.*}", "/{x}/service"), "/api/service", True),
        (routes("/api/service", "/api/service/{x}", verb="GET"), "/api/service", True),
        (sub_app("/api/services"), "/api/service", True),
        (sub_app("/ap"), "/api/service", True),
        (routes("/api/service/mine"), "/api/service/mine", False),
        (routes("/api/service/{x}"), "/api/service/mine", False),
        (routes("/api/service/{x}", verb="*"), "/api/service/mine", False),
        (routes("/api/service{x:.*}"), "/api/service/mine", False),
        (sub_app("/api/service/deep"), "/api/service/deep/mine", False),
        (domain, "/api/service", False),
    ],
)
async def test_paths_of_the_application(
    monkeypatch: pytest.MonkeyPatch, change: Change, path: str, is_fast: bool
) -> None:
    """What its own routes can match stays theirs, by aiohttp's order; the others cost nothing."""
    bodies = []
    for fast in (False, True):
        async with running(monkeypatch, site(change), fast=fast) as app:
            bodies.append([await app.post(path), await app.post("/api/service")])
            assert app.fast == (2 if fast and is_fast else 0)
    assert bodies[0] == bodies[1]
    assert bodies[1][1] == (200, '{"result":{"a":1}}')


async def test_without_the_fast_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service with ``fast_path=False`` has none, whatever the server's."""
    async with running(monkeypatch, site(fast_path=False)) as app:
        assert await app.post("/api/service") == (200, '{"result":{"a":1}}')
        assert app.fast == 0


async def test_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    """It includes the application's own requests and those of all services, and waits for no WebSocket."""

    async def own_socket(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        return socket

    app = site(lambda app: app.router.add_get("/socket", own_socket))
    drain = drain_of(app)
    assert drain_of(app) is drain
    async with running(monkeypatch, app) as site_:
        server, url = site_.runner._server, "http://{}:{}".format(*site_.runner.addresses[0])
        assert server is not None
        async with (
            site_.client.ws_connect(f"{url}/socket") as own,
            site_.client.ws_connect(f"{url}/api/service/websocket") as theirs,
        ):
            for path in ("/", "/api/service"):
                async with site_.client.request("GET" if path == "/" else "POST", url + path) as response:
                    await response.read()
                    assert "Connection" not in response.headers
            drain.begin()
            assert all(service.app[DRAIN].begun for service in find_services(app))
            waiting = asyncio.create_task(drain.wait(server, PATIENCE))
            await asyncio.sleep(0)
            for path in ("/", "/api/service"):
                async with site_.client.request("GET" if path == "/" else "POST", url + path) as response:
                    await response.read()
                    assert response.headers["Connection"] == "close"
            async with asyncio.timeout(WATCHDOG):
                await waiting
            await own.send_str("still here")
            assert await own.receive_str() == "still here"
            await theirs.send_json({"id": 1, "method": "echo", "parameters": {"a": 1}})
            assert await theirs.receive_json() == {"id": 1, "result": {"a": 1}}
