"""The parameters of a call, from the command line, from JSON and from files."""

from __future__ import annotations

import mimetypes
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from toto_aio.cli.call.document import Described, Document
from toto_aio.cli.call.line import Given, UsageError, option_of
from toto_aio.cli.call.values import free_value, value_of
from toto_aio.models import File

Files = dict[str, list[File]]


class Parameters(NamedTuple):
    """What a call sends. ``single`` are the parameters whose option stood there once."""

    values: dict[str, Any]
    files: Files


def read_parameters(given: Given, method: Described | None, document: Document) -> Parameters:
    """The parameters of a call of a method, of which nothing may be known. Raises ``UsageError``."""
    stdin = _once(_read_stdin)
    values: dict[str, Any] = _object("-", stdin()) if given.reads_stdin else {}
    written = given.options.values.get("parameters-json")
    if written is not None:
        data = _content(written[1:], stdin) if written.startswith("@") else written.encode()
        values |= _object("--parameters-json", data)
    files: Files = {}
    for name, texts in given.parameters.items():
        known = None if method is None else method.parameter(name)
        paths = [text[1:] for text in texts if text is not None and text.startswith("@")]
        if known is not None and known.takes_file and paths:
            if len(paths) < len(texts):
                raise UsageError(f"{option_of(name)}: write @FILE each time, or a value each time")
            files[name] = [_file(path, stdin) for path in paths]
        elif known is not None:
            values[name] = value_of(texts, known.schema, document)
        else:
            free = [True if text is None else free_value(text) for text in texts]
            values[name] = free[0] if len(free) == 1 else free
    for upload in given.options.uploads:
        name, equals, path = upload.partition("=")
        if not equals or not name:
            raise UsageError(f"--upload: write --upload=NAME=FILE, not {upload!r}")
        files.setdefault(name, []).append(_file(path.removeprefix("@"), stdin))
    for name in files:
        values.pop(name, None)
    return Parameters(values, files)


def _object(place: str, data: bytes) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(data)
    except (ValueError, RecursionError) as exc:
        raise UsageError(f"{place}: not JSON: {exc}") from exc
    if not isinstance(value, dict):
        raise UsageError(f'{place}: write a JSON object, such as {{"title": "x"}}')
    return value


def _file(path: str, stdin: Callable[[], bytes]) -> File:
    content_type = mimetypes.guess_type(path)[0] or "application/octet-stream"
    return File("stdin" if path == "-" else Path(path).name, content_type, _content(path, stdin))


def _content(path: str, stdin: Callable[[], bytes]) -> bytes:
    """The bytes of a file, or of the standard input. Raises ``UsageError``."""
    if path == "-":
        return stdin()
    try:
        return Path(path).expanduser().read_bytes()
    except (OSError, ValueError, RuntimeError) as exc:
        raise UsageError(f"{path}: {getattr(exc, 'strerror', None) or exc}") from exc


def _read_stdin() -> bytes:
    return sys.stdin.buffer.read()


def _once(read: Callable[[], bytes]) -> Callable[[], bytes]:
    """The same, which raises ``UsageError`` if it is called again."""
    was_read = False

    def reading() -> bytes:
        nonlocal was_read
        if was_read:
            raise UsageError("the standard input can be read for one thing only")
        was_read = True
        return read()

    return reading
