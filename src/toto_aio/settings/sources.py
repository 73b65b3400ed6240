"""The sources of options: keyword arguments, a file, the environment and the command line.

Each overrides the one before. ``read_settings`` combines them, and reports a wrong option in one line.
"""

from __future__ import annotations

import ast
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from toto_aio.settings import app_settings
from toto_aio.settings.declaration import FIELDS, OPTIONS, Settings, SettingsError, unknown_option
from toto_aio.settings.old_options import old_value

ENVIRONMENT_PREFIX = "TOTO_AIO_"
APP_PREFIXES = ("app_", "app.")
"""What the names of the author's own settings begin with, in the environment and on the command line."""


def read_settings(
    options: Mapping[str, Any],
    file: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] | None = None,
    arguments: Mapping[str, str] | None = None,
) -> Settings:
    """The settings from keyword ``options``, a file, the environment and the command line's ``arguments``.

    Each source overrides the one before. Raises ``SettingsError`` with one line that says which source has
    the wrong option, and what to write instead.
    """
    values: dict[str, Any] = {}
    app = app_settings.NONE
    for name, value in options.items():
        if name == "app":
            app = app_settings.with_all(app, name, value)
        else:
            values |= _read(name, name, value)
    if file is not None:
        for name, value in read_file(file).items():
            if name == "app":
                app = app_settings.with_all(app, f"{file}: app", value)
            else:
                values |= _read(f"{file}: {name}", name, value)
    for place, name, text in _texts(environ or {}, arguments or {}):
        if name.startswith(APP_PREFIXES):
            app = app_settings.with_text(app, place, name[len("app.") :], text)
        elif name == "app":
            app = app_settings.with_all(app, place, text)
        else:
            values |= _read(place, name, text, text=True)
    return Settings(**values, app=app_settings.frozen(app))


def override(settings: Settings | None, options: Mapping[str, Any]) -> Settings:
    """The settings with ``options``, which override them. Raises ``SettingsError``."""
    if settings is None:
        return read_settings(options)
    if "app" in options:
        app = app_settings.with_all(app_settings.NONE, "app", settings.app)
        options = {**options, "app": app_settings.with_all(app, "app", options["app"])}
    return read_settings({**msgspec.structs.asdict(settings), **options})


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources of a program's settings, which can be read repeatedly."""

    options: Mapping[str, Any]
    file: str | os.PathLike[str] | None
    arguments: Mapping[str, str]

    def read(self) -> Settings:
        """The current settings. Raises ``SettingsError``."""
        return read_settings(self.options, self.file, os.environ, self.arguments)


def read_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The options in a file: TOML if its name ends in ``.toml``, else Toto's lines ``name = <literal>``.

    Neither is ever executed. Raises ``SettingsError``.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        return tomllib.loads(text) if Path(path).suffix == ".toml" else _read_literals(text)
    except OSError as exc:
        raise SettingsError(f"{path}: {exc.strerror}") from exc
    except (SyntaxError, ValueError, RecursionError, MemoryError) as exc:
        raise SettingsError(f"{path}: {exc or 'nested too deeply'}") from exc


def _read_literals(text: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for node in ast.parse(text).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                try:
                    values[name] = ast.literal_eval(value)
                except (ValueError, TypeError):
                    raise ValueError(f"line {node.lineno}: {name}: write a plain value") from None
            case _:
                raise ValueError(f"line {node.lineno}: write name = value")
    return values


def _texts(environ: Mapping[str, str], arguments: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """The place, name and text of each option in the environment, and then of each on the command line."""
    for variable, text in environ.items():
        if variable.startswith(ENVIRONMENT_PREFIX):
            yield variable, variable.removeprefix(ENVIRONMENT_PREFIX).lower(), text
    for name, text in arguments.items():
        yield f"--{name}", name, text


def _read(place: str, name: str, value: Any, *, text: bool = False) -> dict[str, Any]:
    """The option of a name and a value, or those that are taken for one of Toto's.

    The value is converted from text if ``text`` is set; ``place`` names it in an error.
    """
    old = old_value(name, value, text=text)
    if isinstance(old, str):
        raise SettingsError(f"{place}: {old}")
    return {name: _convert(place, name, value, text=text)} if old is None else old


def _convert(place: str, name: str, value: Any, *, text: bool = False) -> Any:
    """The value of an option, converted to its type."""
    option = OPTIONS.get(name)
    if option is None:
        raise SettingsError(unknown_option(place, name))
    if option.type == list[str] and isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    try:
        return msgspec.convert(value, FIELDS[name].type, strict=not text)
    except msgspec.ValidationError as exc:
        expected = f"write one of {', '.join(option.choices)}" if option.choices else _explain(exc)
        raise SettingsError(f"{place}: {expected}, not {value!r}") from exc


def _explain(exc: msgspec.ValidationError) -> str:
    """msgspec's message, such as ``expected int >= 0``, without the value and its path."""
    return str(exc).partition(", got")[0].partition(" - at")[0].replace("`", "").lower()
