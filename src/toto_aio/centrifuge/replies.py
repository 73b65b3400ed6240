"""What clients are told: the replies to commands, and pushes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from toto_aio.auth.user_session import UserSession
from toto_aio.channels import Position
from toto_aio.events.deliveries import Join
from toto_aio.events.followed import Given, Publication, Subscribed
from toto_aio.members import Member, PresenceStats
from toto_aio.websocket.subscriptions import REASONS

Message = dict[str, Any]

PING: Message = {}
"""What the service sends now and then, and the client answers with the same."""
MAX_TTL = 2**31
TTL_SHARE = 0.9
"""The share of a session's life after which its client is to refresh it, before it is too late."""


def refreshed(client: str, session: UserSession | None, now: float) -> Message:
    """Who is connected, and the seconds after which the session is to be shown again; None if never."""
    told: Message = {"client": client}
    if session is not None:
        left = min(max(int((session.expires - now) * TTL_SHARE), 1), MAX_TTL)
        told |= {"expires": True, "ttl": left}
    return told


def connected(
    client: str, session: UserSession | None, expiring: UserSession | None, now: float, ping: int
) -> Message:
    """The result of ``connect``: its data describe the session."""
    data = None if session is None else session.describe()
    return {**refreshed(client, expiring, now), "ping": ping, "pong": True, "data": data}


def subscribed(begun: Subscribed, data: Any, *, was_recovering: bool) -> Message:
    """The result of ``subscribe``."""
    told: Message = {"data": data}
    if begun.position is not None:
        told |= {"recoverable": True, "positioned": True, **_place(begun.position)}
    if begun.publications:
        told["publications"] = [published(each) for each in begun.publications]
    if was_recovering:
        told |= {"was_recovering": True, "recovered": begun.recovered}
    return told


def history(position: Position, publications: list[Publication]) -> Message:
    """The result of ``history``."""
    return {"publications": [published(each) for each in publications], **_place(position)}


def presence(members: Iterable[Member]) -> Message:
    """The result of ``presence``."""
    return {"presence": {each.client: info(each) for each in members}}


def presence_stats(stats: PresenceStats) -> Message:
    """The result of ``presence_stats``."""
    return {"num_clients": stats.clients, "num_users": stats.users}


def info(member: Member) -> Message:
    """Who is present, with what the channel's function tells about it."""
    told: Message = {"user": member.user, "client": member.client}
    return told if member.info is None else {**told, "chan_info": member.info}


def published(publication: Publication) -> Message:
    """A publication."""
    told = {"data": publication.data()}
    if publication.position is not None:
        told["offset"] = publication.position.offset
    return told


def push(given: Given) -> Message:
    """The push of a publication, or of somebody who comes or goes."""
    if isinstance(given, Publication):
        told = {"pub": published(given)}
    else:
        told = {"join" if isinstance(given, Join) else "leave": {"info": info(given.member)}}
    return {"push": {"channel": given.name, **told}}


def unsubscribe_push(name: str, code: int) -> Message:
    """The push of the end of a subscription."""
    return {"push": {"channel": name, "unsubscribe": {"code": code, "reason": REASONS[code]}}}


def message_push(data: Any) -> Message:
    """The push of what a method sends of its own."""
    return {"push": {"message": {"data": data}}}


def _place(position: Position) -> Message:
    return {"epoch": position.epoch, "offset": position.offset}
