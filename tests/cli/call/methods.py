"""Methods to call from the shell: typed ones with all kinds of parameters, and classic ones."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec

from toto_aio import File, Handler
from toto_aio.exceptions import InvalidParameters, TimedOut, TooManyAttempts, Unavailable
from toto_aio.invocation import anonymous_session, authenticated, default_parameters, raw_response, requires

Parameters = dict[str, Any]


class Place(msgspec.Struct):
    """A place."""

    x: int
    name: str = ""


async def add(
    title: Annotated[str, msgspec.Meta(description="What it is called", min_length=1, max_length=20)],
    tags: list[str] = [],  # noqa: B006 # each call has its own
    limit: int = 10,
    done: bool = False,
    color: Literal["red", "blue"] = "red",
    due_date: datetime.date | None = None,
    share: float | None = 0.5,
    place: Place | None = None,
    path: list[Place] = [],  # noqa: B006
    timeout: int | None = None,
) -> dict[str, Any]:
    """Add a note.

    Its title is short.
    """
    given = {"title": title, "tags": tags, "limit": limit, "done": done, "color": color, "timeout": timeout}
    return {**given, "due_date": due_date, "share": share, "place": place, "path": path}


async def photo(
    picture: File,
    raw: bytes = b"",
    pages: list[File] = [],  # noqa: B006
    tags: list[str] = [],  # noqa: B006
    width: int = 0,
    place: Place | None = None,
) -> list[Any]:
    """Keep a picture."""
    kept = [picture.name, picture.content_type, picture.data.decode("latin-1")]
    return [*kept, raw.decode(), [each.data.decode() for each in pages], tags, width]


@requires("name")
@default_parameters({"greeting": "Hello", "times": 1})
async def greet(handler: Handler, parameters: Parameters) -> Any:
    """Greet somebody."""
    return parameters


async def files(handler: Handler, parameters: Parameters) -> Any:
    """Show a form."""
    sent = parameters["files"]
    shown = {name: [[each["filename"], each["body"].decode()] for each in sent[name]] for name in sent}
    return [parameters["arguments"], shown]


@authenticated
async def mine(handler: Handler) -> str:
    """Say whose notes they are."""
    assert handler.session is not None
    return handler.session.user_id


@anonymous_session
async def visit(handler: Handler, parameters: Parameters) -> int:
    """Make a session without a user."""
    return 1


@raw_response
async def picture(handler: Handler, parameters: Parameters) -> bytes:
    """Give bytes."""
    return b"\x89PNG\xff"


async def listed() -> list[dict[str, Any]]:
    """List notes."""
    return [{"title": "Milk", "tags": ["a", "b"]}, {"title": "\x1b[31mBread", "done": True}]


async def move(handler: Handler, parameters: Parameters) -> None:
    """Lead somewhere else."""
    handler.redirect("/elsewhere")


async def wait() -> None:
    """Take long."""
    await asyncio.sleep(600)


async def broken() -> None:
    """Fail."""
    raise KeyError("x")


def raising(error: Exception) -> Callable[..., Any]:
    """A method that raises an error."""

    async def invoke(handler: Handler, parameters: Parameters) -> None:
        raise error

    return invoke


METHODS: dict[str, Any] = {
    "notes.add": add,
    "notes.photo": photo,
    "notes.mine": mine,
    "notes.listed": listed,
    "greet": greet,
    "files": files,
    "visit": visit,
    "picture": picture,
    "move": move,
    "wait": wait,
    "broken": broken,
    "fails.parameters": raising(InvalidParameters("\x1b[2Jno")),
    "fails.unavailable": raising(Unavailable()),
    "fails.busy": raising(TooManyAttempts(retry_after=3)),
    "fails.late": raising(TimedOut()),
}
