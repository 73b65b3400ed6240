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
from toto_aio.dispatch.policy import limited
from toto_aio.marked import marked_functions, marked_names
from toto_aio.settings import Settings, SettingsError

logger = logging.getLogger(__name__)

DEFAULT_PACKAGE = "methods"
NEAR = 0.8
"""How similar to ``invoke`` a name is that seems to be misspelt: ``envoke`` is, ``invoice`` is not."""


def find_methods(package: str | ModuleType | Mapping[str, Any], method_timeout: float) -> dict[str, Method]:
    """The methods that clients can call: those of ``find_functions`` which don't only admit to channels."""
    return callable_methods(find_functions(package, method_timeout))


def callable_methods(functions: Mapping[str, Method]) -> dict[str, Method]:
    """Those of the functions that clients can call."""
    return {
        name: each for name, each in functions.items() if each.rules.channel is None or each.rules.is_marked
    }


def find_functions(package: str | ModuleType | Mapping[str, Any], method_timeout: float) -> dict[str, Method]:
    """The methods of a package, and the functions that admit to its channels, by their dotted names.

    A method is a module that defines ``invoke``, and a function of a module that is marked ``@method``;
    modules whose names begin with an underscore are skipped. Modules that the ``__init__`` of a package
    imports are methods under their names there: those of the same package and of toto_aio, and others if its
    ``__all__`` names them. A package of toto_aio brings what its own ``__all__`` names: its other methods are
    imported one by one. A module that can't be imported raises what its import raised, with a note that names
    the module. If no package ``methods`` exists, the default name serves the built-in methods.

    Instead of a package, a mapping may name functions or modules. Raises ``SettingsError``.
    """
    if isinstance(package, Mapping):
        found = _given(package)
    elif isinstance(package, str | ModuleType):
        root = package if isinstance(package, ModuleType) else _import_root(package)
        found = _found(root)
    else:
        raise SettingsError(f"method_module: expected a package, not {package!r}")
    if not found:
        raise SettingsError("method_module: no module there defines invoke, or a function marked @method")
    return {
        name: compile_method(name, source, method_timeout, module) for name, (source, module) in found.items()
    }


def methods_of(settings: Settings) -> dict[str, Method]:
    """The methods of a service that clients can call. Raises as ``functions_of`` does."""
    return callable_methods(functions_of(settings))


def functions_of(settings: Settings) -> dict[str, Method]:
    """What ``find_functions`` finds, with the policy that the options have for all of them.

    Raises ``SettingsError``, or what the import of a module raises.
    """
    return limited(find_functions(settings.method_module, settings.method_timeout), settings)


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
                "write methods/hello.py with 'async def invoke(name: str)'"
            )
            return toto_aio.methods
        raise SettingsError(f"method_module: there is no module {name!r} on the import path") from exc


Source = tuple[Any, ModuleType | None]
"""Where a method comes from: a module with ``invoke``, or a function and the module that it is in, if any."""


def _given(methods: Mapping[str, Any]) -> dict[str, Source]:
    """The methods in a mapping of names to functions or modules."""
    found: dict[str, Source] = {}
    for name, value in methods.items():
        marked = marked_functions(value) if isinstance(value, ModuleType) else []
        if not marked or hasattr(value, "invoke"):
            found[name] = value, None
        for function_name, function in marked:
            _add(found, _join(name, function_name), function, value)
    return found


def _add(found: dict[str, Source], name: str, function: Any, module: ModuleType) -> None:
    """Add a marked function. Raises ``SettingsError`` if its name is another method's."""
    if name in found:
        raise SettingsError(
            f"{name}: {module.__name__} marks it @method, and there is another one: rename it"
        )
    found[name] = function, module


def _found(root: ModuleType) -> dict[str, Source]:
    """The methods below a package by their names; what was imported is logged, and what is misspelt."""
    found: dict[str, Source] = {}
    imported: set[str] = set()
    marked: list[tuple[str, Any, ModuleType]] = []
    for name, module, functions, origin in _walk(root, "", root, ()):
        is_method = bool(name) and hasattr(module, "invoke")
        if not is_method and not functions and name:
            _warn_of_a_near_miss(module)
        if is_method and name not in found:
            found[name] = module, None
        marked += [(_join(name, each), function, module) for each, function in functions]
        if origin and (is_method or functions):
            imported.add(origin)
    for name, function, module in marked:
        if found.get(name) != (function, module):
            _add(found, name, function, module)
    if imported:
        logger.info("methods that are imported: %s", ", ".join(sorted(imported)))
    return found


def _walk(
    module: ModuleType, prefix: str, root: ModuleType, above: tuple[ModuleType, ...], origin: str = ""
) -> Iterator[tuple[str, ModuleType, list[tuple[str, Any]], str]]:
    """A module and all modules below it, with their names in the service and their functions for ``@method``.

    ``above`` are the packages on the way to it, which it may import too; ``origin`` is the import by which it
    came, if it did.
    """
    # Before the modules below are imported, each of which takes its name in the package.
    functions = marked_functions(module)
    yield prefix, module, functions, origin
    if not hasattr(module, "__path__"):
        return
    modules = {info.name for info in pkgutil.iter_modules(module.__path__)} | _plain_folders(module)
    children = {name for name in modules if not name.startswith("_")}
    offered = _offered(module)
    if offered is not None:
        children &= offered
    if both := children & marked_names(module):
        name = _join(module.__name__, min(both))
        raise SettingsError(f"{name} is a module, and a function marked @method: rename one of them")
    for child in sorted(children):
        below = _import(f"{module.__name__}.{child}")
        yield from _walk(below, _join(prefix, child), root, (*above, module), origin)
    named = _named_by_all(module)
    for name, value in sorted(vars(module).items()):
        hidden = name.startswith("_") or name in children or (offered is not None and name not in offered)
        if not isinstance(value, ModuleType) or hidden or value is module or value in above:
            continue
        if name in named or _is_below(value, toto_aio.methods) or _is_below(value, root):
            whole = _join(prefix, name)
            how = "" if root is toto_aio.methods else origin or f"{whole} ({value.__name__})"
            yield from _walk(value, whole, root, (*above, module), how)


def _offered(module: ModuleType) -> frozenset[str] | None:
    """What comes with a package of toto_aio's methods: what its ``__all__`` names. None: everything.

    Its other modules are methods only where a package imports them by name.
    """
    if not _is_below(module, toto_aio.methods) or not hasattr(module, "__all__"):
        return None
    return frozenset(module.__all__)


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
