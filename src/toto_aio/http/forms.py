"""The parameters in a form that a browser posts, as Toto passes them to a method."""

from __future__ import annotations

from binascii import a2b_base64, a2b_qp
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from aiohttp import hdrs
from multipart import (
    MultipartError,
    MultipartSegment,
    PushMultipartParser,
    content_disposition_unquote,
    parse_options_header,
)

from toto_aio.codecs.codec import Steps
from toto_aio.exceptions import InvalidParameters
from toto_aio.http.body import essence
from toto_aio.http.request import HTTPRequest
from toto_aio.names import shortened

MAX_FIELDS = 1000
"""The most fields of a form."""
MAX_REASON = 200
"""The most characters of the reason why a form can't be read."""
STEP = 2**14
"""Bytes that are read before the loop may have its turn: up to 7 ms, if all are percent-encoded."""


def read_form(request: HTTPRequest, body: bytes) -> Steps:
    """The parameters in a form, in steps.

    Raises ``InvalidParameters``: 415 for another content type, 400 if the form is broken.
    """
    content_type = essence(request)
    if content_type not in FORMS:
        types = " or ".join(["application/json", *FORMS])
        raise InvalidParameters(f"Cannot read {shortened(content_type)!r}: write {types}.", status=415)
    try:
        return (yield from FORMS[content_type](request.headers[hdrs.CONTENT_TYPE], body))
    except (ValueError, MultipartError) as exc:
        hint = "; write 'content-type: application/json' for JSON" if body.startswith(b"{") else ""
        reason = shortened(str(exc), MAX_REASON) + hint
        raise InvalidParameters(f"Not a form: {reason}", status=400) from exc


def read_urlencoded(content_type: str, body: bytes) -> Steps:
    """``application/x-www-form-urlencoded`` (WHATWG URL): each name with the list of its values.

    Empty fields are skipped, and one without ``=`` has an empty value; but JSON is no form.
    """
    if body.count(b"&") >= MAX_FIELDS:
        raise ValueError(f"it has more than {MAX_FIELDS} fields")
    if body.startswith(b"{") and b"=" not in body:
        raise ValueError("it looks like JSON")  # as curl posts it, without a content type
    fields: dict[str, list[str]] = {}
    read = 0
    for field in body.replace(b"+", b" ").split(b"&"):
        if not field:
            continue
        name, _, value = field.partition(b"=")
        decoded = yield from _unquoted(value)
        fields.setdefault((yield from _unquoted(name)), []).append(decoded)
        read += len(field)
        if read > STEP:
            read = 0
            yield
    return fields


def read_multipart(content_type: str, body: bytes) -> Steps:
    """``multipart/form-data`` (RFC 7578): ``{"arguments": {name: [text]}, "files": {name: [file]}}``.

    A file is ``{"filename", "content_type", "body"}``, its body bytes.
    """
    arguments: dict[str, list[str]] = {}
    files: dict[str, list[dict[str, Any]]] = {}
    part: Any = None
    content = bytearray()
    boundary = parse_options_header(content_type)[1].get("boundary", "")
    with PushMultipartParser(boundary, max_segment_count=MAX_FIELDS) as parser:
        for start in range(0, len(body), STEP):
            for event in parser.parse(body[start : start + STEP]):
                if isinstance(event, MultipartSegment):
                    part, content = event, bytearray()
                    if not part.name:
                        raise ValueError("a part has no name")
                elif event:
                    content += event
                elif part.filename is None:
                    arguments.setdefault(part.name, []).append(_content(part, content).decode())
                else:
                    file_type = part.header(hdrs.CONTENT_TYPE, "application/octet-stream")
                    file = {
                        "filename": _filename(part),
                        "content_type": file_type,
                        "body": _content(part, content),
                    }
                    files.setdefault(part.name, []).append(file)
            yield
    return {"arguments": arguments, "files": files}


FORMS: Mapping[str, Callable[[str, bytes], Steps]] = {
    "application/x-www-form-urlencoded": read_urlencoded,
    "multipart/form-data": read_multipart,
}


def _unquoted(quoted: bytes) -> Steps:
    """Percent-encoded text. Raises ``ValueError`` if it isn't UTF-8."""
    start, decoded = 0, bytearray()
    while len(quoted) - start > STEP:
        end = start + STEP
        escape = quoted.find(b"%", end - 2, end)
        if escape >= 0:
            end = escape  # not within it
        decoded += unquote_to_bytes(quoted[start:end])
        start = end
        yield
    return (decoded + unquote_to_bytes(quoted[start:])).decode()


def _filename(part: MultipartSegment) -> str | None:
    """The name as the browser sent it: ``part.filename`` lacks what looks like a folder of Windows."""
    disposition = part.header("Content-Disposition", "")
    if "\\" in disposition:
        options = parse_options_header(disposition, unquote=_unquoted_as_it_is)[1]
        if "filename" in options and "filename*" not in options:
            return str(options["filename"])
    name: str | None = part.filename
    return name


def _unquoted_as_it_is(text: str, is_filename: bool) -> str:
    return str(content_disposition_unquote(text))


def _content(part: MultipartSegment, content: bytearray) -> bytes:
    """The bytes of a part. Raises ``ValueError``."""
    if part.header(hdrs.CONTENT_TYPE, "").lower().startswith("multipart/"):
        raise ValueError("a part may not have parts of its own")
    if part.header(hdrs.CONTENT_ENCODING) is not None:
        raise ValueError("a part may not be compressed")
    decode = _TRANSFER_ENCODINGS.get(part.header("Content-Transfer-Encoding", "binary").lower())
    if decode is None:
        raise ValueError("a part has an unknown Content-Transfer-Encoding")
    return decode(content)


_TRANSFER_ENCODINGS: Mapping[str, Callable[[bytearray], bytes]] = {
    "7bit": bytes,
    "8bit": bytes,
    "binary": bytes,
    "base64": a2b_base64,
    "quoted-printable": a2b_qp,
}
