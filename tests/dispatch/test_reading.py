"""What a typed method says of itself, and what stops the start."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import pydantic
import pytest
from msgspec import UNSET, Meta, Struct, UnsetType

from tests.support.typed import compiled, invoke
from toto_aio import File
from toto_aio.dispatch.signature import NOTHING
from toto_aio.invocation import authenticated_with_parameter, default_parameters, jsonp, requires
from toto_aio.settings import SettingsError

if TYPE_CHECKING:
    from decimal import Decimal as OnlyForTypeCheckers

Function = Callable[..., Any]


class Odd:
    """A class that nobody can read from a call."""


@dataclass
class Foreign:
    """Its constraint is pydantic's."""

    count: Annotated[int, pydantic.Field(ge=1)]


@pydantic.dataclasses.dataclass
class Checked:
    """A dataclass of pydantic."""

    count: int


class Raw(Struct):
    """Bytes of JSON are for decoders."""

    body: msgspec.Raw


# ruff: noqa: D103, E501
def two(x: int, y: int) -> None: ...
def under_type_checking(x: OnlyForTypeCheckers) -> None: ...
def misspelt(x: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def misspelt_inside(x: list[Nowhere]) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def a_class(x: Odd) -> None: ...
def a_class_inside(x: list[dict[str, Odd]]) -> None: ...
def a_function(x: Callable[[], int]) -> None: ...
def raw(x: Raw) -> None: ...
def foreign(x: Annotated[int, pydantic.Field(ge=1)]) -> None: ...
def foreign_inside(x: list[Foreign]) -> None: ...
def a_dataclass_of_pydantic(x: Checked) -> None: ...
def two_models(x: Foreign | Raw) -> None: ...
def text_or_number(x: int | str) -> None: ...
def text_or_numbers(x: list[float | str]) -> None: ...
def one_or_many(x: str | list[str]) -> None: ...
def truth_or_number(x: bool | int) -> None: ...
def a_default_none(x: int = None) -> None: ...  # type: ignore[assignment]  # noqa: RUF013
def a_default_of_text(x: int = "1") -> None: ...  # type: ignore[assignment]
def a_default_beyond(x: Annotated[int, Meta(ge=1)] = 0) -> None: ...
def a_default_unset(x: int = UNSET) -> None: ...  # type: ignore[assignment]
def hidden(_x: int) -> None: ...
def twice(x: int, x_: int) -> None: ...
def handler_last(x: int, y: int, handler: Any) -> None: ...
def parameters_too(x: int, parameters: int) -> None: ...
def parameters_of_a_type(parameters: int) -> None: ...
def more(x: int, **others: Any) -> None: ...
def result_unknown(x: int) -> Nowhere: ...  # type: ignore[name-defined]  # noqa: F821


def passes_two(function: Function) -> Function:
    """A decorator that was written for classic methods."""

    @functools.wraps(function)
    def wrapper(handler: Any, parameters: Any) -> Any:
        return function(handler, parameters)

    return wrapper


@passes_two
def not_passed(handler: Any, a: int, b: int, c: int = 0) -> None: ...


@requires("x")
def required(x: int) -> None: ...


@default_parameters({"x": 1})
def defaulted(x: int) -> None: ...


@jsonp("back")
def called_back(back: str) -> None: ...


@authenticated_with_parameter
def by_session(session_id: str) -> None: ...


STOPS: dict[Function, str] = {
    under_type_checking: "x: there is no 'OnlyForTypeCheckers' at run time .*: import or define it at the top",
    misspelt: "x: there is no 'Nowhere' at run time",
    misspelt_inside: "x: there is no 'list.Nowhere.' at run time",
    result_unknown: "its result: there is no 'Nowhere' at run time",
    a_class: "x: Odd cannot be read from a call: write a dataclass, a msgspec.Struct, or plain types",
    a_class_inside: "x: Odd cannot be read from a call",
    a_function: "x: Callable cannot be read from a call",
    raw: "x: RawType cannot be read from a call: write Any",
    foreign: r"x: FieldInfo\(...\) is not enforced: write msgspec.Meta, as in Meta\(ge=1\)",
    foreign_inside: r"x: FieldInfo\(...\) is not enforced",
    a_dataclass_of_pydantic: "x: Checked is a dataclass of pydantic.*: write a BaseModel",
    two_models: "x: no call can have this type: Type unions may not contain more than one dict-like type",
    text_or_number: "x: text cannot tell its types apart, as in GET and forms: write one of them",
    text_or_numbers: "x: text cannot tell its types apart",
    one_or_many: "x: text cannot tell one value from a list of one: write the list",
    truth_or_number: "x: text cannot tell its types apart",
    a_default_none: r"x: its default None is not of its type: write x: ... \| None = None",
    a_default_of_text: "x: its default '1' is not of its type: write a default of its type",
    a_default_beyond: "x: its default 0 is not of its type",
    a_default_unset: "x: its default UNSET is not of its type",
    hidden: "_x: rename it",
    twice: "x_: rename it: it is x in a call",
    handler_last: "handler: write it first",
    parameters_too: "parameters: rename it",
    parameters_of_a_type: "parameters: rename it",
    more: r"a call cannot have \*\*others: Any|a call cannot have \*\*others",
    not_passed: r"a decorator on it takes .*: write \(\*args, \*\*kwargs\) there, and pass both on",
    required: "@requires is for .*: leave out the default",
    defaulted: "@default_parameters is for .*: write x=default",
    called_back: "back: rename it: @jsonp takes this parameter",
    by_session: "session_id: rename it: @authenticated_with_parameter takes this parameter",
    functools.partial(two, 1): "write a function for the partial",
}


@pytest.mark.parametrize("function", STOPS, ids=lambda function: getattr(function, "__name__", "partial"))
def test_what_stops_the_start(function: Function) -> None:
    """It names the method and the parameter, and says what to write instead."""
    with pytest.raises(SettingsError) as error:
        compiled(function)
    assert re.match(f"m: ({STOPS[function]})", str(error.value)), error.value


def test_the_record() -> None:
    """It has what is derived from a method: names, types, defaults, descriptions, files, and the result."""

    def upload(
        handler: Any,
        class_: Annotated[str, Meta(description="what it is", max_length=9)],
        files: list[File],
        due: int | None = None,
        tags: list[str] = ["a"],  # noqa: B006
        later: int | UnsetType = UNSET,
        *,
        by: float = 1,
    ) -> list[Foreign]:
        return [class_, files, due, tags, later, by]  # type: ignore[list-item]

    signature = compiled(upload).signature
    assert signature is not None
    names = ["class", "files", "due", "tags", "later", "by"]
    assert [each.name for each in signature.parameters] == names
    assert [each.required for each in signature.parameters] == [True, True, False, False, False, False]
    first, files, *_, by = signature.parameters
    assert (first.attribute, first.description) == ("class_", "what it is")
    assert [each.takes_file for each in signature.parameters] == [False, True, *[False] * 4]
    assert files.type == list[File]
    assert by.by_keyword
    assert signature.returns == list[Foreign]
    assert signature.takes_handler
    first_call = invoke(upload, {"class": "x", "files": []})
    assert first_call == ["x", [], None, ["a"], UNSET, 1]
    first_call[3].append("b")
    assert invoke(upload, {"class": "x", "files": []})[3] == ["a"]  # each call has its own


def test_the_record_of_a_whole_model() -> None:
    """Its parameters are the fields; a field that may be left out without a default has UNSET."""

    class Note(Struct, rename="camel"):
        due_date: str
        tags: list[str] = []

    def add(parameters: Note):  # type: ignore[no-untyped-def]
        return parameters

    add.__annotations__["parameters"] = Note
    signature = compiled(add).signature
    assert signature is not None
    assert [(each.name, each.attribute, each.required) for each in signature.parameters] == [
        ("dueDate", "due_date", True),
        ("tags", "tags", False),
    ]
    assert signature.model is Note
    assert signature.returns is NOTHING
