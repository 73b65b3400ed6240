"""Channels with whom they admit, and a method that publishes to them."""

from __future__ import annotations

from typing import Any

from toto_aio import Handler
from toto_aio.exceptions import NotAuthorized
from toto_aio.invocation import authenticated, channel


@channel("room:{room}", history=5)
async def room(handler: Handler, room: int) -> Any:
    """Admit everybody to the rooms below 100."""
    if room >= 100:
        raise NotAuthorized("No such room.")
    handler.set_status(418)  # which is the response of nobody
    return {"topic": f"room {room}", "user": handler.session and handler.session.user_id}


@channel("own:{user_id}", history=5)
@authenticated
async def own(handler: Handler, parameters: dict[str, Any]) -> None:
    """Admit users to their own channel."""
    assert handler.session is not None
    if parameters != {"user_id": handler.session.user_id}:
        raise NotAuthorized


@channel("plain")
async def plain() -> None:
    """Admit everybody."""


async def publish(handler: Handler, parameters: Any) -> Any:
    """Publish."""
    return await handler.events.publish(parameters["channel"], parameters["data"])


ROOMS: dict[str, Any] = {each.__name__: each for each in (room, own, plain, publish)}
"""All of them by their names."""
