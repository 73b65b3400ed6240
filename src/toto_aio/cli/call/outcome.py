"""What a call gives, for people and for programs."""

from __future__ import annotations

import base64
import re
import sys
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from toto_aio.codecs.json_codec import JSON


class Result(Struct, frozen=True):
    """The result of a call, as JSON has it."""

    value: Any


class Bytes(Struct, frozen=True):
    """The bytes of a method's own."""

    body: bytes
    content_type: str


class Redirected(Struct, frozen=True):
    """A redirection, which is not followed."""

    url: str
    status: int


Outcome = Result | Bytes | Redirected


def show(outcome: Outcome, *, as_json: bool) -> None:
    """Print what a call gave on stdout."""
    if as_json:
        print(_json_of(outcome))
    elif isinstance(outcome, Result):
        if outcome.value is not None:
            print(readable(outcome.value))
    elif isinstance(outcome, Redirected):
        print(printable(outcome.url))
    else:
        _write(outcome)


def to_json(value: Any) -> str:
    """A value as one line of JSON, in ASCII."""
    return JSON.encode(value).decode()


def readable(value: Any) -> str:
    """A result for people: a table of objects, lines of ``name: value``, or JSON for what is nested."""
    if isinstance(value, dict) and value and all(map(_is_flat, value.values())):
        return "\n".join(f"{printable(str(name))}: {_cell(each)}".rstrip() for name, each in value.items())
    if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        names = list(dict.fromkeys(name for each in value for name in each))
        if names and all(_is_flat(each) for row in value for each in row.values()):
            rows = [[_cell(row.get(name, "")) for name in names] for row in value]
            return aligned([[printable(name).upper() for name in names], *rows])
    if isinstance(value, list) and value and all(map(_is_plain, value)):
        return "\n".join(map(_cell, value))
    if _is_plain(value):
        return printable(value, lines=True) if isinstance(value, str) else _cell(value)
    return printable(msgspec.json.format(msgspec.json.encode(value)).decode(), lines=True)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of a table, in columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def printable(text: str, *, lines: bool = False) -> str:
    """A text of a service, which must not command the terminal: control characters are shown as escapes."""
    pattern = _CONTROL_BUT_LINES if lines else _CONTROL
    return pattern.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _json_of(outcome: Outcome) -> str:
    if isinstance(outcome, Result):
        return to_json(outcome.value)
    if isinstance(outcome, Redirected):
        return to_json({"url": outcome.url, "status": outcome.status})
    body = base64.b64encode(outcome.body).decode()
    return to_json({"content_type": outcome.content_type, "body": body})


def _write(outcome: Bytes) -> None:
    if sys.stdout.isatty():
        try:
            text = outcome.body.decode()
        except ValueError:
            text = f"{len(outcome.body)} bytes of {outcome.content_type}: write > FILE behind the command"
        print(printable(text, lines=True))
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(outcome.body)


def _is_plain(value: Any) -> bool:
    return not isinstance(value, dict | list)


def _is_flat(value: Any) -> bool:
    """Whether a value fits into a line: a plain one, or a list of some."""
    return _is_plain(value) or (isinstance(value, list) and all(map(_is_plain, value)))


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_cell, value))
    if isinstance(value, str):
        return printable(value)
    return "" if value is None else to_json(value)


_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_CONTROL_BUT_LINES = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
