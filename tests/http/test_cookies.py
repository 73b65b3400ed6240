"""Sessions in cookies: how the cookie is set, and which requests may use it."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from http.cookies import Morsel, SimpleCookie
from typing import Any

import aiohttp
import pytest
from multidict import CIMultiDict

from tests.support.service import Serve, Service
from toto_aio import create_app
from toto_aio.invocation import anonymous_session, authenticated, jsonp, optionally_authenticated, safe
from toto_aio.settings import SettingsError
from toto_aio.signing import SignedRequest, hmac_sha256, request_message

ADA = {"user_id": "ada", "password": "correct horse"}
FOREIGN = "https://evil.example"
ALLOWED = "https://app.example"


@authenticated
async def who(handler: Any, parameters: dict[str, Any]) -> str:
    """Return the caller's user id."""
    return str(handler.session.user_id)


@safe
@optionally_authenticated
async def read(handler: Any, parameters: dict[str, Any]) -> str | None:
    """Return the caller's user id, if there is one, by GET too."""
    return None if handler.session is None else str(handler.session.user_id)


@optionally_authenticated
async def write(handler: Any, parameters: dict[str, Any]) -> str | None:
    """Return the caller's user id, if there is one."""
    return None if handler.session is None else str(handler.session.user_id)


@anonymous_session
async def count(handler: Any, parameters: dict[str, Any]) -> int:
    """Return how often this session has called."""

    def add(state: dict[str, Any]) -> int:
        state["n"] = state.get("n", 0) + 1
        return int(state["n"])

    return int(await handler.session.update(add))


@jsonp
async def script(handler: Any, parameters: dict[str, Any]) -> str | None:
    """Return the session's user in a script that any page could load."""
    session = await handler.retrieve_session()
    return None if session is None else str(session.user_id)


METHODS = {"who": who, "read": read, "write": write, "count": count, "script": script}


class Browser:
    """A client with a cookie jar for one cookie, on pages of ``origin``."""

    def __init__(self, service: Service, origin: str | None = "") -> None:
        self.service = service
        self.origin = f"http://127.0.0.1:{service.client.port}" if origin == "" else origin
        self.cookie: Morsel[str] | None = None

    async def call(self, method: str, parameters: Any = None, **headers: str) -> dict[str, Any]:
        """The whole response to a POST; a cookie that it sets is kept."""
        body = {"method": method, "parameters": parameters or {}}
        response = await self.service.post(json=body, headers={**self._headers(), **headers})
        self._keep(response)
        return await response.json()  # type: ignore[no-any-return]

    async def get(self, path: str, **headers: str) -> aiohttp.ClientResponse:
        """The response to a GET."""
        url = f"{self.service.root}{path}"
        return await self.service.client.get(url, headers={**self._headers(), **headers})

    def _headers(self) -> dict[str, str]:
        headers = {} if self.origin is None else {"Origin": self.origin}
        if self.cookie is not None and self.cookie["max-age"] != "0":
            headers["Cookie"] = f"{self.cookie.key}={self.cookie.value}"
        return headers

    def _keep(self, response: aiohttp.ClientResponse) -> None:
        for line in response.headers.getall("Set-Cookie", ()):
            [self.cookie] = SimpleCookie(line).values()


async def open_browser(serve: Serve, origin: str | None = "", **options: Any) -> Browser:
    """A browser, and a service with cookies and an account."""
    service = await serve(METHODS, use_cookies=True, **options)
    await service.create("ada", "correct horse")
    return Browser(service, origin)


@pytest.mark.parametrize(
    ("options", "name", "secure", "domain"),
    [
        ({}, "__Host-toto-session", True, ""),
        ({"cookie_domain": "app.example"}, "__Secure-toto-session", True, "app.example"),
        ({"secure_cookies": False}, "toto-session", "", ""),
        ({"secure_cookies": False, "cookie_domain": "app.example"}, "toto-session", "", "app.example"),
    ],
    ids=["host", "domain", "insecure", "insecure domain"],
)
async def test_the_cookie(serve: Serve, options: Any, name: str, secure: Any, domain: str) -> None:
    """A login sets it, out of reach of scripts and other sites, for the lifetime of the session."""
    browser = await open_browser(serve, session_ttl=1000, **options)
    answer = await browser.call("account.login", ADA)
    cookie = browser.cookie
    assert cookie is not None
    assert cookie.key == name
    assert cookie.value not in json.dumps(answer)
    assert (cookie["secure"], cookie["domain"]) == (secure, domain)
    assert (cookie["path"], cookie["httponly"], cookie["samesite"]) == ("/", True, "Lax")
    assert 995 <= int(cookie["max-age"]) <= 1000
    assert (await browser.call("who"))["result"] == "ada"


@pytest.mark.parametrize(
    "headers",
    [
        ["a=b", "{}"],
        ["{}", "a=b"],
        ["a=b", "c=d; {}; e=f", "g=h"],
        ["", "{}"],
        ["a=b;", "{}"],
        ["__Host-toto-session=foreign", "{}"],
    ],
)
@pytest.mark.parametrize("verb", ["GET", "POST"])
async def test_several_cookie_headers(serve: Serve, verb: str, headers: list[str]) -> None:
    """They are one list of cookies, as proxies that speak HTTP/2 pass them on (RFC 9113, 8.2.3)."""
    browser = await open_browser(serve)
    await browser.call("account.login", ADA)
    assert browser.cookie is not None
    own = f"{browser.cookie.key}={browser.cookie.value}"
    sent = [("Cookie", each.format(own)) for each in headers]
    service = browser.service
    origin = [] if browser.origin is None else [("Origin", browser.origin)]
    for _ in range(2):  # the second head is like the first
        response = await service.client.request(verb, "/service/read", headers=CIMultiDict(origin + sent))
        assert (await response.json())["result"] == "ada"


async def test_no_script_can_read_the_id(serve: Serve) -> None:
    """A page's login, calls, batches and password change show everything of the session except its id."""
    browser = await open_browser(serve)
    change = {"password": "correct horse", "new_password": "battery staple"}
    calls = [("account.login", ADA), ("who", {}), ("account.update", change), ("count", {})]
    for method, parameters in calls:
        answer = await browser.call(method, parameters)
        assert answer["session"]["user_id"] == "ada"
        assert browser.cookie is not None
        assert "session_id" not in json.dumps(answer)
        assert browser.cookie.value not in json.dumps(answer)
    login = {"method": "account.login", "parameters": {**ADA, "password": "battery staple"}}
    batch = {"batch": {"1": {"method": "who"}, "2": login}}
    response = await browser.service.post(json=batch, headers=browser._headers())
    assert "session_id" not in await response.text()


async def test_no_frame_has_the_id(serve: Serve) -> None:
    """Nor do the frames of a socket that was opened with the cookie, and what they log in to."""
    browser = await open_browser(serve)
    await browser.call("account.login", ADA)
    socket = await browser.service.client.ws_connect("/service/websocket", headers=browser._headers())
    for method, parameters in (("who", {}), ("account.login", ADA), ("who", {})):
        await socket.send_json({"id": 1, "method": method, "parameters": parameters})
        frame = await socket.receive_json(timeout=20)
        assert frame["session"]["user_id"] == "ada"
        assert "session_id" not in json.dumps(frame)


@pytest.mark.parametrize("headers", [{}, {"User-Agent": "a program"}])
async def test_a_program_gets_the_id(serve: Serve, headers: dict[str, str]) -> None:
    """It isn't a browser, as it names neither an origin nor how it fetches: it gets the id and no cookie."""
    browser = await open_browser(serve, origin=None)
    answer = await browser.call("account.login", ADA, **headers)
    assert browser.cookie is None
    session = answer["result"]["session_id"]
    assert answer["session"]["session_id"] == session
    assert (await browser.call("who", **{"x-toto-session-id": session}))["session"]["session_id"] == session


async def test_a_page_that_is_opened(serve: Serve) -> None:
    """Browsers that open a page name no origin, but say where the request comes from."""

    @safe
    @anonymous_session
    async def visit(handler: Any, parameters: dict[str, Any]) -> bool:
        return True

    service = await serve({"visit": visit}, use_cookies=True)
    response = await service.client.get("/service/visit", headers={"Sec-Fetch-Site": "none"})
    assert "toto-session" in response.headers["Set-Cookie"]
    assert "session_id" not in await response.text()
    response = await service.client.get("/service/visit")
    assert "Set-Cookie" not in response.headers
    assert "session_id" in await response.text()


async def test_no_cookie_without_the_option(serve: Serve) -> None:
    """None is set, and one that is sent does not count."""
    service = await serve(METHODS)
    session = await service.create("ada", "correct horse")
    browser = Browser(service)
    await browser.call("account.login", ADA)
    assert browser.cookie is None
    for name in ("__Host-toto-session", "toto-session"):
        answer = await browser.call("who", Cookie=f"{name}={session}")
        assert answer["error"]["code"] == 1004


async def test_logging_out_removes_the_cookie(serve: Serve) -> None:
    """It is cleared, and the session has ended."""
    browser = await open_browser(serve)
    await browser.call("account.login", ADA)
    first = browser.cookie
    assert first is not None
    await browser.call("account.logout")
    assert browser.cookie is not None
    assert (browser.cookie.key, browser.cookie.value, browser.cookie["max-age"]) == (first.key, "", "0")
    assert browser.cookie["secure"] is True
    assert (await browser.call("who", Cookie=f"{first.key}={first.value}"))["error"]["code"] == 1004


async def test_a_renewed_session_renews_its_cookie(serve: Serve) -> None:
    """Only for a caller who sent a cookie; other responses set none."""
    browser = await open_browser(serve, session_ttl=1000, session_renew=999.9)
    await browser.call("account.login", ADA)
    login = browser.cookie
    assert login is not None
    browser.cookie = None
    await asyncio.sleep(0.2)
    session = login.value
    assert (await browser.call("who", **{"x-toto-session-id": session}))["result"] == "ada"
    assert browser.cookie is None
    await asyncio.sleep(0.2)
    browser.cookie = login
    await browser.call("who")
    assert browser.cookie is not None
    assert browser.cookie is not login
    assert browser.cookie.value == session


async def test_a_signature_renews_the_cookie(serve: Serve) -> None:
    """Under ``signing=session`` a signed request renews its session and cookie, whatever it calls."""
    browser = await open_browser(serve, session_ttl=1000, session_renew=999.9, signing="session")
    answer = await browser.call("account.login", ADA)
    login = browser.cookie
    await asyncio.sleep(0.2)
    body = json.dumps({"method": "nothing", "parameters": {}}).encode()
    now = str(int(time.time()))
    sent = SignedRequest(body, None, "POST", "/service", "application/json", "", now, "once")
    signature = hmac_sha256(base64.b64decode(answer["result"]["key"]), request_message(sent)).decode()
    headers = {"x-toto-timestamp": now, "x-toto-nonce": "once", "x-toto-hmac": signature}
    answer = await browser.call("nothing", **headers)
    assert answer["error"]["code"] == 1001
    assert login is not None
    assert browser.cookie is not None
    assert browser.cookie is not login
    assert browser.cookie.value == login.value


async def test_a_password_change_brings_a_new_cookie(serve: Serve) -> None:
    """The old session has ended with the old password."""
    browser = await open_browser(serve)
    await browser.call("account.login", ADA)
    old = browser.cookie
    change = {"password": "correct horse", "new_password": "battery staple"}
    await browser.call("account.update", change)
    assert browser.cookie is not None
    assert old is not None
    assert browser.cookie.value != old.value
    assert (await browser.call("who"))["result"] == "ada"


async def test_an_anonymous_session(serve: Serve) -> None:
    """It is kept in the cookie too; a batch sets one cookie."""
    browser = await open_browser(serve)
    assert [(await browser.call("count"))["result"] for _ in range(3)] == [1, 2, 3]
    browser.cookie = None
    batch = {"batch": {"1": {"method": "count"}, "2": {"method": "count"}}}
    response = await browser.service.post(json=batch, headers={"Origin": str(browser.origin)})
    assert len(response.headers.getall("Set-Cookie")) == 1
    assert (await response.json())["batch"]["2"]["result"] == 2


@pytest.mark.parametrize(
    ("origin", "counts"),
    [
        ("", True),
        (ALLOWED, True),
        (ALLOWED.upper(), True),
        (FOREIGN, False),
        ("http://app.example", False),
        ("https://app.example.evil.example", False),
        ("null", False),
        (None, False),
    ],
)
async def test_who_may_call_by_cookie(serve: Serve, origin: str | None, counts: bool) -> None:
    """A POST must come from a page of the service, or of an origin that it allows."""
    browser = await open_browser(serve, allow_origin=[ALLOWED])
    await browser.call("account.login", ADA)
    if origin != "":
        browser.origin = origin
    answer = await browser.call("who")
    assert answer.get("result") == ("ada" if counts else None)
    if not counts:
        assert answer["error"]["code"] == 1004
        assert "session" not in answer


async def test_the_own_port_and_scheme(serve: Serve) -> None:
    """Another port, another host or, behind a proxy with TLS, another scheme is another origin."""
    browser = await open_browser(serve, trusted_proxies=["127.0.0.1"])
    await browser.call("account.login", ADA)
    port = browser.service.client.port
    for origin, proto, host, counts in (
        (f"http://127.0.0.1:{port}", None, None, True),
        ("http://127.0.0.1:1", None, None, False),
        ("http://127.0.0.1", None, None, False),
        (f"http://localhost:{port}", None, None, False),
        ("https://notes.example", "https", "notes.example", True),
        ("https://notes.example", "https", "notes.example:443", True),
        ("https://NOTES.example", "https, http", "notes.EXAMPLE", True),
        ("http://notes.example", "https", "notes.example", False),
        ("http://notes.example", "http", "notes.example:80", True),
    ):
        browser.origin = origin
        headers = {name: value for name, value in (("X-Forwarded-Proto", proto), ("Host", host)) if value}
        answer = await browser.call("write", **headers)
        assert answer["result"] == ("ada" if counts else None), (origin, proto, host)


async def test_get(serve: Serve) -> None:
    """A GET need not name its origin; the cookie counts for methods that only read, and not for JSONP."""
    browser = await open_browser(serve, get_methods="all")
    await browser.call("account.login", ADA)
    browser.origin = None
    assert (await (await browser.get("/read")).json())["result"] == "ada"
    assert (await (await browser.get("/write")).json())["result"] is None
    assert (await (await browser.get("/script")).json())["result"] is None
    assert await (await browser.get("/script?jsonp=f")).text() == "/**/f(null)"
    browser.origin = FOREIGN
    assert (await (await browser.get("/read")).json())["result"] is None


@pytest.mark.parametrize("method", ["account.login", "count"])
async def test_a_foreign_page_sets_no_cookie(serve: Serve, method: str) -> None:
    """It could log a user in to another account, and see what they then do."""
    browser = await open_browser(serve, origin=FOREIGN)
    answer = await browser.call(method, ADA)
    assert "result" in answer
    assert browser.cookie is None


async def test_a_header_comes_first(serve: Serve) -> None:
    """If both are sent, the session of the header is used."""
    browser = await open_browser(serve)
    bob = await browser.service.create("bob", "correct horse")
    await browser.call("account.login", ADA)
    assert (await browser.call("who", **{"x-toto-session-id": bob}))["result"] == "bob"


async def test_a_made_up_cookie(serve: Serve) -> None:
    """An id that was never issued is no session, and no session gets an id that a client chose."""
    browser = await open_browser(serve)
    for value in ("x" * 43, "x" * 5000, "", "a b", "%00"):
        answer = await browser.call("who", Cookie=f"__Host-toto-session={value}")
        assert answer["error"]["code"] == 1004
        await browser.call("count", Cookie=f"__Host-toto-session={value}")
        assert browser.cookie is not None
        assert browser.cookie.value != value


async def test_signed_calls_by_cookie(serve: Serve) -> None:
    """With signing=session a cookie is not enough to load a session."""
    browser = await open_browser(serve, signing="session")
    await browser.call("account.login", ADA)
    assert (await browser.call("who"))["error"]["code"] == 1008


async def test_streams_and_redirects_set_it(serve: Serve) -> None:
    """Whatever the form of the response, a new session is in its cookie."""

    @anonymous_session
    async def stream(handler: Any, parameters: dict[str, Any]) -> None:
        handler.respond_raw("piece", "text/plain", finish=False)
        handler.respond_raw("end", "text/plain")

    @anonymous_session
    async def go(handler: Any, parameters: dict[str, Any]) -> None:
        handler.redirect("/elsewhere")

    service = await serve({"stream": stream, "go": go}, use_cookies=True)
    for path in ("/stream", "/go"):
        response = await service.post(path, json={}, allow_redirects=False)
        assert response.headers["Set-Cookie"].startswith("__Host-toto-session="), path


@pytest.mark.parametrize("origin", ["*", "null", "https://app.example,null"])
async def test_any_origin_is_refused_at_the_start(origin: str) -> None:
    """With cookies ``*``, or ``null``, which any page can be, would let every page act as its visitor."""
    with pytest.raises(SettingsError, match="name the origins"):
        create_app(database="memory://", use_cookies=True, allow_origin=origin)


async def test_allowed_pages_may_send_the_cookie(serve: Serve) -> None:
    """The browser gets this permission for allowed origins only."""
    browser = await open_browser(serve, allow_origin=[ALLOWED])
    for origin, told in ((ALLOWED, "true"), (FOREIGN, None)):
        response = await browser.service.post(json={"method": "read"}, headers={"Origin": origin})
        assert response.headers.get("Access-Control-Allow-Credentials") == told
