"""Responses that methods make of aiohttp's exceptions, and where redirections lead."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from multidict import CIMultiDict

from tests.support.limits import WATCHDOG
from tests.support.service import Serve
from toto_aio import Handler
from toto_aio.http.cookies import joining
from toto_aio.invocation import safe


async def forbid(handler: Handler, parameters: Any) -> None:
    """Raise an exception of aiohttp's with a header."""
    name, value = parameters["header"]
    raise web.HTTPForbidden(headers={name: value}, text="no")


async def away(handler: Handler, parameters: Any) -> None:
    """Redirect."""
    handler.redirect(parameters["to"])


@safe
async def cookies(handler: Handler, parameters: Any) -> Any:
    """Return the cookies."""
    return dict(handler.request.cookies)


async def echo(handler: Handler, parameters: Any) -> Any:
    """Return the parameters."""
    return parameters


async def test_headers_that_cannot_be_sent(serve: Serve, errors: Any) -> None:
    """An exception with such a header is an internal error, and the connection goes on."""
    service = await serve({"forbid": forbid, "echo": echo})
    for header in (["a b", "1"], ["a", "b\r\nc: d"], ["a", "\x00"], ["", "1"], ["a:b", "1"], ["a", "b\nc"]):
        response = await service.post("/forbid", json={"header": header})
        assert (response.status, response.headers.get("c")) == (200, None)
        assert (await response.json())["error"]["code"] == 1000
        assert await service.result("echo", {"a": 1}) == {"a": 1}
    assert len(errors()) == 6


async def test_framing_of_exceptions(serve: Serve) -> None:
    """Such an exception doesn't say where its response ends, but may close the connection."""
    service = await serve({"forbid": forbid, "echo": echo})
    for header in (["Content-Length", "300"], ["content-length", "x"], ["Transfer-Encoding", "chunked"]):
        async with asyncio.timeout(WATCHDOG):
            response = await service.post("/forbid", json={"header": header})
            assert (response.status, await response.read()) == (403, b"no"), header
            assert await service.result("echo", {"a": 1}) == {"a": 1}
    response = await service.post("/forbid", json={"header": ["Connection", "close"]})
    assert (response.status, response.headers["Connection"]) == (403, "close")
    response = await service.post("/forbid", json={"header": ["x-own", "é"]})
    assert (response.status, response.headers["x-own"]) == (403, "é")


async def test_locations(serve: Serve) -> None:
    """What a URL may not have is percent-encoded; what is encoded already stays as it is."""
    service = await serve({"away": away})
    for url, location in (
        ("/a b", "/a%20b"),
        ("/é", "/%C3%A9"),
        ("/a\tb", "/a%09b"),
        ("https://x.example/é?é=a b#é", "https://x.example/%C3%A9?%C3%A9=a%20b#%C3%A9"),
        ("/%20%zz", "/%20%zz"),
        ("?a=1&b=[2]+3", "?a=1&b=[2]+3"),
        ('/"<>\\^`{|}', "/%22%3C%3E%5C%5E%60%7B%7C%7D"),
        ("http://[::1]:80/;a=b,c'(d)*$!@~", "http://[::1]:80/;a=b,c'(d)*$!@~"),
    ):
        response = await service.client.post("/service/away", json={"to": url}, allow_redirects=False)
        assert (response.status, response.headers["Location"]) == (302, location)


async def test_several_lines_of_cookies(serve: Serve) -> None:
    """With the requests of ``toto-aio serve``, a method sees the cookies of all lines."""
    service = await serve({"cookies": cookies})
    server = web.BaseRunner.server.fget(service.client.server.runner)  # type: ignore[attr-defined]
    server.request_factory = joining(server.request_factory)
    lines = CIMultiDict([("Cookie", "a=1"), ("Cookie", "b=2; c=3")])
    for verb in ("GET", "POST"):
        response = await service.client.request(verb, "/service/cookies", headers=lines)
        assert await response.json() == {"result": {"a": "1", "b": "2", "c": "3"}}
