"""A service with everything that the explorer shows."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from aiohttp import web
from msgspec import Meta, Struct

import toto_aio.methods
from toto_aio import File, create_app
from toto_aio.invocation import (
    authenticated,
    channel,
    deprecated,
    fresh,
    idempotent,
    rate,
    raw_response,
    requires,
    roles,
    safe,
)
from toto_aio.registry import find_methods


class Place(Struct):
    """Where it is."""

    name: str
    latitude: float = 0.0


TITLE = Meta(min_length=1, max_length=80, description="What it is called", examples=["Milk"])


@authenticated
@rate(30, per=60)
@idempotent
async def add(
    handler: Any,
    title: Annotated[str, TITLE],
    priority: Annotated[int, Meta(ge=1, le=5)] = 3,
    color: Literal["red", "green"] = "red",
    due: date | None = None,
    at: datetime | None = None,
    tags: list[str] = [],  # noqa: B006
    sizes: list[int] = [],  # noqa: B006
    place: Place | None = None,
    done: bool = False,
    weight: float = 1.0,
) -> dict[str, Any]:
    """Add a note.

    The newest come first. A note without a place is everywhere.
    """
    return {"id": 2**53 + 1, "title": title, "priority": priority, "color": color, "due": due, "at": at,
            "tags": tags, "sizes": sizes, "place": place, "done": done, "weight": weight}  # fmt: skip


@safe
async def echo(text: str, numbers: list[int] = [], exact: int | None = None) -> list[Any]:  # noqa: B006
    """Say it again."""
    return [text, numbers, exact]


async def upload(name: str, picture: File, others: list[File] = []) -> list[Any]:  # noqa: B006
    """Keep pictures."""
    return [name, picture.name, len(picture.data), [each.name for each in others]]


@requires("name")
async def old(handler: Any, parameters: dict[str, Any]) -> Any:
    """Return the parameters, as methods were written before they had types."""
    return parameters


@raw_response
async def picture(handler: Any, parameters: dict[str, Any]) -> bytes:
    """Return bytes."""
    handler.response_type = "image/png"
    return b"\xff\xfe\x00"


@deprecated(since="2026-01-31", sunset="2027-01-31")
@fresh(600)
async def wipe(handler: Any) -> None:
    """Remove everything."""


@roles("admin")
async def shut(room: str) -> None:
    """Shut a room."""


@channel("room:{room}", history=100, presence=True, join_leave=True)
async def join(handler: Any, room: str) -> dict[str, str]:
    """Hear what is said in a room."""
    return {"topic": f"all about {room}"}


@roles("admin")
@channel("staff:{room}")
async def staff(handler: Any, room: str) -> None:
    """Hear what is said among the staff."""


async def say(handler: Any, room: str, text: str) -> None:
    """Say something in a room."""
    await handler.events.publish(f"room:{room}", {"text": text})


async def promote(handler: Any, user: str, roles: list[str]) -> None:
    """Give a user roles, as only a test may."""
    await handler.accounts.set_roles(user, roles)


METHODS: dict[str, Any] = {
    "notes.add": add,
    "notes.echo": echo,
    "notes.upload": upload,
    "old": old,
    "picture": picture,
    "wipe": wipe,
    "rooms.shut": shut,
    "rooms.join": join,
    "rooms.staff": staff,
    "rooms.say": say,
    "promote": promote,
}


def service(methods: dict[str, Any] | None = None, **options: Any) -> web.Application:
    """The service, with its explorer."""
    built_in = {name: method.invoke for name, method in find_methods(toto_aio.methods, 60).items()}
    given = {"database": "memory://", "explorer": "on", "error_status": "http", **options}
    return create_app(method_module={**built_in, **(METHODS if methods is None else methods)}, **given)
