"""Methods that were written and would not be served: files and functions that lose their names to others."""

from __future__ import annotations

import ast
import builtins
import logging
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from importlib.util import resolve_name
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from toto_aio.marked import marked_names, wire_name
from toto_aio.method_rules import Rules, rules_of, wrapped_by
from toto_aio.settings import SettingsError

logger = logging.getLogger(__name__)


def require_one_file(module: ModuleType) -> None:
    """Raise ``SettingsError`` for ``book.py`` beside a folder ``book``: Python imports only one of them."""
    name = module.__name__.rpartition(".")[2]
    file = getattr(module, "__file__", None)
    is_package = hasattr(module, "__path__")
    for place in map(Path, module.__path__ if is_package else [file] if file else []):
        beside, folder = place.parent / f"{name}.py", place.parent / name
        if beside.is_file() and folder.is_dir() and any(folder.rglob("*.py")):
            raise SettingsError(
                f"{beside}: there is a folder {name} beside it, and Python imports only the "
                f"{'folder' if is_package else 'file'}: move the file to {name}/__init__.py, or rename one"
            )


def require_marks(module: ModuleType) -> None:
    """Raise ``SettingsError`` for a function marked ``@method`` that a wrapper hides."""
    names, lost = module.__name__, marked_names(module)
    for name, value in vars(module).items():
        if name.startswith("_") or not callable(value) or isinstance(value, type):
            continue
        home, is_marked = getattr(value, "__module__", None), rules_of(value).is_marked
        if is_marked and home != names and not _is_imported(value, home):
            what = f"it was made in {home}, which hides it"
        elif not is_marked and home == names and name != "invoke" and wire_name(name) in lost:
            what = "a wrapper has taken its place"
        else:
            continue
        raise SettingsError(
            f"{names}.{name} is marked @method, but {what}: "
            "write @functools.wraps(function) above the wrapper"
        )


def _is_imported(function: Callable[..., Any], home: Any) -> bool:
    """Whether a function is one of the module that it says it is from, and was not made for this one."""
    if "<locals>" not in getattr(function, "__qualname__", "<locals>"):
        return True
    return any(value is function for value in vars(sys.modules.get(home, sys)).values())


def hint_of_a_hidden_name(exc: BaseException) -> str | None:
    """What to write for ``list[int]`` below ``async def list``; None for any other exception."""
    trace = exc.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if not isinstance(exc, TypeError) or trace is None:
        return None
    here = trace.tb_frame.f_globals
    for name, value in here.items():
        hidden = isinstance(value, FunctionType) and value.__module__ == here.get("__name__")
        if hidden and isinstance(getattr(builtins, name, None), type):
            return (
                f"the module defines {name}, which hides Python's: write {name}_, which is served as {name}"
            )
    return None


def warn_of_forgotten_marks(modules: Iterable[ModuleType], methods: Collection[Any]) -> None:
    """Warn of functions of these modules with decorators of methods that are none of the ``methods``."""
    served = {id(each) for function in methods for each in wrapped_by(function)}
    for module in modules:
        for name, value in vars(module).items():
            is_own = isinstance(value, FunctionType) and value.__module__ == module.__name__
            if not is_own or id(value) in served or name.startswith("_") or name == "invoke":
                continue
            if rules_of(value) != Rules():
                logger.warning(
                    "%s.%s has decorators of a method and is none: mark it @method; where other functions "
                    "call it, nothing checks them",
                    *(module.__name__, name),
                )


def imports_behind(module: ModuleType, children: Collection[str]) -> dict[str, ModuleType]:
    """The modules that the ``__init__`` of a package imports under names that modules below it have taken.

    Python gives the name to the module below as soon as it is imported, so the imports are read again.
    """
    spec = getattr(module, "__spec__", None)
    read = getattr(getattr(spec, "loader", None), "get_source", None)
    source = (read(module.__name__) if read else None) or ""
    if not any(name in source for name in children) and "*" not in source:
        return {}
    found = {}
    for node in _statements(ast.parse(source).body):
        for name, value in _imported(node, module):
            if name in children and isinstance(value, ModuleType):
                found[name] = value
    return {name: value for name, value in found.items() if value.__name__ != f"{module.__name__}.{name}"}


def _statements(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """The statements that run at an import, also those in blocks."""
    for node in body:
        is_for_types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or is_for_types:
            continue
        yield node
        yield from _statements(each for each in ast.iter_child_nodes(node) if not isinstance(each, ast.expr))


def _imported(node: ast.AST, package: ModuleType) -> Iterable[tuple[str, Any]]:
    """The names that an import defines, and what they had to be."""
    if isinstance(node, ast.Import):
        for each in node.names:
            whole = each.name if each.asname else each.name.partition(".")[0]
            yield each.asname or whole, sys.modules.get(whole)
    elif isinstance(node, ast.ImportFrom):
        home = resolve_name("." * node.level + (node.module or ""), package.__name__)
        source = vars(sys.modules[home]) if home in sys.modules else {}
        for each in node.names:
            if each.name == "*":
                yield from ((name, source.get(name)) for name in source.get("__all__", source))
            else:
                yield each.asname or each.name, sys.modules.get(f"{home}.{each.name}", source.get(each.name))
