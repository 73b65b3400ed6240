"""One event stream: the channels of a page, as server-sent events (HTML Standard, 9.2).

    event: subscribed
    id: room:7/epoch/4
    data: {"channel": "room:7", "recovered": true, "data": ...}

    id: room:7/epoch/5
    data: {"channel": "room:7", "data": ..., "offset": 5}

While a store or the broker is away the stream stays open and tries again, as browsers never come back after
a response that isn't 200. A stream that ends does so after what waits was sent: its client connects again,
shows the last id, and gets what it has missed, or the response that says why not.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from aiohttp import web
from msgspec.structs import asdict

from toto_aio.auth.caller import Caller
from toto_aio.auth.user_session import UserSession
from toto_aio.channels import Position
from toto_aio.codecs import Codec
from toto_aio.dispatch.call import Call
from toto_aio.dispatch.channel_access import ChannelAccess
from toto_aio.events.channels import Channels
from toto_aio.events.deliveries import Join
from toto_aio.events.followed import ChannelSubscription, Given, Publication
from toto_aio.exceptions import TotoException, Unavailable, described
from toto_aio.http.clients import StalledConnections
from toto_aio.http.event_ids import Place, Positions
from toto_aio.http.event_writer import QUEUE_BYTES, EventWriter
from toto_aio.http.reply import HTTPReply
from toto_aio.members import Admission, Member
from toto_aio.tasks import Tasks

logger = logging.getLogger(__name__)

CONTENT_TYPE = "text/event-stream"
SUBSCRIBED, UNRECOVERED, UNSUBSCRIBED = "subscribed", "unrecovered", "unsubscribed"
"""The events beside the publications, which have no name: what ``onmessage`` of a page gets."""
ENDED = {"code": 2000, "reason": "The session has ended"}
"""What ``unsubscribed`` says, as it does on a socket."""
MIN_RETRY, MAX_RETRY = 1.0, 3.0
"""Seconds after which a client connects again: another time for each stream, so that not all come at once."""
MIN_PAUSE, MAX_PAUSE = 0.2, 5.0
"""Seconds between two attempts to begin, while a store or the broker is away."""
CLOSE_LIMIT = 2.0
"""Seconds that a client has to read what waits when the process ends."""


class Limits(Protocol):
    """Counts what the clients of a session subscribe to: ``HandlerLimits`` of the sockets."""

    def add(self, session: UserSession | None, socket_has: int) -> None:
        """Count another one. Raises ``InvalidParameters`` if there are too many."""

    def remove(self, session: UserSession | None) -> None:
        """Count one no longer."""


@dataclass(frozen=True)
class StreamContext:
    """What the streams of one app share."""

    access: ChannelAccess
    channels: Channels
    limits: Limits
    stalled: StalledConnections
    codec: Codec

    def encode(self, given: Given) -> bytes:
        """A publication, or who comes and goes, as an event without its id: once for all streams."""
        if not isinstance(given, Publication):
            name = b"joined" if isinstance(given, Join) else b"left"
            shown = {"channel": given.name, **asdict(given.member)}
            return b"event: %b\ndata: %b\n\n" % (name, self.codec.encode(shown))
        shown = {"channel": given.name, "data": given.data()}
        if given.position is not None:
            shown["offset"] = given.position.offset
        return b"data: %b\n\n" % self.codec.encode(shown)


class EventStream:
    """A stream of the channels ``names``; ``shown`` is where its client was before, if it was here.

    In a channel where it was not, it begins with so many of the ``newest`` publications.
    """

    replaced: str | None = None
    """The session that another one has replaced: none, as no call is made on a stream."""

    def __init__(
        self,
        context: StreamContext,
        reply: HTTPReply,
        names: Sequence[str],
        shown: Positions,
        newest: int,
        find_caller: Callable[[], Awaitable[Caller]],
    ) -> None:
        self.call = Call()
        """What is being asked for, while the client is admitted."""
        self.writer: EventWriter | None = None
        self._context = context
        self._reply = reply
        self._names = names
        self._returning = set(shown)
        self._newest = newest
        self._place = Place({name: shown.get(name) for name in names})
        self._find_caller = find_caller
        self._caller: Caller | None = None
        self._admissions: dict[str, Admission] = {}
        self._client = secrets.token_urlsafe(12)
        self._counted: list[UserSession | None] = []
        self._subscriptions: dict[str, ChannelSubscription] = {}
        self._tasks = Tasks()
        self._is_over = False

    async def admit(self, ends: float | None = None) -> None:
        """Ask whether the caller may have each channel, in calls until ``ends``. Raises what refuses it."""
        if self._caller is None:
            self._caller = self._reply.caller = await self._find_caller()
        found = {}
        for name in self._names:
            self.call = self._context.access.call(name)
            self.call.ends = ends
            found[name] = await self._context.access.admit(self.call, self._caller, self._reply)
        self._reply.status = None  # a stream begins with 200
        for _ in self._names[len(self._counted) :]:
            self._context.limits.add(self._caller.session, 0)
            self._counted.append(self._caller.session)
        self._admissions = found

    async def run(self) -> web.StreamResponse:
        """Send events until the client leaves or the stream is ended."""
        request = self._reply.request
        writer = EventWriter(request, self._reply.lasting_response(CONTENT_TYPE), self._context.stalled)
        self.writer = writer
        self._reply.watch(writer.end)
        retry = int(random.uniform(MIN_RETRY, MAX_RETRY) * 1000)  # noqa: S311  # not a secret
        writer.put(b"retry: %d\n\n" % retry)
        if self._is_over:
            writer.end()
        else:
            self._tasks.start(self._begin(), "event stream")
        return await writer.run()

    async def close(self) -> None:
        """Leave nothing behind."""
        self.end()
        await self._tasks.cancel()
        for subscription in self._subscriptions.values():
            self._context.channels.unsubscribe(subscription)
        while self._counted:
            self._context.limits.remove(self._counted.pop())
        self._reply.close()

    def end(self) -> None:
        """End the stream, after what waits was sent. Its client connects again."""
        self._is_over = True
        if self.writer is not None:
            self.writer.end()

    def leave(self) -> None:
        """End it as the process ends, even if the client does not read."""
        self.end()
        transport = self._reply.http_request.transport
        if transport is not None:
            asyncio.get_running_loop().call_later(CLOSE_LIMIT, transport.abort)

    def sessions(self) -> list[UserSession]:
        """The session that the stream ends with."""
        session = None if self._caller is None else self._caller.session
        return [] if session is None else [session]

    def session_ended(self, session: UserSession) -> None:
        """Say so, and end."""
        self._tell(UNSUBSCRIBED, ENDED)
        self.end()

    async def _begin(self) -> None:
        """Subscribe to all channels, whatever that takes."""
        pause = MIN_PAUSE
        while not self._admissions:
            pause = await _rest(pause)
            try:
                await self.admit()
            except Unavailable:
                continue
            except (TotoException, web.HTTPException) as exc:
                # The head has been sent: the client is told when it connects again.
                logger.info("an event stream ends, as its client is not admitted: %s", described(exc))
                self.end()
                return
            except Exception:
                logger.exception("an event stream ends, as nothing admits its client")
                self.end()
                return
        for name in self._names:
            await self._subscribe(name)

    async def _subscribe(self, name: str) -> None:
        """Go on with a channel where the client was, or say that this can't be."""
        channels, admission, sessions = self._context.channels, self._admissions[name], self.sessions()
        member = Member(self._client, sessions[0].user_id if sessions else "", admission.info)
        is_new, newest, pause = name not in self._returning, self._newest, MIN_PAUSE
        while True:
            subscription = ChannelSubscription(name, self._take, partial(self._lost, name), member)
            self._subscriptions[name] = subscription
            try:
                since = await self._before(name, newest) if is_new and newest else self._place[name]
                subscribed = await channels.subscribe(subscription, since)
            except Unavailable:
                pause = await _rest(pause)
                continue
            if subscribed.recovered or not is_new or since is None:
                break
            channels.unsubscribe(subscription)  # too much was published in between
            newest //= 2
        self._place[name] = since if subscribed.recovered else subscribed.position
        recovered = subscribed.recovered and not is_new
        told = {"channel": name, "recovered": recovered, "data": admission.data}
        if channels.rules(name).presence:
            told["client"] = self._client
        self._tell(SUBSCRIBED, told)
        if not is_new and not recovered:
            self._tell(UNRECOVERED, {"channel": name})
        self._returning.add(name)
        for publication in subscribed.publications:
            self._send(publication)
            if self.writer is not None and not self.writer.has_room:
                await self.writer.room()
        self._place[name] = subscribed.position
        subscription.begin()

    async def _before(self, name: str, newest: int) -> Position | None:
        """The position before the newest publications of a channel, so many as are kept; None if none are."""
        channels = self._context.channels
        if not channels.rules(name).history:
            return None
        found = await channels.history(name, newest, newest=True)
        if found is None or not found[1]:
            return None
        oldest = found[1][-1].position
        assert oldest is not None
        return Position(oldest.epoch, oldest.offset - 1)

    def _lost(self, name: str) -> None:
        """Subscribe again, as publications may have been missed."""
        self._context.channels.unsubscribe(self._subscriptions.pop(name))
        self._tasks.start(self._subscribe(name), "event stream")

    def _take(self, given: Given) -> None:
        writer = self.writer
        assert writer is not None
        if writer.waiting > QUEUE_BYTES and not writer.ended:
            logger.info("an event stream of %s ends, as its client reads too slowly", self._reply.address)
            self.end()
        if not writer.ended:
            self._send(given)

    def _send(self, given: Given) -> None:
        assert self.writer is not None
        if isinstance(given, Publication):
            self._place[given.name] = given.position
        try:
            data = given.encoded(self._context.encode)
        except Exception:  # to subscribe again would bring it again
            logger.exception("a publication of %r could not be sent as an event", given.name)
            self._tell(UNRECOVERED, {"channel": given.name})
            return
        self.writer.put(b"id: %b\n%b" % (self._place.id.encode(), data))

    def _tell(self, event: str, data: Any) -> None:
        """Send an event that is no publication; each has an id with data, as others would be skipped."""
        if self.writer is not None:
            head = f"event: {event}\nid: {self._place.id}\ndata: ".encode()
            self.writer.put(b"%b%b\n\n" % (head, self._context.codec.encode(data)))


async def _rest(pause: float) -> float:
    """Wait before the next attempt; how long to wait before the one after it."""
    await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311  # not a secret
    return min(2 * pause, MAX_PAUSE)
