"""Every problem of a call at once, and nothing of what was sent."""

# ruff: noqa: B006, D103, E501
from __future__ import annotations

import datetime
import decimal
import enum
import ipaddress
import json
import time
import typing
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import attrs
import bson
import msgspec
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta, Struct

from tests.support.examples import patient
from tests.support.typed import compiled, invoke, paths, problems
from toto_aio.codecs import CODECS
from toto_aio.exceptions import InvalidParameters

SECRET = "s3cret"


class Colour(enum.Enum):
    """A choice."""

    RED = "red"
    BLUE = "blue"


class Size(enum.IntEnum):
    """A choice of numbers."""

    SMALL = 1


class Inner(Struct, forbid_unknown_fields=True):
    """A part that takes no other names."""

    a: int
    due_date: str = ""


class Tree(Struct):
    """A model of itself."""

    kids: list[Tree] = []
    size: int = 0


class Cat(Struct, tag=True):
    """One of two."""

    lives: int


class Dog(Struct, tag=True):
    """The other."""

    name: str


class Pair(Struct, array_like=True):
    """An object that is an array."""

    x: int
    y: int = 0


class Place(typing.NamedTuple):
    """A tuple with names."""

    x: int
    y: int = 0


class Movie(typing.TypedDict):
    """A dict with names."""

    title: str
    year: typing.NotRequired[int]


@dataclass
class Even:
    """A dataclass with a check of its own."""

    number: int

    def __post_init__(self) -> None:
        if self.number % 2:
            raise ValueError(f"{SECRET} is odd: {self.number}")


@attrs.define
class Attrs:
    """A class of attrs."""

    name: str
    size: int = 1


class Model(pydantic.BaseModel):
    """A pydantic model."""

    title: str = pydantic.Field(min_length=2)
    parts: list[int] = []
    due: datetime.date | None = None

    @pydantic.field_validator("title")
    @classmethod
    def check(cls, value: str) -> str:
        """Refuse one."""
        if value == SECRET:
            raise ValueError(f"{value} is not allowed")
        return value


def integer(x: int) -> Any:
    return x


def bounded(x: Annotated[int, Meta(ge=1, le=9)]) -> Any:
    return x


def stepped(x: Annotated[int, Meta(multiple_of=5)]) -> Any:
    return x


def number(x: Annotated[float, Meta(gt=0, lt=1)]) -> Any:
    return x


def text(x: Annotated[str, Meta(min_length=2, max_length=3, pattern="^[a-z]+$")]) -> Any:
    return x


def truth(x: bool) -> Any:
    return x


def nothing(x: None) -> Any:
    return x


def maybe(x: int | None) -> Any:
    return x


def anything(x: Any) -> Any:
    return x


def an_object(x: object) -> Any:
    return x


def data(x: Annotated[bytes, Meta(max_length=3)]) -> Any:
    return x


def moment(x: datetime.datetime) -> Any:
    return x


def zoned(x: Annotated[datetime.datetime, Meta(tz=True)]) -> Any:
    return x


def day(x: datetime.date) -> Any:
    return x


def hour(x: datetime.time) -> Any:
    return x


def span(x: datetime.timedelta) -> Any:
    return x


def an_id(x: uuid.UUID) -> Any:
    return x


def exact(x: decimal.Decimal) -> Any:
    return x


def exact_list(x: list[decimal.Decimal]) -> Any:
    return x


def colour(x: Colour) -> Any:
    return x


def size(x: Size) -> Any:
    return x


def choice(x: Literal["a", "b"]) -> Any:
    return x


def either(x: int | datetime.date | None) -> Any:
    return x


def some(x: Annotated[list[int], Meta(min_length=1, max_length=2)]) -> Any:
    return x


def a_set(x: set[int]) -> Any:
    return x


def couple(x: tuple[int, str]) -> Any:
    return x


def many(x: tuple[int, ...]) -> Any:
    return x


def mapping(x: dict[str, int]) -> Any:
    return x


def by_number(x: dict[int, int]) -> Any:
    return x


def inner(x: Inner) -> Any:
    return x


def tree(x: Tree) -> Any:
    return x


def pet(x: Cat | Dog) -> Any:
    return x


def pair(x: Pair) -> Any:
    return x


def place(x: Place) -> Any:
    return x


def movie(x: Movie) -> Any:
    return x


def even(x: Even) -> Any:
    return x


def evens(x: list[Even]) -> Any:
    return x


def of_attrs(x: Attrs) -> Any:
    return x


def of_pydantic(x: Model) -> Any:
    return x


def address(x: ipaddress.IPv4Address) -> Any:
    return x


def document(x: bson.ObjectId) -> Any:
    return x


NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
ID = uuid.UUID(int=5)
OBJECT = bson.ObjectId(b"abcdefghijkl")

RIGHT: list[tuple[Callable[..., Any], Any, Any]] = [
    (integer, 5, 5),
    (integer, 5.0, 5),
    (integer, -(2**63), -(2**63)),
    (bounded, 9, 9),
    (stepped, 10, 10),
    (number, 0.5, 0.5),
    (text, "ab", "ab"),
    (truth, True, True),
    (nothing, None, None),
    (maybe, None, None),
    (anything, [{"a": 1}], [{"a": 1}]),
    (an_object, [{"a": 1}], [{"a": 1}]),
    (data, "aGk=", b"hi"),
    (data, b"hi", b"hi"),
    (moment, "2026-01-02T03:04:05Z", NOW),
    (moment, NOW, NOW),
    (zoned, NOW.isoformat(), NOW),
    (day, "2026-01-02", NOW.date()),
    (hour, "03:04:05", NOW.time()),
    (span, "PT5S", datetime.timedelta(seconds=5)),
    (an_id, str(ID), ID),
    (an_id, ID, ID),
    (exact, "1.10", decimal.Decimal("1.10")),
    (exact, decimal.Decimal("1.10"), decimal.Decimal("1.10")),
    (exact_list, ["-0", "1E+3"], [decimal.Decimal("-0"), decimal.Decimal("1E+3")]),
    (colour, "red", Colour.RED),
    (size, 1, Size.SMALL),
    (choice, "a", "a"),
    (either, None, None),
    (either, "2026-01-02", NOW.date()),
    (some, [1, 2], [1, 2]),
    (a_set, [1, 1], {1}),
    (couple, [1, "a"], (1, "a")),
    (many, [1, 2, 3], (1, 2, 3)),
    (mapping, {"a": 1}, {"a": 1}),
    (by_number, {"5": 1}, {5: 1}),
    (inner, {"a": 1}, Inner(1)),
    (inner, Inner(1), Inner(1)),
    (tree, {"kids": [{"kids": []}]}, Tree([Tree()])),
    (pet, {"type": "Cat", "lives": 9}, Cat(9)),
    (pair, [1], Pair(1)),
    (place, [1, 2], Place(1, 2)),
    (movie, {"title": "x"}, {"title": "x"}),
    (even, {"number": 2}, Even(2)),
    (of_attrs, {"name": "x"}, Attrs("x")),
    (of_pydantic, {"title": "xy", "parts": ["1"]}, Model(title="xy", parts=[1])),
    (address, "127.0.0.1", ipaddress.IPv4Address("127.0.0.1")),
    (document, str(OBJECT), OBJECT),
]


def test_what_is_right() -> None:
    """Each type takes what its own JSON is, and what a codec has for it."""
    for function, sent, value in RIGHT:
        found = invoke(function, {"x": sent})
        assert (found, type(found)) == (value, type(value)), function.__name__


WRONG: list[tuple[Callable[..., Any], Any, str]] = [
    (integer, SECRET, "x: expected int, got str"),
    (integer, 1.5, "x: expected int, got float"),
    (integer, True, "x: expected int, got bool"),
    (integer, None, "x: expected int, got null"),
    (bounded, 0, "x: expected a whole number from 1 to 9"),
    (stepped, 7, "x: expected a whole number that is a multiple of 5"),
    (number, 1.0, "x: expected a number more than 0 and less than 1"),
    (number, "0.5", "x: expected float, got str"),
    (text, "a", "x: expected text of 2 to 3 characters in the required form"),
    (text, "AB", "x: expected text of 2 to 3 characters in the required form"),
    (text, 5, "x: expected str, got int"),
    (truth, 1, "x: expected bool, got int"),
    (nothing, 0, "x: expected null, got int"),
    (maybe, SECRET, "x: expected int or null, got str"),
    (data, "!!", "x: expected data of at most 3 bytes"),
    (data, "aGlnaA==", "x: expected data of at most 3 bytes"),
    (moment, SECRET, "x: expected datetime"),
    (moment, 5, "x: expected datetime, got int"),
    (zoned, "2026-01-02T03:04:05", "x: expected a date and time with a time zone"),
    (day, NOW, "x: expected date, got datetime"),
    (day, "2026-02-30", "x: expected date"),
    (an_id, SECRET, "x: expected uuid"),
    (exact, 1.1, "x: expected decimal, got float"),
    (exact, 1, "x: expected decimal, got int"),
    (exact, "NaN", "x: expected decimal"),
    (exact, "Infinity", "x: expected decimal"),
    (exact, "1e999999999", "x: expected decimal"),
    (exact, "1" * 65, "x: expected decimal"),
    (exact_list, ["1", 1.5], "x[1]: expected decimal, got float"),
    (colour, SECRET, "x: expected one of 'red', 'blue'"),
    (colour, 5, "x: expected one of 'red', 'blue', got int"),
    (size, "1", "x: expected one of 1, got str"),
    (choice, SECRET, "x: expected one of 'a', 'b'"),
    (either, SECRET, "x: expected date"),
    (either, 1.5, "x: expected int or date or null, got float"),
    (some, [], "x: expected a list of 1 to 2 items"),
    (some, {"a": 1}, "x: expected array, got object"),
    (some, [1, SECRET], "x[1]: expected int, got str"),
    (couple, [1], "x: expected a list of 2 items"),
    (couple, ["a", 1], "x[0]: expected int, got str; x[1]: expected str, got int"),
    (mapping, [1], "x: expected object, got array"),
    (mapping, {"a": SECRET, "b c": None}, "x.a: expected int, got str; x['b c']: expected int, got null"),
    (by_number, {"a": 1}, "x.a: expected a key: int"),
    (inner, {"duedate": 5}, "x.a is missing; x.duedate is unknown, did you mean due_date?"),
    (inner, 5, "x: expected object, got int"),
    (tree, {"kids": [{"kids": [{"size": "x"}]}]}, "x.kids[0].kids[0].size: expected int, got str"),
    (pet, {"type": "Cat"}, "x.lives is missing"),
    (pet, {"type": SECRET}, "x.type: expected 'Cat' or 'Dog'"),
    (pet, {"lives": 9}, "x.type is missing"),
    (pet, 5, "x: expected object, got int"),
    (pair, ["a"], "x[0]: expected int, got str"),
    (pair, [], "x[0] is missing"),
    (place, {"x": 1}, "x: expected array, got object"),
    (movie, {"year": "x"}, "x.title is missing; x.year: expected int, got str"),
    (even, {"number": 3}, "x: not valid"),
    (evens, [{"number": 3}, {"number": "x"}], "x[1].number: expected int, got str"),
    (of_attrs, {"size": 1}, "x.name is missing"),
    (
        of_pydantic,
        {"title": 5, "parts": ["a", 1]},
        "x.title: expected str, got int; x.parts[0]: expected int, got str",
    ),
    (of_pydantic, {"title": SECRET}, "x.title: not valid"),
    (of_pydantic, {"title": "x"}, "x.title: not valid"),
    (of_pydantic, {}, "x.title is missing"),
    (of_pydantic, 5, "x: expected object, got int"),
    (address, SECRET, "x: expected IPv4Address"),
    (address, 5, "x: expected IPv4Address"),
    (document, SECRET, "x: expected ObjectId"),
]


def test_what_is_wrong() -> None:
    """The text names place, type and rule, and has nothing that was sent, nor what a check said."""
    for function, sent, value in WRONG:
        with pytest.raises(InvalidParameters) as error:
            invoke(function, {"x": sent})
        assert error.value.value == value, function.__name__
        assert SECRET not in json.dumps(error.value.as_dict())
        assert error.value.code == 1003


def test_types_in_binary_codecs() -> None:
    """BSON and MessagePack have bytes, so text is no bytes; what else is text in JSON may be text there too."""
    assert problems(data, {"x": "aGk="}, binary=True) == [
        {"path": "x", "kind": "type", "expected": "bytes", "got": "str"}
    ]
    decoded = CODECS["application/bson"].decode(
        bson.encode(
            {
                "exact": bson.Decimal128("1.10"),
                "moment": NOW,
                "an_id": bson.Binary.from_uuid(ID),
                "integer": bson.Int64(5),
                "data": bson.Binary(b"hi", 5),
                "document": OBJECT,
            }
        )
    )
    for function, value in (
        (exact, decimal.Decimal("1.10")),
        (moment, NOW),
        (an_id, ID),
        (integer, 5),
        (data, b"hi"),
        (document, OBJECT),
    ):
        assert invoke(function, {"x": decoded[function.__name__]}, binary=True) == value
        assert problems(function, {"x": {"a": SECRET}}, binary=True)
    assert invoke(exact, {"x": "1.10"}, binary=True) == decimal.Decimal("1.10")


def several(title: str, limit: int = 10, tags: list[str] = [], parts: list[Inner] = []) -> Any:
    return title


def test_every_problem_at_once() -> None:
    """Missing and wrong ones come in the order of the method, and then what is unknown."""
    sent = {"titel": 1, "limit": "x", "parts": [{"a": 1}, {"b": 1}, 5]}
    assert paths(several, sent) == [
        "missing title",
        "type limit",
        "missing parts[1].a",
        "unknown parts[1].b",
        "type parts[2]",
        "unknown titel",
    ]
    assert problems(several, sent)[-1]["nearest"] == "title"


def test_unknown_names() -> None:
    """The name that was meant is suggested; a strange one is cut, and never repeated as it is."""

    def method(title: str = "", due_date: str = "", limit: int = 1) -> None: ...

    for name, nearest in {
        "titel": "title", "tilte": "title", "Title": "title", "titles": "title", "dueDate": "due_date",
        "due-date": "due_date", "limits": "limit", "limitt": "limit", "foo": "", "": "", "x" * 5000: "", "\ud800": "",
    }.items():  # fmt: skip
        (problem,) = problems(method, {name: SECRET})
        assert problem.get("nearest", "") == nearest, name
        assert problem["kind"] == "unknown"
        assert len(problem["path"]) <= 70
        problem["path"].encode()


def test_limits() -> None:
    """At most 20 problems are named, and 10,000 values looked at, each once, however the call is nested."""
    assert len(problems(mapping, {"x": {f"k{number}": "" for number in range(100_000)}})) == 20
    assert len(problems(integer, {f"k{number}": 1 for number in range(100_000)})) == 20
    far = {"x": [0] * 50_000 + ["wrong"]}

    def numbers(x: list[int]) -> Any: ...

    assert problems(numbers, far) == [{"path": "x", "kind": "value"}]
    deep: Any = {"size": "wrong"}
    for _ in range(60):
        deep = {"kids": [{"size": 0}] * 150 + [deep]}
    started = time.process_time()
    assert problems(tree, {"x": deep})
    assert time.process_time() - started < 5  # a quadratic walk takes minutes
    (problem,) = problems(mapping, {"x": {SECRET * 20: ""}})
    assert len(problem["path"]) < 80


def test_many_decimals() -> None:
    """Each is looked at, so there may be 10,000; beside them, other parameters may have as many as ever."""

    def method(prices: list[decimal.Decimal], counts: list[int] = []) -> int:
        return len(prices) + len(counts)

    assert invoke(method, {"prices": ["1.5"] * 9_000, "counts": [1] * 100_000}) == 109_000
    assert problems(method, {"prices": ["1.5"] * 10_001}) == [
        {"path": "prices", "kind": "value", "expected": "at most 10000 values in parameters with decimals"}
    ]
    assert paths(method, {"prices": ["1"] * 9_000 + [1.5], "counts": ["x"]}) == [
        "type prices[9000]",
        "type counts[0]",
    ]


def test_what_contains_itself() -> None:
    """A call in process may have a value that contains itself; that is refused too."""
    itself: dict[str, Any] = {}
    itself["kids"] = [itself, itself, 5.0]
    assert problems(tree, {"x": itself})
    odd: dict[Any, Any] = {5: 1, "x": 1}
    assert paths(integer, odd) == ["unknown [5]"]


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8) | st.binary(max_size=4) | st.sampled_from([*("red", "2026-01-02", "1.5", "Cat"), NOW, ID]),
    lambda below: st.lists(below, max_size=4)
    | st.dictionaries(st.sampled_from(["a", "x", "type", "lives", "title", "kids", "size", "name"]), below, max_size=4),
    max_leaves=12,
)  # fmt: skip
FUNCTIONS = sorted({function for function, *_ in RIGHT}, key=lambda function: function.__name__)
METHODS = {function: compiled(function) for function in FUNCTIONS}


@settings(patient, max_examples=400)
@given(st.sampled_from(FUNCTIONS), PLAIN, st.booleans(), st.sampled_from(["plain", "get", "form"]))
def test_garbage_is_refused_with_its_problems(
    function: Callable[..., Any], value: Any, binary: bool, how: str
) -> None:
    """Whatever is sent is taken, or refused with problems; nothing else is ever raised."""
    call = {"by_get": how == "get", "by_form": how == "form", "binary": binary and how == "plain"}
    sent = (
        {"x": value}
        if how == "plain"
        else {"x": [str(each) for each in value] if isinstance(value, list) else str(value)}
    )
    found = problems(function, sent, **call)
    assert all(each["kind"] in ("missing", "unknown", "type", "value") for each in found)
    accepted = True
    try:
        msgspec.convert(value, METHODS[function].signature.parameters[0].type, str_keys=True)  # type: ignore[union-attr]
    except (ValueError, TypeError):
        accepted = False
    if (
        how == "plain"
        and not binary
        and accepted
        and function not in (exact, exact_list, of_pydantic, address, document)
    ):
        assert not found


OF_TYPE: dict[Callable[..., Any], st.SearchStrategy[Any]] = {
    integer: st.integers(-(2**63), 2**63 - 1),
    bounded: st.integers(1, 9),
    maybe: st.none() | st.integers(-(2**63), 2**63 - 1),
    data: st.binary(max_size=3),
    moment: st.datetimes(timezones=st.just(datetime.UTC)),
    day: st.dates(),
    an_id: st.uuids(),
    exact: st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**9), max_value=10**9),
    colour: st.sampled_from(Colour),
    some: st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=2),
    mapping: st.dictionaries(st.text("abcé ", max_size=5), st.integers(-(2**63), 2**63 - 1), max_size=4),
    inner: st.builds(Inner, st.integers(-(2**63), 2**63 - 1), st.text(max_size=5)),
    tree: st.recursive(st.builds(Tree, st.just([]), st.integers(0, 9)), lambda below: st.builds(Tree, st.lists(below))),
    pet: st.builds(Cat, st.integers(0, 9)) | st.builds(Dog, st.text(max_size=5)),
    of_attrs: st.builds(Attrs, st.text(max_size=5), st.integers(0, 9)),
}  # fmt: skip


@settings(patient, max_examples=200)
@given(st.data())
def test_what_the_own_json_of_a_type_is(data: st.DataObject) -> None:
    """A value that was encoded by each codec is taken, and is the same again."""
    function = data.draw(st.sampled_from(list(OF_TYPE)))
    value = data.draw(OF_TYPE[function])
    for name, codec in CODECS.items():
        if name == "application/bson" and isinstance(value, datetime.datetime):
            value = value.replace(microsecond=value.microsecond // 1000 * 1000)  # BSON has milliseconds
        sent = codec.decode(codec.encode({"x": value}))
        assert invoke(function, sent, binary=name != "application/json") == value, name
