"""Patterns of a service's methods that can take exponential time, found in their source without running it.

``Annotated[str, Meta(pattern=...)]`` is matched by Python's ``re``, which tries one way after the other:
forty characters of which each can be read in two ways take days, and hold the loop for as long.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from toto_aio.cli.forgotten_awaits import method_files, parsed
from toto_aio.cli.regex_ambiguity import is_exponential
from toto_aio.settings import Settings

MAX_PATTERNS = 10
"""The most patterns that are named."""


def slow_patterns(settings: Settings) -> str:
    """The patterns, as ``path:line: '(a+)+$'``, separated by commas; "" if there are none.

    Raises ``SettingsError`` for a file that is no Python.
    """
    found = [
        f"{path}:{line}: {pattern!r}"
        for path in method_files(settings.method_module)
        for line, pattern in _patterns(parsed(path))
        if is_exponential(pattern)
    ]
    more = ", ..." if len(found) > MAX_PATTERNS else ""
    return ", ".join(dict.fromkeys(found[:MAX_PATTERNS])) + more


def _patterns(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The patterns of ``Meta``, written as text or as the name of one in the same file, with their lines."""
    texts: dict[str, Any] = {}
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name):
            texts[target.id] = _text(getattr(node, "value", None), texts)
    for each in ast.walk(tree):
        if isinstance(each, ast.Call) and ast.unparse(each.func).rpartition(".")[2] == "Meta":
            for keyword in each.keywords:
                pattern = _text(keyword.value, texts) if keyword.arg == "pattern" else None
                if pattern is not None:
                    yield keyword.value.lineno, pattern


def _text(node: ast.expr | None, texts: dict[str, Any]) -> str | None:
    """The text that an expression gives, if that can be read."""
    if isinstance(node, ast.Name):
        found = texts.get(node.id)
        return found if isinstance(found, str) else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _text(node.left, texts), _text(node.right, texts)
        return None if left is None or right is None else left + right
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
