"""Generic models and functions, and names for types, in the syntax of each version of Python (PEP 695)."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from tests.support.typed import compiled, invoke, paths
from toto_aio.settings import SettingsError

OLD = """
T = TypeVar("T")
Number = TypeVar("Number", bound=int)
Title = Annotated[str, Meta(max_length=5, description="What it is called")]
Titles = list[Title]
Maybe = Optional[T]
Parameters = dict[str, Any]
Odd = Annotated[int, pydantic.Field(ge=1)]
class Page(Struct, Generic[T]):
    items: list[T]
def first(items: list[T]) -> T: return items[0]
def double(x: Number) -> Number: return x * 2
"""
NEW = """
type Title = Annotated[str, Meta(max_length=5, description="What it is called")]
type Titles = list[Title]
type Maybe[T] = T | None
type Parameters = dict[str, Any]
type Odd = Annotated[int, pydantic.Field(ge=1)]
class Page[T](Struct):
    items: list[T]
def first[T](items: list[T]) -> T: return items[0]
def double[Number: int](x: Number) -> Number: return x * 2
"""
METHODS = """
from typing import *
import pydantic
from msgspec import Meta, Struct
{types}
def note(title: Title, titles: Titles = []) -> Title: return title
def maybe(x: Maybe[int] = None) -> Maybe[int]: return x
def items(page: Page[int]) -> list[int]: return page.items
def whole(parameters: Page[int]) -> list[int]: return parameters.items
def classic(handler, parameters: Parameters): return parameters
def odd(xs: list[Odd]) -> int: return len(xs)
"""
SYNTAX = [OLD, *([NEW] if sys.version_info >= (3, 12) else [])]


@pytest.mark.parametrize("types", SYNTAX, ids=["old", "new"][: len(SYNTAX)])
def test_generics(types: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are what they stand for, in right calls and in wrong ones, and classic methods stay classic."""
    module = ModuleType("of_generics")
    monkeypatch.setitem(sys.modules, "of_generics", module)
    exec(compile(METHODS.format(types=types), "of_generics.py", "exec"), vars(module))  # noqa: S102
    for name, given, result in (
        ("note", {"title": "x", "titles": ["y"]}, "x"),
        ("maybe", {}, None),
        ("maybe", {"x": 5}, 5),
        ("items", {"page": {"items": [1]}}, [1]),
        ("items", {"page": module.Page([1])}, [1]),
        ("whole", {"items": [1]}, [1]),
        ("first", {"items": ["a", 1]}, "a"),
        ("double", {"x": 2}, 4),
    ):
        assert invoke(getattr(module, name), given) == result, name
    wrong: tuple[tuple[str, dict[str, Any], list[str]], ...] = (
        ("note", {"title": "longer", "titles": [1]}, ["value title", "type titles[0]"]),
        ("maybe", {"x": "s"}, ["type x"]),
        ("items", {"page": {"items": ["s"]}}, ["type page.items[0]"]),
        ("items", {"page": 5}, ["type page"]),
        ("whole", {"items": ["s"]}, ["type items[0]"]),
        ("first", {"items": 5}, ["type items"]),
        ("double", {"x": "s"}, ["type x"]),
    )
    for name, given, found in wrong:
        assert paths(getattr(module, name), given) == found, name
    assert invoke(module.whole, {"items": ["1", "2"]}, by_get=True) == [1, 2]
    assert compiled(module.classic).signature is None
    signature = compiled(module.note).signature
    assert signature is not None
    assert signature.parameters[0].description == "What it is called"
    with pytest.raises(SettingsError, match="FieldInfo"):
        compiled(module.odd)
