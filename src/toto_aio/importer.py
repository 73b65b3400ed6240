"""Imports by name: tables of ``"module:name"``, optional libraries, and functions that options name."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from toto_aio.settings import SettingsError


class Extra(NamedTuple):
    """What an optional library is for (as in "Redis needs a driver"), and what pip is to ``install``."""

    what: str
    install: str


def load(path: str, extra: Extra | None = None) -> Any:
    """The object that ``"module:name"`` names, or the module that ``"module"`` does.

    Raises ``SettingsError`` that says what to install if the module needs a library of an ``extra`` that is
    missing.
    """
    module, _, name = path.partition(":")
    try:
        loaded = importlib.import_module(module)
    except ModuleNotFoundError as exc:
        if extra is None or (exc.name or "").startswith("toto_aio"):
            raise
        raise SettingsError(f"{extra.what}: pip install {extra.install}") from exc
    return getattr(loaded, name) if name else loaded


def load_function(option: str, value: Any, attribute: str | None = None) -> Callable[..., Any] | None:
    """The function that an option names as ``module.function``, or as a module that has ``attribute``.

    A function is returned as it is, and None for an option that was not given. Raises ``SettingsError``.
    """
    if value is None or value == "":
        return None
    if isinstance(value, str):
        module, name = (value, attribute) if attribute else value.rpartition(".")[::2]
        expected = "the name of a module" if attribute else "module.function"
        if not attribute and value.isidentifier():
            raise SettingsError(f"{option}: write module.function, such as {value}.{option}, not {value!r}")
        value = getattr(import_named(option, module, expected), name or "", None)
    elif attribute is not None and hasattr(value, attribute):
        value = getattr(value, attribute)
    if not callable(value):
        raise SettingsError(f"{option}: expected {attribute or 'a function'}, found {value!r}")
    return value  # type: ignore[no-any-return]


def load_encoders(value: Any) -> Mapping[type, Callable[[Any], Any]]:
    """The functions of the option ``encoders``: a mapping of types, or its name as ``module.name``."""
    if value is None or value == "":
        return {}
    if isinstance(value, str):
        module, _, name = value.rpartition(".")
        if not module:
            raise SettingsError(f"encoders: write module.name, such as {value}.ENCODERS, not {value!r}")
        value = getattr(import_named("encoders", module, "module.name"), name, value)
    if not isinstance(value, Mapping):
        raise SettingsError(f"encoders: write {{Type: function}}, or the module.name of that, not {value!r}")
    for kind, function in value.items():
        if not isinstance(kind, type) or not callable(function) or inspect.iscoroutinefunction(function):
            raise SettingsError(f"encoders: write {{Type: function}}, not {{{kind!r}: {function!r}}}")
    return value


def accepted(function: Callable[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the arguments that a function has parameters for, by their names."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # a function of C
        return dict(arguments)
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return dict(arguments)
    return {name: value for name, value in arguments.items() if name in parameters}


def import_named(option: str, name: str, expected: str) -> Any:
    """The module that an option names.

    Raises ``SettingsError`` if there is no such module, or the name isn't one; ``expected`` says what to
    write. What the module's own import raises is raised as it is.
    """
    if not all(name.split(".")):
        raise SettingsError(f"{option}: write {expected}, not {name!r}")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if not f"{name}.".startswith(f"{exc.name}."):
            raise  # a module that it imports is missing
        raise SettingsError(f"{option}: there is no module {name!r} on the import path") from exc


def import_from_here() -> None:
    """Put the current folder on the import path, however the program was started."""
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
