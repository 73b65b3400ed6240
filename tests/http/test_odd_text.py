"""Text that no store and no codec could write: bytes that aren't UTF-8, and control characters."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Callable
from typing import Any

import aiohttp.http_parser
import aiohttp.web_protocol
import bson
import msgpack
import pytest

from tests.http.test_session_scheme import client
from tests.support.limits import WATCHDOG
from tests.support.service import Serve, Service
from toto_aio import Handler
from toto_aio.invocation import anonymous_session, safe
from toto_aio.models import ClientInfo
from toto_aio.names import readable

ODD = b"Mozilla/5.0 na\xefve\xf1\x61 \xed\xa0\x80 \t\xc2\x85."
READABLE = "Mozilla/5.0 na\ufffdve\ufffda \ufffd\ufffd\ufffd \ufffd\ufffd."
ADA = {"user_id": "ada", "password": "correct horse"}
MULTIPART = b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--B--\r\n'
Encode = Callable[[Any], bytes]


@safe
@anonymous_session
async def look(handler: Handler, parameters: dict[str, Any]) -> str:
    """Return the client's agent."""
    return handler.reply.agent


@safe
async def echo(handler: Handler, parameters: dict[str, Any]) -> Any:
    """Return the parameters."""
    return parameters


METHODS = {"look": look, "echo": echo}


async def exchange(
    service: Service,
    body: bytes = b"",
    *,
    verb: bytes = b"POST",
    path: bytes = b"/service",
    content_type: bytes = b"application/json",
    **headers: bytes,
) -> bytes:
    """The body of the response to a request of exactly these bytes."""
    fields = {b"Host": b"x", b"Content-Type": content_type, b"Content-Length": b"%d" % len(body)}
    fields |= {name.replace("_", "-").encode(): value for name, value in headers.items()}
    head = b"".join(b"%b: %b\r\n" % field for field in fields.items())
    reader, writer = await asyncio.open_connection("127.0.0.1", service.client.port)
    try:
        writer.write(b"%b %b HTTP/1.1\r\n%b\r\n" % (verb, path, head) + body)
        async with asyncio.timeout(WATCHDOG):
            answer = await reader.readuntil(b"\r\n\r\n")
            size = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length"))
            return await reader.readexactly(int(size.partition(b":")[2]))
    finally:
        writer.close()


async def call(service: Service, method: str, parameters: Any = None, **headers: bytes) -> dict[str, Any]:
    """The response to a call in JSON."""
    body = json.dumps({"method": method, "parameters": parameters or {}}).encode()
    return json.loads(await exchange(service, body, **headers))  # type: ignore[no-any-return]


async def call_by_socket(service: Service, method: str, parameters: Any, **headers: bytes) -> dict[str, Any]:
    """The response to a call over a WebSocket that is opened with these headers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.client.port)
    fields = b"".join(
        b"%b: %b\r\n" % (name.replace("_", "-").encode(), value) for name, value in headers.items()
    )
    upgrade = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    payload = json.dumps({"id": 1, "method": method, "parameters": parameters}).encode()
    try:
        writer.write(b"GET /service/websocket HTTP/1.1\r\nHost: x\r\n" + upgrade + key + fields + b"\r\n")
        async with asyncio.timeout(WATCHDOG):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
            # A masked frame (RFC 6455, 5.2), with a key of zeros.
            writer.write(struct.pack("!BBH4x", 0x81, 0x80 | 126, len(payload)) + payload)
            _, size = await reader.readexactly(2)
            if size == 126:
                (size,) = struct.unpack("!H", await reader.readexactly(2))
            return json.loads(await reader.readexactly(size))  # type: ignore[no-any-return]
    finally:
        writer.close()


@pytest.mark.parametrize("way", ["http", "socket"])
async def test_a_name_that_is_not_utf8(serve: Serve, store_url: str, way: str) -> None:
    """Users log in and change passwords with any User-Agent; sessions are listed with it, readable."""
    service = await serve(METHODS, database=store_url)
    send = call if way == "http" else call_by_socket
    created = await send(service, "account.create", ADA, User_Agent=ODD)
    assert created["result"]["user_id"] == "ada"
    answer = await send(service, "account.login", ADA, User_Agent=ODD)
    session = answer["result"]["session_id"]
    change = {"password": ADA["password"], "new_password": "battery staple"}
    await send(service, "look", {}, User_Agent=ODD)
    listed = await service.result("account.sessions", session=session)
    assert [each["agent"] for each in listed["sessions"]] == [READABLE, READABLE]
    headers = {"x_toto_session_id": session.encode(), "User_Agent": ODD}
    answer = await send(service, "account.update", change, **headers)
    listed = await service.result("account.sessions", session=answer["result"]["session_id"])
    assert [each["agent"] for each in listed["sessions"]] == [READABLE]


ENCODED: list[tuple[bytes, bytes, bytes, Callable[..., Any]]] = [
    (b"application/json", b"{}", b"/service/look", json.loads),
    (b"application/json", b'{"batch": {"a": {"method": "look"}}}', b"/service", json.loads),
    (b"application/bson", bson.encode({}), b"/service/look", bson.decode),
    (b"application/msgpack", msgpack.packb({}), b"/service/look", msgpack.unpackb),
    (b"application/x-www-form-urlencoded", b"a=b", b"/service/look", json.loads),
    (b"multipart/form-data; boundary=B", MULTIPART, b"/service/look", json.loads),
    (b"application/json", b"", b"/service/look", json.loads),
]
"""A call of ``look`` in each encoding: content type, body, path, and what decodes the response."""


async def test_every_encoding(serve: Serve, store_url: str) -> None:
    """The name reaches methods readable, in every encoding; so it does by GET."""
    service = await serve(METHODS, database=store_url)
    for content_type, body, path, decode in ENCODED:
        answer = decode(await exchange(service, body, path=path, content_type=content_type, User_Agent=ODD))
        answer = answer["batch"]["a"] if "batch" in answer else answer
        assert answer["result"] == READABLE, (content_type, body)
    got = await exchange(service, verb=b"GET", path=b"/service/look", User_Agent=ODD)
    assert json.loads(got)["result"] == READABLE


FORWARDED = {
    b"2001:db8::7%na\xefve": "2001:db8::7",
    b"2001:db8::7%" + b"x" * 3000: "2001:db8::7",
    b"2001:db8::7%a b": "2001:db8::7",
    b"\xff": "127.0.0.1",
    b"unix": "127.0.0.1",
}
"""The address that is taken from each value of X-Forwarded-For."""


async def test_forwarded_addresses(serve: Serve, store_url: str) -> None:
    """Only an address is taken from X-Forwarded-For: the zone of an IPv6 address could be any text."""
    service = await serve(METHODS, database=store_url, trusted_proxies=["127.0.0.1"], login_attempts=1000)
    for send in (call, call_by_socket):
        for number, (forwarded, address) in enumerate(FORWARDED.items()):
            ada = {**ADA, "user_id": f"{send.__name__}{number}"}
            created = await send(service, "account.create", ada, X_Forwarded_For=forwarded)
            session = created["result"]["session_id"]
            wrong = {**ada, "password": "wrong"}
            refused = await send(service, "account.login", wrong, X_Forwarded_For=forwarded)
            assert refused["error"]["code"] == 1005, (ada, forwarded)
            listed = await service.result("account.sessions", session=session)
            assert [each["address"] for each in listed["sessions"]] == [address], (ada, forwarded)


@pytest.mark.parametrize("signing", ["user_id", "toto1", "session", "off"])
async def test_odd_credentials(serve: Serve, store_url: str, signing: str) -> None:
    """Session ids, signatures, timestamps, nonces and cookies of any bytes are nobody's."""
    service = await serve(METHODS, database=store_url, signing=signing, use_cookies=True)
    created = await service.result("account.create", ADA)
    session = created["session_id"].encode()
    odd = b"na\xefve"
    for headers in (
        {"x_toto_session_id": odd},
        {"x_toto_session_id": session, "x_toto_hmac": odd},
        {"x_toto_session_id": session, "x_toto_hmac": odd, "x_toto_timestamp": odd, "x_toto_nonce": odd},
        {"Cookie": b"__Host-toto-session=" + odd},
        {"Cookie": odd + b"=" + odd},
    ):
        answer = await call(service, "account.sessions", **headers)
        if signing == "off" and session in headers.values():
            assert "result" in answer
        else:
            assert answer["error"]["code"] in (1004, 1008)


async def test_a_nonce_that_no_store_keeps(serve: Serve, store_url: str) -> None:
    """It is refused, even if the request is signed rightly: it would become the key of a counter."""
    service = await serve(METHODS, database=store_url, signing="session")
    created = await service.result("account.create", ADA)
    timestamp = client.signed_headers("", created["key"], "", "", "", b"")["x-toto-timestamp"]
    for nonce in ("a\0b", "a\x1bb", "a\x7f", "n\u00efve", "\ud800", "x" * 129):
        async with service.client.ws_connect("/service/websocket") as socket:
            if nonce.isascii():
                parts = ("GET", "/service/websocket", "", created["session_id"], timestamp, nonce)
                signature = client.sign(created["key"], *parts, client.hashlib.sha256(b"").hexdigest())
            else:
                signature = "any"
            shown = {"session_id": created["session_id"], "signature": signature, "timestamp": timestamp}
            frame = json.dumps({"id": 1, **shown, "nonce": nonce})
            await socket.send_str(frame)
            answer = json.loads(await socket.receive_str(timeout=WATCHDOG))
            assert answer["error"]["code"] == (1003 if nonce == "\ud800" else 1008), ascii(nonce)


class Nonces:
    """A scheme of an application's own, whose nonces are any text."""

    keyed = False
    nonce_ttl = 60.0

    def verify(self, request: Any, signer: Any) -> None:
        """Accept every request."""

    def sign(self, request: Any, signer: Any, body: bytes) -> None:
        """Sign no response."""


async def test_nonces_of_another_scheme(serve: Serve, store_url: str) -> None:
    """Those that a store could not keep are refused; others count once."""
    service = await serve(METHODS, database=store_url, signing=Nonces())
    session = (await service.result("account.create", ADA))["session_id"].encode()
    for nonce, codes in ((b"na\xefve", [1008]), (b"\xc3\xa9", [0, 1008]), (b"x" * 129, [1008])):
        for code in codes:
            answer = await call(service, "account.sessions", x_toto_session_id=session, x_toto_nonce=nonce)
            assert answer.get("error", {"code": 0})["code"] == code


async def test_forms(serve: Serve) -> None:
    """Names, values and file names that aren't UTF-8 are refused as input."""
    service = await serve(METHODS)
    form, multipart = b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=B"
    part = (
        b'--B\r\nContent-Disposition: form-data; name="a%b"; filename="f%b"\r\nContent-Type: t%b\r\n\r\nv\r\n'
    )
    for content_type, body in (
        *((form, body) for body in (b"a=\xff", b"a=%ff", b"%ff=a", b"a=%ed%a0%80")),
        *((multipart, part % odd + b"--B--\r\n") for odd in ((b"\xff", b"", b""), (b"", b"\xff", b""))),
        (multipart, part % (b"", b"", b"\xff") + b"--B--\r\n"),
        (multipart, MULTIPART.replace(b"\r\nb\r\n", b"\r\n\xff\r\n")),
    ):
        answer = json.loads(await exchange(service, body, path=b"/service/echo", content_type=content_type))
        assert answer["error"]["code"] == 1003


@pytest.mark.parametrize("parser", ["C", "Python"])
@pytest.mark.parametrize(("content_type", "body"), [("json", b"{}"), ("msgpack", b"\x80")])
async def test_paths_and_queries(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, errors: Any, parser: str, content_type: str, body: bytes
) -> None:
    """Whatever bytes are in them, nothing fails: aiohttp refuses them, or they are replaced."""
    if parser == "Python":  # which aiohttp has where its extension can't be used; it refuses fewer bytes
        monkeypatch.setattr(
            aiohttp.web_protocol, "HttpRequestParser", aiohttp.http_parser.HttpRequestParserPy
        )
    service = await serve(METHODS)
    decode = json.loads if content_type == "json" else msgpack.unpackb
    refused = b"Invalid char in url"
    encoding = f"application/{content_type}".encode()
    for name, shown in ((b"na\xefve", "na\ufffdve"), (b"na%efve", "na%efve"), (b"na%00", "na\0")):
        answer = await exchange(service, body, path=b"/service/" + name, content_type=encoding)
        if parser == "Python" or not answer.startswith(refused):
            assert decode(answer)["error"] == {"code": 1001, "value": f"Cannot call '{shown}'."}
    for query, value in ((b"\xef=\xef", "\ufffd"), (b"%ef=%ef", "\ufffd"), (b"%00=%00", "\0")):
        answer = await exchange(service, verb=b"GET", path=b"/service/echo?" + query)
        if parser == "Python" or not answer.startswith(refused):
            assert json.loads(answer)["result"] == {value: value}
    assert not [error for error in errors() if "1000" in error]


def test_readable() -> None:
    """What is kept of a client has no surrogates and no control characters, and everything else."""
    kept = "é 🦊 \u2028 \u202e \xa0"
    assert readable(kept) == kept
    assert readable("\0\x1f\x7f\x9f\ud800\udfff") == "\ufffd" * 6
    assert ClientInfo("a\udcff", "b\0") == ClientInfo("a\ufffd", "b\ufffd")
