"""What methods set of a response: it never breaks the framing, and what can't be sent is an error."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.limits import WATCHDOG
from tests.support.service import Serve, Service
from toto_aio import Handler, TotoException
from toto_aio.invocation import raw_response, safe

Shape = Callable[[Handler], Any]
PIECES = b"8\r\npiece 0\n\r\n8\r\npiece 1\n\r\n0\r\n\r\n"


def methods(shape: Shape) -> dict[str, Any]:
    """Methods that shape their response, as a whole, as raw bytes, and in pieces."""

    async def whole(handler: Handler, parameters: Any) -> str:
        shape(handler)
        return "whole"

    @raw_response
    async def raw(handler: Handler, parameters: Any) -> bytes:
        shape(handler)
        return b"raw"

    @safe
    async def pieces(handler: Handler, parameters: Any) -> None:
        shape(handler)
        for number in range(2):
            handler.respond_raw(b"piece %d\n" % number, "text/plain", finish=False)
            await asyncio.sleep(0)

    async def after(handler: Handler, parameters: Any) -> str:
        return "after"

    return {"whole": whole, "raw": raw, "pieces": pieces, "after": after}


async def exchange(service: Service, *paths: str, version: str = "1.1", fields: str = "") -> bytes:
    """All bytes that answer POSTs in one connection, of which the last one closes it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.client.port)
    try:
        for path in paths:
            close = "Connection: close\r\n" if path == paths[-1] else fields
            head = f"POST /service/{path} HTTP/{version}\r\nHost: x\r\n{close}Content-Length: 2\r\n"
            writer.write(f"{head}Content-Type: application/json\r\n\r\n{{}}".encode())
        async with asyncio.timeout(WATCHDOG):
            return await reader.read()
    finally:
        writer.close()


def split(sent: bytes) -> tuple[bytes, bytes]:
    """The head of the first response in lower case, and what follows it."""
    head, _, rest = sent.partition(b"\r\n\r\n")
    return head.lower(), rest


async def error_of(service: Service, path: str) -> dict[str, Any]:
    """The error that a call gets, after which the connection goes on."""
    head, rest = split(await exchange(service, path, "after"))
    assert head.startswith(b"http/1.1 200 ")
    size = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
    assert b'{"result":"after"}' in rest[size:]
    return json.loads(rest[:size])["error"]  # type: ignore[no-any-return]


UNSENDABLE: list[Shape] = [
    *(
        lambda handler, value=value: handler.set_header("x-own", value)
        for value in ("a\r\nb: c", "a\nb", "a\rb", "a\0b", "\x1b[0m", "\x7f", "\udcff", None, 1, b"a")
    ),
    *(
        lambda handler, name=name: handler.set_header(name, "1")
        for name in ("", "x a", "x:a", "x(a)", "x-\u00e9", "a\r\nb", " a", "a\t", "x\0", None, 1)
    ),
    *(
        lambda handler, name=name: handler.set_cookie(name, "1")
        for name in ("", "a b", "a=b", "a;b", "a\r\nb", "\u00e9", None)
    ),
    lambda handler: handler.set_cookie("a", "1", path="/\r\nx: y"),
    lambda handler: handler.set_cookie("a", "1", domain="a\nb"),
    lambda handler: handler.set_cookie("a", "1", nothing=True),
    lambda handler: handler.set_cookie("a", "\udcff"),
    *(
        lambda handler, status=status: handler.set_status(status)
        for status in (-1, 0, 99, 100, 101, 102, 103, 199, 600, 1000, 99999, None, "200", 200.0)
    ),
    lambda handler: setattr(handler, "response_type", "a/b\r\nc: d"),
    lambda handler: setattr(handler, "response_type", None),
    lambda handler: handler.redirect("/a\r\nb: c"),
    lambda handler: handler.redirect("/a\nb"),
    lambda handler: handler.redirect("/a", 100),
    lambda handler: handler.respond_raw(b"", "a/b\r\nc: d"),
    lambda handler: handler.respond_raw(b"", "a/b\r\nc: d", finish=False),
]


async def test_what_cannot_be_sent(serve: Serve, errors: Callable[[], list[str]]) -> None:
    """It is an error 1000 that reaches the client, and the log has its reason once."""
    shapes = iter(UNSENDABLE * 3)
    service = await serve(methods(lambda handler: next(shapes)(handler)))
    for path in ("whole", "raw", "pieces"):
        for number, _ in enumerate(UNSENDABLE):
            assert (await error_of(service, path))["code"] == 1000, (path, number)
    assert len(errors()) == len(UNSENDABLE) * 3


@pytest.mark.parametrize("status", [0, 99, 100, 600, "x"])
async def test_an_error_with_no_status(serve: Serve, status: Any) -> None:
    """It is an internal error."""

    def fail(handler: Handler) -> None:
        raise TotoException(2001, "x", status=status)

    assert (await error_of(await serve(methods(fail)), "whole"))["code"] == 1000


async def test_what_can_be_sent(serve: Serve) -> None:
    """Text, tabs and every final status."""

    def shape(handler: Handler) -> None:
        handler.set_header("X-Own", "\u00e9\ta")
        handler.set_cookie("a", "b\r\nc", path="/x")
        handler.set_status(statuses.pop())

    statuses = [200, 201, 299, 400, 404, 418, 499, 500, 599]
    service = await serve(methods(shape))
    for status in reversed(statuses.copy()):
        response = await service.post("/whole", json={})
        assert (response.status, response.headers["x-own"]) == (status, "\u00e9\ta")
        assert await response.json() == {"result": "whole"}


@pytest.mark.parametrize("status", [204, 205, 304])
@pytest.mark.parametrize("path", ["whole", "raw", "pieces"])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_statuses_without_a_body(serve: Serve, status: int, path: str, version: str) -> None:
    """Nothing follows their head, so that the next response is read where it begins (RFC 9112, 6.3)."""
    service = await serve(methods(lambda handler: handler.set_status(status)))
    fields = "Connection: keep-alive\r\n"
    head, rest = split(await exchange(service, path, "after", version=version, fields=fields))
    assert head.startswith(f"http/{version} {status} ".encode())
    if b"chunked" in head:
        assert (status, path) == (205, "pieces")
        assert rest.startswith(b"0\r\n\r\n")
        rest = rest[5:]
    if b"connection: close" in head:
        assert (rest, path, version) == (b"", "pieces", "1.0")
    else:
        assert rest.startswith(f"HTTP/{version} 200 OK\r\n".encode())
        assert rest.endswith(b'{"result":"after"}')


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("Content-Length", value) for value in ("0", "3", "300", "abc", "", "-1", "3, 4")),
        *(("Transfer-Encoding", value) for value in ("chunked", "gzip, chunked", "identity", "")),
        *(("Connection", value) for value in ("keep-alive", "x-own", "upgrade")),
        ("content-length", "3"),
        ("TRANSFER-ENCODING", "chunked"),
    ],
)
@pytest.mark.parametrize("path", ["whole", "raw", "pieces"])
async def test_the_framing(serve: Serve, path: str, name: str, value: str) -> None:
    """It is the service's, whatever a method sets: one, and true."""
    service = await serve(methods(lambda handler: handler.set_header(name, value)))
    head, rest = split(await exchange(service, path, "after"))
    body = {"whole": b'{"result":"whole"}', "raw": b"raw", "pieces": PIECES}[path]
    framing = b"transfer-encoding: chunked" if path == "pieces" else b"content-length: %d" % len(body)
    assert [line for line in head.split(b"\r\n") if line.split(b":")[0] in FRAMING] == [framing]
    assert rest.startswith(body + b"HTTP/1.1 200 OK\r\n")
    assert rest.endswith(b'{"result":"after"}')


FRAMING = (b"content-length", b"transfer-encoding", b"connection")


@pytest.mark.parametrize("value", ["close", "Close", "keep-alive, close"])
@pytest.mark.parametrize("path", ["whole", "raw", "pieces"])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_a_method_that_closes(serve: Serve, path: str, value: str, version: str) -> None:
    """The connection ends after its response (RFC 9112, 9.6)."""
    service = await serve(methods(lambda handler: handler.set_header("connection", value)))
    fields = "Connection: keep-alive\r\n"
    head, rest = split(await exchange(service, path, "after", version=version, fields=fields))
    assert b"connection: close" in head.split(b"\r\n")
    assert b"HTTP/" not in rest


@pytest.mark.parametrize("paths", [("pieces",), ("pieces", "after")], ids=["closed", "kept"])
async def test_pieces_over_http_1_0(serve: Serve, paths: tuple[str, ...]) -> None:
    """Only the end of the connection ends them, so it ends, also if the client would keep it."""
    service = await serve(methods(lambda handler: None))
    fields = "Connection: keep-alive\r\n"
    head, rest = split(await exchange(service, *paths, version="1.0", fields=fields))
    assert b"connection: close" in head.split(b"\r\n")
    assert rest == b"piece 0\npiece 1\n"
