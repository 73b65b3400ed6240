"""The body of a request: read whole, within limits of size and time."""

from __future__ import annotations

import asyncio

from aiohttp import StreamReader, hdrs, web

from toto_aio.exceptions import InvalidParameters
from toto_aio.http.codings import Decoder, coding_of, is_decoded, require_some
from toto_aio.http.request import HTTPRequest

PIECE = 2**12
"""Bytes of a body that are read before the loop has its turn: each may be a chunk, which costs 3 us."""


class BrokenBodyError(InvalidParameters):
    """A body that didn't arrive whole, after which nothing more can be read from its connection."""


def body_at_hand(request: web.Request) -> bytes:
    """The body, if all of it arrived with the headers, and as it is; else b""."""
    if hdrs.CONTENT_ENCODING in request.headers:
        return b""
    content = request.content
    try:
        return content.read_nowait() if content.is_eof() else b""
    except Exception:  # read_body raises what is wrong with it
        return b""


async def read_body(request: web.Request, begun: bytes, limit: int, seconds: float) -> bytes:
    """The body, of which ``begun`` has been read already.

    Its bytes are counted here, as an app that embeds this one has a limit of its own on ``request.read``.
    Raises ``InvalidParameters`` for more than ``limit`` bytes (413), an unknown coding (415) or what isn't
    in its coding (400), ``BrokenBodyError`` for a body that decompresses to more (413), is broken (400) or
    hasn't arrived within the ``seconds`` (408).
    """
    try:
        async with asyncio.timeout(seconds):
            return await _read_within(request, begun, limit)
    except TimeoutError as exc:
        raise BrokenBodyError(f"The body must come within {seconds:g} seconds.", status=408) from exc


def put_back(request: web.Request, body: bytes) -> None:
    """Let the body that was read of a request be read again, in whichever way a handler reads it.

    aiohttp has nothing public for this. Setting what ``read`` returns would not serve multipart forms.
    """
    again = StreamReader(request.protocol, len(body) + 1, loop=asyncio.get_running_loop())
    if hdrs.CONTENT_ENCODING in request.headers:
        again.total_compressed_bytes = len(body)  # it is decoded
    again.feed_data(body)
    again.feed_eof()
    request._payload = again


def refuse_body(request: web.Request) -> None:
    """Let the connection end after the response to a request whose body is not wanted."""
    request.protocol.close()
    request.content.feed_eof()


async def _read_within(request: web.Request, begun: bytes, limit: int) -> bytes:
    if (request.content_length or 0) > limit:
        raise _too_large(request, limit)
    coding = coding_of(request) if hdrs.CONTENT_ENCODING in request.headers else ""
    if coding and request.can_read_body and not is_decoded(request):
        return await _decoded(request, Decoder(coding, limit), limit)
    pieces = bytearray(begun)
    while piece := await _read_piece(request):
        pieces += piece
        if len(pieces) > limit:
            raise _too_large(request, limit)
    if not pieces and request.body_exists:
        pieces += await request.read()  # a middleware of the embedding app has read it
    if len(pieces) > limit:
        raise _too_large(request, limit)
    body = bytes(pieces)
    require_some(request, coding, body)
    return body


async def _decoded(request: web.Request, decoder: Decoder, limit: int) -> bytes:
    size = 0
    while piece := await _read_piece(request):
        size += len(piece)
        if size > limit or not decoder.feed(piece):
            raise _too_large(request, limit)
    return decoder.end()


async def _read_piece(request: web.Request) -> bytes:
    """The next bytes as they came; b"" at the end."""
    try:
        piece = await request.content.read(PIECE)
    except web.RequestPayloadError as exc:
        raise BrokenBodyError(f"The body is broken: {exc}", status=400) from exc
    if piece:
        await asyncio.sleep(0)  # reading doesn't pause while there is something to read
    return piece


def coding_error(request: web.Request) -> BrokenBodyError | None:
    """What is wrong with a body that has not been sent yet, if it will be in a coding that nobody knows."""
    try:
        coding_of(request)
    except InvalidParameters as exc:
        return BrokenBodyError(exc.value, status=exc.status)
    return None


def too_large(limit: int) -> str:
    """What is wrong with a body of more than ``limit`` bytes."""
    return f"The body must have at most {limit} bytes."


def _too_large(request: web.Request, limit: int) -> InvalidParameters:
    text = too_large(limit)
    if hdrs.CONTENT_ENCODING not in request.headers:
        return InvalidParameters(text, status=413)
    # To find the next request, aiohttp would go on decompressing this one for ten seconds.
    refuse_body(request)
    return BrokenBodyError(text, status=413)


def essence(request: HTTPRequest) -> str:
    """The content type without its parameters, in lower case."""
    return request.headers.get(hdrs.CONTENT_TYPE, "").partition(";")[0].strip().lower()
