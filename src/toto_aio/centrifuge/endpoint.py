"""Opens the connections of one app to clients of Centrifuge."""

from __future__ import annotations

from functools import partial

from aiohttp import web

from toto_aio.centrifuge.connection import CentrifugeSocket, Limits
from toto_aio.centrifuge.wire import JSONWire, Spoken
from toto_aio.settings import Settings
from toto_aio.websocket.endpoint import Sockets

JSON = "centrifuge-json"


async def serve(request: web.Request, sockets: Sockets) -> web.StreamResponse:
    """Open a connection, and serve it until it is closed."""
    spoken = sockets.protocols.get(JSON)
    if spoken is None:
        codec = sockets.codecs["application/json"]
        spoken = sockets.protocols[JSON] = Spoken(JSONWire(codec))
    make = partial(CentrifugeSocket, spoken, _limits(sockets.settings))
    return await sockets.serve(request, make, protocols=(JSON,), heartbeat=None)


def _limits(settings: Settings) -> Limits:
    # A client that comes back subscribes to all of its channels in one frame.
    commands = settings.batch_limit + settings.socket_channels + 1
    return Limits(commands, settings.batch_concurrency, settings.socket_opened_method)
