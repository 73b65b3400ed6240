"""Which of its two forms a method has."""

# ruff: noqa: D103

from __future__ import annotations

import functools
import typing
from collections.abc import Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import Struct

from tests.support.typed import compiled, invoke
from toto_aio.dispatch.classic import is_classic

if TYPE_CHECKING:
    from toto_aio import Handler
    from toto_aio.dispatch.call import Call as Notes

Parameters = dict[str, Any]
Function = Callable[..., Any]


class Note(Struct):
    """A model."""

    title: str


def untyped(handler, parameters): ...  # type: ignore[no-untyped-def]
def other_names(h, p): ...  # type: ignore[no-untyped-def]
def optional(h, p=None): ...  # type: ignore[no-untyped-def]
def more(handler, parameters, more=1): ...  # type: ignore[no-untyped-def]
def by_keyword(handler, parameters, *, clock=None): ...  # type: ignore[no-untyped-def]
def anything(*args, **kwargs): ...  # type: ignore[no-untyped-def]
def places(*args): ...  # type: ignore[no-untyped-def]
def handler_and_more(handler, *args): ...  # type: ignore[no-untyped-def]
def of_any(handler: Handler, options: Any) -> None: ...
def of_object(handler: Handler, options: object) -> None: ...
def a_dict(handler: Handler, options: dict[str, Any]) -> None: ...
def bare_dict(handler: Handler, options: dict) -> None: ...  # type: ignore[type-arg]
def of_objects(handler: Handler, options: dict[str, object]) -> None: ...
def a_mapping(handler: Handler, options: Mapping[str, Any]) -> None: ...
def may_be_changed(handler: Handler, options: MutableMapping[str, typing.Any]) -> None: ...
def an_alias(handler: Handler, options: Parameters) -> None: ...
def or_none(handler: Handler, parameters: dict[str, Any] | None) -> None: ...
def of_texts(handler: Handler, parameters: dict[str, str]) -> None: ...
def of_what_is_not_there(handler: Handler, parameters: dict[str, Notes]) -> None: ...


CLASSIC = [each for each in list(globals().values()) if getattr(each, "__module__", "") == __name__][1:]


@pytest.mark.parametrize("function", CLASSIC, ids=lambda function: function.__name__)
def test_classic_methods(function: Function) -> None:
    """Two parameters, of which the second is a dict of anything, make a classic method, as it ever was."""
    method = compiled(function)
    assert method.signature is None
    assert method.invoke is function
    assert method.check_result is None


def test_a_partial_of_a_classic_method() -> None:
    """It is one, if two parameters are left."""
    assert is_classic(functools.partial(lambda database, handler, parameters: None, None))


def title(handler: Handler, title: str) -> Any:
    return title


def no_handler(title: str) -> Any:
    return title


def annotated(it: Handler, title: str) -> Any:
    return title if it is not None else None


def quoted(it: "toto_aio.Handler", title: str) -> Any:  # type: ignore[name-defined]  # noqa: F821, UP037
    return title


def only_keywords(*, title: str) -> Any:
    return title


def only_places(title: str, /, more: int = 0) -> Any:
    return title


def a_model(handler: Handler, parameters: Note) -> Any:
    return parameters.title


def a_model_alone(parameters: Note) -> Any:
    return parameters.title


def of_integers(handler: Handler, title: str, counts: dict[str, int] = {}) -> Any:  # noqa: B006
    return title


class AnObject:
    """A method may be any object that can be called."""

    def __call__(self, handler: Handler, title: str) -> Any:
        """Return it."""
        return title

    def method(self, title: str) -> Any:
        """Return it."""
        return title


def decorated(function: Function) -> Function:
    """A decorator of the author's."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


TYPED: list[Function] = [
    *(title, no_handler, annotated, quoted, only_keywords, only_places, a_model, a_model_alone, of_integers),
    *(AnObject(), AnObject().method, decorated(title), decorated(decorated(only_keywords))),
]


@pytest.mark.parametrize("function", TYPED, ids=lambda function: getattr(function, "__name__", "object"))
def test_typed_methods(function: Function) -> None:
    """Every other signature is typed: its parameters are those of the call, with or without the handler."""
    method = compiled(function)
    assert method.signature is not None
    assert method.signature.parameters[0].name == "title"
    assert method.signature.parameters[0].type is str
    assert invoke(function, {"title": "x"}) == "x"


def test_a_method_without_parameters() -> None:
    """It takes nothing, and refuses what is sent."""

    def nothing() -> str:
        return "x"

    def handler_only(handler: Handler) -> str:
        return "x"

    for function in (nothing, handler_only):
        assert invoke(function, {}) == "x"
        signature = compiled(function).signature
        assert signature is not None
        assert signature.parameters == ()
