"""Bodies that are compressed, and what becomes of one that was cut, as ``toto-aio serve`` reads them."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgpack
import pytest
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpClient

from tests.support.service import FastServer, GeneralServer, Service
from toto_aio import create_app
from toto_aio.exceptions import InvalidParameters
from toto_aio.http import codings
from toto_aio.http.codings import Decoder

LIMIT = 100_000
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
VALUE = {"text": "".join(map(str, range(3000))), "last": ["1"]}


async def echo(handler: Any, parameters: Any) -> Any:
    """Return the parameters."""
    return parameters


@pytest.fixture(params=[FastServer, GeneralServer], ids=["fast", "general"])
async def service(request: pytest.FixtureRequest, aiohttp_client: AiohttpClient) -> Service:
    """A service on one of the paths."""
    app = create_app(
        method_module={"echo": echo}, database="memory://", max_body_size=LIMIT, allow_origin="*"
    )
    return Service(await aiohttp_client(request.param(app)))


def form(value: dict[str, Any]) -> bytes:
    """A value as a form."""
    return f"text={value['text']}&last={value['last'][0]}".encode()


def multipart(value: dict[str, Any]) -> bytes:
    """A value as a form with parts."""
    parts = (
        f'--xx\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'
        for name, text in (("text", value["text"]), ("last", value["last"][0]))
    )
    return "".join(parts).encode() + b"--xx--\r\n"


def bare(body: bytes) -> bytes:
    """Deflate without the head of RFC 1950."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


KINDS: dict[str, Callable[[Any], bytes]] = {
    JSON: lambda value: json.dumps(value).encode(),
    "application/msgpack": msgpack.packb,
    FORM: form,
    "multipart/form-data; boundary=xx": multipart,
}
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": bare,
}


async def post(service: Service, coding: str, kind: str, body: bytes, chunked: bool = False) -> Any:
    """The status of a body, and what the response says."""
    data: Any = body
    if chunked:

        async def chunks() -> AsyncIterator[bytes]:
            for start in range(0, len(body), 500):
                yield body[start : start + 500]
                await asyncio.sleep(0)

        data = chunks()
    response = await service.post(
        "/echo", data=data, headers={"Content-Encoding": coding, "Content-Type": kind}
    )
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    decode = msgpack.unpackb if response.content_type == "application/msgpack" else json.loads
    return response.status, decode(await response.read())


async def test_whole(service: Service) -> None:
    """Bodies of every kind and coding are read, with several streams of gzip too."""
    for kind, encode in KINDS.items():
        body = encode(VALUE)
        expected = (await post(service, "identity", kind, body))[1]
        assert "error" not in expected
        for coding, pack in PACKERS.items():
            for chunked in (False, True):
                assert await post(service, coding, kind, pack(body), chunked) == (200, expected)
        two = gzip.compress(body[:100]) + gzip.compress(body[100:])
        assert await post(service, "gzip", kind, two) == (200, expected)
        assert await post(service, "gzip", kind, two, chunked=True) == (200, expected)
    assert await post(service, "gzip", JSON, gzip.compress(b"")) == (200, {"result": {}})
    assert await post(service, "gzip", JSON, b"") == (200, {"result": {}})


async def test_cut(service: Service) -> None:
    """A body that lacks its end is refused, even where what has arrived could be read."""
    for kind, encode in KINDS.items():
        body = encode(VALUE)
        for coding, pack in PACKERS.items():
            whole = pack(body)
            for size in (1, 2, 5, 10, 17, 300, len(whole) - 20, len(whole) - 9, len(whole) - 1):
                for chunked in (False, True):
                    status, answer = await post(service, coding, kind, whole[:size], chunked)
                    assert (status, answer["error"]["code"]) == (400, 1003), (kind, coding, size)
                    assert "cut" in answer["error"]["value"] or size == 1
        two = gzip.compress(body) + gzip.compress(b"x" * 100)
        for lost in (1, 8, 20):
            assert (await post(service, "gzip", kind, two[:-lost]))[0] == 400
    assert await service.result("echo", {"a": 1}) == {"a": 1}


async def test_not_what_it_says(service: Service) -> None:
    """What is not in its coding, goes on after it, or is in one that nobody knows, is an error in JSON."""
    body = json.dumps(VALUE).encode()
    for coding, sent, status in (
        ("gzip", body, 400),
        ("gzip", zlib.compress(body), 400),
        ("gzip", gzip.compress(body) + b"more", 400),
        ("gzip", gzip.compress(body) + bytes(8), 400),
        ("gzip", gzip.compress(body)[:-8] + bytes(8), 400),
        ("deflate", gzip.compress(body), 400),
        ("deflate", zlib.compress(body) + b"more", 400),
        ("deflate", zlib.compress(body) + zlib.compress(b"x"), 400),
        ("gzip", gzip.compress(b"x") * (codings.MAX_MEMBERS + 1), 400),
        ("br", body, 415),
        ("zstd", body, 415),
        ("zstd", b"(\xb5/\xfd" + body, 415),
        ("gzip", gzip.compress(b'{"a":"' + bytes(LIMIT)), 413),
        ("deflate", zlib.compress(b'{"a":"' + bytes(9_000_000)), 413),
    ):
        for chunked in (False, True):
            found = await post(service, coding, JSON, sent, chunked)
            assert (found[0], found[1]["error"]["code"]) == (status, 1003), (coding, sent[:20])
    assert await service.result("echo", {"a": 1}) == {"a": 1}


async def test_the_next_request(service: Service) -> None:
    """A request behind a cut body on the same connection is served."""
    body = gzip.compress(json.dumps(VALUE).encode())[:-10]
    head = b"POST /service/echo HTTP/1.1\r\nHost: x\r\n"
    first = head + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    reader, writer = await asyncio.open_connection("127.0.0.1", service.client.port)
    writer.write(first + head + b"Connection: close\r\nContent-Length: 7\r\n\r\n" + b'{"a":1}')
    answers = await reader.read()
    writer.close()
    assert answers.startswith(b"HTTP/1.1 400 ")
    assert answers.endswith(b'{"result":{"a":1}}')


async def test_another_server(aiohttp_client: AiohttpClient) -> None:
    """Under another server, and beside routes of others, aiohttp decodes: nothing is lost."""

    async def own(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    def app() -> web.Application:
        return create_app(method_module={"echo": echo}, database="memory://", allow_origin="*")

    body = gzip.compress(json.dumps(VALUE).encode())
    beside = app()
    beside.router.add_post("/own", own)
    clients: list[Any] = [
        await aiohttp_client(app()),
        await aiohttp_client(FastServer(beside)),
        await aiohttp_client(app(), server_kwargs={"auto_decompress": False}),
    ]
    for client in clients:
        service = Service(client)
        assert await post(service, "gzip", JSON, body) == (200, {"result": VALUE})
        assert (await post(service, "gzip", JSON, body[:12]))[0] == 400
    response = await clients[1].post("/own", data=body, headers={"Content-Encoding": "gzip"})
    assert await response.read() == json.dumps(VALUE).encode()


def test_the_work_of_a_decoder() -> None:
    """It stops at the limit, however much a few bytes would become."""
    bomb = gzip.compress(bytes(50_000_000))
    decoder = Decoder("gzip", 1000)
    assert decoder.feed(b"")
    assert not decoder.feed(bomb)
    assert len(decoder._decoded) == 1001
    exact = Decoder("gzip", 1000)
    assert exact.feed(gzip.compress(bytes(1000)) + gzip.compress(b""))
    assert exact.end() == bytes(1000)
    with pytest.raises(InvalidParameters):
        Decoder("deflate", 1000).feed(b"\xff\xff\xff")
