"""Typed methods, called without a service."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

from toto_aio.dispatch.call import Call
from toto_aio.dispatch.method import Method, compile_method
from toto_aio.exceptions import InvalidParameters


@lru_cache
def compiled(function: Callable[..., Any]) -> Method:
    """The record of a method with the name ``m``."""
    return compile_method("m", function, 60)


def invoke(function: Callable[..., Any], parameters: dict[str, Any], **call: Any) -> Any:
    """What a plain method returns for a call."""
    return compiled(function).invoke(SimpleNamespace(call=Call(**call)), parameters)


def problems(function: Callable[..., Any], parameters: dict[str, Any], **call: Any) -> list[dict[str, str]]:
    """What is wrong with a call; [] if nothing is."""
    try:
        invoke(function, parameters, **call)
    except InvalidParameters as exc:
        return exc.problems or [{"kind": "without problems", "path": ""}]
    return []


def paths(function: Callable[..., Any], parameters: dict[str, Any], **call: Any) -> list[str]:
    """Where and what is wrong, as ``kind path``."""
    return [f"{each['kind']} {each['path']}" for each in problems(function, parameters, **call)]
