"""The sources of options: keyword arguments, a file, the environment and the command line.

Each overrides the one before. ``read_settings`` combines them, and reports a wrong option in one line.
"""

from __future__ import annotations

import ast
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from toto_aio.names import shortened
from toto_aio.settings import app_settings
from toto_aio.settings.declaration import Seconds, Settings, SettingsError
from toto_aio.settings.durations import FORM, MAX_SECONDS, in_seconds
from toto_aio.settings.old_options import old_value
from toto_aio.settings.options import FIELDS, OPTIONS, unknown_option

ENVIRONMENT_PREFIX = "TOTO_AIO_"
APP_PREFIXES = ("app_", "app.")
"""What the names of the author's own settings begin with, in the environment and on the command line."""


def read_settings(
    options: Mapping[str, Any],
    file: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] | None = None,
    arguments: Mapping[str, str] | None = None,
    *,
    within: str | None = None,
) -> Settings:
    """The settings from keyword ``options``, a file, the environment and the command line's ``arguments``.

    Each source overrides the one before. Raises ``SettingsError`` with one line that says which source has
    the wrong option, and what to write instead. If the services are those ``within`` a module, an option of
    a service is wrong.
    """
    values: dict[str, Any] = {}
    app = app_settings.NONE
    for place, name, value, is_text in _given(options, file, environ or {}, arguments or {}):
        read = {"app": None}
        if name == "app":
            app = app_settings.with_all(app, place, value)
        elif is_text and name.startswith(APP_PREFIXES):
            app = app_settings.with_text(app, place, name[len("app.") :], value)
        else:
            read = _read(place, name, value, text=is_text)
            values |= read
        if within is not None:
            _require_server(place, read, within)
    return Settings(**values, app=app_settings.frozen(app))


def _require_server(place: str, names: Iterable[str], within: str) -> None:
    """Raise ``SettingsError`` for an option of a service, which belongs into the code of a module."""
    for name in names:
        if not OPTIONS[name].by_server:
            raise SettingsError(f"{place}: write it in {within}, as create_app({name}=...)")


def _given(
    options: Mapping[str, Any],
    file: str | os.PathLike[str] | None,
    environ: Mapping[str, str],
    arguments: Mapping[str, str],
) -> Iterator[tuple[str, str, Any, bool]]:
    """Each value with the place where it stands, the name of its option, and whether it has to be text."""
    for name, value in options.items():
        yield name, name, value, False
    for name, value in ({} if file is None else read_file(file)).items():
        yield f"{file}: {name}", name, value, False
    for variable, text in environ.items():
        if variable.startswith(ENVIRONMENT_PREFIX):
            yield variable, variable.removeprefix(ENVIRONMENT_PREFIX).lower(), text, True
    for name, text in arguments.items():
        yield f"--{name}", name, text, True


def override(settings: Settings | None, options: Mapping[str, Any]) -> Settings:
    """The settings with ``options``, which override them. Raises ``SettingsError``."""
    if settings is None:
        return read_settings(options)
    if not isinstance(settings, Settings):
        raise SettingsError(
            f"expected Settings, not {settings!r}: options are keyword arguments, and those of a file are "
            "toto_aio.settings.read_settings({}, FILE)"
        )
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
    application: str | None = None
    """The application to serve, as ``package.module:attribute``. Its services have options of their own."""
    is_script: bool = True
    """Whether a script has named the file, and not the command line."""

    @property
    def typed_file(self) -> str | None:
        """The file, if the command line has named it."""
        return None if self.is_script or self.file is None else os.fspath(self.file)

    @property
    def command_line(self) -> list[str]:
        """The arguments by which the same program starts the service in the background."""
        named = [part for part in (self.application, self.typed_file) if part]
        named = [f"./{part}" if part.startswith("-") else part for part in named]
        options = [f"--{name}={text}" for name, text in self.arguments.items()]
        return ["--start" if self.is_script else "start", *named, *options]

    @property
    def module(self) -> str | None:
        """The module of the application."""
        return None if self.application is None else self.application.partition(":")[0]

    def read(self) -> Settings:
        """The current settings. Raises ``SettingsError``."""
        return read_settings(self.options, self.file, os.environ, self.arguments, within=self.module)


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
                    raise ValueError(f"line {node.lineno}: {name}: {_plain(value)}") from None
            case ast.Import() | ast.ImportFrom():
                raise ValueError(
                    f"line {node.lineno}: write name = value: no import is executed. A script is run by "
                    "python, and an application is served as package.module:application"
                )
            case _:
                raise ValueError(f"line {node.lineno}: write name = value")
    return values


def _plain(value: ast.expr) -> str:
    """What to write instead of an expression, which is not evaluated."""
    text = ast.unparse(value)
    if isinstance(value, ast.Name):
        return f"write {text!r}, in quotes"
    return f"write the value itself, a number or a text in quotes; {shortened(text)} is not evaluated"


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
    is_time = option.type is Seconds
    try:
        converted = in_seconds(value) if is_time else value
        read = msgspec.convert(converted, FIELDS[name].type, strict=not text)
    except msgspec.ValidationError as exc:
        expected = f"write one of {', '.join(option.choices)}" if option.choices else _explain(exc)
        if is_time:
            expected += f", in seconds, or {FORM}"
        raise SettingsError(f"{place}: {expected}, not {value!r}") from exc
    if is_time and not read <= MAX_SECONDS:
        raise SettingsError(f"{place}: write at most {MAX_SECONDS / 86400:.0f}d, not {value!r}")
    return read


def _explain(exc: msgspec.ValidationError) -> str:
    """msgspec's message, such as ``expected int >= 0``, without the value and its path."""
    return str(exc).partition(", got")[0].partition(" - at")[0].replace("`", "").lower()
