"""A response sent in one write equals the response that aiohttp would have sent."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from toto_aio.http.response import LARGE, WholeResponse, is_observed, respond

Shape = Callable[[web.StreamResponse], Any]


async def answers(requests: bytes, *, shape: Shape | None = None, **arguments: Any) -> list[bytes]:
    """What aiohttp's response and ours write for the same requests, except for the date.

    ``shape`` is what a middleware around the service does to the response.
    """
    arguments = {"body": b"hello", "status": 200, "headers": {}, "cookies": (), **arguments}
    content_type = arguments.pop("content_type", "text/plain")
    received = []
    for ours in (False, True):

        async def handle(request: web.Request, ours: bool = ours) -> web.StreamResponse:
            if ours:
                return respond(request, content_type=content_type, observed=is_observed(request), **arguments)
            headers = {"Content-Type": content_type, **arguments["headers"]}
            response = web.Response(body=arguments["body"], status=arguments["status"], headers=headers)
            for name, value, attributes in arguments["cookies"]:
                response.set_cookie(name, value, **attributes)
            return response

        @web.middleware
        async def around(request: web.Request, handler: Any) -> web.StreamResponse:
            response: web.StreamResponse = await handler(request)
            assert shape is not None
            shape(response)
            return response

        app = web.Application(middlewares=[] if shape is None else [around])
        app.router.add_route("*", "/", handle)
        async with TestServer(app) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(requests)
            sent = await asyncio.wait_for(reader.read(), 20)
            writer.close()
        received.append(b"\n".join(sorted(re.sub(rb"Date: [^\r]+", b"Date: now", sent).split(b"\r\n"))))
    return received


GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
CLOSE = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    "requests",
    [
        GET + CLOSE,
        GET * 5 + CLOSE,
        b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n" + CLOSE,
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + CLOSE,
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}" + CLOSE,
    ],
    ids=["kept", "pipelined", "head", "http/1.0", "http/1.0 kept", "post"],
)
async def test_requests(requests: bytes) -> None:
    """Whatever the request, the bytes are the same."""
    theirs, ours = await answers(requests)
    assert ours == theirs
    assert b"Date: now" in ours


@pytest.mark.parametrize(
    "arguments",
    [
        {"headers": {"X-Own": "ü"}},
        {"headers": {"X-Own": "1", "x-other": "2"}},
        {"headers": {"Date": "never", "server": "own"}},
        {"headers": {"Connection": "close"}},
        {"headers": {"Content-Type": "image/x"}},
        {"content_type": "image/ü"},
        {"cookies": [("a", "b", {"max_age": 5}), ("c", "d", {})]},
        {"status": 404},
        {"status": 299},
        {"status": 204, "body": b""},
        {"status": 304, "body": b""},
        {"body": b""},
        {"body": b"x" * LARGE},
        {"body": b"x" * (LARGE + 1)},
        {"body": b"x" * 1_000_000},
    ],
    ids=lambda arguments: "-".join(f"{name} {str(value)[:30]}" for name, value in arguments.items()),
)
async def test_answers(arguments: dict[str, Any]) -> None:
    """Whatever the response, the bytes are the same."""
    theirs, ours = await answers(GET + CLOSE, **arguments)
    assert ours == theirs


SHAPES: dict[str, Callable[[web.Response], Any]] = {
    "header": lambda response: response.headers.add("X-Own", "ü"),
    "cookie": lambda response: response.set_cookie("a", "b", max_age=5),
    "closed": lambda response: response.force_close(),
    "compressed": lambda response: response.enable_compression(web.ContentCoding.deflate),
    "status": lambda response: response.set_status(404),
    "text": lambda response: setattr(response, "text", "other"),
}


@pytest.mark.parametrize("name", SHAPES)
async def test_middlewares(name: str) -> None:
    """Changes that an outer app makes to the response take effect."""
    shape: Any = SHAPES[name]
    theirs, ours = await answers(GET + CLOSE, shape=shape)
    assert ours == theirs
    assert ours != (await answers(GET + CLOSE))[1]


@pytest.mark.parametrize(
    "arguments",
    [
        {"headers": {"X-Own": "a\r\nX-Evil: 1"}},
        {"headers": {"X-Own": "a\nX-Evil: 1"}},
        {"headers": {"X-Own": "a\rb"}},
        {"headers": {"X-Own: 1\r\nX-Evil": "1"}},
        {"content_type": "text/plain\r\nX-Evil: 1"},
    ],
    ids=repr,
)
async def test_line_breaks_in_headers(arguments: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """They cannot start a new header: the response is an error."""
    theirs, ours = await answers(CLOSE, **arguments)
    assert b"X-Evil" not in ours
    assert b"hello" not in ours
    assert ours == theirs


async def test_a_client_that_has_left() -> None:
    """It gets nothing, and the connection is given up."""
    given_up = asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        response = respond(request, b"x", "text/plain", observed=False)
        assert isinstance(response, WholeResponse)
        with pytest.raises(ConnectionResetError):
            await response.prepare(request)
        given_up.set()
        return response

    app = web.Application()
    app.router.add_get("/", handle)
    async with TestServer(app) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(GET)
        assert await asyncio.wait_for(reader.read(), 20) == b""
        await asyncio.wait_for(given_up.wait(), 20)
        writer.close()


async def test_signals_of_an_app_around_it() -> None:
    """An outer app's on_response_prepare is sent for every response."""

    async def mark(request: web.Request, response: web.StreamResponse) -> None:
        response.headers["X-Signal"] = "1"

    async def handle(request: web.Request) -> web.StreamResponse:
        return respond(request, b"x", "text/plain", observed=is_observed(request))

    for depth in (0, 1):
        app = inner = web.Application()
        if depth:
            inner = web.Application()
        inner.router.add_get("/", handle)
        app.on_response_prepare.append(mark)
        if depth:
            app.add_subapp("/sub", inner)
        async with TestServer(app) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            path = b"/sub/" if depth else b"/"
            writer.write(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"X-Signal: 1" in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
            writer.close()


async def test_access_log(caplog: pytest.LogCaptureFixture) -> None:
    """Status and length are available to an access log."""
    caplog.set_level("INFO", logger="aiohttp.access")

    async def handle(request: web.Request) -> web.StreamResponse:
        return respond(request, b"x" * 123, "text/plain", 201, {"X-Own": "1"}, observed=False)

    app = web.Application()
    app.router.add_get("/", handle)
    async with TestServer(app) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(GET + CLOSE)
        await asyncio.wait_for(reader.read(), 20)
        writer.close()
    lengths = [getattr(record, "response_size", None) for record in caplog.records]
    assert [record.getMessage().split('" ')[1].split()[0] for record in caplog.records] == ["201", "201"]
    assert lengths[0] is not None
