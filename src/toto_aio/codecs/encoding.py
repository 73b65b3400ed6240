"""How values are encoded: at once, by an encoder in C, or after they were converted."""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from collections.abc import Callable
from dataclasses import is_dataclass
from types import MappingProxyType
from typing import Any, NoReturn

import msgspec

from toto_aio.codecs.builtin import Encoders, Hook, hook_with
from toto_aio.codecs.codec import Codec, Steps
from toto_aio.codecs.converter import Converter, EncodingError

Encode = Callable[[Any], bytes]

NATIVE = (
    *(str, bytes, bytearray, memoryview, int, float, list, tuple, dict, set, frozenset, type(None)),
    *(
        datetime.date,
        datetime.time,
        datetime.timedelta,
        decimal.Decimal,
        uuid.UUID,
        enum.Enum,
        msgspec.Struct,
    ),
)
"""Types whose values an encoder takes without asking the hook."""


class Encoding:
    """Encodes for one content type, with an application's encoders.

    ``make`` makes the encoder with a hook for other types. ``at_once`` raises for what needs to be converted:
    everything, if an application has an encoder for a type that the encoder takes as it is. ``always`` are
    encoders for what is converted otherwise.
    """

    def __init__(
        self,
        make: Callable[[Hook], Encode],
        encoders: Encoders,
        *,
        wrap: Callable[[Any], Any] = lambda value: value,
        always: Encoders = MappingProxyType({}),
    ) -> None:
        self._hook = hook_with(encoders)
        self._encode = encode = make(self._hook)
        self._check = lambda value: encode(wrap(value))
        overrides = any(_is_native(kind) for kind in encoders)
        self._overriding: Encoders = {**always, **encoders} if overrides else always
        self.at_once: Encode = _convert_first if overrides else encode

    def codec(
        self,
        content_type: str,
        decode: Callable[[bytes], Any],
        steps: Callable[[bytes], Steps],
        read: Callable[[bytes], Any],
        make: Callable[[Encode, Encode], Encode] | None = None,
    ) -> Codec:
        """The codec with this encoding; ``make`` is used instead of ``encoder``."""
        make = make or encoder
        return Codec(
            content_type,
            decode,
            make(self.at_once, self.converted),
            steps,
            make(self.at_once, self.converted_again),
            self.plain,
            read,
            binary=content_type != "application/json",
        )

    def plain(self, value: Any, *, reads_iterators: bool = True) -> Any:
        """Plain data, which this content type can encode. Raises ``EncodingError``."""
        convert = Converter(
            self._check, self._hook, self._overriding, reads_iterators=reads_iterators
        ).convert
        try:
            return convert(value)
        except EncodingError as exc:
            raise exc from exc.__cause__  # not from what the encoder raised first

    def converted(self, value: Any) -> bytes:
        """A value that was not encoded at once."""
        return self._encode(self.plain(value))

    def converted_again(self, value: Any) -> bytes:
        """The same without reading an iterator."""
        return self._encode(self.plain(value, reads_iterators=False))


def encoder(at_once: Encode, converted: Encode) -> Encode:
    """Encodes at once what can be, and converts the rest."""

    def encode(value: Any) -> bytes:
        try:
            body = at_once(value)
        except Exception:
            body = None  # what is raised next does not show this one
        return converted(value) if body is None else body

    return encode


def _is_native(kind: type) -> bool:
    return issubclass(kind, NATIVE) or is_dataclass(kind) or hasattr(kind, "__attrs_attrs__")


def _convert_first(value: Any) -> NoReturn:
    raise TypeError("the application's encoders come first")
