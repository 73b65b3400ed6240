"""How a client writes values and reads results: in a codec, or as text."""

from __future__ import annotations

import base64
import datetime
import decimal
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import bson
import msgpack
import msgspec


@dataclass(frozen=True)
class Form:
    """A codec as a client without toto_aio has it. ``native`` are the types that it has beside JSON's."""

    name: str
    dumps: Callable[[Any], bytes]
    loads: Callable[[bytes], Any]
    native: Mapping[type, Callable[[Any], Any]]

    @property
    def content_type(self) -> str:
        """The content type of its bodies."""
        return f"application/{self.name}"

    def write(self, value: Any) -> Any:
        """A value as the codec can send it."""
        if isinstance(value, dict):
            return {name: self.write(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self.write(each) for each in value]
        kind = type(value)
        if kind in self.native:
            return self.native[kind](value)
        return _TEXTS[kind](value) if kind in _TEXTS else value

    def read(self, result: Any, kind: Any) -> Any:
        """A result as a value of a type. Raises ``ValueError``."""
        return result if kind is Any else msgspec.convert(result, kind)


def as_text(parameters: Mapping[str, Any]) -> list[tuple[str, str]] | None:
    """The fields of a form; None if text can't say what the parameters are."""
    fields: list[tuple[str, str]] = []
    for name, value in parameters.items():
        items = value if isinstance(value, list) else [value]
        if not items or any(type(each) not in _WRITTEN for each in items):
            return None
        fields += [(name, _WRITTEN[type(each)](each)) for each in items]
    return fields


def _exact(value: Any) -> Any:
    return value


_TEXTS: Mapping[type, Callable[[Any], str]] = {
    bytes: lambda value: base64.b64encode(value).decode(),
    datetime.datetime: datetime.datetime.isoformat,
    datetime.date: datetime.date.isoformat,
    datetime.time: datetime.time.isoformat,
    datetime.timedelta: lambda value: str(msgspec.to_builtins(value)),
    decimal.Decimal: str,
    uuid.UUID: str,
}
_WRITTEN: Mapping[type, Callable[[Any], str]] = {
    **_TEXTS,
    str: str,
    int: str,
    float: repr,
    bool: lambda value: "on" if value else "no",
}
AWARE: Any = bson.CodecOptions(tz_aware=True)
JSON = Form("json", lambda value: json.dumps(value).encode(), json.loads, {})
BSON = Form(
    "bson",
    bson.encode,
    lambda body: bson.decode(body, AWARE),
    {bytes: _exact, datetime.datetime: _exact, decimal.Decimal: bson.Decimal128},
)
MSGPACK = Form(
    "msgpack",
    lambda value: bytes(msgpack.packb(value, datetime=True)),
    lambda body: msgpack.unpackb(body, timestamp=3),
    {bytes: _exact, datetime.datetime: _exact},
)
FORMS = (JSON, BSON, MSGPACK)
