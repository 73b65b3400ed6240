"""A session that ``Authorization: Bearer`` shows, on every way in that takes ``x-toto-session-id``."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from multidict import CIMultiDict
from pytest_aiohttp.plugin import AiohttpClient

from tests.http.test_session_scheme import log_in
from tests.http.test_session_scheme import who as user
from tests.support.documented import documented_client
from tests.support.service import PlainServer, Serve, Service
from tests.support.site import PASSWORD, Site, make_site
from toto_aio.middleware import get_session

METHODS = {"who": user}
ADA = {"user_id": "ada", "password": PASSWORD}
client = documented_client()


async def by_headers(service: Service, *headers: tuple[str, str]) -> tuple[int, Any]:
    """The status of a call with these headers, and its result or the code of its error."""
    response = await service.post(json={"method": "who"}, headers=CIMultiDict(headers))
    answer = await response.json()
    return response.status, answer.get("result", answer.get("error", {}).get("code"))


async def test_a_bearer_token_shows_a_session(serve: Serve) -> None:
    """By POST to the root and below, by GET, in a form and in a batch, in any case of the scheme."""
    service = await serve(METHODS)
    session = await service.create()
    for value in (f"Bearer {session}", f"bearer  {session}", f"BEARER {session} "):
        headers = {"Authorization": value}
        bodies: list[dict[str, Any]] = [{"json": {}}, {"data": {"a": "b"}}, {"json": {"parameters": {}}}]
        for body in bodies:
            response = await service.post("/who", headers=headers, **body)
            answer = await response.json()
            assert answer["result"] == "ada", (value, body)
            assert answer["session"]["session_id"] == session
            assert response.headers["Vary"] == "Cookie, Authorization, x-toto-session-id"
            assert response.headers["Cache-Control"] == "no-store"
        got = await service.client.get("/service/who", headers=headers)
        assert (await got.json())["result"] == "ada"
        batch = await service.post(json={"batch": {"a": {"method": "who"}}}, headers=headers)
        assert (await batch.json())["batch"] == {"a": {"result": "ada"}}
    out = await service.post("/account/logout", json={}, headers={"Authorization": f"Bearer {session}"})
    assert (await out.json())["result"] == {"authenticated": False}
    assert await by_headers(service, ("Authorization", f"Bearer {session}")) == (200, 1004)


async def test_one_connection_with_other_tokens(serve: Serve) -> None:
    """Each request of a connection has its own session, whatever the ones before it have shown."""
    service = await serve(METHODS)
    sessions = {user_id: await service.create(user_id) for user_id in ("ada", "eve")}
    for user_id in ("ada", "eve", "eve", "ada"):
        shown = ("Authorization", f"Bearer {sessions[user_id]}")
        assert await by_headers(service, shown) == (200, user_id)
        assert await by_headers(service, ("Authorization", "Bearer x")) == (200, 1004)
        assert await by_headers(service) == (200, 1004)


async def test_two_headers(serve: Serve) -> None:
    """Headers that show two sessions are refused, and so is a repeated one; one session in both is fine."""
    service = await serve(METHODS)
    session, other = await service.create(), await service.create("eve")
    own, bearer = ("x-toto-session-id", session), ("Authorization", f"Bearer {session}")
    assert await by_headers(service, own, bearer) == (200, "ada")
    assert await by_headers(service, bearer, own) == (200, "ada")
    refused = (
        (own, ("Authorization", f"Bearer {other}")),
        (own, ("Authorization", "Bearer")),
        (("x-toto-session-id", ""), bearer),
        (bearer, bearer),
        (bearer, ("Authorization", f"Bearer {other}")),
        (("Authorization", "Basic eDp5"), bearer),
        (own, ("Authorization", "Basic eDp5"), ("Authorization", "Basic eDp5")),
    )
    for headers in refused:
        assert await by_headers(service, *headers) == (400, 1003), headers


async def test_other_schemes_are_somebody_elses(serve: Serve) -> None:
    """Basic, which a proxy may use, hides no session and shows none; nor does anything but the scheme."""
    service = await serve(METHODS)
    session = await service.create()
    for value in ("Basic eDp5", f"Basic {session}", f"Token {session}", f"Bearer{session}", session, "", "é"):
        shown = ("Authorization", value)
        assert await by_headers(service, shown) == (200, 1004), value
        assert await by_headers(service, shown, ("x-toto-session-id", session)) == (200, "ada"), value
    for value in (
        "Bearer",
        "Bearer ",
        "Bearer x y",
        f"Bearer {session}x",
        "Bearer \u00e9",
        "Bearer " + "x" * 5000,
    ):
        assert await by_headers(service, ("Authorization", value)) == (200, 1004), value


async def test_with_cookies(serve: Serve) -> None:
    """A token counts before the cookie, needs no origin, and its response has the id."""
    service = await serve(METHODS, use_cookies=True, secure_cookies=False)
    session, other = await service.create(), await service.create("eve")
    headers = [("Authorization", f"Bearer {session}"), ("Cookie", f"toto-session={other}")]
    response = await service.post("/who", json={}, headers=CIMultiDict(headers))
    answer = await response.json()
    assert (answer["result"], answer["session"]["session_id"]) == ("ada", session)
    cookie = [
        ("Authorization", "Basic eDp5"),
        ("Cookie", f"toto-session={other}"),
        ("Origin", f"{service.client.make_url('/').origin()}"),
    ]
    assert await by_headers(service, *cookie) == (200, "eve")


async def test_signed_calls(serve: Serve) -> None:
    """Under ``signing=session`` a token is signed like the header, and nothing unsigned is taken."""
    service = await serve(METHODS, signing="session")
    session, key = await log_in(service)
    body = json.dumps({"method": "who"}).encode()
    for _ in range(2):
        headers = client.signed_headers(session, key, "POST", "/service", "application/json", body)
        headers["Authorization"] = f"Bearer {headers.pop('x-toto-session-id')}"
        response = await service.client.post("/service", data=body, headers=headers)
        raw = await response.read()
        assert json.loads(raw)["result"] == "ada"
        signature = response.headers["x-toto-hmac"]
        assert client.response_is_genuine(session, key, headers["x-toto-nonce"], raw, signature)
        again = await service.client.post("/service", data=body, headers=headers)
        assert (await again.json())["error"]["code"] == 1008
    assert await by_headers(service, ("Authorization", f"Bearer {session}")) == (200, 1008)


async def test_over_a_socket(serve: Serve) -> None:
    """The request that opens a socket may show it, and it counts before an id in the path."""
    service = await serve(METHODS, use_web_sockets=True)
    session, other = await service.create(), await service.create("eve")
    bearer = {"Authorization": f"Bearer {session}"}
    paths = (
        ("", bearer, "ada"),
        (f"/{other}", bearer, "ada"),
        (f"/{other}", {"Authorization": "Basic x"}, "eve"),
    )
    for path, headers, expected in paths:
        async with service.client.ws_connect(f"/service/websocket{path}", headers=headers) as socket:
            await socket.send_json({"id": 1, "method": "who"})
            answer = await socket.receive_json()
            assert answer["result"] == expected
    for refused in ([*bearer.items()] * 2, [*bearer.items(), ("x-toto-session-id", other)]):
        with pytest.raises(aiohttp.WSServerHandshakeError, match="400"):
            await service.client.ws_connect("/service/websocket", headers=CIMultiDict(refused))


async def test_on_a_page(aiohttp_client: AiohttpClient) -> None:
    """The application around the service has the session of a token too, and refuses two tokens."""

    async def page(request: web.Request) -> web.Response:
        session = await get_session(request)
        return web.Response(text="nobody" if session is None else session.user_id)

    application, _ = make_site({"/page": page})
    site = Site(await aiohttp_client(PlainServer(application)))
    session = await site.service.create("ada", PASSWORD)
    for value, expected in ((f"Bearer {session}", "ada"), ("Bearer x", "nobody"), ("Basic eDp5", "nobody")):
        response = await site.client.get("/page", headers={"Authorization": value})
        assert (response.status, await response.text()) == (200, expected)
        assert "Authorization" in response.headers["Vary"]
    twice = [("Authorization", f"Bearer {session}"), ("Authorization", "Bearer x")]
    assert (await site.client.get("/page", headers=CIMultiDict(twice))).status == 400
