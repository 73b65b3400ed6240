"""Forms with files (``multipart/form-data``, RFC 7578), as a browser sends them."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from toto_aio.models import File

Files = Mapping[str, Sequence[File]]
"""The files of a form by the names of its fields."""


def encode_form(parameters: Mapping[str, Any], files: Files) -> tuple[str, bytes]:
    """The content type and the body of a form. Raises ``ValueError`` for a value that text cannot be."""
    boundary = secrets.token_hex(16)
    parts = [_part(name, "", text.encode()) for name, text in _texts(parameters)]
    for name, sent in files.items():
        parts += [
            _part(name, f'; filename="{_quoted(each.name)}"', each.data, each.content_type) for each in sent
        ]
    lines = [line for part in parts for line in (b"--" + boundary.encode(), *part)]
    body = b"\r\n".join([*lines, b"--" + boundary.encode() + b"--", b""])
    return f"multipart/form-data; boundary={boundary}", body


def can_be_text(value: Any) -> bool:
    """Whether a form can have the value of a parameter: a text, number, boolean, or some of them."""
    items = value if isinstance(value, list | tuple) else [value]
    return all(isinstance(each, str | int | float) for each in items)


def _texts(parameters: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in parameters.items():
        if not can_be_text(value):
            raise ValueError(f"{name}: a form has text, numbers and lists of them: send this without files")
        for each in value if isinstance(value, list | tuple) else [value]:
            yield name, str(each).lower() if isinstance(each, bool) else str(each)


def _part(name: str, more: str, content: bytes, content_type: str = "") -> list[bytes]:
    head = [f'Content-Disposition: form-data; name="{_quoted(name)}"{more}'.encode()]
    if content_type:
        head.append(f"Content-Type: {_NOT_IN_A_HEADER.sub('', content_type)}".encode())
    return [*head, b"", content]


def _quoted(text: str) -> str:
    """A name in quotation marks, as HTML has it: a name never ends its header."""
    return _NOT_IN_A_NAME.sub(lambda found: f"%{ord(found[0]):02X}", text)


_NOT_IN_A_NAME = re.compile(r'["\r\n]')
_NOT_IN_A_HEADER = re.compile(r"[^\x20-\x7e]")
