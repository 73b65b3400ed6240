"""Pages of other origins in a real browser: what they may call, and what they may read."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.service import Serve, Service
from toto_aio import Handler, TotoException
from toto_aio.invocation import authenticated, safe

if TYPE_CHECKING:
    from tests.support.browser import Browser, Origin, Page

pytest_plugins = ["tests.support.browser"]

Parameters = dict[str, Any]
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
SAME_SITE: Parameters = {"host": "127.0.0.1"}
OTHER_SITE: Parameters = {"host": "localhost"}
NO_ORIGIN: Parameters = {"headers": {"Content-Security-Policy": "sandbox allow-scripts"}}
IDS = ("same site", "other site", "no origin")
REFUSED = "TypeError: Failed to fetch"
"""All that Chromium tells a page about a response that it may not read, or a call that it may not make."""

reached: list[Parameters] = []


@safe
async def echo(handler: Handler, parameters: Parameters) -> Any:
    """Return the parameters."""
    reached.append(parameters)
    return parameters


@authenticated
async def whoami(handler: Handler, parameters: Parameters) -> Any:
    """Return the caller's name, and a letter that is not ASCII."""
    assert handler.session is not None
    return {"user_id": handler.session.user_id, "letter": "ä"}


async def fail(handler: Handler, parameters: Parameters) -> Any:
    """Fail."""
    raise TotoException(2001, "broken")


async def stream(handler: Handler, parameters: Parameters) -> None:
    """Respond in pieces."""
    handler.respond_raw(b"one ", "text/plain", finish=False)
    handler.respond_raw(b"two", "text/plain")


METHODS = {"echo": echo, "whoami": whoami, "fail": fail, "stream": stream}


@pytest.fixture(autouse=True)
def nothing_reached() -> None:
    """Remove the calls that another test has recorded."""
    reached.clear()


async def fetch(page: Page, service: Service, path: str, **init: Any) -> dict[str, Any]:
    """What a page can read of a call of a method: status, body and signature."""
    url = str(service.client.make_url(f"/service{path}"))
    told: dict[str, Any] = await page.run(
        """fetch(url, init).then(async (response) => ({
            status: response.status,
            hmac: response.headers.get("x-toto-hmac"),
            body: await response.text(),
        }))""",
        url=url,
        init=init,
    )
    return told


def post(parameters: Parameters, **headers: str) -> dict[str, Any]:
    """A call as a page makes it."""
    return {"method": "POST", "body": json.dumps({"parameters": parameters}), "headers": {**JSON, **headers}}


@pytest.mark.parametrize("page_of", [SAME_SITE, OTHER_SITE], ids=IDS[:2])
async def test_without_the_option(
    serve: Serve, browser: Browser, origin: Origin, page_of: Parameters
) -> None:
    """A page of another origin reads nothing, and a call that needs a pre-flight never reaches the method."""
    service = await serve(METHODS)
    page = await browser.open(await origin(**page_of))
    with pytest.raises(RuntimeError, match=REFUSED):
        await fetch(page, service, "/echo", **post({"a": 1}))
    assert reached == []
    # A form and a GET need no pre-flight: they reach the method as a link does, and the page sees nothing.
    for init in ({"method": "POST", "body": "a=1", "headers": FORM}, {"method": "GET"}):
        with pytest.raises(RuntimeError, match=REFUSED):
            await fetch(page, service, "/echo", **init)
    assert len(reached) == 2


@pytest.mark.parametrize("page_of", [SAME_SITE, OTHER_SITE], ids=IDS[:2])
async def test_an_allowed_origin(serve: Serve, browser: Browser, origin: Origin, page_of: Parameters) -> None:
    """It calls with a session, and reads the response and its signature."""
    app = await origin(**page_of)
    service = await serve(METHODS, allow_origin=[app])
    session_id = await service.create("ada")
    page = await browser.open(app)
    told = await fetch(page, service, "/whoami", **post({}, **{"x-toto-session-id": session_id}))
    assert told["status"] == 200
    assert json.loads(told["body"])["result"] == {"user_id": "ada", "letter": "ä"}
    signature = hmac.digest(b"ada", told["body"].encode(), hashlib.sha1)
    assert told["hmac"] == base64.b64encode(signature).decode()


async def test_signed_calls(serve: Serve, browser: Browser, origin: Origin) -> None:
    """Every header of a signed call may be sent."""
    app = await origin()
    service = await serve(METHODS, allow_origin=[app])
    page = await browser.open(app)
    headers = dict.fromkeys(("x-toto-hmac", "x-toto-nonce", "x-toto-timestamp"), "1")
    told = await fetch(page, service, "/echo", **post({"a": 1}, **headers))
    assert json.loads(told["body"]) == {"result": {"a": 1}}
    with pytest.raises(RuntimeError, match=REFUSED):
        await fetch(page, service, "/echo", **post({"a": 2}, **{"x-other": "1"}))
    assert reached == [{"a": 1}]


@pytest.mark.parametrize("foreign", [SAME_SITE, OTHER_SITE, NO_ORIGIN], ids=IDS)
async def test_a_foreign_origin(serve: Serve, browser: Browser, origin: Origin, foreign: Parameters) -> None:
    """Another port, another host, or no origin at all ("null") is not the allowed origin."""
    app = await origin()
    service = await serve(METHODS, allow_origin=[app])
    page = await browser.open(await origin(**foreign))
    for init in (post({"a": 1}), {"method": "GET"}):
        with pytest.raises(RuntimeError, match=REFUSED):
            await fetch(page, service, "/echo", **init)
    assert reached == [{}]  # by the GET


@pytest.mark.parametrize("page_of", [SAME_SITE, OTHER_SITE, NO_ORIGIN], ids=IDS)
async def test_every_origin(serve: Serve, browser: Browser, origin: Origin, page_of: Parameters) -> None:
    """``*`` lets every page call, as long as it sends no cookies along."""
    service = await serve(METHODS, allow_origin="*")
    page = await browser.open(await origin(**page_of))
    session_id = await service.create("ada")
    call = post({}, **{"x-toto-session-id": session_id})
    told = await fetch(page, service, "/whoami", **call, credentials="omit")
    assert json.loads(told["body"])["session"]["user_id"] == "ada"
    assert told["hmac"]
    with pytest.raises(RuntimeError, match=REFUSED):
        await fetch(page, service, "/whoami", **call, credentials="include")


async def test_errors(serve: Serve, browser: Browser, origin: Origin) -> None:
    """An allowed page can read errors."""
    app = await origin()
    service = await serve(METHODS, allow_origin=[app], max_body_size=1000)
    page = await browser.open(app)
    text = {"Content-Type": "text/plain"}
    for path, init, status, code in (
        ("/fail", post({}), 200, 2001),
        ("/nothing", post({}), 200, 1001),
        ("/whoami", post({}), 200, 1004),
        ("/whoami", {"method": "GET"}, 405, 1001),
        ("/echo", {"method": "POST", "body": "{", "headers": JSON}, 400, 1003),
        ("/echo", {"method": "POST", "body": "a", "headers": text}, 415, 1003),
        ("/echo", {"method": "POST", "body": "a" * 2000, "headers": JSON}, 413, 1003),
    ):
        told = await fetch(page, service, path, **init)
        assert (told["status"], json.loads(told["body"])["error"]["code"]) == (status, code), path


async def test_streams(serve: Serve, browser: Browser, origin: Origin) -> None:
    """An allowed page can read a stream."""
    app = await origin()
    service = await serve(METHODS, allow_origin=[app])
    told = await fetch(await browser.open(app), service, "/stream", **post({}))
    assert told["body"] == "one two"
