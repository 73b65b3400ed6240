"""Typed methods with all kinds of parameters."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal

import msgspec

from toto_aio import File, Handler, method
from toto_aio.invocation import authenticated


class Place(msgspec.Struct):
    """A place."""

    x: int
    name: str = ""


@method
async def add(
    title: Annotated[str, msgspec.Meta(description="What ``it`` is called", min_length=1, max_length=20)],
    tags: list[str] = [],  # noqa: B006 # each call has its own
    limit: int = 10,
    done: bool = False,
    color: Literal["red", "blue"] = "red",
    due_date: datetime.date | None = None,
    share: float | None = 0.5,
    place: Place | None = None,
    path: list[Place] = [],  # noqa: B006
    timeout: int | None = None,  # noqa: ASYNC109 # a name that the command has too
) -> dict[str, Any]:
    """Add a note.

    Its ``title`` is short.
    """
    given = {"title": title, "tags": tags, "limit": limit, "done": done, "color": color, "timeout": timeout}
    return {**given, "due_date": due_date, "share": share, "place": place, "path": path}


@method
async def photo(
    picture: File,
    raw: bytes = b"",
    pages: list[File] = [],  # noqa: B006
    tags: list[str] = [],  # noqa: B006
    width: int = 0,
    place: Place | None = None,
) -> list[Any]:
    """Keep a ``picture``."""
    kept = [picture.name, picture.content_type, picture.data.decode("latin-1")]
    return [*kept, raw.decode(), [each.data.decode() for each in pages], tags, width]


@method
@authenticated
async def mine(handler: Handler) -> str:
    """Say whose notes they are."""
    assert handler.session is not None
    return handler.session.user_id


@method
async def listed() -> list[dict[str, Any]]:
    """List notes."""
    return [{"title": "Milk", "tags": ["a", "b"]}, {"title": "\x1b[31mBread", "done": True}]
