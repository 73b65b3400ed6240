"""A response in one write is the response that aiohttp would have sent."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from toto_aio.response import LARGE, WholeResponse

Shape = Callable[[web.Response], Any]


async def answers(
    shape: Shape, requests: bytes, *, apply: bool = False, arguments: dict[str, Any] | None = None
) -> list[bytes]:
    """What aiohttp's response and ours put on the wire for the same requests, but for the date."""
    received = []
    for kind in (web.Response, WholeResponse):

        async def handle(request: web.Request, kind: type[web.Response] = kind) -> web.Response:
            response = kind(**(arguments or {"body": b"hello", "headers": {"Content-Type": "text/plain"}}))
            if not apply:
                shape(response)
            return response

        @web.middleware
        async def around(request: web.Request, handler: Any) -> web.StreamResponse:
            response = await handler(request)
            if apply:
                shape(response)
            return response  # type: ignore[no-any-return]

        app = web.Application(middlewares=[around])
        app.router.add_route("*", "/", handle)
        async with TestServer(app) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(requests)
            sent = await asyncio.wait_for(reader.read(), 5)
            writer.close()
        received.append(b"\n".join(sorted(re.sub(rb"Date: [^\r]+", b"Date: now", sent).split(b"\r\n"))))
    return received


def nothing(response: web.Response) -> None:
    """Leave the response as it is."""


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
    """Whatever is asked, the bytes are the same."""
    theirs, ours = await answers(nothing, requests)
    assert ours == theirs
    assert b"Date: now" in ours


SHAPES: dict[str, Shape] = {
    "header": lambda response: response.headers.add("X-Own", "ü"),
    "two headers": lambda response: [response.headers.add("X-Own", "1"), response.headers.add("x-own", "2")],
    "cookie": lambda response: response.set_cookie("a", "b", max_age=5),
    "deleted cookie": lambda response: response.del_cookie("a"),
    "cookie by hand": lambda response: response.cookies.load("a=b"),
    "closed": lambda response: response.force_close(),
    "compressed": lambda response: response.enable_compression(web.ContentCoding.deflate),
    "chunked": lambda response: response.enable_chunked_encoding(),
    "status": lambda response: response.set_status(404),
    "reason": lambda response: response.set_status(299, "Own Words"),
    "no content": lambda response: response.set_status(204),
    "not modified": lambda response: response.set_status(304),
    "own date": lambda response: response.headers.update({"Date": "never", "Server": "own"}),
    "own date in lower case": lambda response: response.headers.update({"date": "never", "server": "own"}),
    "connection": lambda response: response.headers.update({"Connection": "close"}),
    "text": lambda response: setattr(response, "text", "other"),
    "body": lambda response: setattr(response, "body", b"other"),
    "no body": lambda response: setattr(response, "body", None),
    "content type": lambda response: setattr(response, "content_type", "image/x"),
}


@pytest.mark.parametrize("apply", [False, True], ids=["method", "middleware"])
@pytest.mark.parametrize("name", SHAPES)
async def test_shapes(name: str, apply: bool) -> None:
    """Whatever a method or an app around the service does to it, the bytes are the same."""
    theirs, ours = await answers(SHAPES[name], GET + CLOSE, apply=apply)
    assert ours == theirs


@pytest.mark.parametrize("size", [0, LARGE, LARGE + 1, 1_000_000])
async def test_sizes(size: int) -> None:
    """A body of any size arrives whole."""
    theirs, ours = await answers(nothing, GET + CLOSE, arguments={"body": b"x" * size})
    assert ours == theirs


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\rb"])
async def test_line_breaks_in_headers(value: str, caplog: pytest.LogCaptureFixture) -> None:
    """They begin no header of their own: the answer is an error."""
    theirs, ours = await answers(lambda response: response.headers.add("X-Own", value), CLOSE)
    assert b"X-Evil" not in ours
    assert b"hello" not in ours
    assert ours == theirs


async def test_signals_of_an_app_around_it() -> None:
    """An app's on_response_prepare is sent for every response."""

    async def mark(request: web.Request, response: web.StreamResponse) -> None:
        response.headers["X-Signal"] = "1"

    async def handle(request: web.Request) -> web.Response:
        return WholeResponse(body=b"x")

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
            assert b"X-Signal: 1" in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
            writer.close()


async def test_access_log(caplog: pytest.LogCaptureFixture) -> None:
    """Status and length are there for an access log."""
    caplog.set_level("INFO", logger="aiohttp.access")

    async def handle(request: web.Request) -> web.Response:
        return WholeResponse(body=b"x" * 123, status=201)

    app = web.Application()
    app.router.add_get("/", handle)
    async with TestServer(app) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(GET + CLOSE)
        await asyncio.wait_for(reader.read(), 5)
        writer.close()
    lengths = [getattr(record, "response_size", None) for record in caplog.records]
    assert [record.getMessage().split('" ')[1].split()[0] for record in caplog.records] == ["201", "201"]
    assert lengths[0] is not None
