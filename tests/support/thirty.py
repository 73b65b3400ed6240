"""A service of thirty methods, classic and typed, of which a document is made and tried."""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypedDict

import msgspec
import pydantic
from msgspec import Meta

import toto_aio.methods
from toto_aio import File, Handler, TotoException
from toto_aio.invocation import (
    anonymous_session,
    authenticated,
    authenticated_with_parameter,
    default_parameters,
    jsonp,
    optionally_authenticated,
    raw_response,
    requires,
    safe,
)
from toto_aio.registry import find_methods

Parameters = dict[str, Any]
Title = Annotated[str, Meta(min_length=1, max_length=80, description="What it is called", examples=["Milk"])]
Positive = Annotated[int, Meta(ge=1, le=1000)]


Whole = Annotated[float, Meta(ge=0.5, le=1000)]


class Color(enum.Enum):
    """What a note looks like."""

    RED = "red"
    BLUE = "blue"


class Author(msgspec.Struct, forbid_unknown_fields=True):
    """Who wrote a note."""

    name: str
    born: datetime.date | None = None


class Note(msgspec.Struct, forbid_unknown_fields=True):
    """A note."""

    title: Title
    color: Color = Color.RED
    tags: list[str] = []
    author: Author | None = None


@dataclass
class Point:
    """A place."""

    x: float
    y: float
    label: str = ""


class Shape(TypedDict):
    """Points and how they are joined."""

    points: list[Point]
    closed: bool


class Person(pydantic.BaseModel):
    """A person, as pydantic reads them."""

    model_config = pydantic.ConfigDict(strict=True, extra="forbid")

    name: str = pydantic.Field(min_length=1, max_length=40)
    age: int = pydantic.Field(ge=0, le=150)


class Tree(msgspec.Struct, forbid_unknown_fields=True):
    """A tree."""

    name: str
    children: list[Tree] = []


async def add(handler: Handler, title: Title, color: Color = Color.RED, tags: list[str] = []) -> Note:  # noqa: B006
    """Add a note.

    It is not kept.
    """
    return Note(title, color, tags)


@safe
async def find(handler: Handler, word: str, limit: Positive = 10, exact: bool = False) -> list[str]:
    """Find notes with a word."""
    return [word] * min(limit, 3)


@safe
def total(handler: Handler, numbers: list[Annotated[int, Meta(ge=-1000, le=1000)]]) -> int:
    """The sum of some numbers, in a thread."""
    return sum(numbers)


async def save(handler: Handler, note: Note, copies: Positive | None = None) -> dict[str, Any]:
    """Save a note."""
    return {"title": note.title, "copies": copies or 1}


async def replace(handler: Handler, parameters: Note) -> Note:
    """Replace a note by the parameters as a whole."""
    return parameters


async def meet(handler: Handler, parameters: Person) -> str:
    """Meet a person."""
    return f"Hello {parameters.name}"


async def invite(handler: Handler, person: Person, when: datetime.datetime | None = None) -> Person:
    """Invite a person."""
    return person


async def draw(handler: Handler, shape: Shape) -> int:
    """Draw a shape."""
    return len(shape["points"])


async def walk(handler: Handler, tree: Tree) -> str:
    """Look at a tree."""
    return tree.name


@safe
async def ratio(
    handler: Handler, part: float, whole: Annotated[float, Meta(gt=0, le=1000)] = 1.0
) -> float | None:
    """A part of a whole."""
    return part if abs(part) > 1e300 else part / whole


@safe
async def kind(handler: Handler, which: Literal["a", "b", "c"] = "a") -> str:
    """One of three."""
    return which


async def price(handler: Handler, amount: decimal.Decimal, currency: Literal["EUR", "USD"] = "EUR") -> str:
    """Show a price."""
    return f"{amount} {currency}"


@safe
async def lookup(handler: Handler, key: uuid.UUID) -> uuid.UUID:
    """Look something up."""
    return key


async def encode(handler: Handler, data: bytes) -> bytes:
    """The bytes, reversed."""
    return data[::-1]


async def upload(handler: Handler, file: File, copies: Positive = 1) -> dict[str, Any]:
    """Take a file."""
    return {"size": len(file.data), "copies": copies}


async def anything(handler: Handler, value: Any = None) -> Any:
    """Give anything back."""
    return value


async def labels(handler: Handler, counts: dict[str, Annotated[int, Meta(ge=0)]]) -> int:
    """Count labels."""
    return len(counts)


async def pair(handler: Handler, both: tuple[int, str]) -> tuple[int, str]:
    """Two values."""
    return both


@authenticated
async def mine(handler: Handler, limit: Positive = 5) -> str:
    """Who I am."""
    assert handler.session is not None
    return str(handler.session.user_id)


@anonymous_session
async def visit(handler: Handler) -> int:
    """Count the visits."""
    assert handler.session is not None
    await handler.session.update(lambda state: state.update(visits=state.get("visits", 0) + 1))
    return int(handler.session.state["visits"])


@optionally_authenticated
async def greet(handler: Handler, name: str = "you") -> str:
    """Greet whoever calls."""
    return f"Hello {name}"


async def missing(handler: Handler, number: Positive) -> str:
    """There is none."""
    raise TotoException(2001, f"There is no note {number}.", status=404)


# The classic form.


@safe
@requires("name")
async def hello(handler: Handler, parameters: Parameters) -> Parameters:
    """Greet someone by name."""
    return {"hello": parameters["name"]}


@default_parameters({"limit": 10})
async def listing(handler: Handler, parameters: Parameters) -> Any:
    """List what there is."""
    return [parameters["limit"]]


async def echo(handler: Handler, parameters: Parameters) -> Parameters:
    """Give the parameters back."""
    return parameters


@authenticated
@requires("text")
async def note(handler: Handler, parameters: Parameters) -> bool:
    """Keep a note in the session."""
    return bool(parameters["text"])


@authenticated_with_parameter
async def token(handler: Handler, parameters: Parameters) -> str:
    """Who the session of the parameter belongs to."""
    return "you"


@raw_response
async def raw(handler: Handler, parameters: Parameters) -> bytes:
    """Some bytes."""
    return b"\x00\x01"


@jsonp("callback")
async def script(handler: Handler, parameters: Parameters) -> int:
    """A number for a page."""
    return 7


def plain(handler: Handler, parameters: Parameters) -> int:
    """Count the parameters, in a thread."""
    return len(parameters)


METHODS: dict[str, Any] = {
    "notes.add": add,
    "notes.find": find,
    "notes.save": save,
    "notes.replace": replace,
    "notes.missing": missing,
    "notes.mine": mine,
    "people.meet": meet,
    "people.invite": invite,
    "shapes.draw": draw,
    "shapes.walk": walk,
    "math.total": total,
    "math.ratio": ratio,
    "math.kind": kind,
    "math.price": price,
    "math.pair": pair,
    "math.labels": labels,
    "data.lookup": lookup,
    "data.encode": encode,
    "data.upload": upload,
    "data.anything": anything,
    "visit": visit,
    "greet": greet,
    "hello": hello,
    "listing": listing,
    "echo": echo,
    "note": note,
    "token": token,
    "raw": raw,
    "script": script,
    "plain": plain,
}
"""The methods by their names."""
WITH_ACCOUNTS = {
    **METHODS,
    **{name: each.invoke for name, each in find_methods(toto_aio.methods, 60).items()},
}
"""The same with those of accounts, which the package of a service imports."""
