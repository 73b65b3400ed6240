"""The fast path sends the same bytes as aiohttp for any input, and does everything that aiohttp does."""

from __future__ import annotations

import asyncio
import contextvars
import gzip
import json
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import bson
import pytest
import uvloop
from aiohttp import web

from tests.support.limits import PATIENCE, WATCHDOG
from tests.support.service import FastRunner, eventually
from toto_aio import create_app
from toto_aio.dispatch.handler import Handler
from toto_aio.exceptions import TotoException
from toto_aio.http.drain import DRAIN
from toto_aio.http.fast import FastConnection, protocols
from toto_aio.http.head_limit import LimitedConnection
from toto_aio.http.service import SERVICE
from toto_aio.invocation import asynchronous, cancellable, raw_response, safe

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="untouched")


@safe
async def echo(handler: Handler, parameters: Any) -> Any:
    """Return the parameters."""
    return parameters


async def slow(handler: Handler, parameters: Any) -> Any:
    """Return the parameters after a moment."""
    await asyncio.sleep(0.05)
    return parameters


async def fails(handler: Handler, parameters: Any) -> None:
    """Raise one of the method's own errors, or an unexpected one."""
    raise TotoException(2001, "no") if parameters.get("own") else ValueError("secret")


async def teapot(handler: Handler, parameters: Any) -> None:
    """Respond with one of aiohttp's exceptions."""
    raise web.HTTPPaymentRequired(text="a coin, please")


async def dressed(handler: Handler, parameters: Any) -> str:
    """Set a status, a header and a cookie."""
    handler.set_status(202)
    handler.set_header("x-own", "1")
    if parameters.get("cookie"):
        handler.set_cookie("name", "value")
    return "dressed"


async def varies(handler: Handler, parameters: Any) -> str:
    """Set a header that CORS sets too."""
    handler.set_header("vary", "Accept")
    return "varies"


async def moved(handler: Handler, parameters: Any) -> None:
    """Redirect."""
    handler.redirect("/elsewhere")


@raw_response
async def raw(handler: Handler, parameters: Any) -> bytes:
    """Return bytes, as many as asked for."""
    return bytes(parameters.get("size", 3))


@asynchronous
async def stream(handler: Handler, parameters: Any) -> None:
    """Send three pieces."""
    for number in range(3):
        handler.respond_raw(f"piece {number}\n", "text/plain", finish=number == 2)


async def seen(handler: Handler, parameters: Any) -> Any:
    """Return the attributes of aiohttp's request."""
    request = handler.request
    assert type(request) is web.Request
    assert request.config_dict[SERVICE] is request.app[SERVICE]
    return [
        request.method,
        request.path_qs,
        dict(request.match_info),
        request.match_info.route.method,
        request.match_info.get_info().get("path"),
        sorted(request.headers.items()),
        request.remote,
        request.secure,
        request.keep_alive,
        request.can_read_body,
        request.body_exists,
        (await request.read()).decode(),
        request is handler.request,
        handler.address,
    ]


async def tasks(handler: Handler, parameters: Any) -> Any:
    """Return what an earlier call has left behind, and check that time limits work."""
    before = VARIABLE.get()
    VARIABLE.set("touched")
    try:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(5)
    except TimeoutError:
        task = asyncio.current_task()
        return [before, task is not None and task.cancelling()]


METHODS = {
    name: globals()[name]
    for name in [
        "echo",
        "slow",
        "fails",
        "teapot",
        "dressed",
        "varies",
        "moved",
        "raw",
        "stream",
        "seen",
        "tasks",
    ]
}


def post(body: Any, path: str = "/service", *lines: str, version: str = "1.1", encoded: bytes = b"") -> bytes:
    """A request as bytes."""
    content = encoded or (body if isinstance(body, bytes) else json.dumps(body).encode())
    kind = (
        []
        if any(line.lower().startswith("content-type") for line in lines)
        else ["Content-Type: application/json"]
    )
    head = [f"POST {path} HTTP/{version}", "Host: x", *kind, *lines, f"Content-Length: {len(content)}"]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + content


def call(method: str, *lines: str, **parameters: Any) -> bytes:
    """A call as bytes."""
    return post({"method": method, "parameters": parameters}, "/service", *lines)


CALL = call("echo", a=1)
LAST = call("echo", "Connection: close", a="last")


CALL_AT = CALL.index(b"{")
SPACED_BODY = b'{"method":"echo"}\r\n\r\n'
SPACED = post(SPACED_BODY)


def cut(at: int, request: bytes, more: int) -> list[bytes]:
    """A request in two pieces, the second with the first bytes of a call."""
    return [CALL, request[:at], request[at:] + CALL[:more]]


FORM = "Content-Type: application/x-www-form-urlencoded"
CASES: dict[str, list[bytes]] = {
    "one after the other": [CALL, CALL, CALL, call("echo", b=2), CALL],
    "values that change": [
        call("seen", "X-Own: 1", "User-Agent: a b"),
        call("seen", "X-Own: 2", "User-Agent: a b"),
        call("seen", "X-Own: 2", "User-Agent: c d"),
        call("seen", "X-Own: 3", "User-Agent: c d", number=5),
        call("seen", "x-own: 3", "User-Agent: c d"),
        call("seen", "x-own: ", "User-Agent: c d"),
    ],
    "lengths that lie": [
        call("echo", "X-Own: 1"),
        call("echo", "X-Own: 2").replace(b"Length: 3", b"Length: 2"),
        call("echo", "X-Own: 3"),
    ],
    "lengths that are odd": [
        CALL,
        *(CALL.replace(b"Content-Length: ", b"Content-Length: " + odd) for odd in (b"0", b"+", b"0x")),
    ],
    "signatures that change": [call("echo", f"x-toto-hmac: {number}") for number in range(3)],
    "a connection that is to close": [
        call("echo", "Connection: keep-alive"),
        call("echo", "Connection: close"),
        CALL,
    ],
    "two in a packet": [CALL + CALL, CALL],
    "two in a packet, after another": [CALL, call("echo", b=2) + CALL, CALL],
    "slow, then more": [call("slow", a=1), CALL, CALL],
    "slow and more in a packet": [call("slow", a=1) + CALL + call("slow", a=2) + CALL],
    "many in a packet": [CALL * 100],
    "byte by byte": [bytes([byte]) for byte in CALL] + [CALL, CALL],
    "head, then body": [CALL[:-20], CALL[-20:], CALL, CALL],
    "a call and half of the next": [CALL + CALL[:30], CALL[30:], CALL, CALL],
    "a call within a header": [CALL, b"POST /service HTTP/1.1\r\nX-Own: ", CALL, CALL, CALL],
    "a call within a body": [
        CALL,
        b"POST /service HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(CALL),
        CALL,
        CALL,
    ],
    # The rest of the next call arrives in a piece of its own, and alone it is none.
    "half of the next, after the last byte of a head": [*cut(CALL_AT - 1, CALL, 2), CALL[2:], CALL[2:]],
    "half of the next, after half of an empty line": [*cut(CALL_AT - 2, CALL, 1), CALL[1:], CALL[1:]],
    "half of the next, after a body that looks like a head's end": [
        *cut(SPACED.index(b"{") - 1, SPACED, len(SPACED_BODY)),
        CALL[len(SPACED_BODY) :],
        CALL[len(SPACED_BODY) :],
    ],
    "a call whose body has an empty line": [SPACED, SPACED, CALL, CALL],
    "after empty lines": [b"\r\n\r\n" + CALL, CALL, b"\r\n" + CALL],
    "garbage": [b"\x16\x03\x01\x00garbage\r\n\r\n"],
    "a call, then garbage": [CALL, CALL, b"garbage\r\n\r\n"],
    "a call and garbage in a packet": [CALL, CALL + b"garbage\r\n\r\n"],
    "no host": [b"POST /service HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"],
    "lengths twice": [CALL.replace(b"Host: x", b"Host: x\r\nContent-Length: 3")],
    "chunks and a length": [CALL.replace(b"Host: x", b"Host: x\r\nTransfer-Encoding: chunked")],
    "a long header": [call("echo", "X-Long: " + "x" * 10000)],
    "many headers": [call("echo", *(f"X-{number}: x" for number in range(200)))],
    "a long path": [post({}, "/service/" + "x" * 10000)],
    "http/1.0": [post({"method": "echo"}, version="1.0")],
    "http/1.0, kept": [post({"method": "echo"}, "/service", "Connection: keep-alive", version="1.0"), CALL],
    "expects": [CALL[:-20].replace(b"Host", b"Expect: 100-continue\r\nHost"), CALL[-20:], CALL],
    "expects, in a packet": [call("echo", "Expect: 100-continue"), call("echo", "Expect: nothing")],
    "upgrade": [call("echo", "Connection: Upgrade", "Upgrade: websocket"), CALL, CALL],
    "chunked": [
        b"POST /service HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        CALL,
    ],
    "compressed": [
        post({}, "/service", "Content-Encoding: gzip", encoded=gzip.compress(b"{}", mtime=0)),
        CALL,
    ],
    "not compressed": [call("echo", "Content-Encoding: identity"), call("echo", "Content-Encoding: x")],
    "no body": [b"POST /service/echo HTTP/1.1\r\nHost: x\r\n\r\n", post(b"", "/service/echo"), CALL],
    "other methods": [
        method + b" /service HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
        for method in (b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"post")
    ],
    "get": [b"GET /service/echo?a=1 HTTP/1.1\r\nHost: x\r\n\r\n", CALL, CALL],
    "in the url": [
        post({"a": 1}, f"/service{path}") for path in ("/echo", "/echo/", "/", "//echo", "/a.b", "/seen")
    ],
    "odd urls": [
        post({"a": 1}, path)
        for path in (
            "/service?x=1",
            "/service/%65cho",
            "/service#x",
            "http://x/service",
            "/service/../service",
            "/serviceX",
        )
    ],
    "elsewhere": [post({}, "/"), post({}, "/health/live"), CALL],
    "methods that are none": [
        post({}),
        post({"method": 5}),
        post({"method": "none"}),
        post({"method": None}),
    ],
    "bad bodies": [post(b"{"), post(b"[]"), post(b"\xff"), post(b"[" * 100 + b"]" * 100), post(b"{} {}")],
    "a large body": [post({"method": "echo", "parameters": {"a": "x" * 3000}}), CALL],
    "content types": [
        post(b"a=1", "/service/echo", FORM),
        post(b"a=1", "/service/echo", "Content-Type: text/x-odd"),
        post(b"{}", "/service/echo", "Content-Type: Application/JSON; charset=utf-8"),
        post(
            bson.encode({"method": "echo", "parameters": {"a": 1}}),
            "/service",
            "Content-Type: application/bson",
        ),
        post(b"", "/service", "Content-Type: application/bson"),
    ],
    "a batch": [post({"batch": {"1": {"method": "echo"}, "2": {"method": "fails"}}}), post({"batch": 1})],
    "sessions": [
        call("account.logout", "x-toto-session-id: none"),
        call("echo", "x-toto-session-id: a", "x-toto-session-id: b"),
        call("echo", "x-toto-hmac: wrong"),
    ],
    "errors": [call("fails", own=True), call("fails"), CALL],
    "aiohttp's words": [call("teapot"), CALL],
    "dressed": [call("dressed"), call("dressed", cookie=True), CALL],
    "redirected": [call("moved"), CALL],
    "raw": [call("raw"), call("raw", size=200_000), CALL],
    "streamed": [call("stream"), CALL, CALL],
    "seen": [call("seen"), call("seen"), post({"a": 1}, "/service/seen")],
    "tasks": [call("tasks")] * 3,
}


@asynccontextmanager
async def running(
    *, fast: bool, methods: Any = METHODS, idle: float = 60, **options: Any
) -> AsyncIterator[Any]:
    """The runner and the port of a service with either kind of protocol."""
    app = create_app(method_module=methods, database="memory://", **options)
    kind = FastRunner if fast else web.AppRunner
    runner = kind(app, access_log=None, keepalive_timeout=idle, shutdown_timeout=2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner, runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def talk(port: int, pieces: list[bytes]) -> bytes:
    """Everything that a server sends to a client that sends these pieces, with a pause between them."""
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # so that each piece is sent by itself
        await loop.sock_connect(client, ("127.0.0.1", port))
        reading = asyncio.create_task(read_to_the_end(client))
        for piece in pieces:
            if reading.done():
                break  # the server accepts no more
            with suppress(ConnectionError):
                await loop.sock_sendall(client, piece)
            for _ in range(5):  # turns of the loop, in which the server may close the connection
                await asyncio.sleep(0.0002 if len(piece) == 1 else 0.002)
        return await asyncio.wait_for(reading, WATCHDOG)


async def read_to_the_end(client: socket.socket) -> bytes:
    """What arrives until the connection ends, even by a reset, as after a request that was not read."""
    said = b""
    with suppress(ConnectionResetError):
        while data := await asyncio.get_running_loop().sock_recv(client, 65536):
            said += data
    return said


def comparable(said: bytes) -> bytes:
    """The response without the parts that differ each time."""
    said = re.sub(rb"Date: [^\r]+", b"Date: now", said)
    return re.sub(rb"Internal error [0-9a-f]{16}", b"Internal error id", said)


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The bodies of the responses that the fast path has sent."""
    bodies: list[bytes] = []
    own = FastConnection._call

    def count(self: FastConnection, request: Any, waiter: Any) -> Any:
        bodies.append(request.body)
        return own(self, request, waiter)

    monkeypatch.setattr(FastConnection, "_call", count)
    return bodies


@pytest.mark.parametrize("pieces", CASES.values(), ids=CASES)
async def test_same_bytes(pieces: list[bytes]) -> None:
    """Both paths send the same bytes."""
    said = []
    for fast in (False, True):
        async with running(fast=fast, max_body_size=2000) as (_, port):
            said.append(comparable(await talk(port, [*pieces, LAST])))
    assert said[0]
    assert said[1] == said[0]


@pytest.mark.parametrize("allowed", ["*", "http://x"])
async def test_pages_of_other_origins(allowed: str, answered: list[bytes]) -> None:
    """The service's own signal does not take a call off the fast path, and browsers get the same headers."""
    pieces = [
        call("echo"),
        call("echo", "Origin: http://x"),
        call("echo", "Origin: http://y"),
        call("dressed", "Origin: http://x"),
        call("varies", "Origin: http://x"),
        call("fails", "Origin: http://x"),
        call("teapot", "Origin: http://x"),
        call("stream", "Origin: http://x"),
        b"OPTIONS /service HTTP/1.1\r\nHost: x\r\nOrigin: http://x\r\n"
        b"Access-Control-Request-Method: POST\r\n\r\n",
        LAST,
    ]
    said = []
    for fast in (False, True):
        async with running(fast=fast, allow_origin=[allowed]) as (_, port):
            said.append(comparable(await talk(port, pieces)))
    assert said[1] == said[0]
    assert len(answered) == 8
    lines = said[0].lower().split(b"\r\n")
    assert lines.count(b"vary: origin") == (0 if allowed == "*" else 9)
    assert lines.count(b"vary: accept" if allowed == "*" else b"vary: accept, origin") == 1
    assert said[0].count(b"Access-Control-Allow-Origin: ") == (10 if allowed == "*" else 7)


async def test_taken(answered: list[bytes]) -> None:
    """Plain requests are taken, and all others are not."""
    async with running(fast=True) as (_, port):
        await talk(
            port,
            [
                CALL,
                CALL,
                call("echo", b=2),
                CALL[:30],
                CALL[30:],
                CALL,
                call("echo", "Expect: 100-continue"),
                call("echo", "X-Own: 1"),
                call("echo", "X-Own: 2", c=3),
                LAST,
            ],
        )
    assert [json.loads(body)["parameters"] for body in answered] == [
        {"a": 1},
        {"a": 1},
        {"b": 2},
        {"a": 1},
        {"a": 1},
        {},
        {"c": 3},
    ]


CLIENT = """
import json, socket, sys
port, *requests = json.load(sys.stdin)
clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(8)]
for turn in range(100):
    for request in requests:
        for client in clients:
            client.sendall(request.encode())
        for client in clients:
            assert b"result" in client.recv(1000)
"""


def test_always_taken(answered: list[bytes]) -> None:
    """The first call is taken, and so is a call after one that was not, however soon it follows."""
    requests = [CALL, CALL, call("echo", "Content-Encoding: identity"), CALL, call("echo", b=2), CALL]

    async def serve() -> None:
        async with running(fast=True) as (_, port):
            client = await asyncio.create_subprocess_exec(sys.executable, "-c", CLIENT, stdin=subprocess.PIPE)
            await client.communicate(json.dumps([port, *map(bytes.decode, requests)]).encode())
            assert client.returncode == 0

    # uvloop reads before it runs the tasks that are due, asyncio's own loop after them.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
    assert len(answered) == 8 * 100 * 5


async def test_order(answered: list[bytes]) -> None:
    """A request that arrives while a call runs is answered after it, and later calls are taken again."""
    may_end = asyncio.Event()

    async def held(handler: Handler, parameters: Any) -> Any:
        await may_end.wait()
        return parameters

    async with running(fast=True, methods={**METHODS, "slow": held}) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for piece in (call("slow", a=1), CALL, call("echo", b=3), *[b""] * 10):
            writer.write(piece)
            await asyncio.sleep(0.01)
        may_end.set()
        said = b""
        while said.count(b'"result"') < 3:
            said += await asyncio.wait_for(reader.read(10_000), WATCHDOG)
        await asyncio.sleep(0.05)
        for piece in (call("echo", c=4), LAST):
            writer.write(piece)
            await asyncio.sleep(0.01)
        said += await asyncio.wait_for(reader.read(), WATCHDOG)
        writer.close()
    assert re.findall(rb'"result":({[^}]*})', said) == [
        b'{"a":1}',
        b'{"a":1}',
        b'{"b":3}',
        b'{"c":4}',
        b'{"a":"last"}',
    ]
    assert len(answered) == 2


async def test_keep_alive() -> None:
    """An idle connection ends in time, one with a running call does not."""
    begun, ends = 0, 0.0
    loop = asyncio.get_running_loop()

    async def late(handler: Handler, parameters: Any) -> str:
        """Respond after the connection could have been idle for too long."""
        nonlocal begun, ends
        begun += 1
        await asyncio.sleep(0.5)
        ends = loop.time()
        return "late"

    async with running(fast=True, idle=0.2, methods={"slow": late}) as (_, port):
        while begun < 2:  # on a busy machine the connection may be idle for too long before the second call
            begun, said = 0, b""
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for _ in range(2):
                with suppress(ConnectionError):
                    writer.write(call("slow"))
                    said += await asyncio.wait_for(reader.read(1000), WATCHDOG)
            assert said.count(b"late") == begun
            if begun == 2:
                assert await asyncio.wait_for(reader.read(), WATCHDOG) == b""
                assert loop.time() - ends > 0.19
            writer.close()
        half = await talk(port, [call("slow")[:30]])
        assert half == b""


async def test_client_leaves(caplog: pytest.LogCaptureFixture) -> None:
    """A call continues without its client, unless it is @cancellable, and nothing is left of either."""
    ends: list[str] = []

    may_end = asyncio.Event()

    async def goes_on(handler: Handler, parameters: Any) -> None:
        begun.append("on")
        await may_end.wait()
        assert handler.request.remote == "127.0.0.1"
        ends.append(f"went on {handler.address}")

    @cancellable
    async def ends_too(handler: Handler, parameters: Any) -> None:
        begun.append("too")
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    begun: list[str] = []
    before = len(asyncio.all_tasks())
    async with running(fast=True, methods={"on": goes_on, "too": ends_too}) as (runner, port):
        for method in ("on", "too"):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(call(method))
            await eventually(lambda method=method: method in begun)  # type: ignore[misc]
            assert len(runner._server.connections) == 1 + (method == "too")
            writer.close()
            await writer.wait_closed()
        await eventually(lambda: ends == ["cancelled"])
        may_end.set()
        await eventually(lambda: sorted(ends) == ["cancelled", "went on 127.0.0.1"])
        await eventually(lambda: not runner._server.connections)
    await eventually(lambda: len(asyncio.all_tasks()) <= before)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_shutdown() -> None:
    """A running call is awaited, and one that takes too long is cancelled."""
    ends: list[str] = []

    begun = 0

    async def wait(handler: Handler, parameters: Any) -> str:
        nonlocal begun
        begun += 1
        try:
            await asyncio.sleep(parameters["seconds"])
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise
        return "done"

    async with running(fast=True, methods={"wait": wait}) as (runner, port):
        clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for (_, writer), seconds in zip(clients, (0.3, 30), strict=True):
            writer.write(call("wait", seconds=seconds))
        await eventually(lambda: begun == 2)
        await runner.cleanup()
        assert b"done" in await asyncio.wait_for(clients[0][0].read(), 20)
        assert await asyncio.wait_for(clients[1][0].read(), 20) == b""
        for _, writer in clients:
            writer.close()
    await eventually(lambda: ends == ["cancelled"])


async def test_drain(answered: list[bytes]) -> None:
    """From the moment that the server starts to shut down, each response closes its connection."""
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def held(handler: Handler, parameters: Any) -> Any:
        begun.set()
        await may_end.wait()
        return parameters

    async with running(fast=True, methods={**METHODS, "slow": held}) as (runner, port):
        assert runner._server is not None
        drain = runner.app[DRAIN]
        clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for reader, writer in clients:
            writer.write(CALL)
            assert b"Connection" not in await reader.read(1000)
        clients[0][1].write(call("slow"))
        await begun.wait()
        drain.begin()
        waiting = asyncio.create_task(drain.wait(runner._server, PATIENCE))
        await asyncio.sleep(0)
        may_end.set()
        clients[1][1].write(CALL)
        for reader, writer in clients:
            assert b"Connection: close" in await asyncio.wait_for(reader.read(), 20)
            writer.close()
        await asyncio.wait_for(waiting, 20)
    assert len(answered) == 4


async def test_slow_reader(answered: list[bytes]) -> None:
    """A client that does not read gets no more work done."""
    async with running(fast=True) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(40):
            writer.write(call("raw", size=1_000_000))
            await asyncio.sleep(0.01)
        begun = len(answered)
        assert begun < 40
        writer.write(LAST)
        said = await asyncio.wait_for(reader.read(), 20)
        writer.close()
    assert said.count(b"HTTP/1.1 200") == 41


async def test_concurrency() -> None:
    """Many concurrent connections, each with many calls, get their own responses."""

    async def client(port: int, number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for turn in range(20):
            method = "slow" if turn % 7 == number % 7 else "echo"
            writer.write(call(method, number=number, turn=turn))
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
            found = re.search(rb"Content-Length: (\d+)", head)
            assert found is not None
            answer = json.loads(await reader.readexactly(int(found[1])))
            assert answer == {"result": {"number": number, "turn": turn}}
        writer.close()

    async with running(fast=True) as (_, port), asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(client(port, number))


async def test_left_to_aiohttp(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """When middlewares, signals or other routes exist, and with an unknown version of aiohttp."""

    async def other(request: web.Request) -> web.Response:
        return web.Response()

    @web.middleware
    async def middleware(request: web.Request, handler: Any) -> web.StreamResponse:
        response: web.StreamResponse = await handler(request)
        return response

    def own_route(app: web.Application) -> None:
        app.router.add_post("/service/other", other)

    def own_middleware(app: web.Application) -> None:
        app.middlewares.append(middleware)

    for change, is_fast in ((None, True), (own_route, False), (own_middleware, False)):
        app = create_app(method_module=METHODS, database="memory://")
        if change is not None:
            change(app)
        runner = web.AppRunner(app)
        await runner.setup()
        server = runner.server
        assert server is not None
        assert type(protocols(app, server, fast=True)()) is (FastConnection if is_fast else LimitedConnection)
        assert type(protocols(app, server, fast=False)()) is LimitedConnection
        if is_fast:
            monkeypatch.setattr(aiohttp, "__version__", "4.0.0")
            assert protocols(app, server, fast=True) is server
            monkeypatch.undo()
        await runner.cleanup()
    assert [record.getMessage() for record in caplog.records if record.name == "toto_aio.http.fast"] == [
        "fast_path and the limit of a head are off: they were never tested with aiohttp 4.0.0"
    ]


async def test_requests_that_arrive_together_take_turns() -> None:
    """Others are served between them, although none has to wait."""
    turns = 0

    def turn() -> None:
        nonlocal turns
        turns += 1

    @safe
    async def count(handler: Handler, parameters: Any) -> int:
        asyncio.get_running_loop().call_soon(turn)
        return turns

    request = b"GET /service/count HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /service/count HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    async with running(fast=True, methods={"count": count}) as (_, port):
        responses = await talk(port, [request * 49 + last])
    counts = re.findall(rb'{"result":(\d+)}', responses)
    assert len(counts) == 50
    assert len(set(counts)) > 40
