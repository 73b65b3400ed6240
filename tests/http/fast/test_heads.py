"""Consecutive request heads: what is derived from one without parsing it is what aiohttp parses."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import hdrs
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpProcessingError, HttpRequestParser
from hypothesis import given
from hypothesis import strategies as st

from tests.support.examples import patient
from toto_aio.http.fast.heads import STRUCTURE, changes

KNOWN = [
    b"POST /service HTTP/1.1",
    b"Host: x",
    b"Content-Type: application/json",
    b"x-toto-hmac: abc=",
    b"User-Agent: a program of a client's",
    b"Empty:",
    b"Padded:   much \t ",
    b"Twice: 1",
    b"TWICE: 2",
    b"Content-Length: 2",
    b"",
    b"",
]


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop for aiohttp's parser, which requires one."""
    with asyncio.Runner() as runner:
        yield runner.get_loop()


def read(lines: list[bytes], loop: asyncio.AbstractEventLoop) -> Any:
    """The head as aiohttp parses it, or None if it refuses it."""
    parser = HttpRequestParser(BaseProtocol(loop), loop, 2**16)
    try:
        messages, _, _ = parser.feed_data(b"\r\n".join(lines))
    except HttpProcessingError:
        return None
    return messages[0][0] if len(messages) == 1 else None


def with_line(number: int, line: bytes) -> list[bytes]:
    """The known head with one line replaced."""
    return [*KNOWN[:number], line, *KNOWN[number + 1 :]]


@pytest.mark.parametrize(
    ("number", "line"),
    [
        (3, b"x-toto-hmac: def="),
        (4, b"User-Agent: another, and a longer one"),
        (9, b"Content-Length: 1"),
    ],
    ids=["a token", "words", "the length"],
)
def test_plain_values(number: int, line: bytes, loop: asyncio.AbstractEventLoop) -> None:
    """A value that does not affect how the request is read is taken over."""
    name, _, value = line.partition(b": ")
    assert changes(KNOWN, read(KNOWN, loop).headers, with_line(number, line)) == {name.decode(): value}


@pytest.mark.parametrize(
    ("number", "line"),
    [
        (0, b"POST /other HTTP/1.1"),
        (0, b"GET /service HTTP/1.1"),
        (1, b"Host: y"),
        (2, b"Content-Type: application/bson"),
        (3, b"x-toto-nonce: abc="),
        (3, b"X-Toto-Hmac: def="),
        (3, b"x-toto-hmac : def="),
        (3, b"x-toto-hmac:def="),
        (3, b"x-toto-hmac: "),
        (3, b"x-toto-hmac:  def="),
        (3, b"x-toto-hmac: def= "),
        (3, b"x-toto-hmac: d  f="),
        (3, b"x-toto-hmac: d\tf="),
        (3, b"x-toto-hmac: d\nf: ="),
        (3, b"x-toto-hmac: d\xc3\xbcf="),
        (3, b"x-toto-hmac: d\x00f="),
        (3, b" x-toto-hmac: def="),
        (5, b"Empty: no more"),
        (6, b"Padded: less"),
        (7, b"Twice: 3"),
        (8, b"TWICE: 3"),
        (10, b"One: more"),
    ],
)
def test_whatever_may_mean_more(number: int, line: bytes, loop: asyncio.AbstractEventLoop) -> None:
    """A line that may change how the request is read, or has no plain value, is left to aiohttp."""
    assert changes(KNOWN, read(KNOWN, loop).headers, with_line(number, line)) is None


def test_lines_more_and_less(loop: asyncio.AbstractEventLoop) -> None:
    """A head with a different number of lines is a different head."""
    headers = read(KNOWN, loop).headers
    assert changes(KNOWN, headers, KNOWN) == {}
    assert changes(KNOWN, headers, KNOWN[:3] + KNOWN[4:]) is None
    assert changes(KNOWN, headers, [*KNOWN[:3], b"One: more", *KNOWN[3:]]) is None


NAMES = st.sampled_from(
    b"Host Accept accept aCCept X-A x-a X-B Referer Date Content-Length Connection Upgrade".split()
)
VALUES = st.sampled_from(
    [b"1", b"2", b"close", b"keep-alive", b"websocket", b"chunked", b"gzip", b"a b", b" a", b"a ", b""]
)
COLONS = st.sampled_from([b": "] * 9 + [b":", b":  ", b" "])
LINES = st.lists(st.tuples(NAMES | st.binary(max_size=3), COLONS, VALUES | st.binary(max_size=3)), max_size=4)


@patient
@given(LINES, LINES, st.data())
def test_against_aiohttp(
    before: list[tuple[bytes, bytes, bytes]], after: list[tuple[bytes, bytes, bytes]], data: st.DataObject
) -> None:
    """If the first of two heads is valid, what is derived from the second is what aiohttp parses in it."""
    if data.draw(st.sampled_from([True, True, False]), "similar"):
        after = [(*line[:2], data.draw(VALUES)) if data.draw(st.booleans()) else line for line in before]
    known, other = (
        [b"POST / HTTP/1.1", b"Host: x", *map(b"".join, lines), b"", b""] for lines in (before, after)
    )
    loop = asyncio.new_event_loop()
    try:
        message = read(known, loop)
        if message is None or b"\r\n".join(known).find(b"\r\n\r\n") != len(b"\r\n".join(known)) - 4:
            return
        found = changes(known, message.headers, other)
        if found is None or hdrs.CONTENT_LENGTH in found:
            return
        expected = message.headers.copy()
        for name, value in found.items():
            expected[name] = value.decode()
        assert not {name.lower() for name in found} & STRUCTURE
        told = read(other, loop)
        assert told is not None
        assert list(told.headers.items()) == list(expected.items())
        assert str(told._replace(headers=0, raw_headers=0)) == str(message._replace(headers=0, raw_headers=0))
    finally:
        loop.close()
