"""Finds the methods of a service at start-up; a request only looks its method's name up."""

from __future__ import annotations

import importlib
import inspect
import logging
import os
import pkgutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import toto_aio.methods
from toto_aio.invocation import Rules, rules_of
from toto_aio.settings import SettingsError

logger = logging.getLogger(__name__)

DEFAULT_PACKAGE = "methods"
ASYNCHRONOUS_TIMEOUT = 600.0
"""Seconds that an ``@asynchronous`` method may take to answer."""


@dataclass(frozen=True, slots=True)
class Method:
    """All that is known of a method: its name, function, rules, documentation and time limit.

    ``threaded``: it is a plain ``def`` and runs in a thread. ``post_only``: no setting lets GET reach it.
    """

    name: str
    invoke: Callable[[Any, dict[str, Any]], Any]
    rules: Rules
    documentation: str
    timeout: float
    threaded: bool
    post_only: bool
    on_connection_close: Callable[[Any], Any] | None

    def reachable_by_get(self, get_methods: str) -> bool:
        """Whether GET may call it under this setting of ``get_methods``."""
        return self.rules.safe or (get_methods == "all" and not self.post_only)


def find_methods(package: str | ModuleType | Mapping[str, Any], method_timeout: float) -> dict[str, Method]:
    """The methods of a package by their dotted names.

    A method is a module that has ``invoke``; modules whose name begins with an underscore are not looked
    at. toto_aio's own methods belong to a package that imports them into its scope. A module that cannot
    be imported raises what its import raised, with a note that names it. Without a package ``methods``
    the default name serves the built-in methods.

    A mapping in place of a package gives each name its function or module. Raises ``SettingsError``.
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


def import_from_here() -> None:
    """Put the current folder on the import path, however the program was started."""
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())


def compile_method(name: str, source: Any, method_timeout: float) -> Method:
    """The method of a module or function. Raises ``SettingsError`` for one that cannot work."""
    invoke = getattr(source, "invoke", source)
    if not callable(invoke) or inspect.isasyncgenfunction(invoke) or inspect.isgeneratorfunction(invoke):
        raise SettingsError(f"{name}: write 'async def invoke(handler, parameters)', without yield")
    rules = rules_of(invoke)
    if rules.jsonp and rules.guard:
        raise SettingsError(f"{name}: @jsonp cannot serve a method that needs a session")
    limit = ASYNCHRONOUS_TIMEOUT if rules.asynchronous else method_timeout
    return Method(
        name=name,
        invoke=invoke,
        rules=rules,
        documentation=inspect.getdoc(invoke) or inspect.getdoc(source) or "",
        timeout=rules.timeout or limit,
        # A plain wrapper of a coroutine function only makes the coroutine, which no thread is needed for.
        threaded=not _is_coroutine_function(inspect.unwrap(invoke)),
        post_only=getattr(invoke, "__module__", "").startswith(f"{toto_aio.methods.__name__}.account."),
        on_connection_close=getattr(source, "on_connection_close", None),
    )


def _is_coroutine_function(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


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
                "no package 'methods' here: serving the built-in methods alone. To add one of your own, "
                "write methods/hello.py with 'async def invoke(handler, parameters)'"
            )
            return toto_aio.methods
        raise SettingsError(f"method_module: there is no module {name!r} on the import path") from exc


def _walk(module: ModuleType, prefix: str) -> Iterator[tuple[str, ModuleType]]:
    """A module and all below it, with their names in the service."""
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
    """The packages below a package that have no ``__init__.py`` (PEP 420), which pkgutil passes over."""
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
