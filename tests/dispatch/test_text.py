"""The parameters of GET and of forms, as values of the types that a method asks for."""

# ruff: noqa: B006, D103
from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from collections.abc import Callable
from typing import Any, Literal

import pydantic
from msgspec import Struct

from tests.support.typed import invoke, paths
from toto_aio import File

UNSENT = "not sent"


class Size(enum.IntEnum):
    """A choice of numbers."""

    SMALL = 1


class Colour(enum.Enum):
    """A choice, of which one is nothing."""

    NONE = ""
    RED = "red"


class Inner(Struct):
    """What text cannot be."""

    a: int


def text(x: str = UNSENT) -> Any:
    return x


def maybe_text(x: str | None = UNSENT) -> Any:
    return x


def integer(x: int = 7) -> Any:
    return x


def number(x: float = 7.0) -> Any:
    return x


def truth(x: bool = False) -> Any:
    return x


def maybe(x: bool | None = None) -> Any:
    return x


def day(x: datetime.date | None = None) -> Any:
    return x


def an_id(x: uuid.UUID | None = None) -> Any:
    return x


def exact(x: decimal.Decimal = decimal.Decimal(7)) -> Any:
    return x


def size(x: Size | None = None) -> Any:
    return x


def colour(x: Colour | None = None) -> Any:
    return x


def choice(x: Literal["a", 1] | None = None) -> Any:
    return x


def number_or_day(x: int | datetime.date | None = None) -> Any:
    return x


def texts(x: list[str] = [UNSENT]) -> Any:
    return x


def integers(x: list[int] = [7]) -> Any:
    return x


def maybe_integers(x: set[int] | None = None) -> Any:
    return x


def pair(x: tuple[int, str] = (7, "")) -> Any:
    return x


def data(x: bytes = b"7") -> Any:
    return x


def file(x: File | None = None) -> Any:
    return x


def files(x: list[File] = []) -> Any:
    return x


def all_data(x: list[bytes] = []) -> Any:
    return x


def anything(x: Any = None) -> Any:
    return x


def an_object(x: Inner | None = None) -> Any:
    return x


def objects(x: list[Inner] = []) -> Any:
    return x


def number_or_object(x: int | Inner = 7) -> Any:
    return x


PART = {"filename": "a.txt", "content_type": "text/plain", "body": b"hi"}
EMPTY = {"filename": "", "content_type": "application/octet-stream", "body": b""}
A_FILE = File("a.txt", "text/plain", b"hi")

RIGHT: list[tuple[Callable[..., Any], Any, Any]] = [
    (text, "5", "5"),
    (text, "", ""),
    (maybe_text, "", ""),
    (integer, "5", 5),
    (integer, "-9223372036854775808", -(2**63)),
    (integer, "", 7),
    (number, "5", 5.0),
    (number, "-1.5e3", -1500.0),
    (number, "", 7.0),
    *((truth, each, True) for each in ("true", "1", "on", "yes", "True", "ON")),
    *((truth, each, False) for each in ("false", "0", "off", "no", "False")),
    (maybe, "off", False),
    (maybe, "", None),
    (day, "2026-01-02", datetime.date(2026, 1, 2)),
    (day, "", None),
    (an_id, str(uuid.UUID(int=5)), uuid.UUID(int=5)),
    (exact, "1.10", decimal.Decimal("1.10")),
    (exact, "", decimal.Decimal(7)),
    (size, "1", Size.SMALL),
    (colour, "", Colour.NONE),
    (colour, "red", Colour.RED),
    (choice, "a", "a"),
    (choice, "1", 1),
    (number_or_day, "5", 5),
    (number_or_day, "2026-01-02", datetime.date(2026, 1, 2)),
    (texts, "a,b", ["a,b"]),
    (texts, ["a", "", "b"], ["a", "", "b"]),
    (integers, "5", [5]),
    (integers, ["5", "", "6"], [5, 6]),
    (integers, "", [7]),
    (maybe_integers, ["5", "5"], {5}),
    (pair, ["5", "6"], (5, "6")),
    (data, "aGk=", b"hi"),
    (data, PART, b"hi"),
    (data, EMPTY, b"7"),
    (file, PART, A_FILE),
    (file, EMPTY, None),
    (file, {**PART, "filename": None}, File("", "text/plain", b"hi")),
    (files, PART, [A_FILE]),
    (files, [PART, EMPTY, PART], [A_FILE, A_FILE]),
    (all_data, [PART, "aGk="], [b"hi", b"hi"]),
    (anything, "5", "5"),
    (an_object, "", None),
    (number_or_object, "5", 5),
]


def test_what_is_right() -> None:
    """Text is read as the type says, the same from GET and from forms; what was left empty was not sent."""
    for function, sent, value in RIGHT:
        for how in ({"by_get": True}, {"by_form": True}):
            found = invoke(function, {"x": sent, "_": "1", "_cache": ["a", "b"]}, **how)
            assert (found, type(found)) == (value, type(value)), (function.__name__, sent)


WRONG: list[tuple[Callable[..., Any], Any, list[str]]] = [
    (text, ["a", "b"], ["type x"]),
    (text, PART, ["type x"]),
    *(
        (integer, each, ["type x"])
        for each in ("x", "5.0", "1e3", " 5", "+5", "\u0665", "0x5", "9223372036854775808")
    ),
    (integer, "5" * 5000, ["type x"]),
    (integer, ["5", "6"], ["type x"]),
    *((number, each, ["type x"]) for each in ("nan", "inf", "-Infinity", "1e999", "1_0", "0x1p3", ".")),
    (number, "1" * 5000, ["type x"]),
    (truth, "maybe", ["type x"]),
    (truth, "2", ["type x"]),
    (maybe, "null", ["type x"]),
    (day, "tomorrow", ["value x"]),
    (exact, "NaN", ["value x"]),
    (size, "2", ["value x"]),
    (choice, "b", ["value x"]),
    (integers, ["5", "x", ["6"]], ["type x[1]", "type x[2]"]),
    (pair, ["5"], ["value x"]),
    (pair, ["5", "6", "7"], ["value x"]),
    (data, "!", ["value x"]),
    (file, "text", ["type x"]),
    (file, [PART, PART], ["type x"]),
    (an_object, "{}", ["type x"]),
    (an_object, '{"a": 1}', ["type x"]),
    (objects, "{}", ["type x[0]"]),
]


def test_what_is_wrong() -> None:
    """Text that is no value of its type is refused, and never guessed."""
    for function, sent, found in WRONG:
        for how in ({"by_get": True}, {"by_form": True}):
            assert paths(function, {"x": sent}, **how) == found, (function.__name__, sent)


def test_problems_of_text_and_of_values() -> None:
    """They are named together, and what is unknown too, unless its name begins with an underscore."""

    def method(title: str, limit: int = 1, part: Inner | None = None) -> None: ...

    sent = {"title": ["a", "b"], "limit": "x", "part": "{}", "titel": "x", "_": "x"}
    assert sorted(paths(method, sent, by_get=True)) == [
        "type limit",
        "type part",
        "type title",
        "unknown titel",
    ]
    assert paths(method, {}, by_get=True) == ["missing title"]


class Note(Struct):
    """What a form has the fields of."""

    title: str
    tags: list[str] = []
    limit: int = 1


class Model(pydantic.BaseModel):
    """The same for pydantic, which reads text by its own rules."""

    title: str
    tags: list[str] = []
    limit: int = 1
    done: bool = False


def test_whole_models() -> None:
    """The fields of a model that takes all of a call are those of the form."""

    def whole(parameters: Note) -> Any:
        return parameters

    def pydantic_whole(parameters: Model) -> Any:
        return parameters

    whole.__annotations__["parameters"] = Note
    pydantic_whole.__annotations__["parameters"] = Model
    sent = {"title": "x", "tags": "a,b", "limit": "5"}
    assert invoke(whole, sent, by_get=True) == Note("x", ["a,b"], 5)
    assert invoke(pydantic_whole, {**sent, "done": "on"}, by_form=True) == Model(
        title="x", tags=["a,b"], limit=5, done=True
    )
    for function in (whole, pydantic_whole):
        assert sorted(paths(function, {"limit": "x", "titel": "x"}, by_get=True)) == [
            "missing title",
            "type limit",
            "unknown titel",
        ]
        assert sorted(paths(function, {"limit": "x", "titel": "x"})) == [
            "missing title",
            "type limit",
            "unknown titel",
        ]
        assert paths(function, {"title": ["a", "b"]}, by_form=True) == ["type title"]
