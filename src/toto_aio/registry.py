"""Finds the methods of a service at start-up; a request only looks up the name of its method."""

from __future__ import annotations

import importlib
import logging
import pkgutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import toto_aio.methods
from toto_aio.dispatch.method import Method, compile_method
from toto_aio.settings import SettingsError

logger = logging.getLogger(__name__)

DEFAULT_PACKAGE = "methods"


def find_methods(package: str | ModuleType | Mapping[str, Any], method_timeout: float) -> dict[str, Method]:
    """The methods of a package by their dotted names.

    A method is a module that defines ``invoke``; modules whose names begin with an underscore are skipped.
    A package that imports toto_aio's own methods serves them too. A module that can't be imported raises
    what its import raised, with a note that names the module. If no package ``methods`` exists, the default
    name serves the built-in methods.

    Instead of a package, a mapping may name functions or modules. Raises ``SettingsError``.
    """
    if isinstance(package, Mapping):
        found = dict(package)
    elif isinstance(package, str | ModuleType):
        root = package if isinstance(package, ModuleType) else _import_root(package)
        found = {name: module for name, module in _walk(root, "") if hasattr(module, "invoke")}
    else:
        raise SettingsError(f"method_module: expected a package, not {package!r}")
    if not found:
        raise SettingsError("method_module: no module there defines invoke(handler, parameters)")
    return {name: compile_method(name, source, method_timeout) for name, source in found.items()}


def _import_root(name: str) -> ModuleType:
    if not all(name.split(".")):
        raise SettingsError(f"method_module: write the name of a package, as in my.methods, not {name!r}")
    try:
        return _import(name)
    except ModuleNotFoundError as exc:
        if not f"{name}.".startswith(f"{exc.name}."):
            raise
        if name == DEFAULT_PACKAGE:
            logger.warning(
                "no package 'methods' here: serving only the built-in methods. To add one of your own, "
                "write methods/hello.py with 'async def invoke(handler, parameters)'"
            )
            return toto_aio.methods
        raise SettingsError(f"method_module: there is no module {name!r} on the import path") from exc


def _walk(module: ModuleType, prefix: str) -> Iterator[tuple[str, ModuleType]]:
    """A module and all modules below it, with their names in the service."""
    if prefix:
        yield prefix, module
    if not hasattr(module, "__path__"):
        return
    modules = {info.name for info in pkgutil.iter_modules(module.__path__)} | _plain_folders(module)
    children = {name for name in modules if not name.startswith("_")}
    for child in sorted(children):
        yield from _walk(_import(f"{module.__name__}.{child}"), _join(prefix, child))
    for name, value in sorted(vars(module).items()):
        hidden = name.startswith("_") or name in children
        if isinstance(value, ModuleType) and _is_built_in(value) and not hidden:
            yield from _walk(value, _join(prefix, name))


def _plain_folders(module: ModuleType) -> set[str]:
    """The packages below a package that have no ``__init__.py`` (PEP 420), which pkgutil skips."""
    return {
        folder.name
        for path in map(Path, module.__path__)
        for folder in (path.iterdir() if path.is_dir() else ())
        if folder.name.isidentifier() and folder.is_dir() and any(folder.rglob("*.py"))
    }


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except BaseException as exc:
        exc.add_note(f"while importing the methods of {name!r}")
        raise


def _is_built_in(module: ModuleType) -> bool:
    return module.__name__.startswith(f"{toto_aio.methods.__name__}.")


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name
