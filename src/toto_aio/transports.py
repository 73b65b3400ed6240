"""The transports of a running service: its requests, and, if it has them, its sockets and event streams."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from aiohttp import web

from toto_aio.auth.sessions import Sessions
from toto_aio.codecs.codec import Codec, LargeBodies
from toto_aio.codecs.json_codec import JSON
from toto_aio.dispatch.channel_access import ChannelAccess
from toto_aio.dispatch.dispatcher import Dispatch
from toto_aio.dispatch.runtime import Runtime
from toto_aio.events.session_ends import SessionEnds
from toto_aio.http.authentication import Authenticator
from toto_aio.http.origins import Origins
from toto_aio.http.reply import ReplyContext
from toto_aio.http.service import SERVICE, Service
from toto_aio.jsonrpc.server import JSONRPC
from toto_aio.settings import Settings
from toto_aio.tasks import own
from toto_aio.websocket.endpoint import SOCKETS, Sockets
from toto_aio.websocket.events import HandlerLimits
from toto_aio.websocket.frames import formats
from toto_aio.websocket.open_socket import SocketContext
from toto_aio.websocket.session_watch import SessionWatch
from toto_aio.websocket.subscriptions import SubscriptionsContext, subscriptions_context

if TYPE_CHECKING:
    from toto_aio.monitoring.metrics import Metrics


class Transports:
    """Opens what the routes of an app pass requests on to. ``metrics`` is None if they are off.

    ``streams_at`` are the paths of event streams below the root.
    """

    def __init__(
        self,
        settings: Settings,
        origins: Origins,
        context: ReplyContext,
        metrics: Metrics | None,
        rpc: JSONRPC | None,
        streams_at: Collection[str],
    ) -> None:
        self._settings = settings
        self._origins = origins
        self._context = context
        self._metrics = metrics
        self._rpc = rpc
        self._streams_at = streams_at

    def open(
        self,
        stack: AsyncExitStack,
        app: web.Application,
        runtime: Runtime,
        dispatch: Dispatch,
        codecs: Mapping[str, Codec],
        *,
        access: ChannelAccess | None,
        ends: SessionEnds | None,
    ) -> None:
        """Let the ``app`` take requests; the ``stack`` closes what goes on in the background.

        ``access`` admits to channels, if there are any, and ``ends`` tells of the ends of sessions.
        """
        context, connection = self._context, runtime.connection
        authenticator = Authenticator(
            connection.sessions, connection.api_keys, context.scheme, context.cookie, context.proxies
        )
        large_bodies = LargeBodies()
        app[SERVICE] = Service(
            self._settings,
            *(dispatch, authenticator, context, large_bodies, codecs, self._rpc),
            read_only=self._streams_at,
        )
        if ends is None:
            return
        channels = subscriptions_context(self._settings, access, runtime.events)
        if self._settings.use_web_sockets:
            shared = SocketContext(
                dispatch,
                authenticator,
                connection.sessions,
                runtime.events,
                context.stalled,
                large_bodies,
                HandlerLimits(self._settings.socket_handlers, self._settings.session_handlers),
                channels,
                formats(codecs),
                self._rpc,
                debug=self._settings.debug,
            )
            app[SOCKETS] = self._open_sockets(stack, shared, codecs, ends)
        if channels is not None and self._streams_at:
            self._open_streams(stack, app, connection.sessions, codecs[JSON.content_type], channels, ends)

    def _open_sockets(
        self, stack: AsyncExitStack, shared: SocketContext, codecs: Mapping[str, Codec], ends: SessionEnds
    ) -> Sockets:
        sockets = Sockets(self._settings, shared, codecs, self._origins, self._context.proxies)
        _watch_sessions(stack, SessionWatch(sockets.open), ends, "sockets")
        if self._metrics is not None:
            self._metrics.watch_sockets(sockets)
        return sockets

    def _open_streams(
        self,
        stack: AsyncExitStack,
        app: web.Application,
        sessions: Sessions,
        codec: Codec,
        channels: SubscriptionsContext,
        ends: SessionEnds,
    ) -> None:
        from toto_aio.http.event_stream import StreamContext  # few services need it
        from toto_aio.http.event_streams import EVENT_STREAMS, EventStreams

        shared = StreamContext(
            channels.access, channels.channels, channels.limits, self._context.stalled, codec
        )
        app[EVENT_STREAMS] = streams = EventStreams(app[SERVICE], shared, sessions)
        _watch_sessions(stack, SessionWatch(streams.open), ends, "event streams")
        if self._metrics is not None:
            self._metrics.watch_streams(streams)


def _watch_sessions(stack: AsyncExitStack, watch: SessionWatch, ends: SessionEnds, name: str) -> None:
    """Let what is open end with its session, in whichever process that ends."""
    ends.listen(watch.session_ended)
    own(stack, watch.run(), name)
