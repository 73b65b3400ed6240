"""The parameters in a form that a browser posts, as Toto passes them to a method."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from aiohttp import BodyPartReader, MultipartReader, StreamReader, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from toto_aio.exceptions import InvalidParameters
from toto_aio.http.body import essence

MAX_FIELDS = 1000
"""The most fields of a form."""


async def read_form(request: web.Request, body: bytes) -> dict[str, Any]:
    """The parameters in a form. Raises ``InvalidParameters``: 415 for another content type, 400 if broken."""
    content_type = essence(request)
    if content_type not in FORMS:
        raise InvalidParameters(f"Cannot read {content_type!r}.", status=415)
    return await FORMS[content_type](request, body)


async def read_urlencoded(request: web.Request, body: bytes) -> dict[str, Any]:
    """``application/x-www-form-urlencoded``: each name with the list of its values."""
    try:
        return dict(
            parse_qs(
                body.decode(),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=MAX_FIELDS,
                strict_parsing=bool(body),
            )
        )
    except ValueError as exc:
        raise InvalidParameters(f"Not a form: {exc}", status=400) from exc


async def read_multipart(request: web.Request, body: bytes) -> dict[str, Any]:
    """``multipart/form-data`` (RFC 7578): ``{"arguments": {name: [text]}, "files": {name: [file]}}``.

    A file is ``{"filename", "content_type", "body"}``, its body bytes.
    """
    arguments: dict[str, list[str]] = {}
    files: dict[str, list[dict[str, Any]]] = {}
    try:
        reader = MultipartReader(request.headers, _stream(request, body))
        count = 0
        while (part := await reader.next()) is not None:
            count += 1
            if count > MAX_FIELDS:
                raise InvalidParameters(f"A form has at most {MAX_FIELDS} fields.", status=400)
            if not isinstance(part, BodyPartReader) or part.name is None:
                raise ValueError("each part needs a name, and none may hold parts of its own")
            content = bytes(await part.read(decode=True))
            if part.filename is None:
                arguments.setdefault(part.name, []).append(content.decode())
            else:
                content_type = part.headers.get(hdrs.CONTENT_TYPE, "application/octet-stream")
                file = {"filename": part.filename, "content_type": content_type, "body": content}
                files.setdefault(part.name, []).append(file)
    except (ValueError, RuntimeError, AssertionError, HttpProcessingError) as exc:
        raise InvalidParameters(f"Not a form: {exc}", status=400) from exc
    return {"arguments": arguments, "files": files}


FORMS: Mapping[str, Callable[[web.Request, bytes], Awaitable[dict[str, Any]]]] = {
    "application/x-www-form-urlencoded": read_urlencoded,
    "multipart/form-data": read_multipart,
}


def _stream(request: web.Request, body: bytes) -> StreamReader:
    """The body, which was read whole for its signature, as the stream that aiohttp's reader takes."""
    stream = StreamReader(request.protocol, limit=len(body) + 1)
    stream.feed_data(body)
    stream.feed_eof()
    return stream
