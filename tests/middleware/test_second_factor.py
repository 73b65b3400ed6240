"""Logins in two steps on the pages of an application around the service."""

from __future__ import annotations

from aiohttp import web
from pytest_aiohttp.plugin import AiohttpClient

import toto_aio.methods.account.totp
from tests.support.authenticator import SECRET_KEY, enrol
from tests.support.service import PlainServer
from tests.support.site import PASSWORD, Site, make_site
from toto_aio.exceptions import InvalidCredentials, SecondFactorRequired
from toto_aio.middleware import finish_log_in, log_in, log_in_with_password

METHODS = {"account.totp": toto_aio.methods.account.totp}


async def first(request: web.Request) -> web.Response:
    """The first step: the password, and the cookie of a remembered device."""
    form = await request.post()
    device = request.cookies.get("device")
    try:
        await log_in_with_password(request, form.get("user_id"), form.get("password"), device=device)
    except SecondFactorRequired as exc:
        return web.Response(text=exc.ticket, status=202)
    except InvalidCredentials:
        return web.Response(text="wrong", status=401)
    return web.Response(text="in")


async def second(request: web.Request) -> web.Response:
    """The second step."""
    form = await request.post()
    try:
        session = await finish_log_in(
            request, form.get("ticket"), form.get("code"), remember="remember" in form
        )
    except InvalidCredentials:
        return web.Response(text="wrong", status=401)
    response = web.Response(text=session.user_id)
    if session.device_token is not None:
        response.set_cookie("device", session.device_token, httponly=True, samesite="Lax")
    return response


async def known(request: web.Request) -> web.Response:
    """A login that the application has checked itself, with the second factor or without."""
    try:
        await log_in(request, "ada", second_factor="skip" not in request.query)
    except SecondFactorRequired:
        return web.Response(status=202)
    return web.Response()


async def test_two_forms(aiohttp_client: AiohttpClient) -> None:
    """The first gives the ticket and no session, the second the session; a remembered device needs one."""
    pages = {"/first": first, "/second": second, "/known": known}
    application, _ = make_site(pages, methods=METHODS, secret_key=[SECRET_KEY])
    site = Site(await aiohttp_client(PlainServer(application)))
    app, codes = await enrol(site.service, await site.service.create("ada", PASSWORD))
    fields = {"user_id": "ada", "password": PASSWORD}
    response = await site.post("/first", fields)
    assert response.status == 202
    assert await site.user() == "nobody"
    ticket = await response.text()
    assert (await site.post("/second", {"ticket": ticket, "code": app.wrong})).status == 401
    assert (await site.post("/second", {"ticket": "x", "code": codes[0]})).status == 401
    assert (await site.post("/second", {"ticket": ticket})).status == 400
    foreign = await site.post("/second", {"ticket": ticket, "code": codes[0]}, origin="https://evil.example")
    assert foreign.status == 403
    shown = app.code(1)  # the first step was used to turn it on
    copied = {"ticket": ticket, "code": f" {shown[:3]}\N{NO-BREAK SPACE}{shown[3:]}\n", "remember": "on"}
    done = await site.post("/second", copied)
    assert (done.status, await done.text()) == (200, "ada")
    assert await site.user() == "ada"
    assert (await (await site.post("/first", fields)).text()) == "in"
    site.client.session.cookie_jar.clear()
    assert (await site.post("/first", fields)).status == 202
    assert (await site.post("/known")).status == 202
    assert await site.user() == "nobody"
    assert (await site.post("/known?skip")).status == 200
    assert await site.user() == "ada"
