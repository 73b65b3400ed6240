"""Finds the methods of a service at start-up; a request only looks up the name of its method."""

from __future__ import annotations

import importlib
import logging
import pkgutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from traceback import walk_tb
from types import FunctionType, ModuleType
from typing import Any

import toto_aio.methods
from toto_aio.dispatch.method import Method, compile_method
from toto_aio.settings import SettingsError

logger = logging.getLogger(__name__)

DEFAULT_PACKAGE = "methods"
NEAR = 0.8
"""How similar to ``invoke`` a name is that seems to be misspelt: ``envoke`` is, ``invoice`` is not."""


def find_methods(package: str | ModuleType | Mapping[str, Any], method_timeout: float) -> dict[str, Method]:
    """The methods of a package by their dotted names.

    A method is a module that defines ``invoke``; modules whose names begin with an underscore are skipped.
    Modules that the ``__init__`` of a package imports are methods under their names there: those of the same
    package and of toto_aio, and others if its ``__all__`` names them. A module that can't be imported raises
    what its import raised, with a note that names the module. If no package ``methods`` exists, the default
    name serves the built-in methods.

    Instead of a package, a mapping may name functions or modules. Raises ``SettingsError``.
    """
    if isinstance(package, Mapping):
        found = dict(package)
    elif isinstance(package, str | ModuleType):
        root = package if isinstance(package, ModuleType) else _import_root(package)
        found = _found(root)
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


def _found(root: ModuleType) -> dict[str, ModuleType]:
    """The modules with ``invoke``, by their names; what was imported is logged, and what is misspelt."""
    found: dict[str, ModuleType] = {}
    imported: set[str] = set()
    for name, module, origin in _walk(root, "", root, ()):
        if not hasattr(module, "invoke"):
            _warn_of_a_near_miss(module)
        elif name not in found:
            found[name] = module
            if origin:
                imported.add(origin)
    if imported:
        logger.info("methods that are imported: %s", ", ".join(sorted(imported)))
    return found


def _walk(
    module: ModuleType, prefix: str, root: ModuleType, above: tuple[ModuleType, ...], origin: str = ""
) -> Iterator[tuple[str, ModuleType, str]]:
    """A module and all modules below it, with their names in the service.

    ``above`` are the packages on the way to it, which it may import too; ``origin`` is the import by which it
    came, if it did.
    """
    if prefix:
        yield prefix, module, origin
    if not hasattr(module, "__path__"):
        return
    modules = {info.name for info in pkgutil.iter_modules(module.__path__)} | _plain_folders(module)
    children = {name for name in modules if not name.startswith("_")}
    for child in sorted(children):
        below = _import(f"{module.__name__}.{child}")
        yield from _walk(below, _join(prefix, child), root, (*above, module), origin)
    named = _named_by_all(module)
    for name, value in sorted(vars(module).items()):
        hidden = name.startswith("_") or name in children
        if not isinstance(value, ModuleType) or hidden or value is module or value in above:
            continue
        if name in named or _is_below(value, toto_aio.methods) or _is_below(value, root):
            whole = _join(prefix, name)
            how = "" if root is toto_aio.methods else origin or f"{whole} ({value.__name__})"
            yield from _walk(value, whole, root, (*above, module), how)


def _named_by_all(module: ModuleType) -> frozenset[str]:
    """The names in the ``__all__`` of a package, of which each has to exist."""
    names = frozenset(name for name in getattr(module, "__all__", ()) if isinstance(name, str))
    for name in sorted(names):
        if not hasattr(module, name):
            logger.warning("%s: __all__ names %r, which is not there", module.__name__, name)
    return names


def _warn_of_a_near_miss(module: ModuleType) -> None:
    """Warn of a function that seems to be a misspelt ``invoke``."""
    for name, value in tuple(vars(module).items()):
        if (
            isinstance(value, FunctionType)
            and value.__module__ == module.__name__
            and not name.startswith("_")
        ):
            from difflib import SequenceMatcher  # which few starts need

            if SequenceMatcher(None, name.lower(), "invoke").ratio() > NEAR:
                logger.warning("%s is not a method: write invoke for %s", module.__name__, name)


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
        if isinstance(exc, ModuleNotFoundError) and (hint := _hint(exc)):
            exc.add_note(hint)
        exc.add_note(f"while importing the methods of {name!r}")
        raise


def _hint(exc: ModuleNotFoundError) -> str | None:
    """What to write instead of an import as Toto's methods have it, in Python 2; None for any other."""
    missing = exc.name or ""
    if missing.partition(".")[0] == "toto":
        return "write toto_aio for toto"
    files = [Path(frame.f_code.co_filename) for frame, _ in walk_tb(exc.__traceback__)]
    folder = next((file.parent for file in reversed(files) if file.exists()), None)
    if folder is not None and missing.isidentifier() and (folder / f"{missing}.py").is_file():
        return f"it is in the same package: write 'from . import {missing}'"
    return None


def _is_below(module: ModuleType, package: ModuleType) -> bool:
    return module.__name__.startswith(f"{package.__name__}.")


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name
