"""An aiohttp application with pages of its own, around a service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import aiohttp
from aiohttp import web

import toto_aio.methods
from tests.support.service import Client, Service
from toto_aio import create_app
from toto_aio.middleware import get_session, log_in_with_password, log_out, require, setup
from toto_aio.registry import find_methods

PASSWORD = "correct horse"

Page = Callable[[web.Request], Awaitable[web.StreamResponse]]
OpenSite = Callable[..., Awaitable["Site"]]


class Site:
    """A running site with an account, visited by a browser that keeps cookies."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.service = Service(client, "/api/service")
        self.origin = f"http://127.0.0.1:{client.port}"

    async def get(self, path: str, **headers: str) -> aiohttp.ClientResponse:
        """The response to a GET, without an ``Origin``, as browsers open pages."""
        return await self.client.get(path, headers=headers, allow_redirects=False)

    async def post(
        self, path: str, data: Any = None, *, origin: str | None = "", **headers: str
    ) -> aiohttp.ClientResponse:
        """The response to a POST of a form: of this site, or of another ``origin``; None names none."""
        if origin is not None:
            headers["Origin"] = origin or self.origin
        return await self.client.post(path, data=data, headers=headers, allow_redirects=False)

    async def log_in(self, user_id: str = "ada", **headers: str) -> aiohttp.ClientResponse:
        """The response of the login form."""
        return await self.post("/login", {"user_id": user_id, "password": PASSWORD}, **headers)

    async def user(self, **headers: str) -> str:
        """The user whose page it shows."""
        return await (await self.get("/who", **headers)).text()

    @property
    def cookie(self) -> str | None:
        """The session id in the browser's cookie."""
        cookies = self.client.session.cookie_jar.filter_cookies(self.client.make_url("/"))
        return cookies["toto-session"].value if "toto-session" in cookies else None


async def who(request: web.Request) -> web.Response:
    """Show the user; "nobody" without a session."""
    session = await get_session(request)
    return web.Response(text="nobody" if session is None else session.user_id)


async def enter(request: web.Request) -> web.Response:
    """Log in with the fields of a form."""
    form = await request.post()
    session = await log_in_with_password(request, form.get("user_id"), form.get("password"))
    return web.json_response(session.describe())


async def leave(request: web.Request) -> web.Response:
    """Log out."""
    await log_out(request)
    return web.Response(text="bye")


async def members(request: web.Request) -> web.Response:
    """Show members their page, and take their forms."""
    session = await require(request)
    return web.Response(text=f"welcome {session.user_id}")


def make_site(
    pages: Mapping[str, Page] | None = None,
    *,
    login_url: str | None = None,
    middlewares: Sequence[Any] = (),
    **options: Any,
) -> tuple[web.Application, web.Application]:
    """The application, and the service that is part of it."""
    built_in = {name: method.invoke for name, method in find_methods(toto_aio.methods, 60).items()}
    methods = {**built_in, **options.pop("methods", {})}
    defaults = {"database": "memory://", "use_cookies": True, "secure_cookies": False}
    service = create_app(**{**defaults, "method_module": methods, **options})
    application = web.Application(middlewares=middlewares)
    setup(application, service, login_url=login_url)
    application.add_subapp("/api", service)
    own = {"/who": who, "/login": enter, "/logout": leave, "/members": members}
    for path, page in {**own, **(pages or {})}.items():
        application.router.add_route("*", path, page)
    return application, service
