"""What Toto's handlers had from Tornado's ``RequestHandler``, and what to write instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

TORNADO: Mapping[str, str] = {
    "finish": "write handler.respond(result); after pieces, handler.respond_raw('', content_type)",
    "write": "write handler.respond_raw(piece, content_type, finish=False)",
    "write_message": "write handler.send_message(data)",
    "add_header": "write handler.set_header(name, value)",
    "get_argument": "read the parameters",
    "get_arguments": "read the parameters",
    "get_cookie": "read handler.request.cookies",
    "get_secure_cookie": "read handler.request.cookies, or keep the value in the session",
    "set_secure_cookie": "write handler.set_cookie(name, value), or keep the value in the session",
}


def with_hints(handler: type[T]) -> type[T]:
    """Let the error of a missing attribute of Tornado's say what to write instead.

    Each has a descriptor of its own: ``__getattr__`` would make every attribute that is there slower to read.
    """
    for name, instead in TORNADO.items():
        setattr(handler, name, _Missing(name, instead))
    return handler


class _Missing:
    """An attribute that is not there."""

    def __init__(self, name: str, instead: str) -> None:
        self._name = name
        self._instead = instead

    def __get__(self, handler: Any, kind: type) -> NoReturn:
        raise AttributeError(
            f"Handler has no attribute {self._name!r}: {self._instead}", name=self._name, obj=handler
        )
