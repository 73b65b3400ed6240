"""What a change of a service means for its clients: what breaks old ones, and what does not."""

from __future__ import annotations

import datetime
import itertools
from typing import Annotated, Any, Literal, Optional

import msgspec
import pytest
from msgspec import Meta

from tests.support.contracts import compared, contract_of, plain
from tests.support.thirty import WITH_ACCOUNTS
from toto_aio import Handler
from toto_aio.contract.compare import changes
from toto_aio.contract.file import read_contract, write_contract
from toto_aio.invocation import requires


class Note(msgspec.Struct):
    """A note."""

    title: str
    next: Optional[Note] = None  # noqa: UP045  # msgspec cannot read the other form in a class


class Longer(msgspec.Struct):
    """A note with more."""

    title: str
    color: str = "red"
    next: Optional[Longer] = None  # noqa: UP045


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    """A note that takes nothing else."""

    title: str
    next: Optional[Strict] = None  # noqa: UP045


class Needy(msgspec.Struct):
    """A note that needs more."""

    title: str
    author: str
    next: Optional[Needy] = None  # noqa: UP045


Small = Annotated[int, Meta(ge=1, le=10)]
Short = Annotated[str, Meta(max_length=10)]


def takes(kind: Any, *, default: Any = None) -> Any:
    """A method with a parameter ``x`` of this type."""

    async def needing(handler: Handler, *, x: Any) -> None: ...

    async def defaulting(handler: Handler, *, x: Any = default) -> None: ...

    method: Any = needing if default is None else defaulting
    method.__annotations__["x"] = kind
    return method


def gives(kind: Any) -> Any:
    """A method with a result of this type."""

    async def method(handler: Handler) -> Any: ...

    method.__annotations__["return"] = kind
    return method


TABLE: list[tuple[str, Any, Any, list[str]]] = [
    ("nothing", takes(Note), takes(Note), []),
    (
        "a required parameter",
        plain,
        takes(int),
        ["breaks: m: parameters.x: it is needed now"],
    ),
    ("an optional parameter", plain, takes(int, default=1), ["fine: m: parameters.x: it is new"]),
    ("a parameter gone", takes(int), plain, ["breaks: m: parameters.x: it is not taken any more"]),
    (
        "a default",
        takes(int),
        takes(int, default=1),
        ["fine: m: parameters.x: it may be left out now"],
    ),
    (
        "no default",
        takes(int, default=1),
        takes(int),
        ["breaks: m: parameters.x: it is needed now"],
    ),
    (
        "a type narrowed",
        takes(int),
        takes(Small),
        ["breaks: m: parameters.x: integer (minimum 1, maximum 10) is taken now, integer was"],
    ),
    (
        "a type widened",
        takes(Short),
        takes(str | None),
        ["fine: m: parameters.x: string or null is taken now, string (maxLength 10) was"],
    ),
    (
        "a choice gone",
        takes(Literal["a", "b"]),
        takes(Literal["a"]),
        ['breaks: m: parameters.x: "a" is taken now, "a" or "b" was'],
    ),
    (
        "a choice more",
        takes(Literal["a"]),
        takes(Literal["a", "b"]),
        ['fine: m: parameters.x: "a" or "b" is taken now, "a" was'],
    ),
    (
        "a member needed in a model",
        takes(list[Note]),
        takes(list[Needy]),
        [
            "breaks: m: parameters.x[].author: it is needed now",
        ],
    ),
    ("a member more in a model", takes(Note), takes(Longer), []),
    (
        "others refused in a model",
        takes(Note),
        takes(Strict),
        ["breaks: m: parameters.x.*: it is not taken any more"],
    ),
    (
        "a member gone from a result",
        gives(list[Needy]),
        gives(list[Note]),
        ["breaks: m: result[].author: it is gone"],
    ),
    (
        "an optional member gone from a result",
        gives(Longer),
        gives(Note),
        ["breaks: m: result.color: it is gone"],
    ),
    ("a member more in a result", gives(Note), gives(Longer), ["fine: m: result.color: it is new"]),
    (
        "null in a result",
        gives(int),
        gives(int | None),
        ["breaks: m: result: integer or null is given now, integer was"],
    ),
    (
        "never null in a result",
        gives(int | None),
        gives(int),
        ["fine: m: result: integer is given now, integer or null was"],
    ),
    (
        "text instead of a date",
        gives(datetime.date),
        gives(str),
        ["breaks: m: result: string is given now, string (format date) was"],
    ),
    ("no type any more", gives(int), gives(Any), ["breaks: m: result: anything is given now, integer was"]),
    (
        "a file no more",
        takes(bytes),
        takes(str),
        [
            "breaks: m: parameters.x: it may not be a file any more",
            "fine: m: parameters.x: string is taken now, string (contentEncoding base64) was",
        ],
    ),
]


def test_what_each_change_means() -> None:
    """Each change is named once, with what it means."""
    for name, before, after, wanted in TABLE:
        assert compared(before, after) == wanted, name


def test_methods_that_come_and_go() -> None:
    """A method that is gone breaks its callers, and what breaks comes first."""
    old, new = contract_of(a=plain, b=takes(int)), contract_of(b=takes(int), c=plain, **{"0": plain})
    assert [str(each) for each in changes(old, new)] == [
        "breaks: a: it is gone",
        "fine: 0: it is new",
        "fine: c: it is new",
    ]


def test_classic_methods() -> None:
    """Of these only the names are known that a decorator requires."""

    def classic(*names: str) -> Any:
        async def method(handler: Handler, parameters: dict[str, Any]) -> Any: ...

        return requires(*names)(method) if names else method

    assert compared(classic(), classic("a")) == ["breaks: m: parameters.a: it is needed now"]
    assert compared(classic("a"), classic()) == ["fine: m: parameters.a: it may be left out now"]
    assert compared(classic("a"), takes(int)) == [
        "breaks: m: parameters.x: it is needed now",
        "breaks: m: parameters.a: it is not taken any more",
        "breaks: m: parameters.*: it is not taken any more",
        "fine: m: result: null is given now, anything was",
    ]


def test_the_thirty_methods() -> None:
    """The same service never differs from itself, whatever its options and texts."""
    contract = write_contract(contract_of(**WITH_ACCOUNTS))
    assert write_contract(read_contract(contract)) == contract
    assert changes(read_contract(contract), read_contract(contract)) == []
    assert "description" not in contract
    assert '"title": {' in contract  # a parameter of that name is no text


KINDS: list[Any] = [
    *(
        int,
        float,
        bool,
        str,
        Small,
        Short,
        Any,
        Note,
        Longer,
        Strict,
        Needy,
        list[int],
        list[Small],
        list[Any],
    ),
    *(Literal["a", "b"], Literal["a"], Literal[1, 2, 3], int | None, str | None, tuple[int, str]),
    *(dict[str, int], dict[str, Any], Annotated[float, Meta(gt=0)], Annotated[float, Meta(ge=0)], list[Note]),
    *(Annotated[list[int], Meta(min_length=1)], Annotated[str, Meta(pattern="^a")], datetime.date, bytes),
    *(Annotated[int, Meta(gt=0)], Annotated[int, Meta(multiple_of=2)], Annotated[int, Meta(multiple_of=4)]),
]
VALUES: list[Any] = [
    *(
        None,
        True,
        0,
        1,
        2,
        3,
        4,
        11,
        -1,
        -4,
        0.5,
        0.0,
        "",
        "a",
        "b",
        "abc",
        "abcdefghijkl",
        "2020-01-02",
        "YWJj",
    ),
    *([], [1], [11], ["a"], [None], [1, "a"], {}, {"a": 1}, {"a": "b"}, {"title": "a"}, [{"title": "a"}]),
    *({"title": 1}, {"title": "a", "color": "b"}, {"title": "a", "author": "b"}),
    *({"title": "a", "next": {"title": "b"}}, {"title": "a", "next": {"title": "b", "author": "c"}}),
]


def accepted(kind: Any, value: Any) -> bool:
    """Whether a parameter of a type takes a value of JSON."""
    try:
        msgspec.json.decode(msgspec.json.encode(value), type=kind)
    except msgspec.ValidationError:
        return False
    return True


def test_no_break_is_missed() -> None:
    """If a change of a type is fine, the new one takes what the old one took; otherwise a value tells."""
    contracts = [contract_of(m=takes(kind)) for kind in KINDS]
    taken = [{index for index, value in enumerate(VALUES) if accepted(kind, value)} for kind in KINDS]
    needless = []
    for old, new in itertools.product(range(len(KINDS)), repeat=2):
        breaks = any(each.breaks for each in changes(contracts[old], contracts[new]))
        lost = taken[old] - taken[new]
        if lost and not breaks:
            pytest.fail(f"{KINDS[old]} to {KINDS[new]}: {[VALUES[each] for each in lost]}")
        if breaks and not lost:
            needless.append((KINDS[old], KINDS[new]))
    # Of files no value tells, and nothing says how long a date is.
    assert needless == [(datetime.date, Short), (bytes, str), (bytes, Any), (bytes, str | None)]


def test_files_that_are_none() -> None:
    """A file of another kind or version is refused with what is wrong."""
    for text in ("", "[]", "{}", '{"version": 2, "methods": {}}', '{"version": 1, "methods": {"a": 3}}'):
        with pytest.raises(ValueError, match=r"\w"):
            read_contract(text)
