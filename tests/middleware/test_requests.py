"""Which requests to pages have a session, and what their responses are given."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from multidict import CIMultiDict

from tests.support.documented import documented_client
from tests.support.service import PlainServer
from tests.support.site import PASSWORD, OpenSite, Site, make_site
from toto_aio.exceptions import TotoException, Unavailable, UserIDExists
from toto_aio.invocation import authenticated
from toto_aio.middleware import get_account, get_session, log_in, require
from toto_aio.signing import hmac_sha1
from toto_aio.stores.memory import MemoryStore

FOREIGN = "https://evil.example"
ALLOWED = "https://app.example"
VARY = "Cookie, Authorization, x-toto-session-id"


client = documented_client()


async def take(request: web.Request) -> web.Response:
    """Take what a member sends, in whichever form, and return what arrived."""
    session = await require(request)
    arrived: dict[str, Any] = {"user": session.user_id}
    if request.content_type == "application/json":
        arrived["json"] = await request.json()
    elif request.content_type == "application/octet-stream":
        arrived["bytes"] = (await request.clone(remote="192.0.2.1").content.read()).decode()
    else:
        for name, value in (await request.post()).items():
            arrived[name] = value.file.read().decode() if isinstance(value, web.FileField) else value
    return web.json_response(arrived)


@pytest.mark.parametrize(
    ("origin", "status"),
    [("", 200), (ALLOWED, 200), (FOREIGN, 403), ("null", 403), ("http://127.0.0.1:1", 403), (None, 401)],
)
async def test_a_form_of_another_site(site: OpenSite, origin: str | None, status: int) -> None:
    """A POST with the cookie must come from a page of the site, or of an allowed origin."""
    browser = await site(allow_origin=[ALLOWED])
    await browser.log_in()
    response = await browser.post("/members", {"a": "1"}, origin=origin)
    assert response.status == status
    await browser.post("/logout", origin=origin)
    assert await browser.user() == ("ada" if status != 200 else "nobody")


async def test_a_page_that_is_opened(site: OpenSite) -> None:
    """A GET need not say where it comes from, but a script of a foreign page does."""
    browser = await site()
    await browser.log_in()
    assert await browser.user() == "ada"
    assert await browser.user(Origin=FOREIGN) == "nobody"
    assert (await browser.get("/members", Origin=FOREIGN)).status == 403


async def test_a_foreign_page_logs_nobody_in(site: OpenSite) -> None:
    """It could log a user in as somebody else, and see what they then do."""
    browser = await site()
    response = await browser.post("/login", {"user_id": "ada", "password": PASSWORD}, origin=FOREIGN)
    assert (response.status, browser.cookie) == (403, None)
    await browser.service.result("account.login", {"user_id": "ada", "password": PASSWORD})


async def test_the_prefix_of_the_cookie(site: OpenSite) -> None:
    """Over TLS the cookie has the prefix __Host-, whose path is /, so pages have it too."""
    browser = await site(secure_cookies=True)
    header = (await browser.log_in()).headers["Set-Cookie"]
    cookie, *attributes = header.split("; ")
    assert cookie.startswith("__Host-toto-session=")
    assert {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"} <= set(attributes)
    assert await browser.user(Cookie=cookie) == "ada"


def signed(session: str, user: str, body: bytes, content_type: str) -> dict[str, str]:
    """The headers of a request that is signed by Toto's scheme."""
    signature = hmac_sha1(user.encode(), body).decode()
    return {"x-toto-session-id": session, "x-toto-hmac": signature, "content-type": content_type}


BODIES = [
    pytest.param("application/json", b'{"a": 1}', {"json": {"a": 1}}, id="json"),
    pytest.param("application/x-www-form-urlencoded", b"a=1&b=%C3%A9", {"a": "1", "b": "é"}, id="form"),
    pytest.param(
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--b\r\nContent-Disposition: form-data; '
        b'name="f"; filename="f.txt"\r\n\r\n' + b"x" * 100_000 + b"\r\n--b--\r\n",
        {"a": "1", "f": "x" * 100_000},
        id="multipart",
    ),
    pytest.param("application/octet-stream", b"y" * 300_000, {"bytes": "y" * 300_000}, id="stream"),
]


async def pieces(body: bytes) -> Any:
    """A body without a length."""
    for start in range(0, len(body), 50_000):
        yield body[start : start + 50_000]


@pytest.mark.parametrize(("content_type", "body", "arrives"), BODIES)
@pytest.mark.parametrize("chunked", [False, True], ids=["whole", "chunked"])
async def test_a_signed_request(
    site: OpenSite, content_type: str, body: bytes, arrives: Any, chunked: bool
) -> None:
    """It is verified, its handler reads the body as ever, and the response is signed; a wrong one is 401."""
    ran = []

    async def page(request: web.Request) -> web.Response:
        response = await take(request)
        ran.append(1)
        return response

    browser = await site({"/take": page})
    session = (await browser.service.call("account.login", {"user_id": "ada", "password": PASSWORD}))[
        "result"
    ]["session_id"]
    for wrong in (False, True):
        headers = signed(session, "ada", body + b"x" * wrong, content_type)
        data = pieces(body) if chunked else body
        response = await browser.client.post("/take", data=data, headers=headers)
        answer = await response.read()
        if wrong:
            assert (response.status, answer) == (401, b"Invalid HMAC")
            assert "x-toto-hmac" not in response.headers
        else:
            assert response.status == 200, answer
            assert await response.json() == {"user": "ada", **arrives}
            assert response.headers["x-toto-hmac"] == hmac_sha1(b"ada", answer).decode()
    assert ran == [1]


async def keyed_site(site: OpenSite, **options: Any) -> tuple[Site, str, str]:
    """A site under the scheme ``session``, and the id and key of a session."""
    browser = await site({"/take": take, **options.pop("pages", {})}, signing="session", **options)
    result = await browser.service.result("account.login", {"user_id": "ada", "password": PASSWORD})
    return browser, result["session_id"], result["key"]


async def test_the_scheme_session(site: OpenSite) -> None:
    """Only a signed request has the session, a signature counts once, and the response has its nonce."""
    browser, session, key = await keyed_site(site)
    body = b'{"a": 1}'
    headers = client.signed_headers(session, key, "POST", "/take?x=1", "application/json", body)
    response = await browser.client.post("/take?x=1", data=body, headers=headers)
    answer = await response.read()
    assert await response.json() == {"user": "ada", "json": {"a": 1}}
    nonce, signature = headers["x-toto-nonce"], response.headers["x-toto-hmac"]
    assert client.response_is_genuine(session, key, nonce, answer, signature)
    refused = [
        headers,  # again
        {**client.signed_headers(session, key, "POST", "/take?x=1", "application/json", b"{}")},
        {"x-toto-session-id": session, "content-type": "application/json"},
    ]
    for wrong in refused:
        response = await browser.client.post("/take?x=1", data=body, headers=wrong)
        assert (response.status, await response.text()) == (401, "Invalid HMAC")


async def test_the_scheme_toto1(site: OpenSite) -> None:
    """A page takes and gives the signatures of Toto 1.0, over its own path."""
    browser = await site({"/take": take}, signing="toto1")
    result = await browser.service.result("account.login", {"user_id": "ada", "password": PASSWORD})
    session, key = result["session_id"], result["key"].encode()
    body = b'{"a": 1}'
    for path, status in (("/take?x=1", 200), ("/take?x=2", 401)):
        headers = {
            "x-toto-session-id": session,
            "x-toto-hmac": hmac_sha1(key, b"POST/take?x=1" + body).decode(),
            "content-type": "application/json",
        }
        response = await browser.client.post(path, data=body, headers=headers)
        answer = await response.read()
        assert response.status == status, answer
        if status == 200:
            assert response.headers["x-toto-hmac"] == hmac_sha1(key, session.encode() + answer).decode()
            assert await response.json() == {"user": "ada", "json": {"a": 1}}


async def test_calls_are_verified_once(site: OpenSite) -> None:
    """A call of the service has a nonce that counts once, and one signature."""

    @authenticated
    async def whoami(handler: Any, parameters: Any) -> str:
        return str(handler.session.user_id)

    browser, session, key = await keyed_site(site, methods={"whoami": whoami})
    body, path = b'{"method": "whoami"}', "/api/service"
    headers = client.signed_headers(session, key, "POST", path, "application/json", body)
    response = await browser.client.post(path, data=body, headers=headers)
    assert (await response.json())["result"] == "ada"
    for name in ("x-toto-hmac", "Vary", "Cache-Control"):
        assert len(response.headers.getall(name)) == 1


async def test_a_signed_request_that_asks_for_nothing(site: OpenSite) -> None:
    """Under ``session`` its signature is verified, and its response signed, whatever it asks for."""

    async def plain(request: web.Request) -> web.Response:
        return web.Response(text="plain")

    browser, session, key = await keyed_site(site, pages={"/plain": plain})
    headers = client.signed_headers(session, key, "GET", "/plain", "", b"")
    del headers["content-type"]
    response = await browser.client.get("/plain", headers=headers)
    signature = response.headers["x-toto-hmac"]
    assert client.response_is_genuine(session, key, headers["x-toto-nonce"], b"plain", signature)
    assert (await browser.client.get("/plain", headers=headers)).status == 401


async def test_pages_of_browsers_cannot_sign(site: OpenSite) -> None:
    """Under ``session`` the cookie shows no session on a page, as on a socket, but the login works."""
    browser, _, _ = await keyed_site(site)
    answer = await (await browser.log_in()).json()
    assert set(answer) == {"expires", "user_id", "key"}
    before = browser.cookie
    assert await browser.user() == "nobody"
    assert (await browser.get("/members")).status == 401
    assert (await browser.log_in()).status == 200
    assert browser.cookie not in (None, before)
    await browser.post("/logout")
    assert browser.cookie is None


async def test_a_login_page_where_browsers_cannot_sign(site: OpenSite) -> None:
    """A browser with the cookie is told so: the login page would send it back, and so on for ever."""
    browser, _, _ = await keyed_site(site, login_url="/login")
    assert (await browser.get("/members", Accept="text/html")).status == 303
    await browser.log_in()
    response = await browser.get("/members", Accept="text/html")
    assert response.status == 401
    assert "Only signed requests" in await response.text()


async def test_bodies_of_unsigned_requests(site: OpenSite) -> None:
    """They aren't read for a session, so a handler can stream what is larger than the service takes."""

    async def size(request: web.Request) -> web.Response:
        session = await get_session(request)
        total = 0
        async for piece in request.content.iter_any():
            total += len(piece)
        return web.json_response([session and session.user_id, total])

    browser = await site({"/size": size}, max_body_size=1000)
    session = await browser.service.create("bob", PASSWORD)
    body = b"x" * 100_000
    response = await browser.client.post("/size", data=body, headers={"x-toto-session-id": session})
    assert await response.json() == ["bob", len(body)]
    headers = signed(session, "bob", body, "application/octet-stream")
    for data in (body, pieces(body)):
        response = await browser.client.post("/size", data=data, headers=headers)
        assert response.status == 413
        assert "at most 1000 bytes" in await response.text()


async def test_a_signed_body_that_does_not_arrive(site: OpenSite) -> None:
    """It has the service's limit, and the connection ends."""
    browser = await site(body_timeout=0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", browser.client.port)
    writer.write(b"POST /members HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nx-toto-hmac: x\r\n\r\nabc")
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"Connection: close" in answer
    writer.close()


async def test_a_client_that_leaves_before_its_signed_body(caplog: pytest.LogCaptureFixture) -> None:
    """It causes no traceback: any client can do that."""
    ended = asyncio.Event()

    @web.middleware
    async def note(request: web.Request, handler: Any) -> Any:
        try:
            return await handler(request)
        finally:
            ended.set()

    outer = web.Application(middlewares=[note])
    outer.add_subapp("/inner", make_site()[0])
    server = PlainServer(outer)
    await server.start_server()
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"POST /inner/members HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nx-toto-hmac: x\r\n\r\nabc")
    await writer.drain()
    writer.close()
    await asyncio.wait_for(ended.wait(), 60)
    await server.close()
    assert not caplog.records


async def test_what_goes_unsigned(site: OpenSite, tmp_path: Path) -> None:
    """Streams, files and redirects do; other responses of the session are signed, errors too."""
    (tmp_path / "file").write_text("text")

    async def stream(request: web.Request) -> web.StreamResponse:
        await require(request)
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"piece")
        return response

    async def file(request: web.Request) -> web.FileResponse:
        await require(request)
        return web.FileResponse(tmp_path / "file")

    async def payload(request: web.Request) -> web.Response:
        await require(request)
        return web.Response(body=pieces(b"piece"))

    async def away(request: web.Request) -> web.Response:
        await require(request)
        raise web.HTTPFound("/who")

    async def missing(request: web.Request) -> web.Response:
        await require(request)
        raise web.HTTPNotFound

    async def empty(request: web.Request) -> web.Response:
        await require(request)
        return web.Response()

    async def packed(request: web.Request) -> web.Response:
        await require(request)
        response = web.Response(text="x" * 5000)
        response.enable_compression()
        return response

    async def plain(request: web.Request) -> web.Response:
        return web.Response(text="plain")

    pages: Any = {f"/{page.__name__}": page for page in (stream, file, payload, away, missing, empty, packed)}
    browser = await site({**pages, "/plain": plain})
    await browser.log_in()
    signed = set()
    for path in (*pages, "/plain"):
        response = await browser.get(path)
        body = await response.read()
        if (signature := response.headers.get("x-toto-hmac")) is not None:
            signed.add(path)
            assert signature == hmac_sha1(b"ada", body).decode(), path
        depends = path != "/plain"
        assert response.headers.get("Vary") == (VARY if depends else None), path
        assert response.headers.get("Cache-Control") == ("no-store" if depends else None), path
    assert signed == {"/missing", "/empty", "/packed"}
    head = await browser.client.head("/members")
    assert (head.status, head.headers.get("x-toto-hmac")) == (200, None)


async def test_signing_off(site: OpenSite) -> None:
    """Nothing is read, verified or signed."""
    browser = await site(signing="off")
    await browser.log_in()
    response = await browser.post("/members", b"x", **{"x-toto-hmac": "wrong"})
    assert await response.text() == "welcome ada"
    assert "x-toto-hmac" not in response.headers


async def test_caches(site: OpenSite) -> None:
    """What a page has set itself is kept, and its ``Vary`` is not all that the response depends on."""

    async def page(request: web.Request) -> web.Response:
        await get_session(request)
        return web.Response(headers={"Vary": "Accept", "Cache-Control": "private"})

    browser = await site({"/page": page})
    response = await browser.get("/who")
    assert (response.headers["Vary"], response.headers.get("Cache-Control")) == (VARY, None)
    await browser.log_in()
    response = await browser.get("/page")
    assert response.headers.getall("Vary") == ["Accept", VARY]
    assert response.headers["Cache-Control"] == "private"
    assert (await browser.post("/logout")).headers["Cache-Control"] == "no-store"


async def test_a_login_in_a_stream(site: OpenSite) -> None:
    """Its cookie is sent with the first piece, and with the handshake of a socket."""

    async def stream(request: web.Request) -> web.StreamResponse:
        await log_in(request, "ada")
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"piece")
        return response

    async def socket(request: web.Request) -> web.StreamResponse:
        await log_in(request, "ada")
        response = web.WebSocketResponse()
        await response.prepare(request)
        await response.close()
        return response

    browser = await site({"/stream": stream, "/socket": socket})
    assert "toto-session=" in (await browser.get("/stream")).headers["Set-Cookie"]
    opened = await browser.client.ws_connect("/socket")
    assert "toto-session=" in opened._response.headers["Set-Cookie"]


async def test_a_login_after_the_headers(site: OpenSite) -> None:
    """The browser could not learn of it, so it is an error, and no session is made; a program gets the id."""
    ids: list[str] = []

    async def page(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            ids.append(str((await log_in(request, "ada")).describe().get("session_id")))
        except RuntimeError as exc:
            await response.write(str(exc).encode())
        return response

    browser = await site({"/page": page})
    assert "log in before" in await (await browser.post("/page")).text()
    assert await (await browser.post("/page", origin=None)).text() == ""
    assert await browser.user(**{"x-toto-session-id": ids.pop()}) == "ada"
    assert ids == []


class Broken(MemoryStore):
    """A store that is out of reach once ``broken``, for sessions or for accounts."""

    sessions = accounts = removals = False

    async def get_session(self, key: str) -> Any:
        """Fail, if it is broken."""
        if self.sessions:
            raise Unavailable from OSError("gone")
        return await super().get_session(key)

    async def get_account(self, user_id: str) -> Any:
        """Fail, if it is broken."""
        if self.accounts:
            raise Unavailable from OSError("gone")
        return await super().get_account(user_id)

    async def remove_session(self, key: str) -> bool:
        """Fail, if it is broken."""
        if self.removals:
            raise Unavailable from OSError("gone")
        return await super().remove_session(key)


async def test_a_database_that_is_gone(site: OpenSite, caplog: pytest.LogCaptureFixture) -> None:
    """Pages that need a session answer 503, whichever operation fails, and others are served."""
    store = Broken()

    async def plain(request: web.Request) -> web.Response:
        return web.Response(text="plain")

    async def account(request: web.Request) -> web.Response:
        return web.json_response(str(await get_account(request)))

    browser = await site({"/plain": plain, "/account": account}, database=store)
    await browser.log_in()
    kept = browser.cookie
    for broken, path, method in (
        ("sessions", "/who", "GET"),
        ("sessions", "/logout", "POST"),
        ("sessions", "/login", "POST"),
        ("accounts", "/account", "GET"),
        ("accounts", "/login", "POST"),
        ("removals", "/logout", "POST"),
        ("removals", "/login", "POST"),
    ):
        setattr(store, broken, True)
        data = {"user_id": "ada", "password": PASSWORD} if path == "/login" else None
        response = await (browser.get(path) if method == "GET" else browser.post(path, data))
        assert (response.status, await response.text()) == (503, "Service unavailable"), (broken, path)
        assert await (await browser.get("/plain")).text() == "plain"
        setattr(store, broken, False)
        assert browser.cookie == kept
        assert await browser.user() == "ada"
    assert "OSError('gone')" in caplog.text


async def test_errors_of_the_service_in_handlers(site: OpenSite, errors: Any) -> None:
    """They have the status that says the same, and errors of an author's own are the application's."""
    raised: list[TotoException] = [UserIDExists(), TotoException(2000, "mine")]

    async def page(request: web.Request) -> web.Response:
        raise raised.pop(0)

    browser = await site({"/page": page})
    response = await browser.get("/page")
    assert (response.status, await response.text()) == (409, "User ID already in use.")
    assert (await browser.get("/page")).status == 500
    assert "Error handling request" in errors()[0]


async def test_a_repeated_header(site: OpenSite) -> None:
    """A request that shows two sessions is refused, if its page asks for one."""
    browser = await site()
    headers = CIMultiDict([("x-toto-session-id", "a"), ("x-toto-session-id", "b")])
    response = await browser.client.get("/who", headers=headers)
    assert response.status == 400
    assert "x-toto-session-id is repeated" in await response.text()
