"""What becomes of a value that an encoder cannot take: plain data, or an error that names the place.

This is never reached for ordinary results, which an encoder in C takes as they are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from toto_aio.codecs.builtin import MAX_ITEMS, Encoders, Hook, encoder_of
from toto_aio.names import shortened, shown_path

MAX_LEVELS = 100
"""The most levels of nesting, beyond which a value probably contains itself."""


class EncodingError(TypeError, ValueError):
    """A value that cannot be encoded; ``path`` is where it is, ``reason`` why."""

    def __init__(self, path: Sequence[object], reason: str) -> None:
        super().__init__(f"{shown_path(path) or 'the value'}: {reason}")
        self.path = tuple(path)
        self.reason = reason


class ReadOnceError(EncodingError):
    """An iterator, where a value is encoded more than once."""


class Converter:
    """Makes plain data of one value.

    ``encode`` is the encoder, which says what is plain, and ``hook`` converts what is not. ``encoders``
    convert what an encoder would also take. Without ``reads_iterators`` an iterator is an error.
    """

    def __init__(
        self, encode: Callable[[Any], Any], hook: Hook, encoders: Encoders, *, reads_iterators: bool
    ) -> None:
        self._encode = encode
        self._hook = hook
        self._encoders = encoders
        self._left = MAX_ITEMS if reads_iterators else -1
        self._path: list[object] = []

    def convert(self, value: Any) -> Any:
        """The plain data. Raises ``EncodingError``."""
        if type(value) in _PLAIN and not self._encoders:
            return value
        own = encoder_of(self._encoders, type(value)) if self._encoders else None
        if own is not None:
            return self._converted(own, value)
        if isinstance(value, dict):
            return {self._key(key): self._at(key, item) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._at(number, item) for number, item in enumerate(value)]
        if isinstance(value, Iterator):
            return self._read(value)
        failure = self._failure(value)
        parts = _parts(value) if failure or self._encoders else None  # which the encoders may be for
        if parts is not None:
            return {key: self._at(key, item) for key, item in parts.items()}
        if failure is None:
            return value
        if isinstance(value, str | int | float):
            raise self._error(str(failure))
        return self._converted(self._hook, value)

    def _failure(self, value: Any) -> Exception | None:
        """Why a value cannot be encoded at once: returned, so that what is raised next does not show it."""
        try:
            self._encode(value)
        except Exception as exc:
            return exc
        return None

    def _at(self, step: object, value: Any) -> Any:
        if len(self._path) >= MAX_LEVELS:
            raise self._error(f"nested deeper than {MAX_LEVELS} levels; does it contain itself?")
        self._path.append(step)
        converted = self.convert(value)
        self._path.pop()
        return converted

    def _converted(self, function: Hook, value: Any) -> Any:
        try:
            converted = function(value)
        except Exception as exc:
            raise self._error(str(exc) or repr(exc)) from exc
        if type(converted) is type(value):  # its own encoder would take it again
            self._check(converted)
            return converted
        self._path.append(None)  # no step, but a level
        if len(self._path) >= MAX_LEVELS:
            raise self._error(f"cannot encode {type(value)!r}: its encoder never gives plain data")
        converted = self.convert(converted)
        self._path.pop()
        return converted

    def _check(self, value: Any) -> None:
        try:
            self._encode(value)
        except Exception as exc:
            raise self._error(str(exc)) from exc

    def _read(self, iterator: Iterator[Any]) -> list[Any]:
        if self._left < 0:
            reason = f"cannot encode {type(iterator)!r} here, as it can be read only once: write list(...)"
            raise ReadOnceError(self._steps(), reason)
        items: list[Any] = []
        try:
            for item in iterator:
                self._left -= 1
                if self._left < 0:
                    raise self._error(f"a generator of more than {MAX_ITEMS} items; return a list")
                items.append(self._at(len(items), item))
        except EncodingError:
            raise
        except Exception as exc:
            raise self._error(f"{type(iterator)!r} failed: {exc!r}") from exc
        return items

    def _key(self, key: Any) -> Any:
        own = encoder_of(self._encoders, type(key)) if self._encoders and type(key) is not str else None
        if own is not None and isinstance(converted := self._converted(own, key), str | type(key)):
            key = converted
        try:
            self._encode({key: None})
        except Exception as exc:
            if isinstance(key, str):
                raise self._error(f"key {shortened(key)!r}: {exc}") from None
            plain = None
            with suppress(Exception):
                plain = self._hook(key)
            if isinstance(plain, int):  # of a bool, as the encoder of JSON does
                plain = str(plain)
            if not isinstance(plain, str):
                raise self._error(f"cannot encode {type(key)!r} as a key: keys are text") from None
            return plain
        return key

    def _error(self, reason: str) -> EncodingError:
        return EncodingError(self._steps(), reason)

    def _steps(self) -> list[object]:
        return [step for step in self._path if step is not None]


def _parts(value: Any) -> Mapping[str, Any] | None:
    """The fields of a value that msgspec encodes by its fields: structs, dataclasses, and attrs."""
    if isinstance(value, type):
        return None
    if isinstance(value, msgspec.Struct):
        config = value.__struct_config__
        if config.array_like:
            return None
        fields = {field.encode_name: getattr(value, field.name) for field in msgspec.structs.fields(value)}
        named = {name: part for name, part in fields.items() if part is not msgspec.UNSET}
        tag = {} if config.tag is None else {str(config.tag_field): config.tag}
        return {**tag, **named}
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
    elif hasattr(type(value), "__attrs_attrs__"):
        names = [attribute.name for attribute in type(value).__attrs_attrs__]
    else:
        return None
    return {name: getattr(value, name) for name in names if not name.startswith("_") and hasattr(value, name)}


_PLAIN = frozenset((bool, float, bytes, type(None)))
