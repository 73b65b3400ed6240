"""The author's own settings: ``[app]`` of a file, ``app={...}``, ``TOTO_AIO_APP_NAME`` and ``--app.NAME``.

Sources override each other name by name. Text of the environment and the command line becomes what the file,
or the keyword argument, has under this name: a number, a flag or a list.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from toto_aio.settings.declaration import SettingsError

NONE: Mapping[str, Any] = MappingProxyType({})
"""No settings."""


def with_all(known: Mapping[str, Any], place: str, given: Any) -> Mapping[str, Any]:
    """The settings, with those of a source that gives several. Raises ``SettingsError``."""
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise SettingsError(
            f"{place}: write names and values: app={{'mail': 'a@example.org'}}, [app] in TOML, or one "
            "--app.mail=a@example.org"
        )
    return {**known, **given}


def with_text(known: Mapping[str, Any], place: str, name: str, text: str) -> Mapping[str, Any]:
    """The settings, with one from text, in the type of its last value. Raises ``SettingsError``."""
    name = _normal(name)
    if not name:
        raise SettingsError(f"{place}: write a name behind it, as in {place}MAIL=a@example.org")
    name = next((other for other in known if _normal(other) == name), name)
    return {**known, name: _typed(place, text, known.get(name))}


def frozen(value: Any) -> Any:
    """A value that no call can change for the others, as far as it is made of tables and lists."""
    if isinstance(value, Mapping):
        return MappingProxyType({name: frozen(each) for name, each in value.items()})
    if isinstance(value, list | tuple):
        return tuple(map(frozen, value))
    return value


def _normal(name: str) -> str:
    return name.lower().replace("-", "_")


def _typed(place: str, text: str, example: Any) -> Any:
    if isinstance(example, Mapping):
        raise SettingsError(f"{place}: it is a table: write it in the file")
    if isinstance(example, list | tuple):
        return [part.strip() for part in text.split(",") if part.strip()]
    if not isinstance(example, bool | int | float):
        return text
    try:
        return msgspec.convert(text, type(example), strict=False)
    except msgspec.ValidationError as exc:
        raise SettingsError(f"{place}: expected {type(example).__name__}, not {text!r}") from exc
