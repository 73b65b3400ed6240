"""The worst inputs for each parser, 1 MiB each, as the bytes that a client sends.

Each has its reason: what it makes a decoder, a parser or the garbage collector do as often as possible. Those
named "at the limit" are accepted.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice

from toto_aio.codecs.limits import MAX_CONTAINERS, MAX_EXPONENTS, MAX_RICH, MAX_VALUES

SIZE = 2**20
"""Bytes of an input: as many as a body may have."""
HEAD = 8000
"""Bytes of a header, or of a path with its query: aiohttp takes 8,190."""
HEADERS = 100
"""Headers of a request: aiohttp takes 128."""

JSON, MSGPACK, BSON = "application/json", "application/msgpack", "application/bson"
URLENCODED, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests that are sent one after the other, each when its response has come, unless they are ``piped``.

    A ``flood`` is thousands of calls: nobody may be held up by it, but it may cost what they cost.
    """

    requests: Sequence[bytes]
    piped: bool = False
    flood: bool = False


@dataclass(frozen=True, slots=True)
class Frames:
    """Frames that are sent over one socket without waiting."""

    frames: bytes
    flood: bool = False


Input = Requests | Frames


def inputs(size: int = SIZE) -> dict[str, Callable[[], Input]]:
    """The makers of all inputs, by name."""
    bodies: list[tuple[str, str, Callable[[int], bytes]]] = [
        *((f"JSON: {name}", JSON, make) for name, make in JSON_BODIES.items()),
        *((f"MessagePack: {name}", MSGPACK, make) for name, make in MSGPACK_BODIES.items()),
        *((f"BSON: {name}", BSON, make) for name, make in BSON_BODIES.items()),
        *((f"form: {name}", URLENCODED, make) for name, make in URLENCODED_BODIES.items()),
        *((f"multipart: {name}", MULTIPART, make) for name, make in MULTIPART_BODIES.items()),
    ]
    frames = (
        *((f"text frame: {name}", 1, make) for name, make in JSON_BODIES.items()),
        *((f"binary frame: {name}", 2, make) for name, make in MSGPACK_BODIES.items()),
    )
    return {
        **{name: _post(kind, make, size) for name, kind, make in bodies},
        **{name: _frame(opcode, make, size) for name, opcode, make in frames},
        **{name: _made(make, size) for name, make in OTHERS.items()},
    }


def request(line: str, headers: Sequence[str] = (), body: bytes = b"") -> bytes:
    """The bytes of a request."""
    lines = [f"{line} HTTP/1.1", "Host: x", *headers]
    if line.startswith("POST") and not any(each.startswith("Transfer-Encoding") for each in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def frame(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    """A frame of a client; its mask is zero."""
    first, length = opcode | (0x80 if fin else 0), len(payload)
    if length < 126:
        head = struct.pack("!BB", first, 0x80 | length)
    elif length < 65536:
        head = struct.pack("!BBH", first, 0x80 | 126, length)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, length)
    return head + bytes(4) + payload


def colliding(size: int) -> Iterator[tuple[int, int]]:
    """Pairs of integers whose tuples all have the same hash (CPython's is xxHash without a secret)."""
    wanted = _rotated(pow(_PRIME_1, -1, 2**64), 33)
    inverse = pow(_PRIME_2, -1, 2**64)
    for first in count(1):
        before = _rotated((_PRIME_5 + first * _PRIME_2) & _MASK, 31) * _PRIME_1 & _MASK
        second = (wanted - before) * inverse & _MASK
        if second < 2**61 - 1:  # the hash of a larger integer is another
            yield first, second


def _rotated(value: int, bits: int) -> int:
    return (value << bits | value >> (64 - bits)) & _MASK


_MASK = 2**64 - 1
_PRIME_1, _PRIME_2, _PRIME_5 = 11400714785074694791, 14029467366897019727, 2870177450012600261


def _filled(piece: bytes, size: int, start: bytes = b"", end: bytes = b"", most: int = SIZE) -> bytes:
    """As many pieces as ``size`` bytes hold."""
    return start + piece * min(most, (size - len(start) - len(end)) // len(piece)) + end


def _json(piece: bytes, most: int = SIZE) -> Callable[[int], bytes]:
    """An array of this value, as a parameter."""
    start, end = b'{"id":0,"method":"echo","parameters":{"a":[', b"0]}}"
    return lambda size: _filled(piece + b",", size, start, end, most)


def _json_text(piece: bytes) -> Callable[[int], bytes]:
    """A string of this piece, as a parameter."""
    return lambda size: _filled(piece, size, b'{"id":0,"method":"echo","parameters":{"a":"', b'"}}')


JSON_BODIES: dict[str, Callable[[int], bytes]] = {
    "integers": _json(b"1"),
    "integers at the limit": _json(b"1234567", MAX_VALUES - 20),
    "arrays": _json(b"[]"),
    "arrays at the limit": _json(b"[1]", MAX_CONTAINERS - 20),
    "objects at the limit": _json(b'{"a":1}', MAX_CONTAINERS - 20),
    "empty objects at the limit": _json(b"{}", MAX_CONTAINERS - 20),
    "nested arrays": _json(b"[" * 50 + b"]" * 50),
    "nested arrays at the limit": _json(b"[" * 50 + b"]" * 50, MAX_CONTAINERS // 50 - 20),
    "nested objects at the limit": _json(b'{"":' * 50 + b"1" + b"}" * 50, MAX_CONTAINERS // 50 - 20),
    "opening brackets": lambda size: b"[" * size,
    "brackets in strings": _json(b'"[[[["'),
    "keys at the limit": lambda size: (
        b'{"method":"echo","parameters":{%s}}'
        % b",".join(b'"%x":1' % number for number in range(min(size // 10, MAX_VALUES // 2 - 20)))
    ),
    "one key many times": lambda size: _filled(b'"a":1,', size, b'{"parameters":{', b'"a":1}}'),
    "exponents": _json(b"5e300"),
    "exponents at the limit": _json(b"5e300", MAX_EXPONENTS),
    "small exponents at the limit": _json(b"1e-308", MAX_EXPONENTS),
    "the largest double": _json(b"1.7976931348623157e308"),
    "doubles half-way": _json(b"2.2250738585072011360574097967e-308"),
    "doubles of many digits": _json(b"9007199254740992.9999999999999999"),
    "doubles of very many digits": _json(b"0." + b"0" * 300 + b"1234567890123456789"),
    "long integers": _json(b"9" * 4000),
    "integers of 19 digits": _json(b"1234567890123456789"),
    "short strings at the limit": _json('"\u00e9"'.encode(), MAX_VALUES - 20),
    "escaped quotes": _json_text(b'\\"'),
    "escapes": _json_text(b"\\u00e9"),
    "quotes": _json(b'""'),
    "text that is not ASCII": _json_text("\u00e9a".encode()),
    "a long method name": lambda size: _filled("\u00e9".encode(), size, b'{"method":"', b'"}'),
    "an array as a method name": lambda size: _filled(b"[],", size // 8, b'{"method":[', b"0]}"),
    "a batch": lambda size: (
        b'{"batch":{%s}}'
        % b",".join(
            b'"%d":{"method":"echo","parameters":{"a":"%s"}}'
            % (number, "\u00e9".encode() * (size // 104 - 40))
            for number in range(50)
        )
    ),
    "a batch of arrays": lambda size: (
        b'{"batch":{%s}}'
        % b",".join(
            b'"%d":{"method":"echo","parameters":{"a":[%s0]}}' % (number, b"[1]," * (MAX_VALUES // 200))
            for number in range(50)
        )
    ),
    "a batch of long names": lambda size: (
        b'{"batch":{%s}}'
        % b",".join(b'"%d":{"method":"%s"}' % (number, b"a" * (size // 51)) for number in range(50))
    ),
    "a long user id": lambda size: _filled(
        "\u03a3".encode(), size, b'{"method":"account.login","parameters":{"password":"","user_id":"', b'"}}'
    ),
    "unknown account fields": lambda size: (
        b'{"method":"account.create","parameters":{"user_id":"a",%s}}'
        % b",".join(b'"%x":1' % number for number in range(size // 20))
    ),
}


def _msgpack(piece: bytes, most: int = SIZE) -> Callable[[int], bytes]:
    """An array of this value, as a parameter."""

    def make(size: int) -> bytes:
        number = min(most, (size - 100) // len(piece))
        start = b"\x83\xa2id\x00\xa6method\xa4echo\xaaparameters\x81\xa1a\xdd"
        return start + struct.pack(">I", number) + piece * number

    return make


def _msgpack_map(pairs: Sequence[bytes]) -> bytes:
    start = b"\x83\xa2id\x00\xa6method\xa4echo\xaaparameters\xdf"
    return start + struct.pack(">I", len(pairs)) + b"".join(pairs)


MSGPACK_BODIES: dict[str, Callable[[int], bytes]] = {
    "colliding keys": lambda size: _msgpack_map(
        [
            b"\x92\xce" + struct.pack(">I", one) + b"\xcf" + struct.pack(">Q", other) + b"\x01"
            for one, other in islice(colliding(size), size // 18)
        ]
    ),
    "integers as keys": lambda size: _msgpack_map(
        [b"\xcf" + struct.pack(">Q", number << 40) + b"\x01" for number in range(size // 10)]
    ),
    "arrays": _msgpack(b"\x90"),
    "arrays at the limit": _msgpack(b"\x91\x01", MAX_CONTAINERS - 20),
    "objects at the limit": _msgpack(b"\x81\xa1a\x01", MAX_CONTAINERS - 20),
    "nested arrays at the limit": _msgpack(b"\x91" * 50 + b"\x01", MAX_CONTAINERS // 51),
    "integers": _msgpack(b"\x01"),
    "integers at the limit": _msgpack(b"\x01", MAX_VALUES - 20),
    "doubles at the limit": _msgpack(b"\xcb" + struct.pack(">d", 1.5), MAX_VALUES - 20),
    "texts at the limit": _msgpack(b"\xa2\xc3\xa9", MAX_VALUES - 20),
    "extensions": _msgpack(b"\xd4\x05a"),
    "extensions at the limit": _msgpack(b"\xc7\x00\x05", MAX_VALUES - 20),
    "timestamps at the limit": _msgpack(b"\xd6\xff\x00\x00\x00\x01", MAX_VALUES - 20),
    "keys at the limit": lambda size: _msgpack_map(
        [b"\xa5%05x\x01" % number for number in range(min(size // 8, MAX_VALUES // 2 - 20))]
    ),
    "text that is not ASCII": lambda size: (
        b"\x83\xa2id\x00\xa6method\xa4echo\xaaparameters\x81\xa1a\xdb"
        + struct.pack(">I", size // 2 * 2 - 100)
        + "\u00e9".encode() * (size // 2 - 50)
    ),
}


def _bson(element: bytes, most: int = SIZE) -> Callable[[int], bytes]:
    """An array of this element, as a parameter."""
    return lambda size: _document(
        b"\x02method\0\x05\0\0\0echo\0\x03parameters\0"
        + _document(b"\x04a\0" + _document(_filled(element, size - 100, most=most)))
    )


def _document(elements: bytes) -> bytes:
    return struct.pack("<i", len(elements) + 5) + elements + b"\0"


def _nested(depth: int) -> bytes:
    """An element of nested documents."""
    document = _document(b"")
    for _ in range(depth):
        document = _document(b"\3\0" + document)
    return b"\3\0" + document


BSON_BODIES: dict[str, Callable[[int], bytes]] = {
    "nulls": _bson(b"\x0a\0"),
    "nulls at the limit": _bson(b"\x0a\0", MAX_VALUES - 20),
    "documents": _bson(b"\3\0" + _document(b"")),
    "documents at the limit": _bson(b"\3\0" + _document(b"\x0aa\0"), MAX_CONTAINERS - 20),
    "nested documents at the limit": _bson(_nested(50), MAX_CONTAINERS // 51 - 20),
    "integers of 64 bits": _bson(b"\x12\0" + b"\1" * 8),
    "dates": _bson(b"\x09\0" + b"\0" * 8),
    "dates at the limit": _bson(b"\x09\0" + b"\0" * 8, MAX_RICH),
    "object ids at the limit": _bson(b"\7\0" + b"1" * 12, MAX_RICH),
    "timestamps at the limit": _bson(b"\x11\0" + b"\1" * 8, MAX_RICH),
    "decimals at the limit": _bson(b"\x13\0" + b"\1" * 16, MAX_RICH),
    "UUIDs": _bson(b"\5\0\x10\0\0\0\4" + b"1" * 16),
    "UUIDs at the limit": _bson(b"\5\0\x10\0\0\0\4" + b"1" * 16, MAX_RICH),
    "binary subtypes": _bson(b"\5\0\0\0\0\0\x80"),
    "binary subtypes at the limit": _bson(b"\5\0\0\0\0\0\x80", MAX_RICH),
    "code": _bson(b"\x0d\0\1\0\0\0\0"),
    "patterns": _bson(b"\x0b\0\0\0"),
    "references": _bson(b"\3\0" + _document(b"\2$ref\0\2\0\0\0a\0\x0a$id\0")),
}
URLENCODED_BODIES: dict[str, Callable[[int], bytes]] = {
    "escapes": lambda size: _filled(b"%41", size, b"a="),
    "escapes that are broken": lambda size: _filled(b"%zz", size, b"a="),
    "escapes within other text": lambda size: _filled("\u00e9%41".encode(), size, b"a="),
    "fields": lambda size: _filled(b"a=1&", size),
    "fields at the limit": lambda size: _filled(
        b"a=%41" + b"%41" * (size // 3200) + b"&", size, b"", b"a=", 999
    ),
    "ampersands": lambda size: b"&" * size,
    "a field without a value": lambda size: b"a" * size,
}
_PART = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n'
_END = b"\r\n--x--\r\n"
MULTIPART_BODIES: dict[str, Callable[[int], bytes]] = {
    "line feeds": lambda size: _filled(b"\n", size, _PART, _END),
    "line ends": lambda size: _filled(b"\r\n", size, _PART, _END),
    "carriage returns": lambda size: _filled(b"\r", size, _PART, _END),
    "what begins like a boundary": lambda size: _filled(b"\r\n--", size, _PART, _END),
    "line ends before the first part": lambda size: _filled(b"\r\n", size, b"", _PART + _END),
    "parts": lambda size: _filled(_PART + b"1\r\n", size, b"", b"--x--\r\n"),
    "parts at the limit": lambda size: _filled(
        _PART + b"\n" * (size // 1000 - 60) + b"\r\n", size, b"", b"--x--\r\n", 1000
    ),
    "headers of a part": lambda size: _filled(b"a:b\r\n", size, _PART[:-2], b"\r\n" + _END),
    "a long header": lambda size: _filled(b"a=b;", size, _PART[:-4] + b"; ", b"\r\n\r\n" + _END),
    "quoted-printable": lambda size: _filled(
        b"=41", size, _PART[:-2] + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n", _END
    ),
}


def _many(make: Callable[[int], bytes], size: int, *, piped: bool = False, flood: bool = False) -> Requests:
    """As many requests as ``size`` bytes hold; ``make`` gets the number of each."""
    requests: list[bytes] = []
    left = size
    while left > 0:
        requests.append(make(len(requests)))
        left -= len(requests[-1])
    return Requests(requests, piped, flood=piped)


ECHO = b'{"method":"echo"}'
_JSON = f"Content-Type: {JSON}"
OTHERS: dict[str, Callable[[int], Input]] = {
    "bodies of 1 KiB, colliding keys": lambda size: _many(
        lambda _: request(
            "POST /service", [f"Content-Type: {MSGPACK}"], MSGPACK_BODIES["colliding keys"](1000)
        ),
        size,
    ),
    "bodies of 1 KiB, exponents": lambda size: _many(
        lambda _: request("POST /service", [_JSON], _json(b"5e300")(1000)), size
    ),
    "query: one name many times": lambda size: _many(
        lambda _: request(f"GET /service/read?{'a&' * (HEAD // 2)}"), size
    ),
    "query: many names": lambda size: _many(
        lambda _: request("GET /service/read?" + "&".join(f"{n:x}=" for n in range(HEAD // 5))), size
    ),
    "query: escapes": lambda size: _many(
        lambda _: request("GET /service/read?a=" + "%41" * (HEAD // 3)), size
    ),
    "path: escapes": lambda size: _many(lambda _: request("GET /service/" + "%41" * (HEAD // 3)), size),
    "path: slashes": lambda size: _many(lambda _: request("GET /service/" + "/" * (HEAD - 100)), size),
    "path: segments": lambda size: _many(lambda _: request("GET /service/" + "a/" * (HEAD // 2 - 50)), size),
    "X-Forwarded-For": lambda size: _many(
        lambda _: request(
            "POST /service",
            [_JSON, *["X-Forwarded-For: " + "::1," * (HEAD // 4) + "::1"] * 3],
            b'{"method":"address"}',
        ),
        size,
    ),
    "a head that is too large": lambda size: _many(
        lambda _: request("POST /service", [_JSON, *["X-Forwarded-For: " + "::1," * (HEAD // 4)] * HEADERS]),
        size,
    ),
    "cookies": lambda size: _many(
        lambda _: request(
            "POST /service",
            [_JSON, "Origin: http://x", "Cookie: " + "a=b;" * (HEAD // 4) + "toto-session=1"],
            b'{"method":"session"}',
        ),
        size,
    ),
    "a cookie of backslashes": lambda size: _many(
        lambda _: request(
            "POST /service",
            [_JSON, "Origin: http://x", 'Cookie: toto-session="' + "\\" * (HEAD - 100) + '"'],
            b'{"method":"session"}',
        ),
        size,
    ),
    "headers": lambda size: _many(
        lambda _: request("POST /service", [_JSON, *(f"a{n}: b" for n in range(HEADERS))], ECHO), size
    ),
    "too many headers": lambda size: Requests([request("POST /service", ["a: b"] * (size // 6), ECHO)]),
    "heads that differ": lambda size: _many(
        lambda number: request("POST /service", [_JSON, *(f"a{n}: {number}" for n in range(HEADERS))], ECHO),
        size,
    ),
    "a long content type": lambda size: _many(
        lambda _: request("POST /service", ["Content-Type: " + "a;" * (HEAD // 2)], ECHO), size
    ),
    "chunks of one byte": lambda size: Requests(
        [
            request("POST /service", [_JSON, "Transfer-Encoding: chunked"])
            + b"".join(
                b"1\r\n%c\r\n" % byte for byte in b'{"method":"echo","a":"' + b"a" * (size // 6) + b'"}'
            )
            + b"0\r\n\r\n"
        ]
    ),
    "gzip of zeros": lambda size: Requests(
        [
            request(
                "POST /service",
                [_JSON, "Content-Encoding: gzip", "Connection: close"],
                gzip.compress(bytes(size * 100)),
            )
        ]
    ),
    "requests in one write": lambda size: _many(
        lambda _: request("POST /service", [_JSON], ECHO), size, piped=True
    ),
    "gets in one write": lambda size: _many(lambda _: b"GET / HTTP/1.1\r\nHost:x\r\n\r\n", size, piped=True),
    "frames: empty": lambda size: Frames(frame(1, b"") * (size // 6)),
    "frames: calls": lambda size: Frames(frame(1, b'{"id":0,"method":"echo"}') * (size // 30), flood=True),
    "frames: pings": lambda size: Frames(frame(9, b"") * (size // 6)),
    "frames: pongs": lambda size: Frames(frame(10, b"") * (size // 6)),
    "frames: fragments": lambda size: Frames(
        frame(1, b" ", fin=False) + frame(0, b" ", fin=False) * (size // 7) + frame(0, b"1")
    ),
}


def _post(content_type: str, make: Callable[[int], bytes], size: int) -> Callable[[], Input]:
    line = "POST /service" if content_type in (JSON, MSGPACK, BSON) else "POST /service/echo"
    return lambda: Requests([request(line, [f"Content-Type: {content_type}"], make(size))])


def _frame(opcode: int, make: Callable[[int], bytes], size: int) -> Callable[[], Input]:
    return lambda: Frames(frame(opcode, make(size - 64)))


def _made(make: Callable[[int], Input], size: int) -> Callable[[], Input]:
    return lambda: make(size)
