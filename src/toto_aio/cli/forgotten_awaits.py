"""Lines of a service's methods that forget to await what they call, found in their source without running it.

On the event loop such a call does nothing. In a thread, where a plain ``def invoke`` runs, it needs no await.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from toto_aio.settings import Settings, SettingsError

MAX_LINES = 10
"""The most lines that are named."""
AWAITED: Mapping[str, frozenset[str]] = {
    "handler": frozenset({"create_session", "retrieve_session", "drain"}),
    "session": frozenset({"save", "save_state", "update", "refresh", "get_account", "expiry"}),
    "account": frozenset({"save", "load"}),
    "accounts": frozenset(
        {"create", "get", "verify", "change_password", "set_password", "set_roles", "email", "delete", "list"}
    ),
    "sessions": frozenset(
        {
            "create",
            "log_in",
            "log_in_known",
            "finish_log_in",
            "end",
            "end_one",
            "end_others",
            "end_all",
            "describe_all",
            "list",
        }
    ),
    "events": frozenset({"send", "publish", "presence", "presence_stats"}),
    "connection": frozenset({"once"}),
    "api_keys": frozenset({"create", "list", "revoke", "revoke_all"}),
    # Of every driver that has it, and of a cursor.
    "database": frozenset(
        {
            "execute",
            "executemany",
            "executescript",
            "execute_fetchall",
            "execute_insert",
            "commit",
            "rollback",
        }
        | {"fetch", "fetchrow", "fetchval", "fetchone", "fetchall", "fetchmany"}
        | {"set", "setex", "delete", "incr", "expire", "hset", "sadd", "lpush", "rpush", "zadd", "xadd"}
    ),
    "collection": frozenset(
        {"insert_one", "insert_many", "update_one", "update_many", "replace_one", "delete_one", "delete_many"}
        | {"find_one", "find_one_and_update", "find_one_and_delete", "count_documents", "create_index"}
    ),
}
"""What has to be awaited, by the kind of object that it is called on."""
PARTS: Mapping[tuple[str, str], str] = {
    ("handler", "session"): "session",
    ("handler", "events"): "events",
    ("handler", "connection"): "connection",
    ("handler", "db_connection"): "connection",
    ("handler", "accounts"): "accounts",
    ("handler", "sessions"): "sessions",
    ("connection", "accounts"): "accounts",
    ("connection", "sessions"): "sessions",
    ("connection", "api_keys"): "api_keys",
    ("connection", "db"): "database",
}
"""The kinds of attributes."""
RESULTS: Mapping[tuple[str, str], str] = {
    ("handler", "create_session"): "session",
    ("handler", "retrieve_session"): "session",
    ("sessions", "create"): "session",
    ("session", "get_account"): "account",
    ("accounts", "create"): "account",
    ("accounts", "get"): "account",
}
"""The kinds of what is awaited."""
CONTEXTS: Mapping[tuple[str, str], str] = {
    ("handler", "transaction"): "database",
    ("connection", "transaction"): "database",
    ("database", "acquire"): "database",
    ("database", "cursor"): "database",
    ("database", "execute"): "database",
}
"""The kinds of what ``async with`` gives."""
PARAMETERS = {"handler": "handler", "connection": "connection", "db_connection": "connection"}
TYPES = {
    "Handler": "handler",
    "Connection": "connection",
    "UserSession": "session",
    "UserAccount": "account",
    "EventManager": "events",
}
"""The kinds of parameters, by their names and their types."""
HOOKS = ("startup_function", "before_handler", "after_handler")
"""The options that name functions, which run on the loop even if they are plain."""


def forgotten_awaits(settings: Settings) -> str:
    """The lines, as ``path:line: handler.session.save()``, separated by commas; "" if there are none.

    Raises ``SettingsError`` for a file that is no Python.
    """
    found = [f"{path}:{line}" for path in method_files(settings.method_module) for line in _lines(path)]
    for option in HOOKS:
        module, _, function = _named(getattr(settings, option)).rpartition(".")
        found += [
            f"{path}:{line}" for path in _files_of(module) for line in _lines(path, frozenset({function}))
        ]
    more = ", ..." if len(found) > MAX_LINES else ""
    return ", ".join(dict.fromkeys(found[:MAX_LINES])) + more


def _lines(path: Path, on_loop: frozenset[str] = frozenset()) -> Iterator[str]:
    """What a file forgets to await; plain functions with these names run on the loop."""
    for node in parsed(path).body:
        if isinstance(node, ast.AsyncFunctionDef) or (
            isinstance(node, ast.FunctionDef) and node.name in on_loop
        ):
            for call in _Function(node).forgotten():
                yield f"{call.lineno}: {ast.unparse(call.func)}()"


class _Function:
    """A function that runs on the loop, and what kinds of objects its variables are."""

    def __init__(self, function: ast.AsyncFunctionDef | ast.FunctionDef) -> None:
        self._function = function
        self._kinds: dict[str, str] = {}
        self._pending: dict[str, ast.Call] = {}
        """Variables that hold a call which has not been awaited."""
        arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
        for argument in arguments:
            annotated = ast.unparse(argument.annotation).rpartition(".")[2] if argument.annotation else ""
            self._kinds[argument.arg] = TYPES.get(annotated) or PARAMETERS.get(argument.arg, "")
        if arguments and function.name == "invoke":
            self._kinds[arguments[0].arg] = "handler"

    def forgotten(self) -> Iterator[ast.Call]:
        """The calls that are dropped, or used as if they had been awaited."""
        for statement in self._function.body:
            yield from self._visit(statement)

    def _visit(self, node: ast.AST) -> Iterator[ast.Call]:
        if isinstance(node, ast.FunctionDef | ast.Lambda):
            return  # which may run in a thread
        if isinstance(node, ast.AsyncWith):
            for item in node.items:
                if isinstance(item.optional_vars, ast.Name):
                    self._kinds[item.optional_vars.id] = self._kind_in_block(item.context_expr)
        used: ast.expr | None = None
        if isinstance(node, ast.Expr):
            used = node.value
        elif isinstance(node, ast.Attribute | ast.Subscript):
            used = node.value
            if isinstance(used, ast.Name):
                used = self._pending.pop(used.id, None)
        if isinstance(used, ast.Call) and self._is_awaited(used):
            yield used
        for child in ast.iter_child_nodes(node):
            yield from self._visit(child)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            self._kinds[name] = self._kind(node.value)
            self._pending.pop(name, None)
            if isinstance(node.value, ast.Call) and self._is_awaited(node.value):
                self._pending[name] = node.value
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            self._pending.pop(node.id, None)  # passed on, or awaited

    def _is_awaited(self, call: ast.Call) -> bool:
        """Whether a call has to be awaited."""
        called = call.func
        return isinstance(called, ast.Attribute) and called.attr in AWAITED.get(self._kind(called.value), ())

    def _kind(self, node: ast.expr) -> str:
        """The kind of object that an expression gives; "" if it is none of ours."""
        if isinstance(node, ast.Name):
            return self._kinds.get(node.id, "")
        if isinstance(node, ast.Attribute | ast.Subscript):
            whole = self._kind(node.value)
            if whole == "database":
                return "collection"  # of MongoDB; other databases have no such parts
            return PARTS.get((whole, node.attr), "") if isinstance(node, ast.Attribute) else ""
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("EventManager.instance"):
            return "events"
        if isinstance(node, ast.Await) and isinstance(node.value, ast.Call):
            called = node.value.func
            if isinstance(called, ast.Attribute):
                return RESULTS.get((self._kind(called.value), called.attr), "")
        return ""

    def _kind_in_block(self, node: ast.expr) -> str:
        """The kind of object that ``async with`` makes of an expression."""
        called = node.func if isinstance(node, ast.Call) else None
        return (
            CONTEXTS.get((self._kind(called.value), called.attr), "")
            if isinstance(called, ast.Attribute)
            else ""
        )


def parsed(path: Path) -> ast.Module:
    """The source of a file. Raises ``SettingsError`` for one that is no Python."""
    try:
        return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as exc:
        line = getattr(exc, "lineno", None) or 1
        raise SettingsError(f"method_module: {path}:{line}: {getattr(exc, 'msg', exc)}") from None


def method_files(methods: Any) -> Iterator[Path]:
    """The files of a package of methods, and of what a mapping names."""
    if isinstance(methods, Mapping):
        for method in methods.values():
            yield from _files_of(
                method if isinstance(method, ModuleType) else getattr(method, "__module__", "")
            )
        return
    for path in _files_of(methods):
        yield from sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]


def _files_of(module: Any) -> list[Path]:
    """The file of a module or of its name; none if there is no such module, which the start refuses."""
    if isinstance(module, ModuleType):
        spec = module.__spec__
    else:
        try:
            spec = find_spec(module) if module else None
        except (ImportError, ValueError):
            spec = None
    if spec is None:
        return []
    if spec.origin is not None:
        return [Path(spec.origin)] if spec.origin.endswith(".py") else []
    return [Path(folder) / "__init__.py" for folder in spec.submodule_search_locations or ()]


def _named(value: Any) -> str:
    """The name of a hook, which is given as a function or as its name."""
    if callable(value):
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__name__', '')}"
    return str(value or "")
