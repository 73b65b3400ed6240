"""Functions that admit to channels, of every kind that a client is made of."""

from __future__ import annotations

from typing import Any, TypedDict

from toto_aio import Handler
from toto_aio.invocation import authenticated, channel, roles
from toto_aio.members import Admission


class Topic(TypedDict):
    """What a room is about."""

    topic: str


@channel("room:{room}", history=10)
@authenticated
async def join(handler: Handler, room: int) -> Topic:
    """Join a room."""
    return {"topic": f"room {room}"}


@channel("news")
async def news(handler: Handler) -> Admission:
    """Read the news."""
    return Admission(1)


@channel("user-{id}:{class}:inbox")
@roles("admin")
async def inbox(handler: Handler, parameters: dict[str, Any]) -> None:
    """A classic function, with a variable that is a word of the languages."""


@channel("room:{room}:{page}")
async def both(handler: Handler, room: str, page: int) -> int:
    """A longer pattern with the same words."""
    return page


CHANNELS = {"join": join, "rooms.news": news, "rooms.inbox": inbox, "both": both}
"""The functions by their names."""
