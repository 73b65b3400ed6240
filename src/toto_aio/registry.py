"""Finds the methods of a service at start-up; a request only looks up the name of its method."""

from __future__ import annotations

import importlib
import logging
import pkgutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from traceback import walk_tb
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

import toto_aio.methods
from toto_aio.dispatch.method import Method, compile_method
from toto_aio.dispatch.policy import limited
from toto_aio.lost_methods import (
    hint_of_a_hidden_name,
    imports_behind,
    require_marks,
    require_one_file,
    warn_of_forgotten_marks,
)
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
    return {name: each for name, each in functions.items() if is_callable(each)}


def is_callable(function: Method) -> bool:
    """Whether clients can call it: one with ``@channel`` alone only admits to channels."""
    return function.rules.channel is None or function.rules.is_marked


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
        raise SettingsError(f"method_module: {_nothing_in(None if isinstance(package, Mapping) else root)}")
    return {
        name: compile_method(name, source, method_timeout, module) for name, (source, module) in found.items()
    }


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


def _nothing_in(root: ModuleType | None) -> str:
    """What is wrong with a package, or a mapping, that has no methods."""
    if root is None:
        return "no module there defines invoke, or a function marked @method"
    if hasattr(root, "invoke"):
        return f"the invoke of {root.__name__} itself has no name: move it to {root.__name__}/hello.py"
    place = getattr(root, "__file__", None) or ", ".join(getattr(root, "__path__", ()))
    return f"no module of {root.__name__} ({place}) defines invoke, or a function marked @method"


Source = tuple[Any, ModuleType | None]
"""Where a method comes from: a module with ``invoke``, or a function and the module that it is in, if any."""


def _given(methods: Mapping[str, Any]) -> dict[str, Source]:
    """The methods in a mapping of names to functions or modules."""
    found: dict[str, Source] = {}
    modules = {name: value for name, value in methods.items() if isinstance(value, ModuleType)}
    for name, value in methods.items():
        if name not in modules or hasattr(value, "invoke") or not marked_functions(value):
            found[name] = value, None
    for name, module in modules.items():
        for function_name, function in marked_functions(module):
            whole = _join(name, function_name)
            if whole not in methods:  # what has the name there is meant
                _add(found, whole, function, module)
    warn_of_forgotten_marks(modules.values(), [_function(*each) for each in found.values()])
    return found


def _function(source: Any, module: ModuleType | None) -> Any:
    return source if module is not None else getattr(source, "invoke", source)


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
    hidden: set[str] = set()
    walked = list(_walk(root, "", root, ()))
    # What is imported comes last: a module of the package's own wins.
    walked.sort(key=lambda each: bool(each.origin))
    for name, module, functions, origin in walked:
        is_method = bool(name) and hasattr(module, "invoke")
        if not is_method and not functions and name:
            _warn_of_a_near_miss(module)
        if is_method and found.setdefault(name, (module, None))[0] is not module:
            hidden.add(name)
        if origin and (is_method or functions):
            imported.add(origin)
    for name, module, functions, origin in walked:
        for each, function in functions:
            whole = _join(name, each)
            if origin and found.get(whole, (function, module)) != (function, module):
                hidden.add(whole)
            elif found.get(whole) != (function, module):
                _add(found, whole, function, module)
    if imported:
        logger.info("methods that are imported: %s", ", ".join(sorted(imported)))
    if hidden:
        logger.info("methods of the package's own in place of imported ones: %s", ", ".join(sorted(hidden)))
    if found and hasattr(root, "invoke"):
        logger.warning(_nothing_in(root))
    warn_of_forgotten_marks(
        dict.fromkeys(each.module for each in walked if not _is_below(each.module, toto_aio.methods)),
        [_function(*each) for each in found.values()],
    )
    return found


class Walked(NamedTuple):
    """A module, its name in the service, its functions for ``@method``, and the import by which it came."""

    name: str
    module: ModuleType
    functions: list[tuple[str, Any]]
    origin: str


def _walk(
    module: ModuleType, prefix: str, root: ModuleType, above: tuple[ModuleType, ...], origin: str = ""
) -> Iterator[Walked]:
    """A module and all modules below it.

    ``above`` are the packages on the way to it, which it may import too; ``origin`` is the import by which it
    came, if it did.
    """
    # Before the modules below are imported, each of which takes its name in the package.
    require_one_file(module)
    require_marks(module)
    yield Walked(prefix, module, marked_functions(module), origin)
    if not hasattr(module, "__path__"):
        return
    modules = {info.name for info in pkgutil.iter_modules(module.__path__)} | _plain_folders(module)
    children = {name for name in modules if not name.startswith("_")}
    offered = _offered(module)
    if offered is not None:
        children &= offered
    if clashing := children & marked_names(module):
        name = _join(module.__name__, min(clashing))
        raise SettingsError(f"{name} is a module, and a function marked @method: rename one of them")
    for child in sorted(children):
        below = _import(f"{module.__name__}.{child}")
        yield from _walk(below, _join(prefix, child), root, (*above, module), origin)
    named = _named_by_all(module)
    # Where a module below has the name of one that is imported, both are served.
    both = imports_behind(module, children)
    for name, value in sorted({**vars(module), **both}.items()):
        hidden = name.startswith("_") or (name in children and name not in both)
        if not isinstance(value, ModuleType) or hidden or value is module or value in above:
            continue
        if offered is not None and name not in offered:
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
        hint = _hint(exc) if isinstance(exc, ModuleNotFoundError) else hint_of_a_hidden_name(exc)
        if hint:
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
