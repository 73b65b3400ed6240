"""How bodies are announced: codings that nobody knows, and clients that wait with them."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from typing import Any

import pytest

from tests.support.limits import WATCHDOG
from tests.support.service import Serve, Service
from toto_aio.invocation import safe

LIMIT = 1000


@safe
async def echo(handler: Any, parameters: Any) -> Any:
    """Return the parameters."""
    return parameters


async def exchange(service: Service, *parts: bytes) -> list[bytes]:
    """What answers these parts, of which each is sent when there is an answer to the one before."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.client.port)
    found = []
    try:
        async with asyncio.timeout(WATCHDOG):
            for part in parts:
                writer.write(part)
                answer = await reader.readuntil(b"\r\n\r\n")
                size = answer.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
                found.append(answer + await reader.readexactly(int(size or 0)))
            if b"connection: close" in found[-1].lower():
                assert await reader.read() == b""
    finally:
        writer.close()
    return found


def request(body: bytes, *lines: str, verb: str = "POST", path: str = "/service/echo") -> bytes:
    """A request in JSON with further header lines."""
    head = [f"{verb} {path} HTTP/1.1", "Host: x", "Content-Type: application/json", *lines]
    return "\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body


@pytest.mark.parametrize(
    "lines",
    [
        *([f"Content-Encoding: {coding}"] for coding in ("foo", "compress", "x-gzip", "gzip, gzip", "*")),
        *([f"content-encoding: {coding}"] for coding in ("FOO", "deflate, gzip", "gzip;q=1", "aes128gcm")),
        ["Content-Encoding: gzip", "Content-Encoding: gzip"],
        ["Content-Encoding: identity", "Content-Encoding: foo"],
        ["Content-Encoding: " + "x" * 5000],
    ],
)
async def test_unknown_codings(serve: Serve, lines: list[str]) -> None:
    """They are 415 in an envelope, which CORS lets a page read; the next request is served."""
    service = await serve({"echo": echo}, allow_origin="*")
    body = gzip.compress(gzip.compress(b"{}"))
    for verb in ("POST", "POST"):
        [answer] = await exchange(service, request(body, *lines, verb=verb))
        assert answer.startswith(b"HTTP/1.1 415 ")
        assert b"\r\nAccess-Control-Allow-Origin: *\r\n" in answer
        error = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
        assert (error["code"], "gzip" in error["value"]) == (1003, True)
        assert len(error["value"]) < 200
    assert await service.result("echo", {"x": 1}) == {"x": 1}


@pytest.mark.parametrize(
    ("coding", "encode"),
    [
        ("gzip", gzip.compress),
        ("GZip", gzip.compress),
        ("deflate", zlib.compress),
        ("identity", bytes),
        ("", bytes),
    ],
)
async def test_known_codings(serve: Serve, coding: str, encode: Any) -> None:
    """They are read."""
    service = await serve({"echo": echo})
    body = encode(b'{"parameters": {"a": 1}}')
    [answer] = await exchange(service, request(body, f"Content-Encoding: {coding}"))
    assert answer.endswith(b'{"result":{"a":1}}')


@pytest.mark.parametrize(
    ("verb", "path", "size", "status"),
    [
        ("POST", "/service/echo", LIMIT + 1, 413),
        ("POST", "/service", 10**12, 413),
        ("PUT", "/service/echo", 2, 405),
        ("PUT", "/service", 10**6, 405),
        ("DELETE", "/service/echo", 2, 405),
        ("PATCH", "/service/nothing", 2, 405),
    ],
)
async def test_expected_but_not_wanted(serve: Serve, verb: str, path: str, size: int, status: int) -> None:
    """A client that waits with a body that is too large, or for no method, gets the error at once."""
    service = await serve({"echo": echo}, max_body_size=LIMIT)
    head = request(b"", "Expect: 100-continue", verb=verb, path=path)
    head = head.replace(b"Content-Length: 0", b"Content-Length: %d" % size)
    [answer] = await exchange(service, head)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nConnection: close\r\n" in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == 1003
    assert await service.result("echo", {"x": 1}) == {"x": 1}


async def test_expected_in_an_unknown_coding(serve: Serve) -> None:
    """A client that waits with a body in a coding that nobody knows gets the error at once, too."""
    service = await serve({"echo": echo}, max_body_size=LIMIT)
    for path in ("/service/echo", "/service", "/service/rpc"):
        for coding in ("foo", "gzip, gzip"):
            lines = ["Expect: 100-continue", f"Content-Encoding: {coding}"]
            head = request(b"", *lines, path=path).replace(b"Content-Length: 0", b"Content-Length: 9")
            [answer] = await exchange(service, head)
            assert answer.startswith(b"HTTP/1.1 415 "), (path, coding)
            assert b"\r\nConnection: close\r\n" in answer
            assert b"1003" in answer.partition(b"\r\n\r\n")[2]
    known = request(gzip.compress(b"{}"), "Expect: 100-continue", "Content-Encoding: gzip")
    head, end, body = known.partition(b"\r\n\r\n")
    assert (await exchange(service, head + end, body))[-1].endswith(b'{"result":{}}')


@pytest.mark.parametrize("size", [2, LIMIT])
async def test_expected_and_wanted(serve: Serve, size: int) -> None:
    """Others are asked to send it, and their connection stays open."""
    service = await serve({"echo": echo}, max_body_size=LIMIT)
    body = b"{" + b" " * (size - 2) + b"}"
    head = request(body, "Expect: 100-Continue").removesuffix(body)
    answers = await exchange(service, head, body, request(b"{}"))
    assert answers[0] == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert all(answer.endswith(b'{"result":{}}') for answer in answers[1:])


async def test_another_expectation(serve: Serve) -> None:
    """Nobody can meet it."""
    service = await serve({"echo": echo})
    [answer] = await exchange(service, request(b"{}", "Expect: miracles"))
    assert answer.startswith(b"HTTP/1.1 417 ")
